# Longer than 400 lines: the model of a server is to be read in one piece.
"""A model of the rooms of a signaling server: who sits where, and what each connection is sent.

It is written after docs/protocol.md, keeps everything and looks for the cheapest form of nothing.
A ``Wire`` is a WebSocket, a ``Person`` a participant. Each thing that happens adds what is to be
sent to :attr:`Model.out`, and how connections are to be closed to :attr:`Model.closed`.
"""

import itertools
import json
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import Any

Sent = dict[str, Any]

NEVER = float("inf")

UNCONFIRMED = 60.0
"""Seconds for which a message that was written to an open socket is kept."""


@dataclass(frozen=True, slots=True)
class Config:
    """The limits, and who moderates."""

    members: int = 3
    rooms: int = 2
    away: float = 30.0
    join: float = 10.0
    name: float = 1.0
    seats_of_address: int = 3
    rooms_of_address: int = 1
    joins_of_address: int = 60
    first_moderates: bool = False
    kept: int = 4
    kept_bytes: int = 700
    closed_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A join, and what the admission says of it."""

    room: str
    name: str
    rename: bool
    rights: frozenset[str] | None
    token: str
    until: float


@dataclass(eq=False, slots=True)
class Wire:
    """A WebSocket.

    ``person`` has joined by it; ``asked`` is a join that waits until ``answer_at`` for a name.
    """

    number: int
    address: str
    join_by: float
    person: "Person | None" = None
    asked: Asked | None = None
    answer_at: float = NEVER
    turn: int = 0  # of two that are due at the same time the first to have begun is first
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to a participant, and when it was written to a socket (``None``: it waits)."""

    seq: int
    message: Sent
    size: int
    written_at: float | None


@dataclass(eq=False, slots=True)
class Person:
    """A participant. ``asked`` is how it joined, ``shelf`` what could be sent to it again."""

    id: str
    name: str
    room: str
    address: str
    rights: frozenset[str]
    asked: Asked
    secrets: list[str]
    wire: Wire | None
    away_until: float = NEVER
    turn: int = 0
    heard_until: float = NEVER  # when its last socket broke
    heard: int = 0  # the highest number that it gave to a message
    written: int = 0  # the number of the last message to it
    lost: int = 0  # that of the last message to it that cannot be sent again
    shelf: list[Letter] = field(default_factory=list)
    inbox: list[Sent] = field(default_factory=list)  # as a client that counts has it

    @property
    def info(self) -> Sent:
        info = {"id": self.id, "name": self.name, "away": self.wire is None}
        return info | shown(self.rights)

    def may_have_lost(self, ack: int, now: float) -> bool:
        """Return whether a message after ``ack`` was written so long ago that it may be dropped."""
        end = min(now, self.heard_until)
        return any(
            letter.seq > ack
            and letter.written_at is not None
            and letter.written_at + UNCONFIRMED <= end
            for letter in self.shelf
        )


def shown(rights: frozenset[str]) -> Sent:
    return {} if rights - {"join"} == {"send"} else {"may": sorted(rights - {"join"})}


def network(address: str) -> str:
    """Return what an address is counted as: for IPv6 the network of 64 bits."""
    if not address:
        return ""
    return str(ip_interface(f"{address}/64" if ":" in address else address).network)


class Model:
    """A server as the protocol describes it: simple, and slow."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.now = 0.0
        self.turns = itertools.count()
        self.wires: dict[int, Wire] = {}
        self.people: list[Person] = []  # in the order of arrival
        self.founders: dict[str, str] = {}  # the network that each room is counted as
        self.locked: set[str] = set()
        self.closed_until: dict[str, float] = {}
        self.removed_until: dict[tuple[str, str], float] = {}
        self.joins: dict[str, tuple[float, float]] = {}  # tokens left, and when
        self.routed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.out: dict[int, list[Sent]] = {}
        self.closed: dict[int, int] = {}
        self.events: list[tuple[str, str, str, str]] = []  # for webhooks

    # ---- looking -------------------------------------------------------------------------------

    def of(self, room: str) -> list[Person]:
        return [person for person in self.people if person.room == room]

    def named(self, room: str, name: str) -> Person | None:
        return next((person for person in self.of(room) if person.name == name), None)

    def with_id(self, room: str, id: str) -> Person | None:
        return next((person for person in self.of(room) if person.id == id), None)

    def owner(self, secret: str) -> Person | None:
        return next((person for person in self.people if secret in person.secrets), None)

    @property
    def deadline(self) -> float:
        """The next time at which something happens by itself."""
        ends = [wire.join_by for wire in self.wires.values() if self.is_new(wire)]
        ends += [wire.answer_at for wire in self.wires.values() if not wire.is_over]
        ends += [person.away_until for person in self.people]
        return min(ends, default=NEVER)

    @staticmethod
    def is_new(wire: Wire) -> bool:
        return not wire.is_over and wire.person is None

    # ---- saying --------------------------------------------------------------------------------

    def tell(self, wire: Wire, message: Sent) -> None:
        self.out.setdefault(wire.number, []).append(message)

    def tell_room(self, room: str, message: Sent, *, but: Person | None = None) -> None:
        for person in self.of(room):
            if person is not but and person.wire is not None:
                self.tell(person.wire, message)

    def close(self, wire: Wire, code: int) -> None:
        wire.is_over, wire.person = True, None
        wire.answer_at = NEVER
        self.closed[wire.number] = code

    # ---- connections ---------------------------------------------------------------------------

    def connect(self, number: int, address: str) -> None:
        self.wires[number] = Wire(number, address, self.now + self.config.join)

    def disconnect(self, wire: Wire) -> None:
        person, wire.person = wire.person, None
        wire.is_over, wire.answer_at = True, NEVER
        if person is not None:
            person.wire = None
            person.heard_until = self.now
            person.away_until = self.now + self.config.away
            person.turn = next(self.turns)
            self.tell_room(person.room, {"type": "peer-away", "id": person.id})

    def end_connections(self) -> None:
        """Close those that did not join in time."""
        for wire in self.wires.values():
            if self.is_new(wire) and wire.join_by <= self.now:
                self.close(wire, 1008)

    def end_seats(self) -> None:
        """End the seats of those who were away for too long."""
        for person in sorted(self.people, key=lambda person: person.turn):
            if person.away_until <= self.now:
                self.part(person, "timeout")

    def answers_due(self) -> list[Wire]:
        """Return the connections whose joins have waited for a name long enough."""
        due = [w for w in self.wires.values() if not w.is_over and w.answer_at <= self.now]
        return sorted(due, key=lambda wire: wire.turn)

    # ---- joining -------------------------------------------------------------------------------

    def takes_join(self, address: str) -> bool:
        """Count a join of an address; return whether it is not one too many."""
        counted, most = network(address), self.config.joins_of_address
        if not counted:
            return True
        left, since = self.joins.get(counted, (float(most), self.now))
        left = min(most, left + (self.now - since) * most / 60)
        self.joins[counted] = (left - 1 if left >= 0 else left, self.now)
        return left >= 0

    def kept_out(self, asked: Asked) -> set[str]:
        """Return why somebody may not enter a room, if moderators have decided so."""
        reasons = set()
        if self.removed_until.get((asked.room, asked.token), -1.0) > self.now:
            reasons.add("removed")
        if "moderate" not in (asked.rights or ()):
            if self.closed_until.get(asked.room, -1.0) > self.now:
                reasons.add("room-closed")
            if asked.room in self.locked:
                reasons.add("room-locked")
        return reasons

    def no_seat(self, wire: Wire, asked: Asked) -> set[str]:
        """Return why there is no seat for somebody who may enter."""
        there, counted = self.of(asked.room), network(wire.address)
        mine = [person for person in self.people if network(person.address) == counted]
        founded = [room for room, founder in self.founders.items() if founder == counted]
        reasons = set()
        if counted and len(mine) >= self.config.seats_of_address:
            reasons.add("room-full")
        if not there and len(self.founders) >= self.config.rooms:
            reasons.add("room-full")
        if not there and counted and len(founded) >= self.config.rooms_of_address:
            reasons.add("room-full")
        if len(there) >= self.config.members:
            reasons.add("room-full")
        if self.named(asked.room, asked.name) and not asked.rename:
            reasons.add("name-taken")
        return reasons

    def abandoned(self, wire: Wire, asked: Asked) -> Person | None:
        """Return who is away, has the name, and was at the same address."""
        person = self.named(asked.room, asked.name)
        if person is None or person.wire is not None or not wire.address:
            return None
        return person if person.address == wire.address else None

    def free_name(self, asked: Asked) -> str:
        number, name = 1, asked.name
        while self.named(asked.room, name) is not None:
            number += 1
            name = f"{asked.name}-{number}"
        return name

    def wait_for_name(self, wire: Wire, asked: Asked) -> None:
        wire.asked, wire.answer_at = asked, self.now + self.config.name
        wire.join_by = self.now + self.config.join
        wire.turn = next(self.turns)

    def seat(self, wire: Wire, asked: Asked, id: str, secret: str) -> None:
        """Give somebody a seat, and tell everybody."""
        rights = asked.rights
        if rights is None:
            is_first = asked.room not in self.founders
            rights = frozenset({"join", "send"})
            if is_first and self.config.first_moderates:
                rights |= {"moderate"}
        name = self.free_name(asked)
        person = Person(id, name, asked.room, wire.address, rights, asked, [secret], wire)
        joined: Sent = {
            "type": "joined",
            "id": id,
            "peers": [other.info for other in self.of(asked.room)],
            "resume": secret,
            "iceServers": [],
        }
        joined |= shown(rights) | ({} if name == asked.name else {"name": name})
        if asked.room not in self.founders:
            self.events.append(("room.opened", asked.room, "", ""))
            self.founders[asked.room] = network(wire.address)
        self.events.append(("participant.joined", asked.room, name, ""))
        if "moderate" in (asked.rights or ()):
            self.closed_until.pop(asked.room, None)
        self.people.append(person)
        wire.person, wire.asked, wire.answer_at = person, None, NEVER
        self.tell(wire, joined)
        self.tell_room(asked.room, {"type": "peer-joined", "peer": person.info}, but=person)

    # ---- resuming ------------------------------------------------------------------------------

    def resume(self, wire: Wire, person: Person, used: str, secret: str, ack: int | None) -> None:
        """Give a seat to another connection, with all messages after ``ack``."""
        waits = [letter for letter in person.shelf if letter.written_at is None]
        if ack is None:
            again = waits
            person.lost = person.written - len(waits)
            person.inbox = [*person.inbox[: person.lost]]
        else:
            again = [letter for letter in person.shelf if letter.seq > ack]
            person.lost = ack
            del person.inbox[ack:]
        if person.wire is not None:
            self.close(person.wire, 4000)
        was_away = person.wire is None
        person.shelf = []
        for letter in again:
            self.shelve(person, Letter(letter.seq, letter.message, letter.size, self.now))
        person.secrets = [used, secret]
        person.address, person.wire = wire.address, wire
        person.away_until = person.heard_until = NEVER
        wire.person = person
        others = [other.info for other in self.of(person.room) if other is not person]
        joined = {
            "type": "joined",
            "id": person.id,
            "peers": others,
            "resume": secret,
            "iceServers": [],
            "ack": person.heard,
        }
        self.tell(wire, joined | shown(person.rights))
        for letter in again:
            self.tell(wire, letter.message)
        if was_away:
            self.tell_room(person.room, {"type": "peer-back", "id": person.id}, but=person)

    def cannot_resume(self, person: Person, ack: int | None) -> bool:
        """Return whether a message that the client lacks is lost, or ``ack`` is wrong."""
        waits = sum(letter.written_at is None for letter in person.shelf)
        return ack is not None and not person.lost <= ack <= person.written - waits

    def give_up(self, person: Person) -> None:
        """End a seat that cannot be resumed."""
        if person.wire is not None:
            self.close(person.wire, 4000)
            person.wire = None
        self.part(person, "removed")

    # ---- messages ------------------------------------------------------------------------------

    def confirm(self, person: Person) -> None:
        """Forget the old secret: the client has shown that it has the new one."""
        person.secrets = person.secrets[-1:]

    def send(self, sender: Person, to: str, body: Sent, seq: int | None) -> str | None:
        """Hand a message on; return the code of the error if it cannot be."""
        self.confirm(sender)
        if seq is not None:
            if seq <= sender.heard:
                return None
            sender.heard = seq
        receiver = self.with_id(sender.room, to)
        if receiver is None or receiver is sender:
            return "peer-unavailable"
        number = receiver.written + 1
        kind, rest = body["type"], {key: body[key] for key in body if key != "type"}
        message = {"type": kind, "from": sender.id, **rest, "seq": number}
        size = len(json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode())
        if receiver.wire is None:
            waits = [letter for letter in receiver.shelf if letter.written_at is None]
            if len(waits) >= self.config.kept:
                return "peer-unavailable"
            if sum(letter.size for letter in waits) + size > self.config.kept_bytes:
                return "peer-unavailable"
            receiver.shelf.append(Letter(number, message, size, None))
        else:
            self.shelve(receiver, Letter(number, message, size, self.now))
            self.tell(receiver.wire, message)
        receiver.written = number
        self.routed[kind] += 1
        return None

    def shelve(self, person: Person, letter: Letter) -> None:
        """Keep a written message; the oldest make room for it."""
        person.shelf.append(letter)
        while len(person.shelf) > 1 and (
            len(person.shelf) > self.config.kept
            or sum(each.size for each in person.shelf) > self.config.kept_bytes
        ):
            person.lost = person.shelf.pop(0).seq

    # ---- leaving and moderating ----------------------------------------------------------------

    def part(self, person: Person, reason: str) -> None:
        """End a seat; a room without seats is gone."""
        self.people.remove(person)
        self.tell_room(person.room, {"type": "peer-left", "id": person.id, "reason": reason})
        self.events.append(("participant.left", person.room, person.name, reason))
        rest = self.of(person.room)
        if not rest:
            self.events.append(("room.closed", person.room, "", ""))
            self.founders.pop(person.room)
            self.locked.discard(person.room)
            return
        was_host = self.config.first_moderates and "moderate" in person.rights
        if was_host and not any("moderate" in other.rights for other in rest):
            here = [other for other in rest if other.wire is not None]
            self.give_rights((here or rest)[0], {"moderate"})

    def leave(self, person: Person) -> None:
        assert person.wire is not None
        self.close(person.wire, 1000)
        person.wire = None
        self.part(person, "left")

    def give_rights(self, person: Person, more: set[str], less: set[str] | None = None) -> None:
        person.rights = (person.rights | more) - (less or set())
        may = sorted(person.rights - {"join"})
        self.tell_room(person.room, {"type": "rights", "id": person.id, "may": may})

    def may_not(self, person: Person, to: str | None) -> str | None:
        """Return the code of the error if somebody may not moderate, or not this participant."""
        self.confirm(person)
        if "moderate" not in person.rights:
            return "not-allowed"
        if to is not None and (to == person.id or self.with_id(person.room, to) is None):
            return "peer-unavailable"
        return None

    def remove(self, person: Person, to: str) -> None:
        removed = self.with_id(person.room, to)
        assert removed is not None and person.wire is not None
        if removed.asked.token and removed.asked.until > self.now:
            self.removed_until[removed.room, removed.asked.token] = removed.asked.until
        if removed.wire is not None:
            self.close(removed.wire, 4003)
            removed.wire = None
        self.part(removed, "removed")
        self.tell(person.wire, {"type": "done"})

    def hand_over(self, person: Person, to: str) -> None:
        heir = self.with_id(person.room, to)
        assert heir is not None and person.wire is not None
        self.give_rights(heir, {"moderate"})
        self.give_rights(person, set(), {"moderate"})
        self.tell(person.wire, {"type": "done"})

    def lock(self, person: Person, locked: bool) -> None:
        assert person.wire is not None
        (self.locked.add if locked else self.locked.discard)(person.room)
        self.tell_room(person.room, {"type": "room-locked", "locked": locked})
        self.tell(person.wire, {"type": "done"})

    def close_room(self, person: Person) -> None:
        assert person.wire is not None
        self.tell(person.wire, {"type": "done"})
        self.closed_until[person.room] = self.now + self.config.closed_seconds
        for other in self.of(person.room):
            if other.wire is not None:
                self.close(other.wire, 4004)
            self.people.remove(other)
            self.events.append(("participant.left", person.room, other.name, "closed"))
        self.events.append(("room.closed", person.room, "", ""))
        self.founders.pop(person.room)
        self.locked.discard(person.room)

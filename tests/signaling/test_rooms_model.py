"""The rooms do what a simple model does, whatever happens in whatever order."""

import itertools
import json
from typing import Any

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from icefloe.signaling import (
    AddressLimits,
    Admission,
    Bye,
    Candidate,
    ClientMessage,
    CloseRoom,
    Description,
    HandOver,
    Join,
    Leave,
    Limits,
    Lock,
    Message,
    Remove,
    Right,
    SessionDescription,
    outbox,
)
from icefloe.signaling.codec import decode_client, encode_client
from icefloe.signaling.configuration import Refusal
from icefloe.signaling.effects import Close, Send
from icefloe.signaling.errors import ErrorCode
from icefloe.signaling.rooms import Rooms
from tests.signaling.rooms_model import Asked, Config, Model, Person, Sent, Wire

NAMES = ("ann", "bo", "cy")
ROOMS = ("a", "a", "a", "b", "c")
ADDRESSES = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "")
RIGHTS: dict[str, frozenset[str]] = {
    "guest": frozenset({"join", "send"}),
    "listener": frozenset({"join"}),
    "host": frozenset({"join", "send", "moderate"}),
}
LASTS = {"guest": 100.0, "listener": 40.0, "host": 4000.0}
"""Seconds for which each token holds."""

PICK = st.integers(0, 999)


class AgainstTheModel(RuleBasedStateMachine):
    """Clients that do anything; the rooms and the model are told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.secrets: list[tuple[str, str, str]] = []  # each secret, with its room and name
        self.before = (outbox.MESSAGES_KEPT, outbox.BYTES_KEPT, outbox.BYTES_KEPT_SCARCE)

    @initialize(
        first_moderates=st.booleans(),
        members=st.sampled_from([3, 5]),
        rooms=st.sampled_from([2, 3]),
        seats=st.sampled_from([2, 5, 50]),
        founded=st.sampled_from([1, 3]),
        joins=st.sampled_from([15, 6000]),
    )
    def begin(
        self,
        first_moderates: bool,
        members: int,
        rooms: int,
        seats: int,
        founded: int,
        joins: int,
    ) -> None:
        config = Config(
            members=members,
            rooms=rooms,
            seats_of_address=seats,
            rooms_of_address=founded,
            joins_of_address=joins,
            first_moderates=first_moderates,
        )
        self.model = Model(config)
        outbox.MESSAGES_KEPT, outbox.BYTES_KEPT = config.kept, config.kept_bytes
        outbox.BYTES_KEPT_SCARCE = config.kept_bytes  # the smaller share, never above the other
        ids, tokens = itertools.count(1), itertools.count(1)
        address = AddressLimits(
            sockets=None,
            seats=seats,
            rooms=founded,
            joins=config.joins_of_address,
        )
        self.rooms = Rooms(
            Limits(members=members, rooms=rooms, address=address),
            new_id=lambda: f"p{next(ids)}",
            new_token=lambda: f"s{next(tokens)}",
            first_moderates=first_moderates,
            keeps_events=True,
        )
        self.got: dict[int, list[Sent]] = {}
        self.shut: dict[int, int] = {}

    # ---- both sides ----------------------------------------------------------------------------

    def take(self) -> None:
        """Carry out what the rooms have decided."""
        for effect in self.rooms.take_effects():
            assert effect.connection not in self.shut, "nothing follows the end of a connection"
            match effect:
                case Send():
                    heard = self.got.setdefault(effect.connection, [])
                    heard += map(json.loads, effect.payloads)
                case Close():
                    self.shut[effect.connection] = effect.code

    def answer(self, wire: Wire) -> Sent:
        """Return the last thing that a connection was sent."""
        return self.got[wire.number][-1]

    def say(self, wire: Wire, message: ClientMessage, admission: Any = None) -> None:
        received = decode_client(encode_client(message))
        self.rooms.receive(wire.number, received, self.model.now, admission)
        self.take()

    def compare(self) -> None:
        """Compare what each connection was sent, and how each was closed, since the last time."""
        for message in itertools.chain(*self.got.values()):
            if message["type"] == "error":
                assert message.pop("message").endswith(".")
        assert self.got == self.model.out
        assert self.shut == self.model.closed
        for number, messages in self.got.items():
            person = self.model.wires[number].person
            for message in messages:
                if person is not None and "seq" in message:
                    assert message["seq"] == len(person.inbox) + 1, "in order, and once"
                    person.inbox.append(message)
        assert [
            (event.type, event.room, event.name, event.reason) for event in self.rooms.take_events()
        ] == self.model.events
        self.got.clear()
        self.model.out.clear()
        self.model.events.clear()

    def refuse(self, wire: Wire, code: str) -> None:
        self.model.refused[code] += 1
        self.model.tell(wire, {"type": "error", "code": code})

    def refuse_for(self, wire: Wire, reasons: set[str]) -> None:
        """Expect an error for one of several reasons, whichever the server looks at first."""
        code = self.answer(wire)["code"]
        assert code in reasons
        self.refuse(wire, code)

    # ---- rules ---------------------------------------------------------------------------------

    def wire(self, pick: int) -> Wire | None:
        wires = list(self.model.wires.values())
        return wires[pick % len(wires)] if wires else None

    def seated(self, pick: int) -> Wire | None:
        wires = [wire for wire in self.model.wires.values() if wire.person is not None]
        return wires[pick % len(wires)] if wires else self.wire(pick)

    def open(self, address: str) -> Wire:
        number = next(self.numbers)
        self.rooms.connect(number, self.model.now, address)
        self.model.connect(number, address)
        return self.model.wires[number]

    @rule(address=st.sampled_from(ADDRESSES))
    def connect(self, address: str) -> None:
        self.open(address)

    @rule(pick=PICK, kind=st.sampled_from(["open", "guest", "host"]), rename=st.booleans())
    def start_again(self, pick: int, kind: str, rename: bool) -> None:
        """Join under the name and from the address of somebody who is away."""
        away = [person for person in self.model.people if person.wire is None]
        if away:
            person = away[pick % len(away)]
            wire = self.open(person.address)
            self.try_to_join(wire, person.room, person.name, kind, rename)

    @rule(
        pick=PICK,
        name=st.sampled_from(NAMES),
        room=st.sampled_from(ROOMS),
        seconds=st.sampled_from([9.25, 9.5]),
    )
    def join_late(self, pick: int, name: str, room: str, seconds: float) -> None:
        """Join shortly before the time for it has passed."""
        wire = self.open(ADDRESSES[pick % 3])
        self.wait(int(4 * seconds))
        person = self.model.named(room, name)
        is_near = person is not None and person.address == wire.address
        if person is not None and person.wire is not None and is_near and pick % 2:
            self.disconnect(person.wire)
        self.try_to_join(wire, room, name, "open", False)

    def admission(self, kind: str) -> tuple[Any, Asked | None]:
        """Return what the admission says of a join, and the rest as the model has it."""
        if kind == "nobody":
            return None, None
        if kind == "open":
            return Admission(rename=True), Asked("", "", False, None, "", 0.0)
        ends = LASTS[kind]
        if ends <= self.model.now:
            return Refusal(ErrorCode.TOKEN_EXPIRED, "The token has expired."), None
        rights = frozenset(map(Right, RIGHTS[kind]))
        admission = Admission(
            rights=rights, token_id=kind, token_seconds=ends - self.model.now, rename=True
        )
        return admission, Asked("", "", False, RIGHTS[kind], kind, ends)

    @rule(
        address=st.sampled_from(ADDRESSES),
        room=st.sampled_from(ROOMS),
        name=st.sampled_from(NAMES),
        kind=st.sampled_from(["open", "open", "guest", "listener", "host", "host", "nobody"]),
        rename=st.booleans(),
    )
    def enter(self, address: str, room: str, name: str, kind: str, rename: bool) -> None:
        self.try_to_join(self.open(address), room, name, kind, rename)

    @rule(
        pick=PICK,
        room=st.sampled_from(ROOMS),
        name=st.sampled_from(NAMES),
        kind=st.sampled_from(["open", "host"]),
    )
    def join_by(self, pick: int, room: str, name: str, kind: str) -> None:
        wire = self.wire(pick)
        if wire is not None:
            self.try_to_join(wire, room, name, kind, False)

    def try_to_join(self, wire: Wire, room: str, name: str, kind: str, rename: bool) -> None:
        admission, asked = self.admission(kind)
        self.say(wire, Join(room=room, name=name, rename=rename), admission)
        if self.refused_before(wire, admission):
            return
        assert asked is not None
        asked = Asked(room, name, rename, asked.rights, asked.token, asked.until)
        if reasons := self.model.kept_out(asked):
            self.refuse_for(wire, reasons)
        elif self.model.abandoned(wire, asked) is not None:
            self.model.wait_for_name(wire, asked)
        else:
            self.take_seat(wire, asked)

    def refused_before(self, wire: Wire, admission: Any) -> bool:
        """Expect the refusal of a join that is not looked at; return whether there is one."""
        if wire.is_over:
            return True
        if wire.person is not None or wire.answer_at < float("inf"):
            if wire.person is not None:
                self.model.confirm(wire.person)
            self.refuse(wire, "already-joined")
        elif admission is None:
            self.refuse(wire, "unauthorized")
        elif isinstance(admission, Refusal):
            self.refuse(wire, admission.code)
        elif not self.model.takes_join(wire.address):
            self.refuse(wire, "room-full")
        else:
            return False
        return True

    def take_seat(self, wire: Wire, asked: Asked) -> None:
        if reasons := self.model.no_seat(wire, asked):
            self.refuse_for(wire, reasons)
            return
        joined = next(each for each in self.got[wire.number] if each["type"] == "joined")
        assert joined["id"] not in {person.id for person in self.model.people}
        self.model.seat(wire, asked, joined["id"], joined["resume"])
        assert wire.person is not None
        self.secrets.append((joined["resume"], asked.room, wire.person.name))

    @rule(
        pick=st.integers(0, 4),
        address=st.sampled_from(ADDRESSES),
        lag=st.sampled_from([0, 0, 0, 1, 2, 3, 5, -1, None]),
        wrong=st.sampled_from(["", "", "", "", "room", "name"]),
    )
    def resume(self, pick: int, address: str, lag: int | None, wrong: str) -> None:
        """Resume a seat by one of the last secrets; ``lag`` messages were lost with the socket."""
        if not self.secrets:
            return
        secret, room, name = self.secrets[-1 - pick % len(self.secrets)]
        person, wire = self.model.owner(secret), self.open(address)
        ack = None if lag is None else max(0, (len(person.inbox) if person else 0) - lag)
        more: dict[str, Any] = {} if ack is None else {"ack": ack}
        room, name = room + (wrong == "room") * "x", name + (wrong == "name") * "x"
        self.say(wire, Join(room=room, name=name, resume=secret, **more), Admission())
        if self.refused_before(wire, Admission()):
            return
        if person is None or wrong:
            self.refuse(wire, "resume-failed")
        elif self.is_lost(wire, person, ack):
            self.model.give_up(person)
            self.refuse(wire, "resume-failed")
        else:
            joined = next(each for each in self.got[wire.number] if each["type"] == "joined")
            assert joined["resume"] not in {secret for secret, _, _ in self.secrets}
            self.model.resume(wire, person, secret, joined["resume"], ack)
            self.secrets.append((joined["resume"], room, name))

    @rule(
        pick=PICK,
        first=st.sampled_from([0, 0, 1]),
        second=st.sampled_from([0, 1, 2, 3]),
        size=st.sampled_from([1, 300]),
    )
    def resume_twice(self, pick: int, first: int, second: int, size: int) -> None:
        """Resume after some messages, and again with a number that may be lower than before."""
        people = [p for p in self.model.people if len(self.model.of(p.room)) > 1]
        if not people:
            return
        person = people[pick % len(people)]
        for mate in self.model.of(person.room):
            if mate.wire is not None and mate is not person:
                for _ in range(3):
                    text = f"{next(self.numbers)}" + "x" * size
                    self.send_one(mate.wire, person.id, "message", text, None)
        self.compare()
        for lag in (first, second):
            if person in self.model.people:
                mine = [each for each in self.secrets if each[0] in person.secrets]
                self.resume(len(self.secrets) - 1 - self.secrets.index(mine[-1]), "", lag, "")
                self.compare()

    def is_lost(self, wire: Wire, person: Person, ack: int | None) -> bool:
        """Return whether a seat cannot be resumed; what is old enough may be dropped or not."""
        if self.model.cannot_resume(person, ack):
            return True
        if ack is None or not person.may_have_lost(ack, self.model.now):
            return False
        return bool(self.got[wire.number][0]["type"] == "error")

    @rule(address=st.sampled_from(ADDRESSES), times=st.integers(5, 20))
    def storm(self, address: str, times: int) -> None:
        """Many joins at once."""
        if self.model.config.joins_of_address > 100:
            return
        wire = self.open(address)
        for _ in range(times):
            self.say(wire, Join(room="a", name="ann", resume="never"), Admission())
            if not self.refused_before(wire, Admission()):
                self.refuse(wire, "resume-failed")

    @rule(pick=PICK)
    def lose(self, pick: int) -> None:
        if (wire := self.seated(pick)) is not None:
            self.disconnect(wire)

    @rule(pick=PICK)
    def lose_any(self, pick: int) -> None:
        if (wire := self.wire(pick)) is not None:
            self.disconnect(wire)

    def disconnect(self, wire: Wire) -> None:
        self.rooms.disconnect(wire.number, self.model.now)
        self.take()
        self.model.disconnect(wire)

    @rule(
        pick=PICK,
        to=PICK,
        kind=st.sampled_from(["message", "message", "message", "description", "candidate", "bye"]),
        size=st.sampled_from([1, 1, 1, 200, 400, 900]),
        seq=st.sampled_from([None, None, 1, 0, -1]),
        times=st.sampled_from([1, 1, 1, 3, 6]),
    )
    def send(self, pick: int, to: int, kind: str, size: int, seq: int | None, times: int) -> None:
        wire, people = self.seated(pick), self.model.people
        if wire is None:
            return
        mates = self.model.of(wire.person.room) if wire.person else people
        id = (mates if to % 8 else people)[to % len(mates)].id if mates else "p0"
        for _ in range(times):
            text = f"{next(self.numbers)}" + "x" * size
            number = None
            if seq is not None:
                number = max(1, (wire.person.heard if wire.person else 0) + seq)
            self.send_one(wire, id, kind, text, number)

    def send_one(self, wire: Wire, to: str, kind: str, text: str, number: int | None) -> None:
        more = {} if number is None else {"seq": number}
        message: ClientMessage
        body: Sent
        if kind == "message":
            message, body = Message(to, text, **more), {"data": text}
        elif kind == "description":
            message = Description(to, SessionDescription("offer", text), **more)
            body = {"description": {"type": "offer", "sdp": text}}
        elif kind == "candidate":
            message, body = Candidate(to, None, **more), {"candidate": None}
        else:
            message, body = Bye(to, **more), {}
        self.say(wire, message)
        if self.not_joined(wire):
            return
        assert wire.person is not None
        if code := self.model.send(wire.person, to, {"type": kind, **body}, number):
            self.refuse(wire, code)

    def not_joined(self, wire: Wire) -> bool:
        """Expect the refusal of a message before the join; return whether there is one."""
        if wire.person is None and not wire.is_over:
            self.refuse(wire, "not-joined")
        return wire.person is None

    @rule(pick=PICK, is_any=st.sampled_from([False, False, True]))
    def leave(self, pick: int, is_any: bool) -> None:
        wire = self.wire(pick) if is_any else self.seated(pick)
        if wire is None:
            return
        self.say(wire, Leave())
        if wire.person is not None:
            self.model.leave(wire.person)
        elif not wire.is_over:
            self.model.close(wire, 1000)

    @rule(
        pick=PICK,
        to=PICK,
        kind=st.sampled_from(["remove", "remove", "hand-over", "lock", "lock", "unlock", "close"]),
        by_host=st.sampled_from([True, True, True, False]),
    )
    def moderate(self, pick: int, to: int, kind: str, by_host: bool) -> None:
        hosts = [p.wire for p in self.model.people if p.wire and "moderate" in p.rights]
        wire = hosts[pick % len(hosts)] if hosts and by_host else self.seated(pick)
        self.moderate_by(wire, to, kind)

    @rule(
        room=st.sampled_from(ROOMS),
        to=PICK,
        kind=st.sampled_from(["remove", "remove", "hand-over", "lock", "close"]),
        again=st.sampled_from(["guest", "listener", "host", "open"]),
    )
    def call_a_moderator(self, room: str, to: int, kind: str, again: str) -> None:
        """Let a moderator come in and do something, and somebody come who may not like it."""
        wire = self.open("")
        self.try_to_join(wire, room, "mo", "host", True)
        self.compare()
        self.moderate_by(wire, to, kind)
        self.compare()
        self.try_to_join(self.open(""), room, "al", again, True)
        self.compare()
        if kind == "hand-over":
            self.moderate_by(wire, to, "remove")

    def moderate_by(self, wire: Wire | None, to: int, kind: str) -> None:
        people = self.model.people
        if wire is None or not people:
            return
        mates = self.model.of(wire.person.room) if wire.person else people
        id = (mates if to % 8 else people)[to % len(mates)].id
        messages: dict[str, ClientMessage] = {
            "remove": Remove(id),
            "hand-over": HandOver(id),
            "lock": Lock(True),
            "unlock": Lock(False),
            "close": CloseRoom(),
        }
        self.say(wire, messages[kind])
        if self.not_joined(wire):
            return
        person = wire.person
        assert person is not None
        names_somebody = kind in ("remove", "hand-over")
        if code := self.model.may_not(person, id if names_somebody else None):
            self.refuse(wire, code)
        elif kind == "remove":
            self.model.remove(person, id)
        elif kind == "hand-over":
            self.model.hand_over(person, id)
        elif kind == "close":
            self.model.close_room(person)
        else:
            self.model.lock(person, kind == "lock")

    @rule(quarters=st.sampled_from([1, 2, 3, 4, 8, 20, 36, 40, 80, 120, 160, 500]))
    def wait(self, quarters: int) -> None:
        self.compare()
        end = self.model.now + quarters / 4
        while (next_one := min(self.rooms.deadline, self.model.deadline)) <= end:
            self.model.now = next_one
            self.handle_timeout()
        self.model.now = end
        self.handle_timeout()

    def handle_timeout(self) -> None:
        self.rooms.handle_timeout(self.model.now)
        assert self.rooms.deadline > self.model.now
        self.take()
        self.model.end_connections()
        for wire in self.model.answers_due():
            self.answer_waiting(wire)
        self.model.end_seats()
        assert self.model.deadline > self.model.now
        self.compare()

    def answer_waiting(self, wire: Wire) -> None:
        asked, wire.asked, wire.answer_at = wire.asked, None, float("inf")
        assert asked is not None
        if reasons := self.model.kept_out(asked):
            self.refuse_for(wire, reasons)
            return
        if (person := self.model.abandoned(wire, asked)) is not None:
            self.model.part(person, "timeout")
        self.take_seat(wire, asked)

    # ---- invariants ----------------------------------------------------------------------------

    @invariant()
    def everybody_saw_what_the_model_says(self) -> None:
        if hasattr(self, "model"):
            self.compare()

    @invariant()
    def the_counts_are_right(self) -> None:
        if not hasattr(self, "model"):
            return
        rooms, model = self.rooms, self.model
        assert rooms.rooms == len(model.founders)
        assert rooms.seats == len(model.people)
        assert rooms.away == sum(person.wire is None for person in model.people)
        assert rooms.routed == model.routed
        assert rooms.refused == model.refused
        for wire in model.wires.values():
            assert rooms.has_seat(wire.number) == (wire.person is not None)
        assert rooms.kept_bytes <= sum(
            letter.size for person in model.people for letter in person.shelf
        )

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        if not hasattr(self, "model"):
            return
        config, people = self.model.config, self.model.people
        assert self.rooms.rooms <= config.rooms
        for room in self.model.founders:
            names = [person.name for person in people if person.room == room]
            assert 1 <= len(names) == len(set(names)) <= config.members
        assert all(len(person.shelf) <= 2 * config.kept for person in people)

    def teardown(self) -> None:
        outbox.MESSAGES_KEPT, outbox.BYTES_KEPT, outbox.BYTES_KEPT_SCARCE = self.before
        if hasattr(self, "model") and self.got == self.model.out:
            for wire in list(self.model.wires.values()):
                self.disconnect(wire)
            self.wait(500)
            self.wait(500)
            assert (self.rooms.rooms, self.rooms.seats, self.rooms.kept_bytes) == (0, 0, 0)
            assert self.rooms.deadline == float("inf")


AgainstTheModel.TestCase.settings = settings(max_examples=150, stateful_step_count=80)
TestAgainstTheModel = AgainstTheModel.TestCase

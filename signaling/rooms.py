"""Who is where, and who hears what. No I/O: time comes in, effects go out.

:class:`Rooms` knows connections by a number that its user gives them. After each call do the
effects that it returned, in order. Call :meth:`Rooms.tick` when :meth:`Rooms.next_deadline` comes.

A participant has a *seat*, which outlives its connection for a while: without one it is *away*,
and what is sent to it waits. What happens in the room meanwhile does not wait: whoever resumes a
seat is told who is there now. A program that was killed and started again has nothing to resume its
seat with: it gets its name, and a new seat, if nobody resumes the old one while it waits.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import takewhile
from typing import Any, Generic, TypeVar

from msgspec import UNSET, UnsetType

from .codec import encode_server
from .errors import ErrorCode
from .messages import (
    Bye,
    Candidate,
    ClientMessage,
    CloseCode,
    Description,
    Error,
    FromPeer,
    IceServer,
    Join,
    Joined,
    Leave,
    LeftReason,
    Message,
    PeerAway,
    PeerBack,
    PeerBye,
    PeerCandidate,
    PeerDescription,
    PeerInfo,
    PeerJoined,
    PeerLeft,
    PeerMessage,
    Ref,
    ServerMessage,
    ToPeer,
)
from .outbox import Budget, Outbox
from .quotas import AddressLimits, JoinRate, Tally, network_of

_SWEEP_SECONDS = 60.0
_NAME_LIMIT = 64  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much room there is.

    Attributes:
        members: Participants in one room, those who are away included.
        rooms: Rooms in all.
        away_seconds: For how long a seat is kept without a connection.
        join_seconds: How long a new connection has to join.
        name_seconds: How long a newcomer waits for the name of somebody who is away and was at the
            same address: for as long the seat may still be resumed. Others do not get it.
        address: What one address may have of it.
    """

    members: int = 32
    rooms: int = 1000
    away_seconds: float = 30.0
    join_seconds: float = 10.0
    name_seconds: float = 1.0
    address: AddressLimits = field(default_factory=AddressLimits)

    def __post_init__(self) -> None:
        if min(self.members, self.rooms) < 1:
            raise ValueError("`members` and `rooms` must be at least 1")
        if min(self.away_seconds, self.join_seconds, self.name_seconds) <= 0:
            raise ValueError("the seconds of the limits must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What somebody who may join is given.

    Attributes:
        ice_servers: The STUN and TURN servers to use.
        expires: When they lapse, in seconds since the epoch; ``None`` for never.
        rename: Whether it may have another name than the one it asked for, if that is taken and it
            says ``rename``; no where a token stands for the name.
    """

    ice_servers: tuple[IceServer, ...] = ()
    expires: int | None = None
    rename: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Write these messages to a connection, in order."""

    connection: int
    payloads: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection; it is forgotten here, and nothing from it is heard any more."""

    connection: int
    code: CloseCode
    reason: str


Effect = Send | Close

_Key = TypeVar("_Key")
_M = TypeVar("_M", bound=ClientMessage)


class State(StrEnum):
    """Where a connection stands."""

    NEW = "new"
    """It has not joined."""

    WAITING = "waiting"
    """It has asked to join under the name of somebody who is away."""

    JOINED = "joined"
    """It has a seat."""


@dataclass(frozen=True, slots=True)
class _Arrival(Generic[_M]):
    connection: int
    message: _M
    now: float
    admission: Admission | None


@dataclass(eq=False, slots=True)
class _Seat:
    id: str
    name: str
    room: "_Room"
    token: str = field(repr=False)
    connection: int | None
    origin: str
    outbox: Outbox
    previous_token: str | None = field(default=None, repr=False)
    received: int = 0

    @property
    def info(self) -> PeerInfo:
        return PeerInfo(self.id, self.name, away=self.connection is None)


@dataclass(eq=False, slots=True)
class _Room:
    name: str
    founder: str
    seats: dict[str, _Seat] = field(default_factory=dict)

    def others(self, seat: _Seat) -> Iterable[_Seat]:
        return (other for other in self.seats.values() if other is not seat)

    def named(self, name: str) -> _Seat | None:
        return next((seat for seat in self.seats.values() if seat.name == name), None)

    def free_name(self, name: str) -> str:
        """Return the name, or the first with a number after it that nobody has."""
        taken = {seat.name for seat in self.seats.values()}
        numbers = (f"-{number}" for number in itertools.count(2))
        numbered = (f"{name[: _NAME_LIMIT - len(end)]}{end}" for end in numbers)
        return next(free for free in itertools.chain((name,), numbered) if free not in taken)


class Rooms:
    """All rooms of one server.

    Args:
        limits: How much room there is.
        new_id: Makes an id for a peer; never the same twice.
        new_token: Makes a secret that cannot be guessed; never the same twice.

    Attributes:
        routed: How many messages went from peer to peer, by ``type``.
        refused: How many messages were answered with an error, by ``code``.
    """

    def __init__(
        self, limits: Limits, *, new_id: Callable[[], str], new_token: Callable[[], str]
    ) -> None:
        self.routed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._limits = limits
        self._new_id = new_id
        self._new_token = new_token
        self._rooms: dict[str, _Room] = {}
        self._seated: dict[int, _Seat] = {}
        self._tokens: dict[str, _Seat] = {}
        # All are in the order of their deadlines, for each kind lasts the same time for everybody.
        self._joining: dict[int, float] = {}
        self._waiting: dict[int, float] = {}
        self._asked: dict[int, _Arrival[Join]] = {}
        self._origins: dict[int, str] = {}
        self._away: dict[_Seat, float] = {}
        self._sweep_at: float | None = None
        self._budget = Budget()
        self._seats_of = Tally(limits.address.seats)
        self._rooms_of = Tally(limits.address.rooms)
        self._join_rate = JoinRate(limits.address.joins)

    @property
    def rooms(self) -> int:
        """How many rooms there are."""
        return len(self._rooms)

    @property
    def seats(self) -> int:
        """How many participants there are, those who are away included."""
        return sum(len(room.seats) for room in self._rooms.values())

    @property
    def kept_bytes(self) -> int:
        """Bytes of messages that are kept for those who are away, or lost their socket."""
        return self._budget.used

    @property
    def refused_by_address(self) -> dict[str, int]:
        """How often an address had as much as it may, by what it asked for."""
        return {
            "joins": self._join_rate.refused,
            "rooms": self._rooms_of.refused,
            "seats": self._seats_of.refused,
        }

    @property
    def away(self) -> int:
        """How many participants are away."""
        return len(self._away)

    def has_seat(self, connection: int) -> bool:
        """Tell whether a connection has joined."""
        return connection in self._seated

    def connect(self, connection: int, now: float, origin: str = "") -> None:
        """Note a new connection.

        Args:
            connection: A number that was not used before.
            now: Seconds on a monotonic clock, here as everywhere.
            origin: The address that it comes from; empty if that is not known.
        """
        self._joining[connection] = now + self._limits.join_seconds
        self._origins[connection] = origin

    def receive(
        self,
        connection: int,
        message: ClientMessage,
        now: float,
        admission: Admission | None = None,
    ) -> list[Effect]:
        """Act upon a message.

        Args:
            connection: Where it came from; a connection that is not known is not heard.
            message: The message.
            now: Seconds on a monotonic clock.
            admission: For a ``join``, what whoever joins is given; ``None`` if it may not.
        """
        state = self._state(connection)
        if state is None:
            return []
        return _TABLE[state, type(message)](self, _Arrival(connection, message, now, admission))

    def refuse(self, connection: int, code: ErrorCode, reason: str, ref: Ref = UNSET) -> Send:
        """Answer something with an error."""
        self.refused[code] += 1
        return _send(connection, Error(code, reason, ref))

    def disconnect(self, connection: int, now: float) -> list[Effect]:
        """Note that a connection is no more."""
        self._forget(connection)
        seat = self._seated.pop(connection, None)
        if seat is None:
            return []
        seat.connection = None
        self._away[seat] = now + self._limits.away_seconds
        return self._tell_others(seat, PeerAway(seat.id))

    def next_deadline(self) -> float | None:
        """Tell when :meth:`tick` is due, on the clock of ``now``; ``None`` if nothing is."""
        first = (
            next(iter(them.values()), None) for them in (self._joining, self._waiting, self._away)
        )
        return min((at for at in (*first, self._sweep_at) if at is not None), default=None)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        effects: list[Effect] = []
        for connection in _due(self._joining, now):
            self._forget(connection)
            reason = f"join within {self._limits.join_seconds:g} seconds"
            effects.append(Close(connection, CloseCode.POLICY, reason))
        for connection in _due(self._waiting, now):
            effects += self._take_name(connection, now)
        for seat in _due(self._away, now):
            effects += self._remove(seat, LeftReason.TIMEOUT)
        if self._sweep_at is not None and self._sweep_at <= now:
            self._sweep(now)
        return effects

    # ---- joining -------------------------------------------------------------------------------

    def _join(self, arrival: _Arrival[Join]) -> list[Effect]:
        connection, join, admission = arrival.connection, arrival.message, arrival.admission
        if admission is None:
            reason = "The token does not admit to this room under this name."
            return [self.refuse(connection, ErrorCode.UNAUTHORIZED, reason, join.ref)]
        network = network_of(self._origins.get(connection, ""))
        if not self._join_rate.takes(network, arrival.now):
            reason = "Too many joins came from this address. Try again in a minute."
            return [self.refuse(connection, ErrorCode.ROOM_FULL, reason, join.ref)]
        if isinstance(join.resume, str):
            return self._resume(connection, join, join.resume, arrival.now, admission)
        room = self._rooms.get(join.room)
        if self._left_behind(connection, join) is not None:
            self._asked[connection] = arrival
            self._waiting[connection] = arrival.now + self._limits.name_seconds
            return []
        name = join.name
        if room is not None and join.rename is True and admission.rename:
            name = room.free_name(name)
        if refusal := self._why_not(room, name, network):
            return [self.refuse(connection, *refusal, join.ref)]
        if room is None:
            room = self._rooms[join.room] = _Room(join.room, network)
            self._rooms_of.add(network)
        origin = self._origins.get(connection, "")
        outbox = Outbox(self._budget)
        seat = _Seat(self._new_id(), name, room, self._new_token(), connection, origin, outbox)
        self._seats_of.add(network)
        room.seats[seat.id] = seat
        self._tokens[seat.token] = seat
        self._seat(connection, seat)
        return [
            _send(connection, self._joined(seat, admission, asked=join.name)),
            *self._tell_others(seat, PeerJoined(seat.info)),
        ]

    def _left_behind(self, connection: int, join: Join) -> _Seat | None:
        """Return the seat of who is away, whose name a newcomer from the same address asks for."""
        room = self._rooms.get(join.room)
        seat = room.named(join.name) if room is not None else None
        if seat is None or seat.connection is not None or not seat.origin:
            return None
        return seat if seat.origin == self._origins.get(connection) else None

    def _take_name(self, connection: int, now: float) -> list[Effect]:
        """Seat a newcomer under the name for which it has waited, unless its holder is back."""
        del self._waiting[connection]
        asked = self._asked.pop(connection)
        seat = self._left_behind(connection, asked.message)
        effects = [] if seat is None else self._remove(seat, LeftReason.TIMEOUT)
        return effects + self._join(replace(asked, now=now))

    def _why_not(self, room: _Room | None, name: str, network: str) -> tuple[ErrorCode, str] | None:
        if room is None and len(self._rooms) >= self._limits.rooms:
            return ErrorCode.ROOM_FULL, "The server has as many rooms as it may have."
        if not self._seats_of.has_room(network):
            return ErrorCode.ROOM_FULL, "This address has as many participants as it may have."
        if room is None:
            if self._rooms_of.has_room(network):
                return None
            return ErrorCode.ROOM_FULL, "This address has as many rooms as it may have."
        if room.named(name) is not None:
            return ErrorCode.NAME_TAKEN, "Somebody in the room has this name."
        if len(room.seats) >= self._limits.members:
            return ErrorCode.ROOM_FULL, "The room has as many participants as it may have."
        return None

    def _resume(
        self, connection: int, join: Join, secret: str, now: float, admission: Admission
    ) -> list[Effect]:
        seat = self._tokens.get(secret)
        if seat is None or (seat.room.name, seat.name) != (join.room, join.name):
            reason = "This seat is gone. Join without `resume`."
            return [self.refuse(connection, ErrorCode.RESUME_FAILED, reason, join.ref)]
        effects: list[Effect] = []
        if seat.connection is not None:
            del self._seated[seat.connection]
            reason = "another connection resumed this seat"
            effects.append(Close(seat.connection, CloseCode.TAKEN_OVER, reason))
        ack = None if isinstance(join.ack, UnsetType) else join.ack
        kept = seat.outbox.resume(ack, now)
        if kept is None:
            reason = "More was sent than is kept, so the seat was given up. Join without `resume`."
            effects += self._remove(seat, LeftReason.REMOVED)
            effects.append(self.refuse(connection, ErrorCode.RESUME_FAILED, reason, join.ref))
            return effects
        self._seats_of.remove(network_of(seat.origin))
        seat.origin = self._origins.get(connection, "")
        self._seats_of.add(network_of(seat.origin))
        self._renew_token(seat, secret)
        was_away = self._away.pop(seat, None) is not None
        self._seat(connection, seat)
        joined = self._joined(seat, admission, asked=join.name, ack=seat.received)
        effects.append(Send(connection, (encode_server(joined), *kept)))
        if was_away:
            effects += self._tell_others(seat, PeerBack(seat.id))
        return effects

    def _seat(self, connection: int, seat: _Seat) -> None:
        seat.connection = connection
        self._seated[connection] = seat
        self._forget(connection)

    def _forget(self, connection: int) -> None:
        """Drop what is kept of a connection until it has a seat."""
        for kept in (self._joining, self._waiting, self._asked, self._origins):
            kept.pop(connection, None)

    def _joined(
        self, seat: _Seat, admission: Admission, *, asked: str, ack: int | UnsetType = UNSET
    ) -> Joined:
        return Joined(
            seat.id,
            [other.info for other in seat.room.others(seat)],
            seat.token,
            list(admission.ice_servers),
            UNSET if admission.expires is None else admission.expires,
            ack,
            UNSET if seat.name == asked else seat.name,
        )

    def _renew_token(self, seat: _Seat, used: str) -> None:
        # The message that brings the new secret may be lost with its socket, so that the one just
        # used stays good until the client shows that it heard.
        for token in {seat.token, seat.previous_token} - {used, None}:
            del self._tokens[str(token)]
        seat.previous_token = used
        seat.token = self._new_token()
        self._tokens[seat.token] = seat

    def _confirm_token(self, seat: _Seat) -> None:
        if seat.previous_token is not None:
            del self._tokens[seat.previous_token]
            seat.previous_token = None

    # ---- once joined ---------------------------------------------------------------------------

    def _route(self, arrival: _Arrival[ToPeer]) -> list[Effect]:
        connection, message, now = arrival.connection, arrival.message, arrival.now
        seat = self._heard(connection)
        if isinstance(message.seq, int):
            if message.seq <= seat.received:
                return []  # sent again after a resume, and it had arrived
            seat.received = message.seq
        receiver = seat.room.seats.get(message.to)
        if receiver is None or receiver is seat:
            what = "This is your own id." if receiver else "Nobody in the room has this id."
            return [self.refuse(connection, ErrorCode.PEER_UNAVAILABLE, what, message.ref)]
        outbox = receiver.outbox
        payload = encode_server(_from_peer(seat.id, message, outbox.next_seq))
        if receiver.connection is None:
            if not outbox.wait(payload):
                reason = "The peer is away, and more waits for it than is kept."
                return [self.refuse(connection, ErrorCode.PEER_UNAVAILABLE, reason, message.ref)]
            effects: list[Effect] = []
        else:
            outbox.sent(payload, now)
            effects = [Send(receiver.connection, (payload,))]
            if self._sweep_at is None:
                self._sweep_at = now + _SWEEP_SECONDS
        self.routed[str(message.__struct_config__.tag)] += 1
        return effects

    def _leave(self, arrival: _Arrival[Leave]) -> list[Effect]:
        seat = self._heard(arrival.connection)
        del self._seated[arrival.connection]
        close = Close(arrival.connection, CloseCode.NORMAL, "left")
        return [close, *self._remove(seat, LeftReason.LEFT)]

    def _already_joined(self, arrival: _Arrival[Join]) -> list[Effect]:
        self._heard(arrival.connection)
        reason = "This connection has joined already. Open another one for another seat."
        code = ErrorCode.ALREADY_JOINED
        return [self.refuse(arrival.connection, code, reason, arrival.message.ref)]

    # ---- before joining ------------------------------------------------------------------------

    def _not_joined(self, arrival: _Arrival[ToPeer]) -> list[Effect]:
        reason = "The first message must be `join`."
        code = ErrorCode.NOT_JOINED
        return [self.refuse(arrival.connection, code, reason, arrival.message.ref)]

    def _go(self, arrival: _Arrival[Leave]) -> list[Effect]:
        self._forget(arrival.connection)
        return [Close(arrival.connection, CloseCode.NORMAL, "left")]

    def _has_asked(self, arrival: _Arrival[Join]) -> list[Effect]:
        reason = "This connection has asked to join already, and will be answered."
        code = ErrorCode.ALREADY_JOINED
        return [self.refuse(arrival.connection, code, reason, arrival.message.ref)]

    # ---- helpers -------------------------------------------------------------------------------

    def _state(self, connection: int) -> State | None:
        if connection in self._seated:
            return State.JOINED
        if connection in self._asked:
            return State.WAITING
        return State.NEW if connection in self._joining else None

    def _heard(self, connection: int) -> _Seat:
        seat = self._seated[connection]
        self._confirm_token(seat)
        return seat

    def _remove(self, seat: _Seat, reason: LeftReason) -> list[Effect]:
        effects = self._tell_others(seat, PeerLeft(seat.id, reason))
        self._away.pop(seat, None)
        self._confirm_token(seat)
        del self._tokens[seat.token]
        del seat.room.seats[seat.id]
        seat.outbox.close()
        self._seats_of.remove(network_of(seat.origin))
        if not seat.room.seats:
            del self._rooms[seat.room.name]
            self._rooms_of.remove(seat.room.founder)
        return effects

    def _tell_others(self, seat: _Seat, message: ServerMessage) -> list[Effect]:
        payloads = (encode_server(message),)
        return [
            Send(other.connection, payloads)
            for other in seat.room.others(seat)
            if other.connection is not None
        ]

    def _sweep(self, now: float) -> None:
        self._sweep_at = None
        for room in self._rooms.values():
            for seat in room.seats.values():
                if seat.connection is not None:
                    seat.outbox.forget(now)
                if seat.outbox.keeps_sent:
                    self._sweep_at = now + _SWEEP_SECONDS


_TABLE: dict[tuple[State, type], Callable[[Rooms, Any], list[Effect]]] = {
    (State.NEW, Join): Rooms._join,
    (State.NEW, Description): Rooms._not_joined,
    (State.NEW, Candidate): Rooms._not_joined,
    (State.NEW, Message): Rooms._not_joined,
    (State.NEW, Bye): Rooms._not_joined,
    (State.NEW, Leave): Rooms._go,
    (State.WAITING, Join): Rooms._has_asked,
    (State.WAITING, Description): Rooms._not_joined,
    (State.WAITING, Candidate): Rooms._not_joined,
    (State.WAITING, Message): Rooms._not_joined,
    (State.WAITING, Bye): Rooms._not_joined,
    (State.WAITING, Leave): Rooms._go,
    (State.JOINED, Join): Rooms._already_joined,
    (State.JOINED, Description): Rooms._route,
    (State.JOINED, Candidate): Rooms._route,
    (State.JOINED, Message): Rooms._route,
    (State.JOINED, Bye): Rooms._route,
    (State.JOINED, Leave): Rooms._leave,
}
"""What each message means, by where its connection stands."""


def _from_peer(sender: str, message: ToPeer, seq: int) -> FromPeer:
    match message:
        case Description():
            return PeerDescription(sender, message.description, seq)
        case Candidate():
            return PeerCandidate(sender, message.candidate, seq)
        case Message():
            return PeerMessage(sender, message.data, seq)
        case Bye():
            return PeerBye(sender, seq)


def _send(connection: int, message: ServerMessage) -> Send:
    return Send(connection, (encode_server(message),))


def _due(deadlines: dict[_Key, float], now: float) -> list[_Key]:
    return [key for key, _ in takewhile(lambda item: item[1] <= now, deadlines.items())]

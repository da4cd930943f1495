# Longer than 400 lines: the states of a connection and what each message does, in one table.
"""Rooms of the signaling server: joining, resuming, and routing messages between participants.

No I/O: the caller passes in the time, and after each call carries out in order what
:meth:`Rooms.take_effects` returns (:class:`Send`, :class:`Close`, :class:`Seated`). :class:`Rooms`
knows a connection by a number that the caller chooses. Call :meth:`Rooms.handle_timeout` at
:attr:`Rooms.deadline`.

A participant has a *seat* in its room. When its connection breaks, the participant is *away*: the
seat and the messages sent to it are kept for a while. Events of the room are not kept; a client
that resumes its seat is told who is in the room now. A program that was killed and started again
cannot resume its seat, since it has lost the secret. It gets its old name with a new seat, if
nobody resumes the old seat within ``name_seconds``.
"""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Generic, TypeVar

from msgspec import UNSET, Struct, UnsetType

from .client_reports import ClientReports
from .codec import encode_server
from .configuration import Admission, Limits, Refusal
from .effects import Close, Effect, Seated, Send
from .errors import ErrorCode
from .messages import (
    Bye,
    Candidate,
    ClientMessage,
    CloseCode,
    CloseRoom,
    Description,
    Done,
    Error,
    HandOver,
    Join,
    Leave,
    LeftReason,
    Lock,
    Message,
    PeerAway,
    PeerBack,
    PeerGone,
    PeerJoined,
    PeerRights,
    Ref,
    Remove,
    Report,
    RoomLocked,
    ServerMessage,
    ToModerate,
    ToPeer,
    forwarded,
)
from .moderation import Moderation
from .pending import PendingConnections, due
from .quotas import JoinRate, network_of
from .rights import GUEST_RIGHTS, Right
from .room_events import CLOSED, RoomEvent, RoomEventType
from .seats import Room, Seat, Seats

_SWEEP_SECONDS = 60.0
"""Seconds between two passes that drop messages which must have been delivered."""


_TAGS: dict[type, str] = {
    kind: str(kind.__struct_config__.tag) for kind in (Description, Candidate, Message, Bye)
}

_M = TypeVar("_M", bound=ClientMessage)


class State(StrEnum):
    """The state of a connection."""

    NEW = "new"
    """It has not joined."""

    WAITING = "waiting"
    """It waits for the name of a participant that is away."""

    JOINED = "joined"
    """It has a seat."""


class _Arrival(Struct, Generic[_M], frozen=True):
    connection: int
    message: _M
    now: float
    admission: Admission | Refusal | None


class Rooms:
    """All rooms of one server.

    Args:
        limits: The limits on rooms and participants.
        new_id: Returns a new id for a participant; never the same twice.
        new_token: Returns a new secret that cannot be guessed; never the same twice.
        first_moderates: Whether the first participant of a room moderates it, if its admission does
            not say who does.
        takes_reports: Whether clients are to report how connecting with their peers went.
        keeps_events: Whether events are kept for :meth:`take_events`.

    Attributes:
        routed: The number of messages forwarded from peer to peer, by ``type``.
        refused: The number of messages answered with an error, by ``code``.
        joins: The number of joins with a new seat: ``joined``, or the ``code`` of the refusal.
        resumes: The number of joins that resume a seat: ``resumed``, or the ``code``.
        reports: What clients reported.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        new_id: Callable[[], str],
        new_token: Callable[[], str],
        first_moderates: bool = False,
        takes_reports: bool = False,
        keeps_events: bool = False,
    ) -> None:
        self.routed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.joins: Counter[str] = Counter(joined=0)
        self.resumes: Counter[str] = Counter(resumed=0)
        self.reports: ClientReports = ClientReports()
        self._takes_reports = takes_reports
        self._limits = limits
        self._seats = Seats(limits, new_id=new_id, new_token=new_token)
        self._seat_by_connection: dict[int, Seat] = {}
        self._pending: PendingConnections[_Arrival[Join]] = PendingConnections(
            limits.join_seconds, limits.name_seconds
        )
        # Deadlines, sorted: all last equally long.
        self._away: dict[Seat, float] = {}
        self._sweep_at = float("inf")
        self._effects: list[Effect] = []
        self._events: list[RoomEvent] = []
        self._keeps_events = keeps_events
        self._join_rate = JoinRate(limits.address.joins)
        self._first_moderates = first_moderates
        self._moderation = Moderation()

    @property
    def rooms(self) -> int:
        """The number of rooms."""
        return len(self._seats.rooms)

    @property
    def seats(self) -> int:
        """The number of participants, including those that are away."""
        return self._seats.count

    @property
    def kept_bytes(self) -> int:
        """Bytes of messages kept for participants that are away or whose socket may break."""
        return self._seats.kept_bytes

    @property
    def refused_by_address(self) -> dict[str, int]:
        """The number of refusals because an address had reached a limit, by kind of limit."""
        return {"joins": self._join_rate.refused, **self._seats.refused_by_address}

    @property
    def largest_room(self) -> int:
        """The number of participants in the room that has most."""
        return self._seats.largest_room

    @property
    def most_of_address(self) -> dict[str, int]:
        """The number that one address has, of that which has most, by kind of limit."""
        return self._seats.most_of_address

    @property
    def away(self) -> int:
        """The number of participants that are away."""
        return len(self._away)

    def has_seat(self, connection: int) -> bool:
        """Return whether a connection has joined."""
        return connection in self._seat_by_connection

    def connections(self) -> list[int]:
        """Return the numbers of all connections."""
        return [*self._pending, *self._seat_by_connection]

    def connect(self, connection: int, now: float, address: str = "") -> None:
        """Add a new connection.

        Args:
            connection: A number that was not used before.
            now: Seconds on a monotonic clock, here as in all methods.
            address: The IP address of the client; empty if unknown.
        """
        self._pending.add(connection, address, now)

    def receive(
        self,
        connection: int,
        message: ClientMessage,
        now: float,
        admission: Admission | Refusal | None = None,
    ) -> None:
        """Process a message from a client.

        Args:
            connection: The connection; messages of unknown connections are ignored.
            message: The message.
            now: Seconds on a monotonic clock.
            admission: For a ``join`` the permission, or the reason why the client may not join;
                ``None`` if there is no other reason than its token.
        """
        state = self._state(connection)
        if state is not None:
            _TABLE[state, type(message)](self, _Arrival(connection, message, now, admission))

    def refuse(self, connection: int, code: ErrorCode, reason: str, ref: Ref = UNSET) -> None:
        """Send an error to a client, and count it."""
        self.refused[code] += 1
        self._send(connection, Error(code, reason, ref))

    def disconnect(self, connection: int, now: float) -> None:
        """Remove a connection that was closed or lost; its participant is now away."""
        self._pending.forget(connection)
        seat = self._seat_by_connection.pop(connection, None)
        if seat is not None:
            seat.connection = None
            self._away[seat] = now + self._limits.away_seconds
            self._notify_others(seat, PeerAway(seat.id))

    def take_effects(self) -> list[Effect]:
        """Return the effects since the last call, to be carried out in order."""
        taken, self._effects = self._effects, []
        return taken

    @property
    def has_events(self) -> bool:
        """True if there are joins and leaves to be taken."""
        return bool(self._events)

    def take_events(self) -> list[RoomEvent]:
        """Return the joins and leaves since the last call; none unless they are kept."""
        taken, self._events = self._events, []
        return taken

    @property
    def deadline(self) -> float:
        """Time of the next :meth:`handle_timeout`; infinite if there is none."""
        deadline = self._pending.deadline
        if self._sweep_at < deadline:
            deadline = self._sweep_at
        return min(deadline, next(iter(self._away.values()))) if self._away else deadline

    def handle_timeout(self, now: float) -> None:
        """Process the deadlines that have passed."""
        for connection in self._pending.expired(now):
            reason = f"join within {self._limits.join_seconds:g} seconds"
            self._effects.append(Close(connection, CloseCode.POLICY, reason))
        for connection, arrival in self._pending.expired_waits(now):
            self._take_over_name(connection, arrival, now)
        for seat in due(self._away, now):
            self._remove(seat, LeftReason.TIMEOUT)
        if self._sweep_at <= now:
            keeps_sent = self._seats.forget_delivered(now)
            self._sweep_at = now + _SWEEP_SECONDS if keeps_sent else float("inf")

    # ---- joining -------------------------------------------------------------------------------

    def _join(self, arrival: _Arrival[Join]) -> None:
        connection, join, admission = arrival.connection, arrival.message, arrival.admission
        if admission is None:
            reason = "The token does not admit to this room under this name."
            self._refuse_join(connection, join, ErrorCode.UNAUTHORIZED, reason)
            return
        if isinstance(admission, Refusal):
            self._refuse_join(connection, join, admission.code, admission.reason)
            return
        network = network_of(self._pending.address(connection))
        if not self._join_rate.allow(network, arrival.now):
            reason = "Too many joins came from this address. Try again in a minute."
            self._refuse_join(connection, join, ErrorCode.ROOM_FULL, reason)
        elif isinstance(join.resume, str):
            self._resume(connection, join, join.resume, arrival.now, admission)
        elif self._may_enter(connection, join, admission, arrival.now):
            if self._abandoned_seat(connection, join) is not None:
                self._pending.wait_for_name(connection, arrival, arrival.now)
            else:
                self._take_seat(connection, join, admission, arrival.now)

    def _may_enter(self, connection: int, join: Join, admission: Admission, now: float) -> bool:
        """Return whether moderators let a client into a room; refuse it if they do not."""
        room = self._seats.rooms.get(join.room)
        refusal = self._moderation.entry_refusal(join.room, room, admission, now)
        if refusal is not None:
            self._refuse_join(connection, join, *refusal)
        return refusal is None

    def _refuse_join(self, connection: int, join: Join, code: ErrorCode, reason: str) -> None:
        counts = self.resumes if isinstance(join.resume, str) else self.joins
        counts[code] += 1
        self.refuse(connection, code, reason, join.ref)

    def _take_seat(self, connection: int, join: Join, admission: Admission, now: float) -> None:
        """Give a client a new seat, or refuse it."""
        address, name = self._pending.address(connection), join.name
        room = self._seats.rooms.get(join.room)
        if room is not None and join.rename is True and admission.rename:
            name = room.free_name(name)
        if refusal := self._seats.refusal(join.room, name, network_of(address)):
            self._refuse_join(connection, join, *refusal)
            return
        self._moderation.entered(join.room, admission)
        seat = self._seats.create(join.room, name, address)
        is_host = self._first_moderates and room is None and admission.rights is None
        rights = GUEST_RIGHTS if admission.rights is None else admission.rights
        seat.rights = rights | {Right.MODERATE} if is_host else rights
        seat.token_id, seat.token_until = admission.token_id, now + admission.token_seconds
        self._attach(connection, seat)
        self.joins["joined"] += 1
        if room is None:
            self._record(RoomEvent(RoomEventType.ROOM_OPENED, join.room))
        self._record(RoomEvent(RoomEventType.PARTICIPANT_JOINED, join.room, seat.id, name))
        self._send(
            connection,
            seat.joined(admission, asked=join.name, takes_reports=self._takes_reports),
        )
        self._notify_others(seat, PeerJoined(seat.info))

    def _abandoned_seat(self, connection: int, join: Join) -> Seat | None:
        """Return the seat that holds the name, if its participant is away and had this address."""
        room = self._seats.rooms.get(join.room)
        seat = room.named(join.name) if room is not None else None
        if seat is None or seat.connection is not None or not seat.address:
            return None
        return seat if seat.address == self._pending.address(connection) else None

    def _take_over_name(self, connection: int, arrival: _Arrival[Join], now: float) -> None:
        """Let a client join that has waited for a name; remove the seat that still holds it."""
        join, admission = arrival.message, arrival.admission
        # A moderator may have locked the room meanwhile, which takes no seat from who is away.
        if not isinstance(admission, Admission) or not self._may_enter(
            connection, join, admission, now
        ):
            return
        seat = self._abandoned_seat(connection, join)
        if seat is not None:
            self._remove(seat, LeftReason.TIMEOUT)
        self._take_seat(connection, join, admission, now)

    def _resume(
        self, connection: int, join: Join, secret: str, now: float, admission: Admission
    ) -> None:
        seat = self._seats.with_token(secret)
        if seat is None or (seat.room.name, seat.name) != (join.room, join.name):
            reason = "This seat is gone. Join without `resume`."
            self._refuse_join(connection, join, ErrorCode.RESUME_FAILED, reason)
            return
        if seat.connection is not None:
            del self._seat_by_connection[seat.connection]
            reason = "another connection resumed this seat"
            self._effects.append(Close(seat.connection, CloseCode.TAKEN_OVER, reason))
        ack = None if isinstance(join.ack, UnsetType) else join.ack
        kept = seat.outbox.resume(ack, now)
        if kept is None:
            reason = (
                "Messages for this seat are lost: more were sent than are kept. The seat was "
                "removed. Join without `resume`."
            )
            self._remove(seat, LeftReason.REMOVED)
            self._refuse_join(connection, join, ErrorCode.RESUME_FAILED, reason)
            return
        self._seats.move(seat, self._pending.address(connection))
        self._seats.renew_token(seat, secret)
        was_away = self._away.pop(seat, None) is not None
        self._attach(connection, seat)
        self.resumes["resumed"] += 1
        joined = seat.joined(
            admission, asked=join.name, ack=seat.received, takes_reports=self._takes_reports
        )
        self._effects.append(Send(connection, (encode_server(joined), *kept)))
        if was_away:
            self._notify_others(seat, PeerBack(seat.id))

    def _attach(self, connection: int, seat: Seat) -> None:
        seat.connection = connection
        self._seat_by_connection[connection] = seat
        self._pending.forget(connection)
        self._effects.append(Seated(connection))

    # ---- messages of connections that have joined ----------------------------------------------

    def _route(self, arrival: _Arrival[ToPeer]) -> None:
        connection, message, now = arrival.connection, arrival.message, arrival.now
        seat = self._confirmed_seat(connection)
        if isinstance(message.seq, int):
            if message.seq <= seat.received:
                return  # repeated after a resume, but it had arrived
            seat.received = message.seq
        receiver = seat.room.seats.get(message.to)
        if receiver is None or receiver is seat:
            reason = "This is your own id." if receiver else "Nobody in the room has this id."
            self.refuse(connection, ErrorCode.PEER_UNAVAILABLE, reason, message.ref)
            return
        outbox = receiver.outbox
        payload = encode_server(forwarded(message, seat.id, outbox.next_seq))
        if receiver.connection is None:
            if not outbox.enqueue(payload):
                reason = "The peer is away, and the queue of messages for it is full."
                self.refuse(connection, ErrorCode.PEER_UNAVAILABLE, reason, message.ref)
                return
        else:
            outbox.record_sent(payload, now)
            self._effects.append(Send(receiver.connection, (payload,)))
            if self._sweep_at > now + _SWEEP_SECONDS:
                self._sweep_at = now + _SWEEP_SECONDS
        self.routed[_TAGS[type(message)]] += 1

    def _report(self, arrival: _Arrival[Report]) -> None:
        seat = self._confirmed_seat(arrival.connection)
        if self._takes_reports:
            self.reports.record(arrival.message, seat.reports)
            seat.reports += 1

    def _leave(self, arrival: _Arrival[Leave]) -> None:
        seat = self._confirmed_seat(arrival.connection)
        del self._seat_by_connection[arrival.connection]
        self._effects.append(Close(arrival.connection, CloseCode.NORMAL, "left"))
        self._remove(seat, LeftReason.LEFT)

    # ---- moderation ----------------------------------------------------------------------------

    def _moderate(self, arrival: _Arrival[ToModerate]) -> None:
        message, seat = arrival.message, self._confirmed_seat(arrival.connection)
        room = seat.room
        if refusal := self._moderation.request_refusal(seat, message):
            self.refuse(arrival.connection, *refusal, message.ref)
            return
        match message:
            case Remove(to=to):
                self._moderation.removed(room.seats[to], arrival.now)
                self._expel(room.seats[to])
            case HandOver(to=to):
                self._set_rights(room.seats[to], room.seats[to].rights | {Right.MODERATE})
                self._set_rights(seat, seat.rights - {Right.MODERATE})
            case Lock(locked=locked):
                room.is_locked = locked
                self._notify(room, RoomLocked(locked))
        self._send(arrival.connection, Done(message.ref))
        if isinstance(message, CloseRoom):
            self._moderation.closed(room, arrival.now)
            self._close_room(room)

    def _expel(self, seat: Seat) -> None:
        self._cut(seat, CloseCode.REMOVED, "a moderator has removed this participant")
        self._remove(seat, LeftReason.REMOVED)

    def _close_room(self, room: Room) -> None:
        for seat in list(room.seats.values()):
            self._cut(seat, CloseCode.ROOM_CLOSED, "a moderator has closed the room")
            self._end_seat(seat, CLOSED)

    def _cut(self, seat: Seat, code: CloseCode, reason: str) -> None:
        """Close the connection of a participant, whose further messages are ignored."""
        if seat.connection is not None:
            del self._seat_by_connection[seat.connection]
            self._effects.append(Close(seat.connection, code, reason))
            seat.connection = None

    def _set_rights(self, seat: Seat, rights: frozenset[Right]) -> None:
        seat.rights = rights
        may = seat.may
        self._notify(seat.room, PeerRights(seat.id, ("send",) if may is UNSET else may))

    def _already_joined(self, arrival: _Arrival[Join]) -> None:
        self._confirmed_seat(arrival.connection)
        reason = "This connection has joined already. Open another one for another seat."
        code = ErrorCode.ALREADY_JOINED
        self.refuse(arrival.connection, code, reason, arrival.message.ref)

    # ---- messages of connections that have not joined ------------------------------------------

    def _not_joined(self, arrival: _Arrival[ToPeer | ToModerate | Report]) -> None:
        reason = "The first message must be `join`."
        self.refuse(arrival.connection, ErrorCode.NOT_JOINED, reason, arrival.message.ref)

    def _leave_before_joining(self, arrival: _Arrival[Leave]) -> None:
        self._pending.forget(arrival.connection)
        self._effects.append(Close(arrival.connection, CloseCode.NORMAL, "left"))

    def _join_is_pending(self, arrival: _Arrival[Join]) -> None:
        reason = "This connection has already asked to join. Wait for the answer."
        code = ErrorCode.ALREADY_JOINED
        self.refuse(arrival.connection, code, reason, arrival.message.ref)

    # ---- helpers -------------------------------------------------------------------------------

    def _state(self, connection: int) -> State | None:
        if connection in self._seat_by_connection:
            return State.JOINED
        if self._pending.is_waiting(connection):
            return State.WAITING
        return State.NEW if connection in self._pending else None

    def _confirmed_seat(self, connection: int) -> Seat:
        """Return the seat of a connection, whose message shows that it received its new secret."""
        seat = self._seat_by_connection[connection]
        if seat.previous_token is not None:
            self._seats.confirm_token(seat)
        return seat

    def _remove(self, seat: Seat, reason: LeftReason) -> None:
        self._notify_others(seat, PeerGone(seat.id, reason))
        self._end_seat(seat, reason)
        was_host = self._first_moderates and Right.MODERATE in seat.rights
        heir = seat.room.heir
        if was_host and heir is not None and not seat.room.is_moderated:
            self._set_rights(heir, heir.rights | {Right.MODERATE})

    def _end_seat(self, seat: Seat, reason: str) -> None:
        self._away.pop(seat, None)
        self._seats.remove(seat)
        room = seat.room
        left = RoomEventType.PARTICIPANT_LEFT
        self._record(RoomEvent(left, room.name, seat.id, seat.name, str(reason)))
        if not room.seats:
            self._record(RoomEvent(RoomEventType.ROOM_CLOSED, room.name))

    def _record(self, event: RoomEvent) -> None:
        if self._keeps_events:
            self._events.append(event)

    def _send(self, connection: int, message: ServerMessage) -> None:
        self._effects.append(Send(connection, (encode_server(message),)))

    def _notify(self, room: Room, message: ServerMessage) -> None:
        payloads = (encode_server(message),)
        self._effects += [
            Send(seat.connection, payloads)
            for seat in room.seats.values()
            if seat.connection is not None
        ]

    def _notify_others(self, seat: Seat, message: ServerMessage) -> None:
        payloads = (encode_server(message),)
        self._effects += [
            Send(other.connection, payloads)
            for other in seat.room.others(seat)
            if other.connection is not None
        ]


_TABLE: dict[tuple[State, type], Callable[[Rooms, Any], None]] = {
    (State.NEW, Join): Rooms._join,
    (State.NEW, Description): Rooms._not_joined,
    (State.NEW, Candidate): Rooms._not_joined,
    (State.NEW, Message): Rooms._not_joined,
    (State.NEW, Bye): Rooms._not_joined,
    (State.NEW, Remove): Rooms._not_joined,
    (State.NEW, Lock): Rooms._not_joined,
    (State.NEW, CloseRoom): Rooms._not_joined,
    (State.NEW, HandOver): Rooms._not_joined,
    (State.NEW, Report): Rooms._not_joined,
    (State.NEW, Leave): Rooms._leave_before_joining,
    (State.WAITING, Join): Rooms._join_is_pending,
    (State.WAITING, Description): Rooms._not_joined,
    (State.WAITING, Candidate): Rooms._not_joined,
    (State.WAITING, Message): Rooms._not_joined,
    (State.WAITING, Bye): Rooms._not_joined,
    (State.WAITING, Remove): Rooms._not_joined,
    (State.WAITING, Lock): Rooms._not_joined,
    (State.WAITING, CloseRoom): Rooms._not_joined,
    (State.WAITING, HandOver): Rooms._not_joined,
    (State.WAITING, Report): Rooms._not_joined,
    (State.WAITING, Leave): Rooms._leave_before_joining,
    (State.JOINED, Join): Rooms._already_joined,
    (State.JOINED, Description): Rooms._route,
    (State.JOINED, Candidate): Rooms._route,
    (State.JOINED, Message): Rooms._route,
    (State.JOINED, Bye): Rooms._route,
    (State.JOINED, Remove): Rooms._moderate,
    (State.JOINED, Lock): Rooms._moderate,
    (State.JOINED, CloseRoom): Rooms._moderate,
    (State.JOINED, HandOver): Rooms._moderate,
    (State.JOINED, Report): Rooms._report,
    (State.JOINED, Leave): Rooms._leave,
}
"""The handler of each message, by the state of its connection."""

"""The state of :class:`.rooms.Rooms` as data: taken for a snapshot, and put back. No I/O.

What follows from the rest (tallies, the budget of the outboxes, the tables of secrets and
connections) is not part of it and is made again. Counters of the metrics are no state.
"""

from collections.abc import Iterable

from msgspec import Struct

from icefloe._util.token_bucket import TokenBucket

from ..configuration import Admission, Refusal
from ..messages import Join
from ..moderation import ExpiringSet
from ..outbox import Outbox, _Kept
from ..quotas import network_of
from ..rights import Right
from ..rooms import Rooms, _Arrival
from ..seats import Room, Seat


class KeptState(Struct, frozen=True, array_like=True):
    """A message of an outbox."""

    seq: int
    payload: bytes
    sent_at: float


class SeatState(Struct, frozen=True, array_like=True):
    """A seat with its outbox."""

    id: str
    name: str
    token: str
    connection: int | None
    address: str
    previous_token: str | None
    received: int
    rights: tuple[Right, ...]
    token_id: str
    token_until: float
    next_seq: int
    forgotten: int
    sent: list[KeptState]
    waiting: list[KeptState]
    reports: int = 0

    def __repr__(self) -> str:
        return f"SeatState(id={self.id!r})"  # no secrets in logs


class RoomState(Struct, frozen=True, array_like=True):
    """A room."""

    name: str
    founder: str
    is_locked: bool
    seats: list[SeatState]


class WaitState(Struct, frozen=True, array_like=True):
    """A join that waits for a name."""

    connection: int
    deadline: float
    join: Join
    admission: Admission | None
    refusal: Refusal | None
    asked_at: float


class RoomsState(Struct, frozen=True, array_like=True):
    """All rooms, connections that have not joined, and what is remembered about those gone."""

    rooms: list[RoomState]
    away: list[tuple[str, float]]
    pending: list[tuple[int, str, float]]
    waits: list[WaitState]
    sweep_at: float
    joins: list[tuple[str, float, float]]
    removed: list[tuple[str, str, float]]
    closed: list[tuple[str, float]]


def take_state(rooms: Rooms) -> RoomsState:
    """Return the state of rooms; their effects must have been taken."""
    pending, moderation = rooms._pending, rooms._moderation
    return RoomsState(
        [
            RoomState(
                room.name, room.founder, room.is_locked, list(map(_seat, room.seats.values()))
            )
            for room in rooms._seats.rooms.values()
        ],
        [(seat.id, deadline) for seat, deadline in rooms._away.items()],
        [(each, pending._addresses[each], end) for each, end in pending._join_deadlines.items()],
        [
            _wait(connection, deadline, pending._waiting_joins[connection])
            for connection, deadline in pending._name_deadlines.items()
        ],
        rooms._sweep_at,
        [(key, float(each._level), each._at) for key, each in rooms._join_rate._buckets.items()],
        [(*key, until) for key, until in moderation._removed._until.items()],
        list(moderation._closed._until.items()),
    )


def put_state(rooms: Rooms, state: RoomsState) -> None:
    """Give rooms another state than they have."""
    _clear(rooms)
    seats: dict[str, Seat] = {}
    for room in state.rooms:
        _put_room(rooms, room, seats)
    rooms._away.update((seats[id], deadline) for id, deadline in state.away)
    pending = rooms._pending
    for connection, address, deadline in state.pending:
        pending._join_deadlines[connection] = deadline
        pending._addresses[connection] = address
    for wait in state.waits:
        decision = wait.refusal if wait.admission is None else wait.admission
        arrival = _Arrival(wait.connection, wait.join, wait.asked_at, decision)
        pending._waiting_joins[wait.connection] = arrival
        pending._name_deadlines[wait.connection] = wait.deadline
    rooms._sweep_at = state.sweep_at
    joins = rooms._join_rate._joins
    for network, level, at in state.joins if joins is not None else ():
        bucket = TokenBucket((joins or 0) / 60, joins or 0, at)
        bucket._level = level
        rooms._join_rate._buckets[network] = bucket
    rooms._moderation._removed._until.update(
        ((room, id), until) for room, id, until in state.removed
    )
    rooms._moderation._closed._until.update(state.closed)


def _seat(seat: Seat) -> SeatState:
    return SeatState(
        seat.id,
        seat.name,
        seat.token,
        seat.connection,
        seat.address,
        seat.previous_token,
        seat.received,
        tuple(sorted(seat.rights)),
        seat.token_id,
        seat.token_until,
        seat.outbox.next_seq,
        seat.outbox._forgotten,
        _kept(seat.outbox._sent.items),
        _kept(seat.outbox._waiting.items),
        seat.reports,
    )


def _kept(items: Iterable[_Kept]) -> list[KeptState]:
    return [KeptState(item.seq, item.payload, item.sent_at) for item in items]


def _wait(connection: int, deadline: float, arrival: "_Arrival[Join]") -> WaitState:
    decision = arrival.admission
    return WaitState(
        connection,
        deadline,
        arrival.message,
        decision if isinstance(decision, Admission) else None,
        decision if isinstance(decision, Refusal) else None,
        arrival.now,
    )


def _clear(rooms: Rooms) -> None:
    seats, pending, moderation = rooms._seats, rooms._pending, rooms._moderation
    for room in list(seats.rooms.values()):
        for seat in list(room.seats.values()):
            seats.remove(seat)
    kept: tuple[dict[int, object], ...] = (
        pending._join_deadlines,  # type: ignore[assignment]
        pending._name_deadlines,
        pending._waiting_joins,
        pending._addresses,
        rooms._seat_by_connection,
    )
    for each in kept:
        each.clear()
    sets: tuple[ExpiringSet[tuple[str, str]], ExpiringSet[str]] = (
        moderation._removed,
        moderation._closed,
    )
    sets[0]._until.clear()
    sets[1]._until.clear()
    rooms._away.clear()
    rooms._join_rate._buckets.clear()
    rooms._effects.clear()
    rooms._events.clear()


def _put_room(rooms: Rooms, state: RoomState, seats: dict[str, Seat]) -> None:
    table = rooms._seats
    room = table.rooms[state.name] = Room(state.name, state.founder, is_locked=state.is_locked)
    table._rooms_of.add(state.founder)
    for each in state.seats:
        outbox = Outbox(table._budget)
        outbox.next_seq, outbox._forgotten = each.next_seq, each.forgotten
        for store, items in ((outbox._sent, each.sent), (outbox._waiting, each.waiting)):
            for item in items:
                store.append(_Kept(item.seq, item.payload, item.sent_at))
        seat = Seat(each.id, each.name, room, each.token, each.connection, each.address, outbox)
        seat.previous_token, seat.received = each.previous_token, each.received
        seat.rights = frozenset(each.rights)
        seat.token_id, seat.token_until = each.token_id, each.token_until
        seat.reports = each.reports
        room.seats[seat.id] = seats[seat.id] = seat
        table._tokens[seat.token] = seat
        if seat.previous_token is not None:
            table._tokens[seat.previous_token] = seat
        table._seats_of.add(network_of(seat.address))
        if seat.connection is not None:
            rooms._seat_by_connection[seat.connection] = seat

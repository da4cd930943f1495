"""Assignment of rooms to workers, by rendezvous hashing. No I/O.

Each worker has a hash with each room, and the one with the highest has the room (D. Thaler and C.
Ravishankar, "Using name-based mappings to increase hit rates", 1998). So the rooms of a worker that
goes spread over all others, and no others move. A room stays where it is until nobody is in it:
calls are not moved because a worker has come.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

MOST_ROOMS = 10_000
"""Maximum number of rooms that have a bot, or wait for one; further ones get none."""


def owner(room: str, workers: Iterable[str]) -> str | None:
    """Return the worker that a room belongs to; ``None`` if there are no workers."""
    return max(workers, key=lambda worker: _weight(worker, room), default=None)


def _weight(worker: str, room: str) -> bytes:
    return hashlib.blake2b(room.encode(), key=worker.encode()[:64], digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Order:
    """An order for a worker: have a bot in a room.

    Attributes:
        worker: The worker.
        room: The room.
        number: Later orders for the room have higher numbers.
    """

    worker: str
    room: str
    number: int


@dataclass(slots=True)
class _Place:
    worker: str | None
    number: int


class Assignment:
    """The worker of each room in which somebody is.

    Methods return the orders that are to be given to workers now.
    """

    def __init__(self) -> None:
        self._accepting: dict[str, bool] = {}
        self._places: dict[str, _Place] = {}
        self._number = 0

    @property
    def rooms(self) -> dict[str, str | None]:
        """The worker of each room; ``None`` while there is none that takes rooms."""
        return {room: place.worker for room, place in self._places.items()}

    def wanted(self, room: str) -> list[Order]:
        """Record that somebody joins a room."""
        if room not in self._places and len(self._places) >= MOST_ROOMS:
            return []
        place = self._places.setdefault(room, _Place(None, 0))
        return self._order(room, place.worker or self._choose(room))

    def left(self, worker: str, room: str, number: int, *, is_empty: bool) -> list[Order]:
        """Record that a worker's bot has left a room.

        Args:
            worker: The worker.
            room: The room.
            number: The number of the latest order for the room that it had when it left.
            is_empty: Whether nobody else was in the room.
        """
        place = self._places.get(room)
        if place is None or place.worker != worker:
            return []
        if place.number > number and self._accepting.get(worker):
            return []  # somebody came meanwhile: the worker is back in the room
        if is_empty and place.number <= number:
            del self._places[room]
            return []
        return self._order(room, self._choose(room))

    def add(self, worker: str) -> list[Order]:
        """Record a worker that has started; it gets the rooms that wait for one."""
        self._accepting[worker] = True
        waiting = [room for room, place in self._places.items() if place.worker is None]
        return [order for room in waiting for order in self._order(room, self._choose(room))]

    def drain(self, worker: str) -> None:
        """Give a worker no more rooms; it keeps those it has until it leaves them."""
        if worker in self._accepting:
            self._accepting[worker] = False

    def remove(self, worker: str) -> list[Order]:
        """Record the end of a worker; others get the rooms that it had."""
        self._accepting.pop(worker, None)
        orphans = [room for room, place in self._places.items() if place.worker == worker]
        return [order for room in orphans for order in self._order(room, self._choose(room))]

    def _choose(self, room: str) -> str | None:
        return owner(room, (worker for worker, accepts in self._accepting.items() if accepts))

    def _order(self, room: str, worker: str | None) -> list[Order]:
        self._number += 1
        self._places[room] = _Place(worker, self._number)
        return [] if worker is None else [Order(worker, room, self._number)]

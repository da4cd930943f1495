"""Connections that have not joined a room yet, and their deadlines. No I/O: time is passed in."""

from collections.abc import Iterator
from itertools import takewhile
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Join = TypeVar("_Join")


class PendingConnections(Generic[_Join]):
    """Connections that have not joined, some of which wait for the name of an absent participant.

    Args:
        join_seconds: Seconds that a connection has to join.
        name_seconds: Seconds that a join waits for a name.
    """

    def __init__(self, join_seconds: float, name_seconds: float) -> None:
        self._join_seconds = join_seconds
        self._name_seconds = name_seconds
        # Both are sorted by deadline, since all entries of one last equally long.
        self._join_deadlines: dict[int, float] = {}
        self._name_deadlines: dict[int, float] = {}
        self._waiting_joins: dict[int, _Join] = {}
        self._addresses: dict[int, str] = {}

    def __contains__(self, connection: int) -> bool:
        return connection in self._join_deadlines

    def __iter__(self) -> Iterator[int]:
        return iter(self._join_deadlines)

    def add(self, connection: int, address: str, now: float) -> None:
        """Add a new connection.

        Args:
            connection: Its number.
            address: The IP address of the client; empty if unknown.
            now: Seconds on a monotonic clock, here as in all methods.
        """
        self._join_deadlines[connection] = now + self._join_seconds
        self._addresses[connection] = address

    def address(self, connection: int) -> str:
        """Return the IP address of a connection; empty if unknown."""
        return self._addresses.get(connection, "")

    def wait_for_name(self, connection: int, join: _Join, now: float) -> None:
        """Hold a join back until its deadline, see :meth:`expired_waits`.

        The connection has asked in time: the time that it has to join begins anew, for the case
        that the answer is no.
        """
        del self._join_deadlines[connection]  # appended again, so that they stay sorted
        self._join_deadlines[connection] = now + self._join_seconds
        self._waiting_joins[connection] = join
        self._name_deadlines[connection] = now + self._name_seconds

    def is_waiting(self, connection: int) -> bool:
        """Return whether a join of this connection is held back."""
        return connection in self._waiting_joins

    def forget(self, connection: int) -> None:
        """Remove a connection that has joined or is gone."""
        for kept in (
            self._join_deadlines,
            self._name_deadlines,
            self._waiting_joins,
            self._addresses,
        ):
            kept.pop(connection, None)

    @property
    def deadline(self) -> float:
        """Time of the next deadline; infinite if there is none."""
        deadline = float("inf")
        if self._join_deadlines:
            deadline = next(iter(self._join_deadlines.values()))
        if self._name_deadlines:
            deadline = min(deadline, next(iter(self._name_deadlines.values())))
        return deadline

    def expired(self, now: float) -> list[int]:
        """Remove and return the connections that did not join in time."""
        connections = due(self._join_deadlines, now)
        for connection in connections:
            self.forget(connection)
        return connections

    def expired_waits(self, now: float) -> list[tuple[int, _Join]]:
        """Remove and return the joins that have waited long enough, with their connections."""
        connections = due(self._name_deadlines, now)
        for connection in connections:
            del self._name_deadlines[connection]
        return [(connection, self._waiting_joins.pop(connection)) for connection in connections]


def due(deadlines: dict[_Key, float], now: float) -> list[_Key]:
    """Return the keys whose deadlines have passed; the dictionary is sorted by deadline."""
    return [key for key, _ in takewhile(lambda item: item[1] <= now, deadlines.items())]

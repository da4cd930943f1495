"""Mapping from numbers to values that returns the lowest ones in order. Does no I/O.

The remote peer decides how many values there are and in which order they arrive, so no operation
iterates over all of them: each costs logarithmic time.
"""

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

_Value = TypeVar("_Value")

_STALE = 32
"""Maximum numbers without a value in the heap, beyond the number of values."""


class NumberMap(Generic[_Value]):
    """A mapping with a heap of its keys."""

    __slots__ = ("_heap", "_values")

    def __init__(self) -> None:
        self._heap: list[int] = []
        self._values: dict[int, _Value] = {}

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, number: int) -> bool:
        return number in self._values

    def __iter__(self) -> Iterator[_Value]:
        return iter(self._values.values())

    def get(self, number: int) -> _Value | None:
        """Return the value of a number, or ``None``."""
        return self._values.get(number)

    def put(self, number: int, value: _Value) -> None:
        """Set the value of a number."""
        if number not in self._values:
            heapq.heappush(self._heap, number)
        self._values[number] = value

    def pop(self, number: int) -> _Value | None:
        """Remove and return the value of a number, or ``None``."""
        value = self._values.pop(number, None)
        # The number stays in the heap until it is the lowest one, or too many are stale.
        if len(self._heap) > 2 * len(self._values) + _STALE:
            self._heap = list(self._values)
            heapq.heapify(self._heap)
        return value

    def take_through(self, last: int) -> list[tuple[int, _Value]]:
        """Remove and return all values with numbers up to ``last``, in order."""
        taken: list[tuple[int, _Value]] = []
        heap, values = self._heap, self._values
        while heap and heap[0] <= last:
            number = heapq.heappop(heap)
            if number in values:
                taken.append((number, values.pop(number)))
        return taken

"""Values kept by number, of which the lowest are taken out in turn. No I/O.

Other machines decide how many values there are and in which order they come, so no operation looks
at all of them: what a number costs is logarithmic, and values are taken out once.
"""

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

_Value = TypeVar("_Value")

_STALE = 32
"""Numbers without a value that the heap may hold beside as many as there are values."""


class Numbered(Generic[_Value]):
    """A mapping from numbers to values that can give out the lowest ones in order."""

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
        """Return the value of a number, if it has one."""
        return self._values.get(number)

    def put(self, number: int, value: _Value) -> None:
        """Give a number a value, in place of the one it has."""
        if number not in self._values:
            heapq.heappush(self._heap, number)
        self._values[number] = value

    def pop(self, number: int) -> _Value | None:
        """Take out the value of a number, if it has one."""
        value = self._values.pop(number, None)
        # Its number stays in the heap until it is the lowest, or until there are many such.
        if len(self._heap) > 2 * len(self._values) + _STALE:
            self._heap = list(self._values)
            heapq.heapify(self._heap)
        return value

    def take_through(self, last: int) -> list[tuple[int, _Value]]:
        """Take out all values with numbers up to ``last``, in order."""
        taken: list[tuple[int, _Value]] = []
        heap, values = self._heap, self._values
        while heap and heap[0] <= last:
            number = heapq.heappop(heap)
            if number in values:
                taken.append((number, values.pop(number)))
        return taken

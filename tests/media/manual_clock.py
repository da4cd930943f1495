"""A clock that stands still until something waits for it, so that no test waits for real time."""

import asyncio
import heapq
import itertools
from collections.abc import Callable


class _Timer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """Moves by ``advance``, or by itself to the earliest timer if ``jumps``.

    Attributes:
        slept: The time at which each timer was due, in the order in which they were set.
    """

    def __init__(self, *, jumps: bool = True) -> None:
        self._now = 1000.0
        self._jumps = jumps
        self._timers: list[tuple[float, int, _Timer]] = []
        self._order = itertools.count()
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    @property
    def waiting(self) -> int:
        """The number of timers that were neither called nor cancelled."""
        return sum(timer.callback is not None for _, _, timer in self._timers)

    def call_at(self, when: float, callback: Callable[[], object]) -> _Timer:
        timer = _Timer(callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        self.slept.append(when)
        if self._jumps:
            asyncio.get_running_loop().call_soon(self._jump)
        return timer

    def advance(self, seconds: float) -> None:
        """Move by so many seconds, and call back what is due by then."""
        until = self._now + seconds
        while self._timers and self._timers[0][0] <= until:
            self._fire()
        self._now = until

    def _jump(self) -> None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if self._timers:
            self._fire()

    def _fire(self) -> None:
        when, _, timer = heapq.heappop(self._timers)
        self._now = max(self._now, when)
        if timer.callback is not None:
            timer.callback()
            timer.callback = None

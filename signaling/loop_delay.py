"""The delay of the event loop, measured once a second by a timer that should fire on time."""

import asyncio

from .histogram import Histogram

_INTERVAL = 1.0
"""Seconds between two measurements."""

DELAY_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the buckets, in seconds."""


class LoopDelay:
    """Measures how late timers of the event loop fire.

    Attributes:
        seconds: The delays.
    """

    def __init__(self) -> None:
        self.seconds: Histogram = Histogram(DELAY_BOUNDS)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure, in the running event loop."""
        loop = asyncio.get_running_loop()
        due = loop.time() + _INTERVAL
        self._timer = loop.call_at(due, self._fire, loop, due)

    def stop(self) -> None:
        """Measure no more. A second call has no effect."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self.seconds.observe(max(loop.time() - due, 0.0))
        self.start()

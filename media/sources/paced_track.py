"""Base class of tracks that make frames at a fixed rate."""

from fractions import Fraction

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from .._util.clock import Clock, MonotonicClock, Pacer
from .._util.wakeup import Signal


class PacedTrack(MediaStreamTrack):
    """Base of tracks with a fixed frame rate: numbers the frames, and waits until each is due."""

    def __init__(self, rate: Fraction, catch_up: float, clock: Clock | None) -> None:
        super().__init__()
        self._clock = clock or MonotonicClock()
        self._pacer = Pacer(rate, catch_up=catch_up)
        self._stopped = Signal()

    async def _next_number(self) -> int:
        while self.readyState == "live":
            now = self._clock.now()
            due = self._pacer.due(now)
            if now >= due:
                return self._pacer.take(now)
            await self._stopped.wait_until(self._clock, due)
        raise MediaStreamError("the track was stopped")

    def stop(self) -> None:
        """End the track; a pending ``recv()`` raises ``MediaStreamError``."""
        super().stop()
        self._stopped.wake()

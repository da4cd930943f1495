"""A track that makes a frame whenever one is due."""

from fractions import Fraction

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from .._util.clock import Clock, MonotonicClock, Pacer
from .._util.wakeup import Signal


class PacedTrack(MediaStreamTrack):
    """The base of sources with a fixed rate: numbers the frames, and waits for each."""

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
        """End the track; whoever waits in ``recv()`` gets ``MediaStreamError``."""
        super().stop()
        self._stopped.wake()

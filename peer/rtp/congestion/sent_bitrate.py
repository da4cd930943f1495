"""Bit rate that is sent, which shows whether the estimate or the application limits it."""

from collections import deque

_TIME = 0.5
"""Seconds that are measured."""

_STEP = 0.02
"""Seconds whose packets are counted together."""

_LIMITED = 0.65
"""Part of the target below which the application sends less than it could."""


class SentBitrate:
    """Bits per second that were sent lately.

    Args:
        now: Seconds on a monotonic clock.
    """

    def __init__(self, now: float) -> None:
        self._began = now
        self._steps: deque[tuple[float, int]] = deque()
        self._bytes = 0

    def add(self, size: int, now: float) -> None:
        """Note sent bytes."""
        self._bytes += size
        if self._steps and now - self._steps[-1][0] < _STEP:
            at, before = self._steps[-1]
            self._steps[-1] = at, before + size
        else:
            self._steps.append((now, size))
            self._drop(now)

    def _drop(self, now: float) -> None:
        while self._steps and now - self._steps[0][0] > _TIME:
            self._bytes -= self._steps.popleft()[1]

    def bitrate(self, now: float) -> float:
        """Return bits per second of the last half second."""
        self._drop(now)
        return self._bytes * 8 / min(max(now - self._began, 0.1), _TIME)

    def is_limited(self, target: float, now: float) -> bool:
        """Return whether much less is sent than the target allows."""
        return self.bitrate(now) < _LIMITED * target

"""Bit rate that arrives at the receiver, by the times and sizes of acknowledged packets."""

from collections import deque

_LONG, _SHORT = 0.5, 0.12
"""Seconds of the usual measurement, and of the one that shows a sudden change."""

_ENOUGH = 0.4
"""Part of its time that a measurement needs to have covered."""


class SlidingRate:
    """Bit rate over the last seconds.

    Args:
        seconds: Length of the measurement.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._arrivals: deque[tuple[float, int]] = deque()
        self._bytes = 0

    def add(self, at: float, size: int) -> None:
        """Add what came at a time; one that is before the latest counts as the latest."""
        arrivals = self._arrivals
        if arrivals and at <= arrivals[-1][0]:
            last, before = arrivals[-1]
            arrivals[-1] = last, before + size
        else:
            arrivals.append((at, size))
            start = at - self._seconds
            while arrivals[0][0] < start:
                self._bytes -= arrivals.popleft()[1]
        self._bytes += size

    @property
    def rate(self) -> float | None:
        """Return bits per second; ``None`` if too little was measured."""
        if not self._arrivals:
            return None
        first, size = self._arrivals[0]
        span = self._arrivals[-1][0] - first
        if span < _ENOUGH * self._seconds:
            return None
        # What came at the first moment was sent before it.
        return (self._bytes - size) * 8 / span


class AcknowledgedBitrate:
    """Bit rate of what arrived, over a usual and a short time.

    Attributes:
        beside: Bits per second that arrived of what shares the path and is acknowledged otherwise,
            likewise over a usual and a short time.
    """

    def __init__(self) -> None:
        self.beside = 0.0, 0.0
        self.reset()

    def reset(self) -> None:
        """Forget what arrived, such as after a step of the receiver's clock."""
        self._long, self._short = SlidingRate(_LONG), SlidingRate(_SHORT)

    def add(self, received_at: float, size: int) -> None:
        """Add a packet by its arrival and its bytes."""
        self._long.add(received_at, size)
        self._short.add(received_at, size)

    @property
    def bitrate(self) -> float | None:
        """Return bits per second of the last half second; ``None`` if unknown."""
        rate = self._long.rate
        return None if rate is None else rate + self.beside[0]

    @property
    def recent(self) -> float | None:
        """Return bits per second of the last tenth of a second, which frames make uneven."""
        rate = self._short.rate
        return None if rate is None else rate + self.beside[1]

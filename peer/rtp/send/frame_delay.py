"""By how much frames come late from their track. No I/O: the time is given."""

from ..serial_numbers import Unwrapper

_WINDOW = 1.0
"""Seconds for which the frame that was late least counts, up to twice as long: what is late for
longer is no delay, but the source has paused."""


class Lateness:
    """Tells when a frame was due, by those around it.

    A frame may be handed over late, because the machine was busy, and never early. Were a sender
    report (RFC 3550 section 6.4.1) to take it for captured when it came, the other side would play
    all that follows as much too late, until the next report.

    Args:
        clock_rate: Timestamps a second.
    """

    def __init__(self, clock_rate: int) -> None:
        self._rate = clock_rate
        self._timestamps = Unwrapper(32)
        self._least = self._least_before = float("inf")
        self._since = float("-inf")

    def anew(self) -> None:
        """Forget what was: another track is sent."""
        self._least = self._least_before = float("inf")

    def of(self, timestamp: int, taken_at: float) -> float:
        """Return by how much a frame is late, in seconds: 0 for the one that was late least.

        Args:
            timestamp: Its RTP timestamp, of 32 bits.
            taken_at: When it came, in seconds on a monotonic clock.
        """
        offset = taken_at - self._timestamps.unwrap(timestamp) / self._rate
        if taken_at - self._since > _WINDOW:
            self._least_before, self._least = self._least, offset
            self._since = taken_at
        self._least = min(self._least, offset)
        return offset - min(self._least, self._least_before)

"""Delay of frames between their due time and their arrival from the track. Does no I/O."""

from ..serial_numbers import Unwrapper

_WINDOW = 1.0
"""Seconds for which the least delayed frame stays the reference; up to twice as long. A longer
delay means that the source has paused."""


class FrameDelay:
    """Estimates by how much frames arrive late, relative to the least delayed recent frame.

    A busy machine delivers frames late, never early. If a sender report (RFC 3550 section 6.4.1)
    used the arrival time of a late frame as its capture time, the receiver would play everything
    that follows late, until the next report.

    Args:
        clock_rate: RTP clock rate, in Hz.
    """

    def __init__(self, clock_rate: int) -> None:
        self._rate = clock_rate
        self._timestamps = Unwrapper(32)
        self._min_offset = self._previous_min_offset = float("inf")
        self._window_start = float("-inf")

    def reset(self) -> None:
        """Reset the reference: another track is sent."""
        self._min_offset = self._previous_min_offset = float("inf")

    def delay(self, timestamp: int, taken_at: float) -> float:
        """Return the delay of a frame in seconds; 0 for the least delayed one.

        Args:
            timestamp: Its 32-bit RTP timestamp.
            taken_at: The time when it came from the track, in seconds on a monotonic clock.
        """
        offset = taken_at - self._timestamps.unwrap(timestamp) / self._rate
        if taken_at - self._window_start > _WINDOW:
            self._previous_min_offset, self._min_offset = self._min_offset, offset
            self._window_start = taken_at
        self._min_offset = min(self._min_offset, offset)
        return offset - min(self._min_offset, self._previous_min_offset)

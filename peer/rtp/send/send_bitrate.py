"""Target bit rate and measured bit rate of an outgoing stream. Does no I/O."""

from collections import deque

from icefloe.encoding import default_bitrate

from .remb_rate_control import RembRateControl

_MIN_WINDOW, _WINDOW = 0.25, 1.5
"""Minimum and usual length of the measurement window, in seconds."""

ASSUMED_SIZE = 1280, 720
"""Width and height in pixels, for the default bit rate of frames whose size is unknown."""


class SendBitrate:
    """Bit rates of one outgoing stream.

    Args:
        now: Seconds on a monotonic clock, like all other times here.

    Attributes:
        control: The bandwidth estimate for a peer without transport-wide feedback.
        allocated: Bits per second allocated by the transport's congestion controller; ``None`` if
            it leaves them to ``control``.
        maximum: Maximum bits per second set by the application, or ``None``.
    """

    def __init__(self, now: float) -> None:
        self.control: RembRateControl = RembRateControl()
        self.allocated: int | None = None
        self.maximum: int | None = None
        self._samples = deque([(now, 0)])
        """Pairs of time and payload bytes sent until then."""

    def note_sent(self, octets: int, now: float) -> None:
        """Note the total of payload bytes sent until now."""
        if now - self._samples[-1][0] > _MIN_WINDOW:
            self._samples.append((now, octets))
            while now - self._samples[1][0] > _WINDOW:
                self._samples.popleft()

    def measured(self, octets: int, now: float) -> float | None:
        """Return the bits per second sent recently; ``None`` shortly after the start.

        Args:
            octets: Total of payload bytes sent.
            now: The current time.
        """
        start, octets_before = self._samples[0]
        if now - start <= _MIN_WINDOW:
            return None
        return (octets - octets_before) * 8 / (now - start)

    def target(self, now: float) -> int | None:
        """Return the target bits per second; ``None`` if only the frame size limits it."""
        estimate = self.control.bitrate(now) if self.allocated is None else self.allocated
        known = [bits for bits in (estimate, self.maximum) if bits is not None]
        return min(known, default=None)

    def for_pacing(self, octets: int, size: tuple[int, int], now: float) -> float:
        """Return the target bits per second, or the measured ones if these are more.

        Args:
            octets: Total of payload bytes sent.
            size: Width and height of the latest frame in pixels; zeros if unknown.
            now: The current time.
        """
        target = self.target(now)
        if target is None:
            target = default_bitrate(*(size if size[0] else ASSUMED_SIZE))
        return max(target, self.measured(octets, now) or 0.0)

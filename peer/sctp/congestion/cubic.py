"""CUBIC congestion control (RFC 9438), the most common one of TCP.

The model-based controller switches to it where a competing flow keeps the queue full, and tests use
it as that competitor.
"""

from . import Ack

SCALE = 0.4
"""Constant C, in packets per cubic second (section 5)."""

DECREASE = 0.7
"""Factor beta by which a loss reduces the window (section 4.6)."""

FRIENDLY = 3 * (1 - DECREASE) / (1 + DECREASE)
"""Packets per round trip by which Reno's window grows with this decrease (section 4.3)."""

INITIAL_PACKETS = 10
"""Initial window in packets (RFC 6928)."""

MIN_PACKETS = 2
"""Minimum window in packets (section 4.6)."""

UNKNOWN_RTT = 0.1
"""Round-trip time in seconds assumed before it is known."""


class Cubic:
    """Window growth by the time since the last loss: up to the window of that loss, then beyond.

    Args:
        segment: Bytes of user data per packet.
        window: Initial window in bytes, after slow start; by default it begins with slow start.
    """

    def __init__(self, segment: int, window: int | None = None) -> None:
        self._segment = segment
        self._threshold = float("inf") if window is None else float(window)
        self.window: int = INITIAL_PACKETS * segment if window is None else window
        self.pacing_rate: float = float("inf")
        self.losses: int = 0
        """Number of reductions of the window by losses."""
        self._rtt: float | None = None
        self._epoch: float | None = None  # start of the current growth period
        self._origin = 0.0  # W_max, in packets
        self._delay = 0.0  # K, in seconds
        self._friendly = 0.0  # W_est, in packets
        self._exact = float(self.window)

    def set_segment(self, size: int) -> None:
        """Implement :class:`Controller`."""
        self._segment = size

    def acknowledged(self, ack: Ack) -> None:
        """Implement :class:`Controller`."""
        if ack.rtt is not None:
            self._rtt = ack.rtt if self._rtt is None else self._rtt + (ack.rtt - self._rtt) / 8
        if ack.lost and not ack.in_recovery:
            self._shrink()
        elif not ack.in_recovery and ack.prior_flight + 2 * self._segment > self.window:
            if self.window < self._threshold:
                self._exact += ack.acked
            else:
                self._grow(ack.acked, ack.now)
        self._decide()

    def _grow(self, acked: int, now: float) -> None:
        size = self._exact / self._segment
        if self._epoch is None:
            self._epoch, self._friendly = now, size
            if self._origin <= size:
                self._origin, self._delay = size, 0.0
            else:
                self._delay = ((self._origin - size) / SCALE) ** (1 / 3)
        packets = acked / self._segment
        gain = FRIENDLY if self._friendly < self._origin else 1.0
        self._friendly += gain * packets / size
        # Section 4.2: approach the value of the cubic function one round trip ahead.
        at = now - self._epoch + (self._rtt or UNKNOWN_RTT)
        target = min(max(SCALE * (at - self._delay) ** 3 + self._origin, size), 1.5 * size)
        size = max(size + (target - size) * packets / size, self._friendly)
        self._exact = size * self._segment

    def _shrink(self) -> None:
        size = self._exact / self._segment
        # Section 4.7, fast convergence: release bandwidth to new flows.
        self._origin = size * (1 + DECREASE) / 2 if size < self._origin else size
        self._exact = max(DECREASE * self._exact, MIN_PACKETS * self._segment)
        self._threshold = self._exact
        self._epoch = None
        self.losses += 1

    def _decide(self) -> None:
        self.window = int(self._exact)
        gain = 2.0 if self.window < self._threshold else 1.25
        self.pacing_rate = gain * self.window / max(self._rtt or UNKNOWN_RTT, 1e-4)

    def timed_out(self, now: float) -> None:
        """Implement :class:`Controller`."""
        self._shrink()
        self._exact = float(self._segment)
        self._decide()

    def idle(self, now: float, flight: int) -> None:
        """Implement :class:`Controller`."""
        self._epoch = None  # section 5.8: no growth during the pause

"""CUBIC (RFC 9438): what TCP does nearly everywhere.

The model becomes it where somebody else keeps the queue full, and tests take it for such a
somebody.
"""

from . import Ack

SCALE = 0.4
"""The constant C, in packets per cubic second (section 5)."""

DECREASE = 0.7
"""The factor beta by which a loss shrinks the window (section 4.6)."""

FRIENDLY = 3 * (1 - DECREASE) / (1 + DECREASE)
"""Packets a round by which the window of Reno with this decrease grows (section 4.3)."""

INITIAL_PACKETS = 10
"""Packets of the initial window (RFC 6928)."""

LEAST_PACKETS = 2
"""Packets that the window has at least (section 4.6)."""

UNKNOWN_RTT = 0.1
"""Seconds taken as the round trip before it is known."""


class Cubic:
    """Grows with the time since the last loss, first towards the window of that, then beyond.

    Args:
        segment: The user data that fits a packet, in bytes.
        window: Bytes to begin with, after slow start; by default it begins in slow start.
    """

    def __init__(self, segment: int, window: int | None = None) -> None:
        self._segment = segment
        self._threshold = float("inf") if window is None else float(window)
        self.window = INITIAL_PACKETS * segment if window is None else window
        self.pacing_rate = float("inf")
        self.losses = 0
        """How often a loss has shrunk the window."""
        self._rtt: float | None = None
        self._epoch: float | None = None  # when this period of growth began
        self._origin = 0.0  # W_max, in packets
        self._delay = 0.0  # K, in seconds
        self._friendly = 0.0  # W_est, in packets
        self._exact = float(self.window)

    def set_segment(self, size: int) -> None:
        """See :class:`Controller`."""
        self._segment = size

    def acknowledged(self, ack: Ack) -> None:
        """See :class:`Controller`."""
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
        # Section 4.2: what the function gives a round trip from now is approached within it.
        at = now - self._epoch + (self._rtt or UNKNOWN_RTT)
        target = min(max(SCALE * (at - self._delay) ** 3 + self._origin, size), 1.5 * size)
        size = max(size + (target - size) * packets / size, self._friendly)
        self._exact = size * self._segment

    def _shrink(self) -> None:
        size = self._exact / self._segment
        # Section 4.7: who had more before makes room for who comes.
        self._origin = size * (1 + DECREASE) / 2 if size < self._origin else size
        self._exact = max(DECREASE * self._exact, LEAST_PACKETS * self._segment)
        self._threshold = self._exact
        self._epoch = None
        self.losses += 1

    def _decide(self) -> None:
        self.window = int(self._exact)
        gain = 2.0 if self.window < self._threshold else 1.25
        self.pacing_rate = gain * self.window / max(self._rtt or UNKNOWN_RTT, 1e-4)

    def timed_out(self, now: float) -> None:
        """See :class:`Controller`."""
        self._shrink()
        self._exact = float(self._segment)
        self._decide()

    def idle(self, now: float, flight: int) -> None:
        """See :class:`Controller`."""
        self._epoch = None  # section 5.8: the pause is no time to grow in

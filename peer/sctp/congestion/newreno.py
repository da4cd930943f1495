"""NewReno, as RFC 9260 section 7.2 has it: the reference that others are measured against."""

from . import Ack

INITIAL = 4380
"""Initial window in bytes (RFC 9260 section 7.2.1: between 4380 and 4 packets)."""

PER_ACK = 2
"""Packets by which slow start may grow for one SACK, as one SACK comes for two packets."""

UNKNOWN_RTT = 0.1
"""Seconds taken as the round trip for pacing before it is known."""


class NewReno:
    """Halves the window for each window in which something was lost.

    Args:
        segment: The user data that fits a packet, in bytes.
    """

    def __init__(self, segment: int) -> None:
        self._segment = segment
        self._threshold = float("inf")
        self._partial = 0
        self._rtt: float | None = None
        self.window = max(INITIAL, 4 * segment)
        self.pacing_rate = float("inf")

    def set_segment(self, size: int) -> None:
        """See :class:`Controller`."""
        self._segment = size

    def acknowledged(self, ack: Ack) -> None:
        """See :class:`Controller`."""
        if ack.rtt is not None:
            self._rtt = ack.rtt if self._rtt is None else self._rtt + (ack.rtt - self._rtt) / 8
        if ack.lost and not ack.in_recovery:
            self._threshold = max(self.window // 2, 4 * self._segment)
            self.window = int(self._threshold)
            self._partial = 0
        elif not ack.in_recovery and ack.prior_flight + self._segment > self.window:
            self._grow(ack.acked)
        self._pace()

    def _grow(self, acked: int) -> None:
        if self.window <= self._threshold:
            self.window += min(acked, PER_ACK * self._segment)
            return
        self._partial += acked
        if self._partial >= self.window:
            self._partial -= self.window
            self.window += self._segment

    def timed_out(self, now: float) -> None:
        """See :class:`Controller`."""
        self._threshold = max(self.window // 2, 4 * self._segment)
        self.window = self._segment
        self._partial = 0

    def idle(self, now: float, flight: int) -> None:
        """See :class:`Controller`."""

    def _pace(self) -> None:
        # A little above what the window gives, so that pacing alone never limits it.
        gain = 2.0 if self.window <= self._threshold else 1.25
        self.pacing_rate = gain * self.window / max(self._rtt or UNKNOWN_RTT, 1e-4)

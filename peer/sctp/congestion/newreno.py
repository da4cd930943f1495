"""NewReno congestion control (RFC 9260 section 7.2), the reference for other controllers."""

from . import Ack

INITIAL = 4380
"""Initial window in bytes (RFC 9260 section 7.2.1: between 4380 and 4 packets)."""

PER_ACK = 2
"""Maximum packets by which slow start grows per SACK: there is one SACK for two packets."""

UNKNOWN_RTT = 0.1
"""Round-trip time in seconds assumed for pacing before it is known."""


class NewReno:
    """Halves the window once for each window with a loss.

    Args:
        segment: Bytes of user data per packet.
    """

    def __init__(self, segment: int) -> None:
        self._segment = segment
        self._threshold = float("inf")
        self._partial = 0
        self._rtt: float | None = None
        self.window: int = max(INITIAL, 4 * segment)
        self.pacing_rate: float = float("inf")

    def set_segment(self, size: int) -> None:
        """Implement :class:`Controller`."""
        self._segment = size

    def acknowledged(self, ack: Ack) -> None:
        """Implement :class:`Controller`."""
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
        """Implement :class:`Controller`."""
        self._threshold = max(self.window // 2, 4 * self._segment)
        self.window = self._segment
        self._partial = 0

    def idle(self, now: float, flight: int) -> None:
        """Implement :class:`Controller`."""

    def _pace(self) -> None:
        # Slightly above the rate of the window, so that pacing alone never limits it.
        gain = 2.0 if self.window <= self._threshold else 1.25
        self.pacing_rate = gain * self.window / max(self._rtt or UNKNOWN_RTT, 1e-4)

"""Round-trip time estimate and retransmission time-out (RFC 9260 section 6.3.1)."""

from dataclasses import dataclass

RTO_INITIAL = 1.0
"""Initial retransmission time-out in seconds (RFC 9260 section 16)."""

RTO_MIN = 0.4
"""Minimum retransmission time-out in seconds. RFC 9260 says 1; less suffices because SACKs are
delayed by at most 0.2."""

RTO_MAX = 10.0
"""Maximum retransmission time-out in seconds. RFC 9260 says 60. Here ICE reports whether there is a
path, so frequent attempts are cheap, and a path that is back is noticed early."""


@dataclass(slots=True)
class RoundTrip:
    """Round-trip time estimate, in seconds.

    Attributes:
        smoothed: Smoothed round-trip time; ``None`` before the first measurement.
        variation: Its variation.
        least: Minimum round-trip time.
        rto: Retransmission time-out.
    """

    smoothed: float | None = None
    variation: float = 0.0
    least: float = float("inf")
    rto: float = RTO_INITIAL

    def measured(self, rtt: float) -> None:
        """Add a measurement."""
        self.least = min(self.least, rtt)
        if self.smoothed is None:
            self.smoothed, self.variation = rtt, rtt / 2
        else:
            self.variation += (abs(self.smoothed - rtt) - self.variation) / 4
            self.smoothed += (rtt - self.smoothed) / 8
        self.rto = min(max(self.smoothed + 4 * self.variation, RTO_MIN), RTO_MAX)

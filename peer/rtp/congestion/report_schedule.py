"""Times of reports about arrivals: the interval follows the rate. Does no I/O."""

MIN_INTERVAL, MAX_INTERVAL = 0.05, 0.25
"""Seconds from one report to the next."""

GATHERING = 0.02
"""Seconds from the first packet after a pause to the report, which then covers a burst."""

SHARE = 0.05
"""Fraction of the received rate that feedback may take, down to the longest interval."""

PACKET_OVERHEAD = 28 + 14
"""Bytes of IPv4, UDP and SRTCP that an RTCP packet costs in addition."""

MAX_UNREPORTED = 512
"""Packets that are reported at once, without waiting for the interval."""


class ReportSchedule:
    """Says when to report what has arrived, so that feedback takes little of the rate.

    Attributes:
        interval: Seconds from one report to the next, as the rate has it now.
    """

    def __init__(self) -> None:
        self.interval = 0.1
        self._unreported = 0
        self._received_bytes = 0
        self._due: float | None = None
        self._reported_at = float("-inf")
        self._counted_since: float | None = None
        self._rate = 0.0

    def count(self, size: int, now: float) -> None:
        """Count the bytes of a packet, whether it is to be reported or not."""
        if self._counted_since is None:
            self._counted_since = now
        self._received_bytes += size

    def add(self, now: float) -> None:
        """Note a packet that is to be reported."""
        self._unreported += 1
        if self._unreported >= MAX_UNREPORTED:
            self._due = now
        elif self._due is None:
            self._due = max(self._reported_at + self.interval, now + GATHERING)

    @property
    def deadline(self) -> float:
        """Time of the next report; infinite while there is nothing to report."""
        return float("inf") if self._due is None else self._due

    def reported(self, packets: list[bytes], now: float) -> None:
        """Note a report; choose the interval at which such ones take their share of the rate."""
        self._unreported, self._due = 0, None
        size = sum(len(packet) + PACKET_OVERHEAD for packet in packets)
        since = now if self._counted_since is None else self._counted_since
        elapsed = max(now - since, GATHERING)
        rate = self._received_bytes / elapsed
        self._rate = rate if self._rate == 0 else (self._rate + rate) / 2
        self._reported_at = self._counted_since = now
        self._received_bytes = 0
        wanted = size / (SHARE * self._rate) if self._rate else MAX_INTERVAL
        self.interval = min(max(wanted, MIN_INTERVAL), MAX_INTERVAL)

"""Pacing: packets leave at a rate, in bursts that no buffer on the way overflows over."""

QUANTUM = 0.001
"""Seconds that one burst may stand for: event loops' timers are no finer."""

SLACK = 0.004
"""Seconds by which a busy event loop may be late without the rate suffering."""

LEAST_BURST = 12 * 1024
"""Bytes that may leave at once at any rate: the initial window of RFC 6928, and a little."""

MOST_BURST = 96 * 1024
"""Bytes that may leave at once at most: well under the 208 KiB of Linux' default buffers."""


class Pacer:
    """A bucket of bytes that fills at the pacing rate.

    Args:
        quantum: Seconds that one burst may stand for, at least.
        slack: Seconds by which the event loop may be late.
        most_burst: Bytes that may leave at once at most.

    Attributes:
        rate: Bytes a second; infinite is without pacing.
    """

    def __init__(
        self, quantum: float = QUANTUM, slack: float = SLACK, most_burst: int = MOST_BURST
    ) -> None:
        self._quantum, self._slack, self._most_burst = quantum, slack, most_burst
        self.rate = float("inf")
        self._credit = float(LEAST_BURST)
        self._at = 0.0

    def credit(self, now: float) -> float:
        """Return the bytes that may leave now; it may be a little less than nothing."""
        rate = self.rate
        if rate == float("inf"):
            return self._most_burst
        burst = min(max(LEAST_BURST, self._slack * rate), self._most_burst)
        self._credit = min(self._credit + (now - self._at) * rate, burst)
        self._at = now
        return self._credit

    def spend(self, size: int) -> None:
        """Note that bytes have left."""
        self._credit -= size

    def ready_at(self, now: float) -> float:
        """Return when another burst may leave."""
        wanted = max(self._quantum * self.rate, 1.0)
        return now + max(wanted - self._credit, 0.0) / self.rate

"""Pacing: packets leave at a rate, in bursts that no buffer on the way overflows over."""

QUANTUM = 0.001
"""Seconds that one burst may stand for: event loops' timers are no finer."""

SLACK = 0.004
"""Seconds by which a busy event loop may be late without the rate suffering."""

LEAST_BURST = 12 * 1024
"""Bytes that may leave at once at any rate: the initial window of RFC 6928, and a little."""

MOST_BURST = 96 * 1024
"""Bytes that may leave at once at most, at first: well under Linux' default buffers, 208 KiB."""

LARGEST_BURST = 256 * 1024
"""Bytes that may leave at once once smaller bursts have all arrived: above some 100 MB/s timers are
too coarse for less."""

GROWTH, GROWTH_TIME = 16 * 1024, 0.02
"""Bytes by which bursts then grow, and in how many seconds, or a round trip if that is longer."""

LOST_BURST = 32 * 1024
"""Bytes that may leave at once after a loss: half of the buffer that Chromium has, which lost one
datagram in nine with three times as many."""

GROWTH_REST = 30.0
"""Seconds for which they stay so small after a loss."""


class Pacer:
    """A bucket of bytes that fills at the pacing rate.

    Args:
        quantum: Seconds that one burst may stand for, at least.
        slack: Seconds by which the event loop may be late.
        most_burst: Bytes that may leave at once at most.

    Attributes:
        rate: Bytes a second; infinite is without pacing.
        most_burst: Bytes that may leave at once at most.
    """

    def __init__(
        self, quantum: float = QUANTUM, slack: float = SLACK, most_burst: int = MOST_BURST
    ) -> None:
        self._quantum, self._slack = quantum, slack
        self.most_burst = self._first_burst = most_burst
        self._grows_at = 0.0
        self.rate = float("inf")
        self._credit = float(LEAST_BURST)
        self._at = 0.0

    def credit(self, now: float) -> float:
        """Return the bytes that may leave now; it may be a little less than nothing."""
        rate = self.rate
        if rate == float("inf"):
            return self.most_burst
        burst = min(max(LEAST_BURST, self._slack * rate), self.most_burst)
        self._credit = min(self._credit + (now - self._at) * rate, burst)
        self._at = now
        return self._credit

    def spend(self, size: int) -> None:
        """Note that bytes have left."""
        self._credit -= size

    def arrived(self, now: float, round_trip: float) -> None:
        """Note that what was sent arrives: bursts may become larger, if the rate wants them to be.

        Args:
            now: The time.
            round_trip: Seconds until a loss would be seen.
        """
        if now < self._grows_at or self._slack * self.rate <= self.most_burst:
            return
        self.most_burst = min(self.most_burst + GROWTH, max(LARGEST_BURST, self._first_burst))
        self._grows_at = now + max(GROWTH_TIME, round_trip)

    def lost(self, now: float) -> None:
        """Note a loss: a buffer may have overflowed."""
        self.most_burst = min(self._first_burst, LOST_BURST)
        self._grows_at = now + GROWTH_REST

    def ready_at(self, now: float) -> float:
        """Return when another burst may leave."""
        wanted = max(self._quantum * self.rate, 1.0)
        return now + max(wanted - self._credit, 0.0) / self.rate

"""Pacer: a token bucket that limits the rate and the burst size of outgoing packets."""

QUANTUM = 0.001
"""Seconds of traffic that one burst covers at least. Timers of event loops are no finer."""

SLACK = 0.004
"""Seconds by which a busy event loop may be late without lowering the achieved rate."""

MIN_BURST = 12 * 1024
"""Minimum burst size in bytes, at any rate: slightly more than the initial window of RFC 6928."""

INITIAL_MAX_BURST = 96 * 1024
"""Initial maximum burst size in bytes: well below Linux's default socket buffer of 208 KiB."""

MAX_BURST = 256 * 1024
"""Maximum burst size in bytes, reached only while bursts arrive without loss. Above about 100 MB/s,
timers are too coarse for smaller bursts."""

BURST_GROWTH, BURST_GROWTH_INTERVAL = 16 * 1024, 0.02
"""Bytes by which the maximum burst size grows, and the minimum seconds between two such steps; a
round trip if that is longer."""

LOSS_BURST = 32 * 1024
"""Maximum burst size in bytes after a loss: half of Chromium's socket buffer. With bursts three
times as large, Chromium lost one datagram in nine."""

BURST_GROWTH_PAUSE = 30.0
"""Seconds after a loss during which the maximum burst size does not grow."""


class Pacer:
    """A token bucket of bytes that fills at the pacing rate. Does no I/O.

    Args:
        quantum: Seconds of traffic that one burst covers at least.
        slack: Seconds by which the event loop may be late.
        max_burst: Initial maximum burst size, in bytes.

    Attributes:
        rate: Bytes per second; infinity disables pacing.
        max_burst: Current maximum burst size, in bytes.
    """

    def __init__(
        self, quantum: float = QUANTUM, slack: float = SLACK, max_burst: int = INITIAL_MAX_BURST
    ) -> None:
        self._quantum, self._slack = quantum, slack
        self.max_burst = self._initial_burst = max_burst
        self._next_growth = 0.0
        self.rate = float("inf")
        self._credit = float(MIN_BURST)
        self._at = 0.0

    def credit(self, now: float) -> float:
        """Return how many bytes may be sent now; slightly negative after an overdraft."""
        rate = self.rate
        if rate == float("inf"):
            return self.max_burst
        burst = min(max(MIN_BURST, self._slack * rate), self.max_burst)
        self._credit = min(self._credit + (now - self._at) * rate, burst)
        self._at = now
        return self._credit

    def spend(self, size: int) -> None:
        """Subtract sent bytes from the credit."""
        self._credit -= size

    def arrived(self, now: float, round_trip: float) -> None:
        """Note that sent packets were acknowledged. Bursts may then grow if the rate calls for it.

        Args:
            now: Seconds on a monotonic clock.
            round_trip: Seconds until a loss would be noticed.
        """
        if now < self._next_growth or self._slack * self.rate <= self.max_burst:
            return
        self.max_burst = min(self.max_burst + BURST_GROWTH, max(MAX_BURST, self._initial_burst))
        self._next_growth = now + max(BURST_GROWTH_INTERVAL, round_trip)

    def lost(self, now: float) -> None:
        """Reduce the burst size after a loss: a buffer on the path may have overflowed."""
        self.max_burst = min(self._initial_burst, LOSS_BURST)
        self._next_growth = now + BURST_GROWTH_PAUSE

    def ready_at(self, now: float) -> float:
        """Return the time at which the next burst may be sent, in seconds on the same clock."""
        wanted = max(self._quantum * self.rate, 1.0)
        return now + max(wanted - self._credit, 0.0) / self.rate

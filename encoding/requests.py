"""Rate limiting of key frame requests: a burst of requests makes one key frame. No I/O."""

INTERVAL = 0.3
"""Default minimum of seconds between requested key frames."""


class KeyFrameRequests:
    """Coalesced requests for key frames, with a minimum interval.

    Args:
        interval: Minimum of seconds from one key frame to the next.
    """

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._last = float("-inf")
        self._wanted = False

    @property
    def wanted(self) -> bool:
        """True if a key frame was requested and not made yet."""
        return self._wanted

    def ask(self) -> None:
        """Request a key frame."""
        self._wanted = True

    def due(self, now: float) -> bool:
        """Return whether to make a key frame now; if so it counts as made.

        Args:
            now: Seconds on a monotonic clock.
        """
        if not self._wanted or now - self._last < self._interval:
            return False
        self.made(now)
        return True

    def made(self, now: float) -> None:
        """Note that a key frame was made, requested or not: it satisfies all pending requests."""
        self._last = now
        self._wanted = False

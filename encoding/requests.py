"""When to make a key frame: many ask, one is made. No I/O."""

INTERVAL = 0.3
"""Seconds between key frames that were asked for: a burst of requests costs one."""


class KeyFrameRequests:
    """Coalesces requests for key frames.

    Args:
        interval: Seconds from one key frame to the next at least.
    """

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._last = float("-inf")
        self._wanted = False

    @property
    def wanted(self) -> bool:
        """Whether one was asked for and not made yet."""
        return self._wanted

    def ask(self) -> None:
        """Note that somebody needs one."""
        self._wanted = True

    def due(self, now: float) -> bool:
        """Return whether one is to be made now; it then counts as made.

        Args:
            now: Seconds, of any clock that does not go back.
        """
        if not self._wanted or now - self._last < self._interval:
            return False
        self.made(now)
        return True

    def made(self, now: float) -> None:
        """Note a key frame that was made, asked for or not: it serves all who asked before."""
        self._last = now
        self._wanted = False

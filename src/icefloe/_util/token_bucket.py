"""A token bucket that may go into debt. No I/O: time comes in."""


class TokenBucket:
    """How much somebody may still do before having to wait.

    What has happened cannot be refused any more, so it is always taken, into debt if need be, and
    the next is to wait until the debt is paid.

    Args:
        rate: Tokens a second that come back.
        burst: How many tokens there are at most, and at first.
        now: Seconds on a monotonic clock, here as everywhere.
    """

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = now

    def take(self, tokens: float, now: float) -> None:
        """Take this many tokens."""
        self._refill(now)
        self._level -= tokens

    def wait(self, now: float) -> float:
        """Tell for how many seconds to wait until the debt is paid; 0 if there is none."""
        self._refill(now)
        return max(0.0, -self._level / self._rate)

    def is_ample(self, now: float) -> bool:
        """Tell whether at least half of the tokens are there."""
        self._refill(now)
        return self._level * 2 >= self._burst

    def _refill(self, now: float) -> None:
        self._level = min(self._burst, self._level + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)

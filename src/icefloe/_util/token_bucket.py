"""A token bucket rate limiter that may go into debt. No I/O: time is passed in."""


class TokenBucket:
    """A token bucket for events that have already happened and cannot be refused.

    :meth:`take` always takes the tokens, and may leave a debt. The next event then has to wait
    until the debt is paid.

    Args:
        rate: Tokens added per second.
        burst: The largest number of tokens, and the number at first.
        now: Seconds on a monotonic clock, here as in all methods.
    """

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = now

    def take(self, tokens: float, now: float) -> None:
        """Take tokens, into debt if necessary."""
        self._refill(now)
        self._level -= tokens

    def wait(self, now: float) -> float:
        """Return the seconds until the debt is paid; 0 if there is no debt."""
        self._refill(now)
        return max(0.0, -self._level / self._rate)

    @property
    def is_in_debt(self) -> bool:
        """True if the last event has left a debt, which may have been paid since."""
        return self._level < 0

    @property
    def was_half_full(self) -> bool:
        """True if at least half of the tokens were available after the last event."""
        return self._level * 2 >= self._burst

    def is_half_full(self, now: float) -> bool:
        """Return whether at least half of the tokens are available."""
        self._refill(now)
        return self._level * 2 >= self._burst

    def _refill(self, now: float) -> None:
        passed = now - self._at
        if passed > 0.0:
            level = self._level + passed * self._rate
            self._level = level if level < self._burst else self._burst
            self._at = now

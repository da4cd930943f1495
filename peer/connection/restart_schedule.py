"""Schedule of automatic ICE restarts. No I/O.

A restart costs a negotiation and new allocations, and it cannot help while there is no network at
all. So the first comes at once, and the next after pauses that grow until the path works again.
"""

PAUSES = (0.0, 1.0, 3.0, 6.0, 12.0, 20.0, 30.0)
"""Seconds after one restart before the next; the last holds for all that follow."""

STABLE = 20.0
"""Seconds that a path has to work before the pauses begin anew."""

COURTESY = 0.3
"""Seconds that the controlled side leaves to the other, which notices a silent path as well: two
restarts at the same moment would cost one of them a rollback."""


class RestartSchedule:
    """Decides when to restart ICE. Times are seconds of any clock that goes forward."""

    def __init__(self) -> None:
        self._restarts = 0
        self._asked_at = float("-inf")
        self._healthy_since: float | None = None
        self._due = float("inf")

    @property
    def due(self) -> float:
        """The time of the next restart; infinite if there is no trouble."""
        return self._due

    def trouble(self, now: float, *, courteous: bool = False) -> None:
        """Record that the path is in danger.

        Args:
            now: The time.
            courteous: Whether to leave the remote peer the first word.
        """
        if self._healthy_since is not None and now - self._healthy_since >= STABLE:
            self._restarts = 0
        self._healthy_since = None
        pause = PAUSES[min(self._restarts, len(PAUSES) - 1)]
        earliest = now + (COURTESY if courteous else 0.0)
        self._due = min(self._due, max(earliest, self._asked_at + pause))

    def restarted(self, now: float, *, still_in_trouble: bool) -> None:
        """Record that a restart was asked for, here or by the remote peer."""
        self._restarts += 1
        self._asked_at = now
        self._due = float("inf")
        if still_in_trouble:
            self.trouble(now)

    def healthy(self, now: float) -> None:
        """Record that the path works."""
        self._due = float("inf")
        if self._healthy_since is None:
            self._healthy_since = now

"""Whether a path that worked still does: probes, silence, consent. No I/O.

A path is probed with Binding requests, as browsers do: often when nothing is heard, seldom while
packets come in. What is heard and answered decides between *connected*, *disconnected* and
*failed*; that the other side still wants to receive is what an answer shows (RFC 7675).
"""

from dataclasses import dataclass
from enum import StrEnum

from .pair import NEVER, Pair

QUIET_INTERVAL = 0.5
"""Seconds between probes while nothing is heard."""

STEADY_INTERVAL = 2.5
"""Seconds between probes while packets come in: that they go out as well is checked less often."""

BACKUP_INTERVAL = 10.0
"""Seconds between probes of valid pairs that carry nothing; below the 30 s after which the
shortest-lived NAT bindings end (RFC 4787 REQ-5, RFC 8445 section 11)."""

LOST_INTERVAL = 1.0
"""Seconds between probes of a path that has failed: it may come back."""

CONSENT = 30.0
"""Seconds after the last answer for which data may be sent (RFC 7675 section 5.1)."""

UNANSWERED = 5
"""Probes without an answer before a path over which packets still come in counts as one-way."""

ONE_WAY = 5.0
"""Seconds without an answer, likewise."""


class Health(StrEnum):
    """The state of a path that was established."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much silence means what, in seconds.

    Attributes:
        disconnected: Silence before a path is *disconnected*.
        failed: Seconds after that before it has *failed*.
    """

    disconnected: float = 1.5
    failed: float = 25.0


class Liveness:
    """Follows the path in use.

    Args:
        limits: How much silence means what.
        now: The time, in seconds; the path works now.
    """

    STALL = 1.0
    """Seconds without a look after which this process itself was stalled, which says nothing about
    the path."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self.since = now
        """When :attr:`health` last became what it is; *failed* follows on *disconnected*."""
        self._looked_at = now
        self._stalled_at = NEVER
        self.health = Health.CONNECTED

    def look(self, pair: Pair | None, now: float) -> Health:
        """Tell how the path is.

        Args:
            pair: The pair in use; ``None`` if its socket is gone.
            now: The time, in seconds.
        """
        if now - self._looked_at > self.STALL:
            self._stalled_at = now
        self._looked_at = now
        works = pair is not None and not self._is_silent(pair, now) and not is_one_way(pair, now)
        if self.health is not Health.CONNECTED:
            # Hearing something is not enough: whether the way out works, only an answer shows.
            works = works and pair is not None and pair.answered_at >= self.since
        if works:
            self._enter(Health.CONNECTED, now)
        elif self.health is Health.CONNECTED:
            self._enter(Health.DISCONNECTED, now)
        elif self.health is Health.DISCONNECTED and now - self.since >= self._limits.failed:
            self.health = Health.FAILED
        return self.health

    def next_look(self, pair: Pair | None, now: float) -> float:
        """Return when something may change although nothing happens."""
        if self.health is Health.FAILED:
            return now + LOST_INTERVAL
        if self.health is Health.DISCONNECTED:
            return min(now + QUIET_INTERVAL, self.since + self._limits.failed)
        if pair is None:
            return now
        silent_at = max(pair.heard_at, self._stalled_at) + self._limits.disconnected
        return min(silent_at, now + QUIET_INTERVAL)

    def _is_silent(self, pair: Pair, now: float) -> bool:
        return now - max(pair.heard_at, self._stalled_at) >= self._limits.disconnected

    def _enter(self, health: Health, now: float) -> None:
        if health is not self.health:
            self.health, self.since = health, now


def is_one_way(pair: Pair, now: float) -> bool:
    """Whether packets come in over a pair, and none get out."""
    return pair.unanswered >= UNANSWERED and now - pair.answered_at >= ONE_WAY


def is_doubtful(pair: Pair, now: float) -> bool:
    """Whether the path in use may be gone, so that others had better be looked at."""
    return pair.unanswered > 0 and now - pair.heard_at >= 2 * QUIET_INTERVAL


def has_consent(pair: Pair, now: float) -> bool:
    """Whether data may be sent over a pair (RFC 7675 section 5.1)."""
    return now - pair.answered_at < CONSENT


def next_probe(pair: Pair, health: Health, *, in_use: bool) -> float:
    """Return when a valid pair is to be probed next.

    Args:
        pair: The pair.
        health: How the path in use is.
        in_use: Whether this pair is the path in use. The others are what is left if it is not
            connected any more, and then probed as often.
    """
    if health is Health.FAILED:
        return pair.probed_at + LOST_INTERVAL
    if health is Health.DISCONNECTED:
        return pair.probed_at + QUIET_INTERVAL
    if not in_use:
        return pair.probed_at + BACKUP_INTERVAL
    quiet = max(pair.heard_at, pair.probed_at) + QUIET_INTERVAL
    if pair.unanswered:
        return min(quiet, pair.probed_at + QUIET_INTERVAL)
    return min(quiet, pair.probed_at + STEADY_INTERVAL)

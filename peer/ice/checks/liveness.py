"""Liveness and consent freshness of established paths (RFC 7675). No I/O.

Paths are probed with Binding requests, as browsers do: frequently while nothing is received, rarely
while packets arrive. Received packets and responses decide between *connected*, *disconnected* and
*failed*. A response also renews the remote peer's consent to receive.
"""

from dataclasses import dataclass
from enum import StrEnum

from .pair import NEVER, Pair

SILENT_PROBE_INTERVAL = 0.5
"""Seconds between probes while nothing is received."""

ACTIVE_PROBE_INTERVAL = 2.5
"""Seconds between probes while packets arrive: only the outgoing direction is in question."""

BACKUP_PROBE_INTERVAL = 10.0
"""Seconds between probes of valid pairs that carry no data. Below 30 s, the shortest lifetime of
NAT bindings (RFC 4787 REQ-5, RFC 8445 section 11)."""

FAILED_PROBE_INTERVAL = 1.0
"""Seconds between probes of a failed path, which may recover."""

CONSENT_TIMEOUT = 30.0
"""Seconds after the last response during which data may be sent (RFC 7675 section 5.1)."""

ONE_WAY_PROBES = 5
"""Minimum number of unanswered probes before a path that still receives is considered one-way."""

ONE_WAY_PERIOD = 5.0
"""Minimum time in seconds since the last response before a path that still receives is considered
one-way."""


class Health(StrEnum):
    """The state of an established path."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SilenceLimits:
    """Durations of silence that change the health of a path, in seconds.

    Attributes:
        disconnected: Silence after which a path is *disconnected*.
        failed: Time in *disconnected* after which a path has *failed*.
    """

    disconnected: float = 1.5
    failed: float = 25.0


class Liveness:
    """The health of the selected path.

    Args:
        limits: Silence after which the path is *disconnected* or *failed*.
        now: Time of the start, in seconds; the path is *connected*.
    """

    STALL = 1.0
    """Seconds between two updates after which the process is assumed to have been stalled. Silence
    during a stall is not evidence against the path."""

    def __init__(self, limits: SilenceLimits, now: float) -> None:
        self._limits = limits
        self.since: float = now
        """Time when the path last became *connected* or *disconnected*."""
        self._updated_at = now
        self._stalled_at = NEVER
        self.health: Health = Health.CONNECTED

    def update(self, pair: Pair | None, now: float) -> Health:
        """Update and return the health.

        Args:
            pair: The selected pair; ``None`` if its socket is closed.
            now: The time, in seconds.
        """
        if now - self._updated_at > self.STALL:
            self._stalled_at = now
        self._updated_at = now
        works = pair is not None and not self._is_silent(pair, now) and not is_one_way(pair, now)
        if self.health is not Health.CONNECTED:
            # A received packet is not enough: only a response proves the outgoing direction.
            works = works and pair is not None and pair.answered_at >= self.since
        if works:
            self._enter(Health.CONNECTED, now)
        elif self.health is Health.CONNECTED:
            self._enter(Health.DISCONNECTED, now)
        elif self.health is Health.DISCONNECTED and now >= self.since + self._limits.failed:
            self.health = Health.FAILED
        return self.health

    def next_update(self, pair: Pair | None, now: float) -> float:
        """Return the time at which the health may change without any packet."""
        if self.health is Health.FAILED:
            return now + FAILED_PROBE_INTERVAL
        if self.health is Health.DISCONNECTED:
            return min(now + SILENT_PROBE_INTERVAL, self.since + self._limits.failed)
        if pair is None:
            return now
        silent_at = max(pair.heard_at, self._stalled_at) + self._limits.disconnected
        return min(silent_at, now + SILENT_PROBE_INTERVAL)

    def _is_silent(self, pair: Pair, now: float) -> bool:
        # The sum is that of next_update(): a difference of times is rounded otherwise.
        return now >= max(pair.heard_at, self._stalled_at) + self._limits.disconnected

    def _enter(self, health: Health, now: float) -> None:
        if health is not self.health:
            self.health, self.since = health, now


def is_one_way(pair: Pair, now: float) -> bool:
    """Return whether probes go unanswered for so long that the outgoing direction is broken."""
    return pair.unanswered >= ONE_WAY_PROBES and now - pair.answered_at >= ONE_WAY_PERIOD


def is_doubtful(pair: Pair, now: float) -> bool:
    """Return whether a pair has been silent for long enough to probe alternatives."""
    return pair.unanswered > 0 and now - pair.heard_at >= 2 * SILENT_PROBE_INTERVAL


def has_consent(pair: Pair, now: float) -> bool:
    """Return whether consent to send data over a pair is fresh (RFC 7675 section 5.1)."""
    return now - pair.answered_at < CONSENT_TIMEOUT


def next_probe(pair: Pair, health: Health, *, in_use: bool) -> float:
    """Return the time of the next probe of a valid pair.

    Args:
        pair: The pair.
        health: Health of the selected path. While it is not *connected*, all valid pairs are
            probed at the same rate, since any of them may replace it.
        in_use: True if the pair is the selected path.
    """
    if health is Health.FAILED:
        return pair.probed_at + FAILED_PROBE_INTERVAL
    if health is Health.DISCONNECTED:
        return pair.probed_at + SILENT_PROBE_INTERVAL
    if not in_use:
        return pair.probed_at + BACKUP_PROBE_INTERVAL
    quiet = max(pair.heard_at, pair.probed_at) + SILENT_PROBE_INTERVAL
    if pair.unanswered:
        return min(quiet, pair.probed_at + SILENT_PROBE_INTERVAL)
    return min(quiet, pair.probed_at + ACTIVE_PROBE_INTERVAL)

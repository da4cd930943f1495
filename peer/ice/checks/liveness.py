"""Liveness and consent freshness of established paths (RFC 7675). No I/O.

Paths are probed with Binding requests. Silence counts against a path from when something was sent
that ought to be answered, be it data or a probe: then probes follow each other closely until
something is received. A path over which nothing is sent is probed once in a consent interval, as
RFC 7675 has it. Received packets and responses decide between *connected*, *disconnected* and
*failed*. A response also renews the remote peer's consent to receive.
"""

from dataclasses import dataclass
from enum import StrEnum

from ..configuration import CONSENT_INTERVAL
from .pair import NEVER, Pair

SILENT_PROBE_INTERVAL = 0.5
"""Seconds between probes while something was sent and nothing is received."""

ACTIVE_PROBE_INTERVAL = 2.5
"""Seconds between probes while data is sent and packets arrive: only the outgoing direction is in
question."""

BACKUP_PROBE_INTERVAL = 15.0
"""Seconds between probes of valid pairs that carry no data, as RFC 8445 section 11 has it. Below
30 s, the shortest lifetime of NAT bindings (RFC 4787 REQ-5)."""

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
    """Durations that change the health of a path, in seconds.

    Attributes:
        disconnected: Silence after which a path is *disconnected*, once something was sent.
        failed: Time in *disconnected* after which a path has *failed*.
        consent: Time between probes while nothing is sent, on average. Each time it is multiplied
            by 0.8 to 1.2, so that the checks of many connections do not coincide.
    """

    disconnected: float = 1.5
    failed: float = 25.0
    consent: float = CONSENT_INTERVAL

    def silent_at(self, pair: Pair, since: float = NEVER) -> float:
        """Return the time at which a pair counts as silent; infinite if nothing is awaited.

        An answer that cannot have come yet, after the last known round-trip time, is not missed.

        Args:
            pair: The pair.
            since: Silence before this time does not count.
        """
        patience = max(self.disconnected, 2 * pair.expected_delay)
        return max(
            max(pair.heard_at, since) + self.disconnected,
            max(pair.awaiting_since, since) + patience,
        )


class Liveness:
    """The health of the selected path.

    Args:
        limits: Silence after which the path is *disconnected* or *failed*.
        now: Time of the start, in seconds; the path is *connected*.
    """

    STALL = 1.0
    """Seconds between two updates, while an answer is awaited, after which the process is assumed
    to have been stalled. Silence during a stall is not evidence against the path."""

    def __init__(self, limits: SilenceLimits, now: float) -> None:
        self._limits = limits
        self.since: float = now
        """Time when the path last became *connected* or *disconnected*."""
        self._updated_at = now
        self._stalled_at = NEVER
        self._pair: Pair | None = None
        self.health: Health = Health.CONNECTED

    def update(self, pair: Pair | None, now: float) -> Health:
        """Update and return the health.

        Args:
            pair: The selected pair; ``None`` if its socket is closed.
            now: The time, in seconds.
        """
        awaiting_since = pair.awaiting_since if pair is not None else self._updated_at
        if now - max(self._updated_at, awaiting_since) > self.STALL:
            self._stalled_at = now
        self._updated_at = now
        works = (
            pair is not None
            and not self._is_silent(pair, now)
            and not self._inherits_silence(pair, now)
            and not is_one_way(pair, now)
        )
        self._pair = pair
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
        silent_at = self._limits.silent_at(pair, self._stalled_at)
        if not pair.is_awaiting:
            return silent_at
        doubtful_at = _doubtful_at(pair)
        return min(
            silent_at,
            now + SILENT_PROBE_INTERVAL,
            doubtful_at if doubtful_at > now else float("inf"),
        )

    def _is_silent(self, pair: Pair, now: float) -> bool:
        return now >= self._limits.silent_at(pair, self._stalled_at)

    def _inherits_silence(self, pair: Pair, now: float) -> bool:
        """Return whether a pair was selected for the silence of another, and is as silent itself.

        Pairs in reserve are hardly ever probed. Otherwise each would have its own time in turn.
        """
        before = self._pair
        return (
            before is not None
            and before is not pair
            and self._is_silent(before, now)
            and pair.heard_at <= before.awaiting_since
        )

    def _enter(self, health: Health, now: float) -> None:
        if health is not self.health:
            self.health, self.since = health, now


def is_one_way(pair: Pair, now: float) -> bool:
    """Return whether probes go unanswered for so long that the outgoing direction is broken."""
    return (
        pair.unanswered >= ONE_WAY_PROBES
        and now - pair.answered_at >= ONE_WAY_PERIOD
        and now - pair.unanswered_since >= 2 * pair.expected_delay
    )


def is_doubtful(pair: Pair, now: float) -> bool:
    """Return whether an answer is missed for long enough to probe alternatives."""
    return pair.unanswered > 0 and now >= _doubtful_at(pair)


def _doubtful_at(pair: Pair) -> float:
    silent_since = max(pair.heard_at, pair.awaiting_since)
    return silent_since + 2 * max(SILENT_PROBE_INTERVAL, pair.expected_delay)


def has_consent(pair: Pair, now: float) -> bool:
    """Return whether consent to send data over a pair is fresh (RFC 7675 section 5.1)."""
    return now - pair.answered_at < CONSENT_TIMEOUT


def next_probe(
    pair: Pair, health: Health, consent: float, *, in_use: bool, doubtful: bool = False
) -> float:
    """Return the time of the next probe of a valid pair.

    Args:
        pair: The pair.
        health: Health of the selected path. While it is not *connected*, all valid pairs are
            probed at the same rate, since any of them may replace it.
        consent: Seconds between probes while nothing is sent, on average.
        in_use: True if the pair is the selected path.
        doubtful: True if the selected path is doubtful: the others are probed at once, so that one
            of them is known to work before the selected path counts as *disconnected*.
    """
    if health is Health.FAILED:
        return pair.probed_at + FAILED_PROBE_INTERVAL
    if health is Health.DISCONNECTED or (doubtful and not in_use):
        return pair.probed_at + SILENT_PROBE_INTERVAL
    if not in_use:
        return pair.probed_at + BACKUP_PROBE_INTERVAL * pair.probe_spread
    interval = consent * pair.probe_spread
    if pair.last_packet_sent_at > pair.probed_at:
        interval = min(interval, ACTIVE_PROBE_INTERVAL)
    quiet = max(pair.heard_at, pair.probed_at, pair.awaiting_since) + SILENT_PROBE_INTERVAL
    if pair.unanswered:
        quiet = min(quiet, pair.probed_at + SILENT_PROBE_INTERVAL)
    return min(quiet, pair.probed_at + interval)

"""Candidate pairs: their states, their order, and what is counted about each. No I/O."""

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum

from aioice.candidate import Candidate

from ..gather.local_candidate import LocalCandidate
from .address_scope import Scope, scope_of

Address = tuple[str, int]
"""An IP address and a port."""

NEVER = float("-inf")


class PairState(StrEnum):
    """The state of a check (RFC 8445 section 6.1.2.6), in the words of W3C webrtc-stats."""

    FROZEN = "frozen"
    WAITING = "waiting"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


PENDING = frozenset({PairState.FROZEN, PairState.WAITING, PairState.IN_PROGRESS})
"""A pair of which nobody can say yet whether it works."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Remote:
    """A candidate of the other side, and where it is really reached.

    Attributes:
        candidate: The candidate as it was signalled; an mDNS name stays a name.
        address: The address that packets go to and come from.
        is_named: Whether the address is hidden behind an mDNS name.
        has_checked: Whether an authentic check came from there.
        scope: How far its address reaches.
    """

    candidate: Candidate
    address: Address
    is_named: bool = False
    has_checked: bool = False
    version: int = field(init=False)
    scope: Scope = field(init=False)

    def __post_init__(self) -> None:
        self.version = ipaddress.ip_address(self.address[0]).version
        self.scope = scope_of(self.address[0])


@dataclass(slots=True, eq=False, weakref_slot=True)
class Pair:
    """A local and a remote candidate, and what is known of the path between them.

    Times are seconds of the event loop's clock.

    Attributes:
        local: The candidate whose base sends: a host or a relayed one.
        remote: The other side's.
        state: The state of its check.
        mapped: The local candidate of the valid pair (RFC 8445 section 7.2.5.3.2): what the other
            side sees, behind a NAT a reflexive one. ``None`` before a check succeeded.
        nominated: Whether it was nominated, and the nomination succeeded.
        remote_nominated_at: When the other side last asked for it with USE-CANDIDATE.
        triggered_by: The transaction of the check that last triggered one here.
        failed_at: When its check failed.
        heard_at: When anything last came over it.
        answered_at: When a check over it was last answered.
        probed_at: When a check over it was last sent.
        unanswered: Checks sent since the last answer.
    """

    local: LocalCandidate
    remote: Remote
    state: PairState = PairState.FROZEN
    mapped: LocalCandidate | None = None
    nominated: bool = False
    remote_nominated_at: float = NEVER
    triggered_by: bytes | None = None
    failed_at: float = NEVER

    heard_at: float = NEVER
    answered_at: float = NEVER
    probed_at: float = NEVER
    unanswered: int = 0

    requests_sent: int = 0
    requests_received: int = 0
    responses_sent: int = 0
    responses_received: int = 0
    consent_requests_sent: int = 0
    current_round_trip_time: float | None = None
    total_round_trip_time: float = 0.0
    packets_sent: int = 0
    packets_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    last_packet_sent_at: float = NEVER
    last_packet_received_at: float = NEVER

    @property
    def foundation(self) -> tuple[str, str]:
        """The pair's foundation (RFC 8445 section 6.1.2.6)."""
        return self.local.foundation, self.remote.candidate.foundation

    @property
    def valid_local(self) -> LocalCandidate:
        """The local candidate as the other side sees it, as far as that is known."""
        return self.mapped or self.local

    @property
    def is_valid(self) -> bool:
        """Whether a check over it succeeded."""
        return self.state is PairState.SUCCEEDED

    @property
    def is_relayed(self) -> bool:
        """Whether a TURN server is in between."""
        return "relay" in (self.local.type, self.remote.candidate.type)

    def priority(self, *, controlling: bool) -> int:
        """Return the pair's priority (RFC 8445 section 6.1.2.3)."""
        own, others = self.valid_local.priority, self.remote.candidate.priority
        g, d = (own, others) if controlling else (others, own)
        return (min(g, d) << 32) + 2 * max(g, d) + (g > d)

    @property
    def kind(self) -> str:
        """The types of its candidates, as ``srflx -> relay``: what a log may say of it."""
        return f"{self.valid_local.type} -> {self.remote.candidate.type}"

    def answered(self, now: float, round_trip_time: float | None) -> None:
        """Note an answered check."""
        self.responses_received += 1
        self.heard_at = self.answered_at = now
        self.unanswered = 0
        if round_trip_time is not None:
            self.current_round_trip_time = round_trip_time
            self.total_round_trip_time += round_trip_time

    def __repr__(self) -> str:
        local, remote = self.local, self.remote
        return f"<Pair {local.host}:{local.port} -> {remote.address[0]}:{remote.address[1]}>"


def can_pair(local: LocalCandidate, remote: Remote) -> bool:
    """Tell whether two candidates can form a pair (RFC 8445 section 6.1.2.2).

    Relaying to an mDNS candidate would show the TURN server the address that the name hides
    (draft-ietf-mmusic-mdns-ice-candidates section 3.3.2). Loopback and link-local addresses are
    checked only from such an address, unless a check came from there: signaling alone must not
    have datagrams sent to what strangers cannot reach themselves.
    """
    reaches = (
        remote.scope is Scope.GLOBAL or remote.has_checked or remote.scope is scope_of(local.host)
    )
    return (
        reaches
        and remote.scope is not Scope.NONE
        and remote.candidate.component == local.component
        and remote.candidate.transport.lower() == local.transport
        and remote.version == ipaddress.ip_address(local.host).version
        and not (remote.is_named and local.type == "relay")
    )

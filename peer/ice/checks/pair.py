"""Candidate pairs: states, priorities and statistics (RFC 8445 section 6.1.2). No I/O."""

from dataclasses import dataclass, field
from enum import StrEnum

from aiortc import RTCIceCandidate

from ..gather.local_candidate import LocalCandidate
from .address_scope import Scope, scope_of, version_of

Address = tuple[str, int]
"""An IP address and a port."""

NEVER = float("-inf")
NOTHING_AWAITED = float("inf")


class PairState(StrEnum):
    """The state of a candidate pair (RFC 8445 section 6.1.2.6), as named by W3C webrtc-stats."""

    FROZEN = "frozen"
    WAITING = "waiting"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


PENDING = frozenset({PairState.FROZEN, PairState.WAITING, PairState.IN_PROGRESS})
"""States of a pair whose check has neither succeeded nor failed."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Remote:
    """A remote candidate and its resolved transport address.

    Attributes:
        candidate: The candidate as signalled; an mDNS name is kept.
        address: The resolved address and port.
        is_named: True if the signalled address is an mDNS name.
        has_checked: True if an authentic check was received from the address.
        version: IP version, 4 or 6.
        scope: Scope of the address.
    """

    candidate: RTCIceCandidate
    address: Address
    is_named: bool = False
    has_checked: bool = False
    version: int = field(init=False)
    scope: Scope = field(init=False)

    def __post_init__(self) -> None:
        self.version = version_of(self.address[0])
        self.scope = scope_of(self.address[0])


@dataclass(slots=True, eq=False, weakref_slot=True)
class Pair:
    """A candidate pair, with the state and the statistics of its path.

    Times are in seconds of the event loop's clock; :data:`NEVER` if there was no such event.

    Attributes:
        local: The local candidate that sends: a host or relayed candidate.
        remote: The remote candidate.
        state: The state of the pair's check.
        mapped: The local candidate of the valid pair (RFC 8445 section 7.2.5.3.2): the address
            that the remote peer sees, which is a reflexive one behind a NAT. ``None`` before a
            check succeeds.
        nominated: True after a successful nomination.
        remote_nominated_at: Time of the last check with USE-CANDIDATE from the remote peer.
        triggered_by: Transaction ID of the last received check that triggered one on this pair.
        failed_at: Time when the check failed.
        heard_at: Time of the last packet received on the pair: STUN or data.
        answered_at: Time of the last response to a check.
        probed_at: Time when the last check was sent.
        probe_spread: Factor of the intervals between probes, 0.8 to 1.2, drawn with each check.
        awaiting_since: Time when something was sent first, data or a check, after which nothing
            has been received; :data:`NOTHING_AWAITED` if nothing was.
        unanswered: Number of checks sent since the last response.
        unanswered_since: Time when the first of them was sent.
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
    probe_spread: float = 1.0
    awaiting_since: float = NOTHING_AWAITED
    unanswered: int = 0
    unanswered_since: float = NEVER

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
        """The local candidate of the valid pair; before a check succeeds, :attr:`local`."""
        return self.mapped or self.local

    @property
    def is_valid(self) -> bool:
        """True if a check of the pair has succeeded."""
        return self.state is PairState.SUCCEEDED

    @property
    def is_relayed(self) -> bool:
        """True if the local or the remote candidate is relayed."""
        return "relay" in (self.local.type, self.remote.candidate.type)

    @property
    def is_tcp(self) -> bool:
        """True if the peers have a TCP connection with each other."""
        return self.local.transport == "tcp"

    @property
    def detour(self) -> int:
        """0 for a direct path over UDP, 1 for a direct one over TCP, 2 for a relayed one.

        A path is left for one with a lower number, and never for one with a higher or equal number
        as long as it works.
        """
        return 2 if self.is_relayed else int(self.is_tcp)

    def priority(self, *, controlling: bool) -> int:
        """Return the pair's priority (RFC 8445 section 6.1.2.3)."""
        local, remote = self.valid_local.priority, self.remote.candidate.priority
        g, d = (local, remote) if controlling else (remote, local)
        return (min(g, d) << 32) + 2 * max(g, d) + (g > d)

    @property
    def kind(self) -> str:
        """The candidate types, such as ``srflx -> relay``, for logs without addresses."""
        over = " over TCP" if self.is_tcp else ""
        return f"{self.valid_local.type} -> {self.remote.candidate.type}{over}"

    @property
    def expected_delay(self) -> float:
        """The last known round-trip time in seconds; 0 before there is one."""
        return self.current_round_trip_time or 0.0

    @property
    def is_awaiting(self) -> bool:
        """True if something was sent and nothing has been received since."""
        return self.awaiting_since != NOTHING_AWAITED

    def record_heard(self, now: float) -> None:
        """Record that a packet was received, STUN or data."""
        self.heard_at = now
        self.awaiting_since = NOTHING_AWAITED

    def record_check(self, transaction_id: bytes, now: float) -> None:
        """Record that a check is sent; its random ID decides when the next one is."""
        self.probed_at = now
        self.probe_spread = 0.8 + 0.4 * transaction_id[0] / 255  # RFC 7675 section 5.1
        if not self.unanswered:
            self.unanswered_since = now
        self.unanswered += 1
        if not self.is_awaiting:
            self.awaiting_since = now

    def record_response(self, now: float, round_trip_time: float | None) -> None:
        """Record a response to a check.

        Args:
            now: Time of arrival.
            round_trip_time: In seconds; ``None`` if it is unknown because of retransmissions.
        """
        self.responses_received += 1
        self.record_heard(now)
        self.answered_at = now
        self.unanswered = 0
        if round_trip_time is not None:
            self.current_round_trip_time = round_trip_time
            self.total_round_trip_time += round_trip_time

    def __repr__(self) -> str:
        local, remote = self.local, self.remote
        return f"<Pair {local.host}:{local.port} -> {remote.address[0]}:{remote.address[1]}>"


def can_pair(local: LocalCandidate, remote: Remote) -> bool:
    """Return whether two candidates can form a pair (RFC 8445 section 6.1.2.2).

    A relayed candidate is not paired with an mDNS candidate: it would disclose the hidden address
    to the TURN server (draft-ietf-mmusic-mdns-ice-candidates section 3.3.2). A loopback or
    link-local remote address is paired only with a local address of the same scope, unless a check
    was received from it: signaling alone must not direct datagrams at addresses that the remote
    peer cannot reach itself.
    """
    is_reachable = (
        remote.scope is Scope.GLOBAL or remote.has_checked or remote.scope is scope_of(local.host)
    )
    return (
        is_reachable
        and remote.scope is not Scope.NONE
        and remote.candidate.component == local.component
        and remote.candidate.protocol.lower() == local.transport
        and (local.transport != "tcp" or _can_connect(local, remote))
        and remote.version == version_of(local.host)
        and not (remote.is_named and local.type == "relay")
    )


def _can_connect(local: LocalCandidate, remote: Remote) -> bool:
    """Return whether one side of a TCP pair opens a connection and the other accepts it.

    RFC 6544 section 6.2. A passive local candidate is paired with what a connection was accepted
    from, and not with a signalled active candidate, which has no port. Simultaneous open (``so``)
    is not supported.
    """
    if local.tcptype == "active":
        return remote.candidate.tcpType == "passive"
    return remote.has_checked and remote.candidate.tcpType == "active"


def remote_key(transport: str, address: Address) -> tuple[str | int, ...]:
    """Return the key of a remote candidate: over TCP a port is another one than over UDP."""
    return address if transport == "udp" else (*address, transport)

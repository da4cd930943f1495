"""Facts that an ICE agent knows of its servers, candidates and pairs, as values for a diagnosis."""

from dataclasses import dataclass
from enum import StrEnum


class ServerProblem(StrEnum):
    """The kind of problem with a STUN or TURN server."""

    NAME = "name-unknown"
    """Its host name does not resolve."""
    UNREACHABLE = "unreachable"
    """It did not answer, or refused the connection."""
    CERTIFICATE = "certificate"
    """Its TLS certificate is not trusted."""
    REFUSED = "refused"
    """It answered with an error code."""
    UNSUPPORTED = "unsupported"
    """Its URL asks for what is not supported, or no address of it can be reached."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The outcome of asking a STUN or TURN server.

    Attributes:
        url: Its URL.
        is_turn: True for a TURN server.
        seconds: Time that it took.
        problem: ``None`` if it gave a candidate.
        code: STUN error code, or 701.
        text: The reason, printable.
        expires_in: Seconds until the credentials lapse by this machine's clock, where the user
            name tells a time; negative if they have.
        lapsed_when_set: True if they had lapsed when they were set.
    """

    url: str
    is_turn: bool
    seconds: float = 0.0
    problem: ServerProblem | None = None
    code: int = 0
    text: str = ""
    expires_in: float | None = None
    lapsed_when_set: bool = False

    def __str__(self) -> str:
        return f"{self.url}: {self.code} {self.text}" if self.problem else f"{self.url}: answered"


@dataclass(frozen=True, slots=True)
class CandidateFacts:
    """A candidate.

    Attributes:
        type: ``host``, ``srflx``, ``prflx`` or ``relay``.
        protocol: ``udp`` or ``tcp``.
        address: IP address, or an mDNS name.
        port: Port.
        related: The related address and port, where it is told.
    """

    type: str
    protocol: str
    address: str
    port: int
    related: tuple[str, int] | None = None

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.type}/{self.protocol} {host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PairFacts:
    """A candidate pair and its checks.

    Attributes:
        local: Local candidate.
        remote: Remote candidate.
        state: State of the check.
        checks_sent: Checks sent, retransmissions included.
        checks_answered: Responses to them.
        checks_received: Checks of the remote peer.
        data_received: Datagrams received that are not STUN.
    """

    local: CandidateFacts
    remote: CandidateFacts
    state: str
    checks_sent: int = 0
    checks_answered: int = 0
    checks_received: int = 0
    data_received: int = 0

    def __str__(self) -> str:
        return (
            f"{self.local} -> {self.remote} {self.state}: {self.checks_sent} checks sent, "
            f"{self.checks_answered} answered, {self.checks_received} received"
        )


@dataclass(frozen=True, slots=True)
class IceFacts:
    """The facts that an ICE agent knows.

    Attributes:
        state: State of the transport.
        checking_for: Seconds since the checks began; 0 before.
        relay_only: True if only relayed candidates may be used.
        local: Local candidates.
        local_ended: True if gathering is complete.
        remote: Remote candidates, with those learned from checks.
        remote_ended: True after the end of the signalled candidates.
        signalled: Remote candidates that were signalled.
        unresolved: mDNS names among them that do not resolve.
        resolving: mDNS names that are being resolved.
        servers: Outcome of each STUN and TURN server that was asked.
        pairs: Candidate pairs.
        refused_checks: Checks of the remote peer that carried other credentials.
        refused_by_remote: Checks of this side that the remote peer answered with 400 or 401.
        forbidden: Remote addresses that a TURN server refused to relay to, with the code.
        was_connected: True if there was a path.
        has_path: True if a pair is selected.
        silent_for: Seconds since the last packet on the path.
        loop_blocked_for: Longest delay of a timer of this agent lately, in seconds.
        loop_blocked_ago: Seconds since then.
    """

    state: str = "new"
    checking_for: float = 0.0
    relay_only: bool = False
    local: tuple[CandidateFacts, ...] = ()
    local_ended: bool = False
    remote: tuple[CandidateFacts, ...] = ()
    remote_ended: bool = False
    signalled: int = 0
    unresolved: int = 0
    resolving: int = 0
    servers: tuple[ServerFacts, ...] = ()
    pairs: tuple[PairFacts, ...] = ()
    refused_checks: int = 0
    refused_by_remote: int = 0
    forbidden: tuple[tuple[str, int], ...] = ()
    was_connected: bool = False
    has_path: bool = False
    silent_for: float = 0.0
    loop_blocked_for: float = 0.0
    loop_blocked_ago: float = float("inf")

    @property
    def checks_sent(self) -> int:
        """Checks sent over all pairs."""
        return sum(pair.checks_sent for pair in self.pairs)

    @property
    def checks_answered(self) -> int:
        """Responses to them."""
        return sum(pair.checks_answered for pair in self.pairs)

    @property
    def checks_received(self) -> int:
        """Checks of the remote peer over all pairs."""
        return sum(pair.checks_received for pair in self.pairs)

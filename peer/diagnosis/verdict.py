"""``Verdict``: the phase and the cause of a failure, with evidence and advice."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..ice.facts import PairFacts, ServerFacts

PAGE = "docs/troubleshooting.md"
"""The page that has a section for each cause."""


class ConnectPhase(StrEnum):
    """The phases of a connection, in their order; the first one that did not go well is at fault.

    ``ConnectFailed.phase`` is one of ``signaling``, ``gathering``, ``connectivity-checks`` and
    ``dtls``; ``Verdict.phase`` may be any.
    """

    SIGNALING = "signaling"
    """The remote peer's description never came."""

    GATHERING = "gathering"
    """There is no local candidate, or a STUN server gave none."""

    TURN = "turn-allocation"
    """A TURN server gave no relay, or refuses to relay to the remote peer."""

    CHECKS = "connectivity-checks"
    """No candidate pair answered."""

    DTLS = "dtls"
    """A pair works, the DTLS handshake over it did not finish."""

    SCTP = "sctp"
    """DTLS is up, the association of the data channels is not."""

    MEDIA = "media"
    """The connection is up, but sound or pictures do not flow."""

    CONSENT = "consent"
    """The connection worked, and was lost or closed."""


class VerdictCause(StrEnum):
    """The cause of a failure; each has a section of this name in docs/troubleshooting.md."""

    NOTHING_WRONG = "nothing-wrong"
    """Whatever was negotiated works."""
    STILL_CONNECTING = "still-connecting"
    """Nothing is known to be wrong yet."""

    NO_ANSWER = "no-answer"
    """The remote peer never answered the description."""
    PEER_LEFT = "peer-left"
    """The remote peer left the room."""
    SIGNALING_LOST = "signaling-lost"
    """The connection to the signaling server is lost."""

    NO_NETWORK = "no-network"
    """No interface has an address that may be used."""
    STUN_UNREACHABLE = "stun-unreachable"
    """No STUN server answered, as where UDP is blocked."""

    TURN_NAME_UNKNOWN = "turn-name-unknown"
    """The host name of a TURN server does not resolve."""
    TURN_UNREACHABLE = "turn-unreachable"
    """A TURN server does not answer."""
    TURN_CERTIFICATE_REFUSED = "turn-certificate-refused"
    """The certificate of a TURN server is not trusted."""
    TURN_CREDENTIALS_WRONG = "turn-credentials-wrong"
    """A TURN server refuses the credentials (401)."""
    TURN_CREDENTIALS_LAPSED = "turn-credentials-lapsed"
    """A TURN server refuses credentials whose time is over (401)."""
    TURN_CLOCK_SKEW = "turn-clock-skew"
    """Credentials were over when they came: clocks differ."""
    TURN_QUOTA_REACHED = "turn-quota-reached"
    """The user has as many allocations as the server allows (486)."""
    TURN_NO_CAPACITY = "turn-no-capacity"
    """A TURN server has no port or bandwidth left (508)."""
    TURN_REFUSED = "turn-refused"
    """A TURN server gives no relay for another reason."""
    TURN_PEER_FORBIDDEN = "turn-peer-forbidden"
    """A TURN server does not relay to the addresses of the remote peer (403)."""

    NO_RELAY = "no-relay"
    """Both sides are behind NATs that do not let the other one in, and there is no relay."""
    MDNS_UNRESOLVED = "mdns-unresolved"
    """The remote peer told names of its own network alone."""
    ADDRESSES_UNREACHABLE = "addresses-unreachable"
    """One side told addresses of a container or a private network alone."""
    CANDIDATES_NOT_FORWARDED = "candidates-not-forwarded"
    """No candidate of the remote peer came."""
    CREDENTIALS_STALE = "credentials-stale"
    """Checks carry the credentials of another description."""
    ANSWERS_LOST = "answers-lost"
    """Checks of the remote peer come, and answers to those of this side do not."""
    NO_CHECK_ARRIVES = "no-check-arrives"
    """Candidates came, and not one check: neither side reaches the other one."""

    DTLS_FINGERPRINT_MISMATCH = "dtls-fingerprint-mismatch"
    """The certificate is not the one that signaling promised."""
    DTLS_ROLE_CONFLICT = "dtls-role-conflict"
    """Both sides have the same role in the handshake."""
    DTLS_LARGE_PACKETS_LOST = "dtls-large-packets-lost"
    """The handshake stands still half way."""
    DTLS_NO_ANSWER = "dtls-no-answer"
    """Nothing of the handshake came."""
    DTLS_REFUSED = "dtls-refused"
    """The handshake ended with an error."""
    NO_COMMON_SRTP_PROFILE = "no-common-srtp-profile"
    """The two sides have no SRTP profile in common."""

    SCTP_NO_ANSWER = "sctp-no-answer"
    """Nothing of the association came."""
    SCTP_ABORTED = "sctp-aborted"
    """The association has ended."""

    NO_COMMON_CODEC = "no-common-codec"
    """A media section was rejected."""
    NO_MEDIA_SENT = "no-media-sent"
    """Media was negotiated, and this side sends none."""
    NO_MEDIA_RECEIVED = "no-media-received"
    """Media was negotiated, and none comes."""
    NO_KEY_FRAME = "no-key-frame"
    """Packets of video come, and no picture to begin with."""
    DECODER_FAILS = "decoder-fails"
    """Packets come, and the decoder makes nothing of them."""

    PATH_LOST = "path-lost"
    """The path worked, and is silent now."""
    EVENT_LOOP_BLOCKED = "event-loop-blocked"
    """This program did not run for so long that the path was taken for lost."""
    CLOSED_BY_PEER = "closed-by-peer"
    """The remote peer closed the connection."""
    CLOSED_HERE = "closed-here"
    """This side closed the connection."""


@dataclass(frozen=True, slots=True)
class VerdictEvidence:
    """The facts that a verdict goes by.

    Attributes:
        servers: The STUN and TURN servers that are at fault, with code and text.
        pairs: The candidate pairs that were checked most, at most :data:`MOST_PAIRS_SHOWN`.
        checks_sent: Connectivity checks sent, retransmissions included.
        checks_answered: Responses to them.
        checks_received: Checks of the remote peer.
        details: Further facts, as sentences.
    """

    servers: tuple["ServerFacts", ...] = ()
    pairs: tuple["PairFacts", ...] = ()
    checks_sent: int = 0
    checks_answered: int = 0
    checks_received: int = 0
    details: tuple[str, ...] = ()


MOST_PAIRS_SHOWN = 8
"""Candidate pairs that the evidence of a verdict has at most."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The reason why a connection does not work, or that nothing is wrong.

    Attributes:
        phase: The phase that did not go well; the latest one where nothing is wrong.
        cause: The cause.
        evidence: The facts that show it.
        advice: One sentence that says what to do.
    """

    phase: ConnectPhase
    cause: VerdictCause
    evidence: VerdictEvidence
    advice: str

    @property
    def section(self) -> str:
        """The section of docs/troubleshooting.md: the cause, as its heading has it."""
        return str(self.cause)

    @property
    def is_failure(self) -> bool:
        """True unless nothing is wrong, or nothing is known to be wrong yet."""
        return self.cause not in (
            VerdictCause.NOTHING_WRONG,
            VerdictCause.STILL_CONNECTING,
            VerdictCause.CLOSED_HERE,
        )

    @property
    def reference(self) -> str:
        """The page and the section, for the end of a message."""
        return f"{PAGE}#{self.section}"

    def __str__(self) -> str:
        details = f" ({'; '.join(self.evidence.details)})" if self.evidence.details else ""
        return f"{self.phase}: {self.cause}. {self.advice}{details} See {self.reference}"

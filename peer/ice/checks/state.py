"""What an ICE generation can be in, why it can fail, and how long it takes for either. No I/O."""

from dataclasses import dataclass, field
from enum import StrEnum

from ..configuration import MAX_REMOTES
from .liveness import Health, Limits
from .stun_transaction import DURATION


class IceState(StrEnum):
    """The state of an ICE transport (W3C webrtc-pc, RTCIceTransportState).

    ``completed`` stands for W3C's ``connected`` as well, as it does in aiortc.
    """

    NEW = "new"
    CHECKING = "checking"
    COMPLETED = "completed"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    CLOSED = "closed"


STATE_OF = {
    Health.CONNECTED: IceState.COMPLETED,
    Health.DISCONNECTED: IceState.DISCONNECTED,
    Health.FAILED: IceState.FAILED,
}
"""The state of a transport whose path is so."""


class Failure(StrEnum):
    """Why there is no connection."""

    NO_LOCAL_CANDIDATE = "no local candidate"
    NO_PAIR_WORKS = "no pair of candidates works"
    TOO_LONG = "no pair of candidates answered in time"
    PATH_LOST = "the path does not work any more"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the checks go about it; times are in seconds.

    Attributes:
        patience: Before this there is no failure for want of pairs (RFC 8863 section 4).
        ceiling: After this there is, whatever is still pending.
        longest_rto: The longest between two sends of one check.
        limits: How much silence means what, once there is a path.
        max_remotes: Candidates of the other side that are kept; more are ignored.
    """

    patience: float = DURATION
    ceiling: float = 60.0
    longest_rto: float = 16.0
    limits: Limits = field(default_factory=Limits)
    max_remotes: int = MAX_REMOTES

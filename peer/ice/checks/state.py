"""ICE transport states, causes of failure, and settings of the connectivity checks. No I/O."""

from dataclasses import dataclass, field
from enum import StrEnum

from ..configuration import MAX_REMOTES, IceConfiguration
from .liveness import Health, SilenceLimits
from .stun_transaction import TRANSACTION_DURATION


class IceState(StrEnum):
    """The state of an ICE transport (W3C webrtc-pc, RTCIceTransportState).

    ``completed`` also covers W3C's ``connected``, as in aiortc.
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
"""The ICE transport state for each health of the selected path."""


class Failure(StrEnum):
    """The cause of the state ``failed``."""

    NO_LOCAL_CANDIDATE = "no local candidate"
    NO_PAIR_WORKS = "no pair of candidates works"
    TOO_LONG = "no pair of candidates answered in time"
    PATH_LOST = "the selected path stopped working"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the connectivity checks; times are in seconds.

    Attributes:
        patience: Minimum time before an exhausted check list fails (RFC 8863 section 4).
        checking_timeout: Time after which the checks fail even if pairs are still pending.
        rto_cap: Upper bound of the retransmission timeout of a check.
        limits: Silence after which an established path is ``disconnected`` or ``failed``.
        max_remotes: Maximum number of remote candidates; further ones are ignored.
    """

    patience: float = TRANSACTION_DURATION
    checking_timeout: float = 60.0
    rto_cap: float = 16.0
    limits: SilenceLimits = field(default_factory=SilenceLimits)
    max_remotes: int = MAX_REMOTES

    @classmethod
    def of(cls, configuration: IceConfiguration) -> "Settings":
        """Return the settings that an agent's configuration has for its checks."""
        return cls(
            patience=configuration.patience,
            checking_timeout=max(configuration.checking_timeout, configuration.patience),
            limits=SilenceLimits(
                configuration.disconnected_timeout,
                configuration.failed_timeout,
                configuration.consent_interval,
            ),
            max_remotes=configuration.max_remote_candidates,
        )

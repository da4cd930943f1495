"""Events of an ICE agent, for the timeline of a connection."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .facts import CandidateFacts, PairFacts, ServerFacts


@dataclass(frozen=True, slots=True)
class GenerationBegan:
    """A generation of ICE has begun to gather.

    Attributes:
        is_restart: True if it is to replace another one.
    """

    is_restart: bool


@dataclass(frozen=True, slots=True)
class CandidateGathered:
    """A local candidate was found.

    Attributes:
        candidate: The candidate.
        url: The server that it is from.
        network: The type of its network, as ``wifi``.
    """

    candidate: CandidateFacts
    url: str | None = None
    network: str = ""


@dataclass(frozen=True, slots=True)
class ServerAsked:
    """A STUN or TURN server has answered, or is given up.

    Attributes:
        server: The server and the outcome.
    """

    server: ServerFacts


@dataclass(frozen=True, slots=True)
class GatheringEnded:
    """All servers have answered or are given up.

    Attributes:
        seconds: Time since gathering began.
        candidates: Local candidates found.
    """

    seconds: float
    candidates: int


@dataclass(frozen=True, slots=True)
class RemoteCandidateTaken:
    """A candidate of the remote peer came.

    Attributes:
        candidate: The candidate as signalled.
    """

    candidate: CandidateFacts


@dataclass(frozen=True, slots=True)
class RemoteNameUnresolved:
    """The mDNS name of a remote candidate does not resolve.

    Attributes:
        name: The name.
    """

    name: str


@dataclass(frozen=True, slots=True)
class RemoteCandidatesEnded:
    """The remote peer has no further candidate."""


@dataclass(frozen=True, slots=True)
class PairChanged:
    """The state of a candidate pair has changed.

    Attributes:
        pair: The pair, with the counts of its checks so far.
    """

    pair: PairFacts


@dataclass(frozen=True, slots=True)
class PairNominated:
    """A pair was nominated.

    Attributes:
        pair: The pair.
    """

    pair: PairFacts


@dataclass(frozen=True, slots=True)
class PairSelected:
    """Another pair carries the data.

    Attributes:
        pair: The pair; ``None`` if there is none any more.
    """

    pair: PairFacts | None


@dataclass(frozen=True, slots=True)
class IceStateChanged:
    """The state of the ICE transport has changed.

    Attributes:
        state: The new state.
        failure: The reason of ``failed``.
    """

    state: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class RoundTripsMeasured:
    """Round trips of the checks of the selected pair, over a period.

    Attributes:
        seconds: Length of the period.
        checks: Checks sent.
        answered: Responses.
        mean: Mean round trip in seconds; ``None`` if none could be measured.
    """

    seconds: float
    checks: int
    answered: int
    mean: float | None


@dataclass(frozen=True, slots=True)
class TimerLate:
    """A timer fired late, because something blocked the event loop.

    Attributes:
        seconds: The delay.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class RelayLost:
    """An allocation of a TURN server has ended, or is about to.

    Attributes:
        reason: The reason.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class RelayPeerRefused:
    """A TURN server does not relay to an address.

    Attributes:
        address: The address.
        code: STUN error code.
    """

    address: str
    code: int


IceEvent: TypeAlias = (
    GenerationBegan
    | CandidateGathered
    | ServerAsked
    | GatheringEnded
    | RemoteCandidateTaken
    | RemoteNameUnresolved
    | RemoteCandidatesEnded
    | PairChanged
    | PairNominated
    | PairSelected
    | IceStateChanged
    | RoundTripsMeasured
    | TimerLate
    | RelayLost
    | RelayPeerRefused
)
"""An event of an ICE agent."""

Record: TypeAlias = Callable[[IceEvent], None]
"""Takes the events of an agent as they happen."""


def ignore(event: IceEvent) -> None:
    """Take an event and do nothing."""

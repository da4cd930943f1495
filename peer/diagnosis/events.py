"""Events of a connection, for its timeline; those of ICE are in :mod:`icefloe.peer.ice.events`."""

from dataclasses import dataclass
from typing import TypeAlias

from ..ice.events import IceEvent
from ..ice.facts import CandidateFacts

MOST_SECTIONS_TOLD = 16
"""Media sections of a description that an event names."""


@dataclass(frozen=True, slots=True)
class DescriptionApplied:
    """A description was applied.

    Attributes:
        side: ``local`` for one sent, ``remote`` for one received.
        kind: ``offer``, ``answer``, ``pranswer`` or ``rollback``.
        size: Its size in characters.
        sections: Its first media sections, as ``audio 0``, or ``audio 0 rejected``.
        count: Number of all of them.
    """

    side: str
    kind: str
    size: int
    sections: tuple[str, ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True)
class CandidateSent:
    """A local candidate was given to the application, to be sent.

    Attributes:
        candidate: The candidate; ``None`` for the end of them.
        mid: The media section.
    """

    candidate: CandidateFacts | None
    mid: str | None = None


@dataclass(frozen=True, slots=True)
class CandidateReceived:
    """A candidate of the remote peer was given by the application.

    Attributes:
        candidate: The candidate; ``None`` for the end of them.
        mid: The media section.
    """

    candidate: CandidateFacts | None
    mid: str | None = None


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A state has changed.

    Attributes:
        of: ``connection``, ``ice-connection``, ``ice-gathering``, ``signaling``, ``dtls`` or
            ``sctp``.
        state: The new state.
        reason: The reason, where it is known.
    """

    of: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MediaStarted:
    """The first packet of a stream was sent or received.

    Attributes:
        kind: ``audio`` or ``video``.
        direction: ``in`` or ``out``.
        ssrc: The SSRC.
    """

    kind: str
    direction: str
    ssrc: int


@dataclass(frozen=True, slots=True)
class KeyFrameReceived:
    """The first key frame of a track came, so that it can be decoded.

    Attributes:
        mid: The media section.
    """

    mid: str


@dataclass(frozen=True, slots=True)
class EstimateTaken:
    """The estimate of what the path can carry, once in a period.

    Attributes:
        bitrate: Bits per second.
    """

    bitrate: int


@dataclass(frozen=True, slots=True)
class WarningGiven:
    """A warning was emitted.

    Attributes:
        phase: The phase of the verdict.
        cause: The cause.
    """

    phase: str
    cause: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The connection was closed.

    Attributes:
        by: ``us`` or ``them``.
    """

    by: str


TimelineEvent: TypeAlias = (
    IceEvent
    | DescriptionApplied
    | CandidateSent
    | CandidateReceived
    | StateChanged
    | MediaStarted
    | KeyFrameReceived
    | EstimateTaken
    | WarningGiven
    | ConnectionClosed
)
"""An event of a connection."""

"""Perfect negotiation as a state table (W3C webrtc-pc 10.7). No I/O.

One side of a connection is *polite*. When both make an offer at the same time, the polite side
rolls its own back and answers; the impolite side ignores the offer it got. The caller runs
operations one at a time, so only three states are possible.

:func:`needs_negotiation` is the check of W3C webrtc-pc 4.7.3.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The values of ``signalingState`` that are possible between two operations."""

    STABLE = "stable"
    HAVE_LOCAL_OFFER = "have-local-offer"
    CLOSED = "closed"


class Event(StrEnum):
    """Events that may call for an operation."""

    NEGOTIATION_NEEDED = "negotiationneeded"
    """The application has changed something."""

    OFFER = "offer"
    """The remote peer sent an offer."""

    ANSWER = "answer"
    """The remote peer sent an answer."""

    CLOSE = "close"
    """The connection is over."""


class Action(StrEnum):
    """The operation that an event calls for."""

    MAKE_OFFER = "make-offer"
    """``setLocalDescription()`` and send the offer."""

    ANSWER_OFFER = "answer-offer"
    """``setRemoteDescription(offer)``, ``setLocalDescription()`` and send the answer."""

    ROLL_BACK_AND_ANSWER = "roll-back-and-answer"
    """The same; ``setRemoteDescription`` takes the local offer back (RFC 9429 section 4.1.10.2)."""

    APPLY_ANSWER = "apply-answer"
    """``setRemoteDescription(answer)``."""

    IGNORE = "ignore"
    """Nothing: the remote peer takes its offer back, or the answer is to a withdrawn offer."""

    WAIT = "wait"
    """Nothing yet: the check is repeated in the state ``stable``."""


_TABLE: dict[tuple[State, Event], tuple[Action, State]] = {
    (State.STABLE, Event.NEGOTIATION_NEEDED): (Action.MAKE_OFFER, State.HAVE_LOCAL_OFFER),
    (State.STABLE, Event.OFFER): (Action.ANSWER_OFFER, State.STABLE),
    (State.STABLE, Event.ANSWER): (Action.IGNORE, State.STABLE),
    (State.STABLE, Event.CLOSE): (Action.IGNORE, State.CLOSED),
    (State.HAVE_LOCAL_OFFER, Event.NEGOTIATION_NEEDED): (Action.WAIT, State.HAVE_LOCAL_OFFER),
    (State.HAVE_LOCAL_OFFER, Event.ANSWER): (Action.APPLY_ANSWER, State.STABLE),
    (State.HAVE_LOCAL_OFFER, Event.CLOSE): (Action.IGNORE, State.CLOSED),
    (State.CLOSED, Event.NEGOTIATION_NEEDED): (Action.IGNORE, State.CLOSED),
    (State.CLOSED, Event.OFFER): (Action.IGNORE, State.CLOSED),
    (State.CLOSED, Event.ANSWER): (Action.IGNORE, State.CLOSED),
    (State.CLOSED, Event.CLOSE): (Action.IGNORE, State.CLOSED),
}

_COLLISION: dict[bool, tuple[Action, State]] = {
    True: (Action.ROLL_BACK_AND_ANSWER, State.STABLE),
    False: (Action.IGNORE, State.HAVE_LOCAL_OFFER),
}
"""For an offer that collides with a local one, by whether this side is polite."""


class Negotiation:
    """The state of one side in the negotiation of one connection.

    After every :meth:`handle` the caller runs the operation it returns, before the next call. It
    reports an operation that failed by :meth:`failed`.
    """

    def __init__(self, *, polite: bool) -> None:
        self.polite = polite
        self.state: State = State.STABLE

    def handle(self, event: Event) -> Action:
        """Return the operation for an event, and enter the state that follows it."""
        if (self.state, event) == (State.HAVE_LOCAL_OFFER, Event.OFFER):
            action, self.state = _COLLISION[self.polite]
        else:
            action, self.state = _TABLE[self.state, event]
        return action

    def failed(self) -> None:
        """Record that the operation failed, and that the connection is ``stable`` again."""
        if self.state is not State.CLOSED:
            self.state = State.STABLE


@dataclass(frozen=True, slots=True)
class MediaSection:
    """The negotiated and the wanted state of one transceiver.

    Attributes:
        wanted: Its ``direction``.
        stopped: Whether it was stopped.
        associated: Whether it has a media section.
        rejected: Whether that section is rejected.
        local: Direction in the current local description.
        remote: Direction in the current remote description, as the remote side sees it.
        offered_here: Whether the current local description was the offer.
    """

    wanted: str
    stopped: bool = False
    associated: bool = False
    rejected: bool = False
    local: str | None = None
    remote: str | None = None
    offered_here: bool = True


_SENDS = frozenset({"sendrecv", "sendonly"})
_RECEIVES = frozenset({"sendrecv", "recvonly"})


def reverse(direction: str | None) -> str | None:
    """Return a direction as the remote peer sees it."""
    return {"sendonly": "recvonly", "recvonly": "sendonly"}.get(direction or "", direction)


def intersect(one: str, other: str | None) -> str:
    """Return the direction that both allow (RFC 9429 section 5.3.1)."""
    both = {one, other or "sendrecv"}
    sends, receives = both <= _SENDS, both <= _RECEIVES
    return {
        (True, True): "sendrecv",
        (True, False): "sendonly",
        (False, True): "recvonly",
        (False, False): "inactive",
    }[sends, receives]


def needs_negotiation(
    sections: Iterable[MediaSection], *, has_channels: bool, channels_negotiated: bool
) -> bool:
    """Return whether an offer is due (W3C webrtc-pc 4.7.3, "check if negotiation is needed").

    Args:
        sections: The transceivers.
        has_channels: Whether a data channel was created.
        channels_negotiated: Whether the current description has a section for data channels.
    """
    if has_channels and not channels_negotiated:
        return True
    return any(map(_is_unsettled, sections))


def _is_unsettled(section: MediaSection) -> bool:
    if section.stopped or section.rejected:
        return section.associated and not section.rejected
    if not section.associated:
        return True
    if section.offered_here:
        return section.wanted not in (section.local, reverse(section.remote))
    return section.local != intersect(section.wanted, reverse(section.remote))

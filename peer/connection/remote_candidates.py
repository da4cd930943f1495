"""Remote candidates: read once, kept until their description is there, handed to the ICE agent.

Signaling may bring a candidate before the description that it goes with, and after a new one has
replaced it. The first are kept, the second dropped (RFC 8838 section 11; RFC 8839 section 4.4.3).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from sys import getsizeof
from typing import Any

import aiortc
from aiortc import RTCDtlsTransport, RTCPeerConnection
from aiortc.sdp import MediaDescription, candidate_from_sdp, candidate_to_sdp

from .. import sdp
from .._aiortc import ConnectionAdapter, agent_of
from .._util.peer_logger import NamingLogger
from ..errors import InvalidCandidate, UnknownSection
from ..sdp.steps import Turns
from .candidates import PREFIX, RTCIceCandidateInit
from .context import Context
from .descriptions import Descriptions

logger: NamingLogger = NamingLogger(__name__)

CAPACITY = 256
"""Candidates that are kept for a description that has not come; the oldest are dropped."""

_CANDIDATE_WORK = 10
"""Lines of a description that are as much work as one candidate in it."""

_PARTS = ("candidate", "sdpMid", "sdpMLineIndex", "usernameFragment")
"""The members of an ``RTCIceCandidateInit`` (W3C webrtc-pc 4.8.1.2)."""


@dataclass(frozen=True, slots=True)
class RemoteCandidate:
    """A candidate trickled by the remote peer, or the end of candidates.

    It is made once, from what signaling brought; its ``candidate`` goes as it is down to the check
    list.

    Attributes:
        candidate: The candidate; ``None`` ends the candidates.
        sdpMid: The media section that it is for.
        sdpMLineIndex: The same by its index. With neither, the end is that of all sections.
        usernameFragment: The generation that it belongs to, if it says so.
    """

    candidate: aiortc.RTCIceCandidate | None = None
    sdpMid: str | None = None
    sdpMLineIndex: int | None = None
    usernameFragment: str | None = None

    @property
    def is_for_all(self) -> bool:
        """True if this ends the candidates of every media section."""
        return self.candidate is None and self.sdpMid is None and self.sdpMLineIndex is None

    @property
    def weight(self) -> int:
        """The bytes of memory that its parts take, about."""
        parts = [self.sdpMid, self.sdpMLineIndex, self.usernameFragment]
        if self.candidate is not None:
            parts += vars(self.candidate).values()
        return sum(getsizeof(part) for part in parts if part is not None)


END_OF_CANDIDATES = RemoteCandidate()


def parse_candidate(attribute: str) -> aiortc.RTCIceCandidate:
    """Read a candidate attribute, with or without ``a=`` and ``candidate:`` in front.

    Raises:
        InvalidCandidate: It does not follow RFC 8839 section 5.1.
    """
    line = attribute.strip().removeprefix("a=").removeprefix(PREFIX)
    bits = line.split()
    # aiortc asserts where the grammar is broken; what comes from outside needs an error.
    if len(bits) < 8 or bits[6] != "typ" or len(bits) % 2:
        raise InvalidCandidate(attribute, "it does not follow RFC 8839 section 5.1")
    try:
        candidate = candidate_from_sdp(line)
    except (AssertionError, ValueError) as error:
        raise InvalidCandidate(attribute, "it does not follow RFC 8839 section 5.1") from error
    if not _in_range(candidate):
        raise InvalidCandidate(attribute, "a number in it is out of range")
    candidate.protocol = candidate.protocol.lower()  # Firefox writes UDP, RTCIceProtocol has "udp"
    return candidate


def _in_range(candidate: aiortc.RTCIceCandidate) -> bool:
    return (
        1 <= candidate.component <= 256
        and 0 <= candidate.priority < 2**32
        and 0 <= candidate.port <= 65535
        and 0 <= (candidate.relatedPort or 0) <= 65535
    )


def parse_remote(
    given: aiortc.RTCIceCandidate | RTCIceCandidateInit | Mapping[str, Any] | None,
) -> RemoteCandidate:
    """Read what was given to ``addIceCandidate``, in any of the forms that are in use.

    ``None``, a missing ``candidate`` and an empty one all mean the end of candidates
    (W3C webrtc-pc, addIceCandidate; RFC 8838 section 13): of one media section if one is named,
    of all of them if not. The mid names the section; the index does where the mid is missing or
    empty, as libraries for phones leave it.

    Raises:
        InvalidCandidate: It is none of these, or a candidate that names no media section.
    """
    if given is None:
        return END_OF_CANDIDATES
    if isinstance(given, aiortc.RTCIceCandidate):
        _check_object(given)
        mid, index = _section(given, given.sdpMid, given.sdpMLineIndex)
        fragment = getattr(given, "usernameFragment", None)
        return _in_a_section(given, RemoteCandidate(given, mid, index, fragment))
    if isinstance(given, Mapping):
        parts = (given.get(name) for name in _PARTS)
        return read_candidate(given, *parts)
    raise InvalidCandidate(given, "give an RTCIceCandidate, a dictionary or None")


def read_candidate(
    given: object, text: object, mid: object, index: object, fragment: object
) -> RemoteCandidate:
    """Read the parts of an ``RTCIceCandidateInit``.

    Args:
        given: All of it, for the error.
        text: Its ``candidate``.
        mid: Its ``sdpMid``.
        index: Its ``sdpMLineIndex``.
        fragment: Its ``usernameFragment``.

    Raises:
        InvalidCandidate: It cannot be read, or names no media section.
    """
    for value in (text, fragment):
        if value is not None and not isinstance(value, str):
            raise InvalidCandidate(given, f"{value!r} should be of type str")
    assert text is None or isinstance(text, str)
    assert fragment is None or isinstance(fragment, str)
    mid, index = _section(given, mid, index)
    candidate = parse_candidate(text) if text else None
    if text:
        fragment = fragment or _fragment_of(text)
    return _in_a_section(given, RemoteCandidate(candidate, mid, index, fragment or None))


def _in_a_section(given: object, remote: RemoteCandidate) -> RemoteCandidate:
    """Return a candidate if it names its media section; the end of all of them need not."""
    if remote.candidate is not None and not remote.sdpMid and remote.sdpMLineIndex is None:
        raise InvalidCandidate(given, "Candidate must have either sdpMid or sdpMLineIndex")
    return remote


def _section(given: object, mid: object, index: object) -> tuple[str | None, int | None]:
    """Return the mid, or the index, by which a candidate names its media section."""
    if mid is not None and not isinstance(mid, str):
        raise InvalidCandidate(given, f"{mid!r} should be of type str")
    if index is not None and (not isinstance(index, int) or isinstance(index, bool)):
        raise InvalidCandidate(given, f"{index!r} should be of type int")
    if index is not None and not 0 <= index <= 65535:
        if not mid:
            raise InvalidCandidate(given, "sdpMLineIndex is out of range")
        index = None  # -1 where only the mid is known
    return (mid if mid or index is None else None), index


def _check_object(candidate: aiortc.RTCIceCandidate) -> None:
    try:
        parsed = parse_candidate(candidate_to_sdp(candidate))
        # None and "5000" are written like an address and a number, and are none of them.
        exact = parsed.component, parsed.priority, parsed.ip, parsed.port, parsed.protocol
        if exact != (
            candidate.component,
            candidate.priority,
            candidate.ip,
            candidate.port,
            candidate.protocol.lower(),
        ):
            raise TypeError("a field has another type")
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidCandidate(candidate, "its fields do not make a candidate") from error


def _fragment_of(attribute: str) -> str | None:
    # Chrome and Firefox name the generation in the attribute as well: "… ufrag abcd …".
    bits = attribute.split()
    extensions = dict(zip(bits[8::2], bits[9::2], strict=False))
    return extensions.get("ufrag")


class Verdict(StrEnum):
    """The decision about a remote candidate."""

    APPLY = "apply"
    KEEP = "keep"
    DROP = "drop"


class RemoteCandidates:
    """Candidates that wait for their description, and the generations seen so far."""

    def __init__(self) -> None:
        self._waiting: list[RemoteCandidate] = []
        self._current: frozenset[str] = frozenset()
        self._stale: list[str] = []

    def judge(self, candidate: RemoteCandidate) -> Verdict:
        """Tell what to do with a candidate that has just come."""
        if not self._current:
            return Verdict.KEEP
        fragment = candidate.usernameFragment
        if fragment is None or fragment in self._current:
            return Verdict.APPLY
        return Verdict.DROP if fragment in self._stale else Verdict.KEEP

    def keep(self, candidate: RemoteCandidate) -> None:
        """Put a candidate aside until :meth:`described`."""
        self._waiting = [*self._waiting, candidate][-CAPACITY:]

    def described(self, fragments: set[str]) -> list[RemoteCandidate]:
        """Record that a remote description with these username fragments was applied.

        Returns:
            The candidates that can be applied now, in the order in which they came.
        """
        if fragments:
            self._stale = [*self._stale, *(self._current - fragments)][-CAPACITY:]
            self._current = frozenset(fragments)
        ready, kept = [], []
        for candidate in self._waiting:
            verdict = self.judge(candidate)
            if verdict is Verdict.APPLY:
                ready.append(candidate)
            elif verdict is Verdict.KEEP:
                kept.append(candidate)
        self._waiting = kept
        return ready

    def rolled_back(self, fragments: set[str]) -> None:
        """Record that the latest description was taken back, and these fragments are in force."""
        self._current = frozenset(fragments)


class RemoteTrickle:
    """Brings the candidates of the remote peer to the ICE agents of a connection (RFC 8838).

    Args:
        connection: The connection, which emits ``remotecandidateerror``.
        context: Tells whether it is being closed.
        record: Called with each, for the timeline.
    """

    def __init__(
        self,
        connection: RTCPeerConnection,
        context: Context,
        record: Callable[[RemoteCandidate], None],
    ) -> None:
        self._record = record
        self._connection = connection
        self._context = context
        self._candidates = RemoteCandidates()

    def begin(self, adapter: ConnectionAdapter, descriptions: Descriptions) -> None:
        """Take the parts that are made after this one."""
        self._adapter = adapter
        self._descriptions = descriptions

    def add(self, remote: RemoteCandidate, given: object = None) -> None:
        """Add a candidate that has been read, as ``PeerConnection.addIceCandidate`` documents it.

        Args:
            remote: The candidate, or the end of them.
            given: The form that the application has given it in, for an error.
        """
        if self._context.is_closing:
            return
        self._record(remote)
        verdict = self._candidates.judge(remote)
        if verdict is Verdict.KEEP:
            self._candidates.keep(remote)
        elif verdict is Verdict.APPLY:
            if not self._apply(remote):
                self._candidates.keep(remote)
                named = remote if given is None else given
                error = UnknownSection(named, remote.sdpMid, remote.sdpMLineIndex)
                logger.warning("%s", error)
                self._connection.emit("remotecandidateerror", error)
        elif verdict is Verdict.DROP:
            logger.info("dropped a candidate of generation %s", remote.usernameFragment)

    def rolled_back(self) -> None:
        """Record that the remote offer was rolled back."""
        self._candidates.rolled_back(sdp.fragments(self._descriptions.remote_text()))

    async def take_described(
        self, fragments: set[str], sections: "Sequence[sdp.SectionCandidates]"
    ) -> None:
        """Take the candidates in a remote description, and those that waited for it.

        Args:
            fragments: The username fragments in it.
            sections: The candidates of each media section.
        """
        ready = self._candidates.described(fragments)
        remote = self._adapter.latest("Remote")
        described = list(zip(remote.media if remote else (), sections, strict=True))
        transports, tagged = self._adapter.sections.dtls_by_mid(), self._tagged()
        turns = Turns(to_the_end=True)
        for media, section in described:
            dtls = transports.get(media.rtp.muxId)
            for attribute in section.candidates:
                await turns.after(_CANDIDATE_WORK)
                try:
                    parsed = parse_candidate(attribute)
                except InvalidCandidate as error:
                    logger.debug("ignored in the remote description: %s", error)
                    continue
                _apply_to(media, dtls, parsed)
        for media, section in described:
            if section.complete:
                mid = media.rtp.muxId
                _apply_to(media, transports.get(mid), None, tagged=mid in tagged)
        for early in ready:
            if not self._apply(early):
                self._candidates.keep(early)

    def _apply(self, remote: RemoteCandidate) -> bool:
        """Hand a candidate to its agent; return whether its media section exists."""
        description = self._adapter.latest("Remote")
        if description is None:
            return False
        sections = self._adapter.sections
        if remote.is_for_all:
            for media in description.media:
                media.ice_candidates_complete = True
            for ice in sections.ice_transports():
                agent_of(ice).add_remote_candidate(None)
            return True
        mid = self._descriptions.layout.target(remote.sdpMid, remote.sdpMLineIndex)
        if mid == "":
            return True  # of a section that is rejected: there is nothing to be done with it
        for media in description.media:
            if media.rtp.muxId == mid:
                dtls = sections.dtls_by_mid().get(mid)
                _apply_to(media, dtls, remote.candidate, tagged=mid in self._tagged())
                return True
        return False

    def _tagged(self) -> set[str]:
        """Return the mids of the remote sections that stand for a transport."""
        return {mid for mid, _ in self._descriptions.sections_of_transports("Remote").values()}


def _apply_to(
    media: MediaDescription,
    dtls: RTCDtlsTransport | None,
    candidate: aiortc.RTCIceCandidate | None,
    *,
    tagged: bool = False,
) -> None:
    if dtls is None:
        return
    if candidate is not None:
        media.ice_candidates.append(candidate)
        agent_of(dtls.transport).add_remote_candidate(candidate)
        return
    media.ice_candidates_complete = True
    # In a bundle only the section that stands for the transport ends its candidates: Firefox ends
    # the others' before the first candidate of that one.
    if tagged:
        agent_of(dtls.transport).add_remote_candidate(None)

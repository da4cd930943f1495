"""ICE candidates as browsers hand them around: ``RTCIceCandidate`` and ``RTCIceCandidateInit``."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypedDict

import aiortc
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from ..errors import InvalidCandidate

_PREFIX = "candidate:"


class RTCIceCandidateInit(TypedDict, total=False):
    """The dictionary that a browser's ``candidate.toJSON()`` gives (W3C webrtc-pc 4.8.1.2)."""

    candidate: str
    sdpMid: str | None
    sdpMLineIndex: int | None
    usernameFragment: str | None


@dataclass
class RTCIceCandidate(aiortc.RTCIceCandidate):
    """An ICE candidate; aiortc's, with the generation that it belongs to."""

    usernameFragment: str | None = None
    """The username fragment of the ICE generation (RFC 8839 section 5.4)."""
    url: str | None = None
    """Of a local one, the server that it was learned from (W3C webrtc-pc 4.8.1)."""
    relayProtocol: str | None = None
    """Of a local relayed one, how it is spoken to: ``udp``, ``tcp``, ``tls`` or ``dtls``."""

    @property
    def candidate(self) -> str:
        """The candidate as an SDP attribute without its ``a=`` (RFC 8839 section 5.1)."""
        return _PREFIX + candidate_to_sdp(self)

    def toJSON(self) -> RTCIceCandidateInit:
        """Return the dictionary that a browser's ``addIceCandidate`` takes."""
        return {
            "candidate": self.candidate,
            "sdpMid": self.sdpMid,
            "sdpMLineIndex": self.sdpMLineIndex,
            "usernameFragment": self.usernameFragment,
        }


@dataclass(frozen=True, slots=True)
class RemoteCandidate:
    """A candidate trickled by the remote peer, or the end of candidates.

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


END_OF_CANDIDATES = RemoteCandidate()


def parse_candidate(attribute: str) -> aiortc.RTCIceCandidate:
    """Read a candidate attribute, with or without ``a=`` and ``candidate:`` in front.

    Raises:
        InvalidCandidate: It does not follow RFC 8839 section 5.1.
    """
    line = attribute.strip().removeprefix("a=").removeprefix(_PREFIX)
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
        remote = RemoteCandidate(given, mid, index, getattr(given, "usernameFragment", None))
    elif isinstance(given, Mapping):
        remote = _parse_init(given)
    else:
        raise InvalidCandidate(given, "give an RTCIceCandidate, a dictionary or None")
    if remote.candidate is not None and not remote.sdpMid and remote.sdpMLineIndex is None:
        raise InvalidCandidate(given, "Candidate must have either sdpMid or sdpMLineIndex")
    return remote


def _parse_init(given: Mapping[str, Any]) -> RemoteCandidate:
    text = given.get("candidate")
    fragment = given.get("usernameFragment")
    for value in (text, fragment):
        if value is not None and not isinstance(value, str):
            raise InvalidCandidate(given, f"{value!r} should be of type str")
    mid, index = _section(given, given.get("sdpMid"), given.get("sdpMLineIndex"))
    candidate = parse_candidate(text) if text else None
    if text:
        fragment = fragment or _fragment_of(text)
    return RemoteCandidate(candidate, mid, index, fragment or None)


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
        parse_candidate(candidate_to_sdp(candidate))
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidCandidate(candidate, "its fields do not make a candidate") from error


def _fragment_of(attribute: str) -> str | None:
    # Chrome and Firefox name the generation in the attribute as well: "… ufrag abcd …".
    bits = attribute.split()
    extensions = dict(zip(bits[8::2], bits[9::2], strict=False))
    return extensions.get("ufrag")


def local_candidate(
    candidate: aiortc.RTCIceCandidate,
    *,
    mid: str | None,
    index: int | None,
    fragment: str,
    url: str | None = None,
    relay_protocol: str | None = None,
) -> RTCIceCandidate:
    """Add to a gathered candidate what the ``icecandidate`` event carries."""
    known = {field.name: getattr(candidate, field.name) for field in fields(aiortc.RTCIceCandidate)}
    known.update(sdpMid=mid, sdpMLineIndex=index)
    return RTCIceCandidate(
        **known, usernameFragment=fragment, url=url, relayProtocol=relay_protocol
    )


def describe(candidate: Any) -> str:
    """Name a candidate of aiortc or aioice for a person: ``srflx/udp 203.0.113.7:40000``."""
    protocol = getattr(candidate, "protocol", None) or candidate.transport
    address = getattr(candidate, "ip", None) or candidate.host
    bracketed = f"[{address}]" if ":" in address else address
    return f"{candidate.type}/{protocol.lower()} {bracketed}:{candidate.port}"


@dataclass(frozen=True, slots=True)
class RTCIceCandidatePair:
    """The pair of candidates that carries the data (W3C webrtc-pc 5.6.4).

    Attributes:
        local: This side's candidate.
        remote: The remote peer's.
        currentRoundTripTime: Seconds that the latest answered check took; ``None`` if unknown.
    """

    local: RTCIceCandidate
    remote: RTCIceCandidate
    currentRoundTripTime: float | None = None

    @property
    def relayed(self) -> bool:
        """True if the pair goes over a TURN server."""
        return "relay" in (self.local.type, self.remote.type)

    def __str__(self) -> str:
        local, remote = (_path_end(candidate) for candidate in (self.local, self.remote))
        rtt = self.currentRoundTripTime
        known = f", rtt {rtt * 1000:.0f} ms" if rtt is not None else ""
        return f"{local} -> {remote}{known}, {'relayed' if self.relayed else 'direct'}"


def _path_end(candidate: RTCIceCandidate) -> str:
    if candidate.type != "relay":
        return f"{candidate.type}/{candidate.protocol}"
    server = f" ({candidate.url})" if candidate.url else ""
    return f"relay/{candidate.relayProtocol or candidate.protocol}{server}"

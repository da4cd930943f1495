"""ICE candidates as browsers hand them around: ``RTCIceCandidate`` and ``RTCIceCandidateInit``."""

from dataclasses import dataclass, fields
from typing import Any, TypedDict

import aiortc
from aiortc.sdp import candidate_to_sdp

PREFIX = "candidate:"


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
        return PREFIX + candidate_to_sdp(self)

    def toJSON(self) -> RTCIceCandidateInit:
        """Return the dictionary that a browser's ``addIceCandidate`` takes."""
        return {
            "candidate": self.candidate,
            "sdpMid": self.sdpMid,
            "sdpMLineIndex": self.sdpMLineIndex,
            "usernameFragment": self.usernameFragment,
        }


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

"""The codecs of a transceiver, and of a media section."""

from collections.abc import Iterable
from typing import Any

from aiortc import RTCRtpTransceiver
from aiortc.codecs import CODECS
from aiortc.rtcpeerconnection import filter_preferred_codecs, find_common_codecs
from aiortc.sdp import SessionDescription


def negotiated_media(transceiver: RTCRtpTransceiver) -> tuple[list[Any], list[Any]]:
    """Return the codecs and header extensions that a transceiver uses."""
    return transceiver._codecs, transceiver._headerExtensions


def set_media(transceiver: RTCRtpTransceiver, codecs: list[Any], extensions: list[Any]) -> None:
    """Set the codecs and header extensions that a transceiver uses."""
    transceiver._codecs, transceiver._headerExtensions = codecs, extensions


def prefers_codecs(transceiver: RTCRtpTransceiver) -> bool:
    """Return whether ``setCodecPreferences()`` was called."""
    return bool(transceiver._preferred_codecs)


def shares_codec(kind: str, lines: Iterable[str], transceiver: RTCRtpTransceiver | None) -> bool:
    """Return whether a media section has a codec that this side knows, and a transceiver prefers.

    Args:
        kind: ``audio`` or ``video``.
        lines: The section's ``rtpmap``, ``rtcp-fb`` and ``fmtp``.
        transceiver: The one that the section is for, if there is one already.
    """
    lines = [line for line in lines if not line.startswith("a=rtcp-fb:")]
    formats = " ".join(line.split()[0][9:] for line in lines if line.startswith("a=rtpmap:"))
    media = "".join(f"{line}\r\n" for line in (f"m={kind} 9 RTP/SAVPF {formats}", *lines))
    (section,) = SessionDescription.parse(f"v=0\r\n{media}").media
    common = find_common_codecs(CODECS[kind], section.rtp.codecs)
    preferred = transceiver._preferred_codecs if transceiver is not None else []
    return bool(filter_preferred_codecs(common, preferred))

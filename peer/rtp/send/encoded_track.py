"""Tracks of encoded media: the protocol between such a track and the RTP sender.

A ``MediaStreamTrack`` whose ``recv()`` returns ``av.Packet`` is sent without encoding. A track that
also implements :class:`EncodedTrack` receives the peer's codecs, key-frame requests and reception
reports. ``icefloe.media`` and :func:`~icefloe.peer.forward` provide such tracks; an application can
write its own without them.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.packet import Packet

from icefloe.encoding import encoded

_RTP_NAMES = MappingProxyType(
    {"pcm_mulaw": "PCMU", "pcm_alaw": "PCMA", "adpcm_g722": "G722", "vp8": "VP8", "h264": "H264"}
)
"""RTP codec names by FFmpeg name, where the two differ."""


def codec_name(packet: "Packet[Any]") -> str | None:
    """Return the RTP name of a packet's codec; ``None`` if the packet does not carry it."""
    if (known := encoded(packet)) is not None:
        return known.codec
    context = getattr(packet.stream, "codec_context", None)
    if context is None:
        return None
    name: str = context.codec.canonical_name
    return _RTP_NAMES.get(name, name)


@runtime_checkable
class EncodedTrack(Protocol):
    """The members of an encoded track beyond those of ``MediaStreamTrack``.

    The sender calls them in the event loop; they must return at once. The codec of a packet is that
    of its ``opaque`` if this is an ``icefloe.encoding.Encoded``, whose payloads, if it has any, are
    then sent as they are. Otherwise it is the codec of the demuxed stream, or else the first
    negotiated codec.

    An optional attribute ``wanted_bitrate`` gives the bits per second that the track could use at
    most; the sender probes the path up to it. An optional attribute ``ends_with_sender``, if true,
    makes the sender stop the track when the sender ends; use it for a track made for a single
    peer. Any other track, encoded or not, may have a method ``reader_left()``, which is called
    when the sender ends, even if it never started.
    """

    def use(self, codecs: Sequence[RTCRtpCodecParameters]) -> None:
        """Note the codecs that the peer can decode, most preferred first."""

    def request_key_frame(self) -> None:
        """Produce a key frame soon: the peer sent a PLI (RFC 4585) or FIR (RFC 5104)."""

    def feedback(self, *, bitrate: int | None, loss: float, rtt: float | None) -> None:
        """Note the peer's reception quality.

        Args:
            bitrate: Bits per second that the peer can receive, limited by ``maxBitrate``; ``None``
                if unknown.
            loss: Fraction of packets lost since the last receiver report, 0 to 1.
            rtt: Round-trip time in seconds; ``None`` if unknown.
        """

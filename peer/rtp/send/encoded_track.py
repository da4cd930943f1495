"""Tracks that come encoded: what a sender and such a track say to each other.

A ``MediaStreamTrack`` whose ``recv()`` gives ``av.Packet`` is sent as it is. One that has the
methods of :class:`EncodedTrack` is told what its peer takes, wants and gets. ``icefloe.media`` has
such tracks, and :func:`~icefloe.peer.forward` makes some; neither is needed to write one.
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
"""Codecs that RTP has another name for than FFmpeg."""


def codec_of(packet: "Packet[Any]") -> str | None:
    """Return the codec of a packet by its name in RTP; ``None`` if the packet does not tell."""
    if (known := encoded(packet)) is not None:
        return known.codec
    context = getattr(packet.stream, "codec_context", None)
    if context is None:
        return None
    name: str = context.codec.canonical_name
    return _RTP_NAMES.get(name, name)


@runtime_checkable
class EncodedTrack(Protocol):
    """What an encoded track has beside the members of ``MediaStreamTrack``.

    All of it is called in the event loop and returns at once. A packet whose ``opaque`` is an
    ``icefloe.encoding.Encoded`` is sent with its payloads and under its codec, and one that was
    demuxed under that of its stream; any other one is packed as the first codec that both sides
    know.

    ``ends_with_sender``, if it is there and true, has the sender stop the track when the sender
    ends, for a track that was made for one peer. Any other track, encoded or not, may have a
    method ``reader_left()``, which is called then, also if the sender never began.
    """

    def use(self, codecs: Sequence[RTCRtpCodecParameters]) -> None:
        """Take note of what the peer can decode, the most preferred first."""

    def request_key_frame(self) -> None:
        """Have a key frame made soon: the peer has lost a picture (PLI or FIR, RFC 4585)."""

    def feedback(self, *, bitrate: int | None, loss: float, rtt: float | None) -> None:
        """Take note of how the peer receives.

        Args:
            bitrate: Bits a second that it can take, as far as is known, and ``maxBitrate``.
            loss: The part of the packets that was lost since the last report, 0 to 1.
            rtt: Seconds to the peer and back, as far as is known.
        """

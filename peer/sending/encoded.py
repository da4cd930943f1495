"""Tracks that come encoded: what a sender and such a track say to each other.

A ``MediaStreamTrack`` whose ``recv()`` gives ``av.Packet`` is sent as it is. One that has the
methods of :class:`EncodedTrack` is told what its peer takes, wants and gets. ``icefloe.media`` has
such tracks, and :func:`~icefloe.peer.forward` makes some; neither is needed to write one.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from aiortc.rtcrtpparameters import RTCRtpCodecParameters


@runtime_checkable
class EncodedTrack(Protocol):
    """What an encoded track has beside the members of ``MediaStreamTrack``.

    All of it is called in the event loop and returns at once. A packet whose ``opaque`` is an
    ``icefloe.encoding.Encoded`` is sent with its payloads and under its codec; any other one is
    packed as the first codec that both sides know.

    ``ends_with_sender``, if it is there and true, has the sender stop the track when the sender
    ends, for a track that was made for one peer.
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

"""Selective forwarding: passes media of one peer on to others without decoding it.

::

    async for track in alice.tracks():
        bob.add_track(forward(track))

Each peer has to know the codec: give all of them the same preference, and with browsers that is so
of itself. A picture is passed on when it is whole; what gets lost on the way to a viewer is
repaired from here, and a request for a key frame goes back to where the track comes from.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.packet import Packet

from icefloe.encoding import PacketQueue

from .._aiortc import origin_of
from ..errors import NotForwardable
from ..rtp.receive.encoded_stream import EncodedStream

_KEPT = {"video": 30, "audio": 50}


class ForwardedTrack(MediaStreamTrack):
    """A remote track for one more peer, as it came; made by :func:`forward`.

    ``recv()`` gives ``av.Packet``; the other methods are those of
    :class:`~icefloe.peer.EncodedTrack`. The sender stops it when it ends.
    """

    ends_with_sender = True
    """Made for one peer: icefloe's sender stops it too when it ends."""

    enabled = True
    """True while the track is sent (W3C mediacapture-main 4.3.1); it resumes with a key frame."""

    def __init__(self, origin: EncodedStream, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self._origin = origin
        self._packets = PacketQueue(_KEPT[kind])
        self._waiter: asyncio.Event = asyncio.Event()
        self._complete = origin.ended
        origin.add(self)

    @property
    def dropped(self) -> int:
        """Count of frames that were not passed on, for want of a reader or of a key frame."""
        return self._packets.dropped

    async def recv(self) -> "Packet[Any]":
        """Return the next encoded frame.

        Raises:
            MediaStreamError: The remote track has ended, or this one was stopped.

        Cancellation: safe; no frame is lost.
        """
        while (packet := self._packets.get()) is None:
            if self._complete:
                self.stop()
            if self.readyState != "live":
                raise MediaStreamError("the track has ended")
            if self._packets.needs_key_frame:
                self._origin.request_key_frame()
            self._waiter.clear()
            await self._waiter.wait()
        return packet

    def stop(self) -> None:
        """End this track; the remote track and others made of it go on."""
        super().stop()
        self._origin.remove(self)
        self._packets.clear()
        self._waiter.set()

    # --- what a sender tells it

    def use(self, codecs: Sequence[RTCRtpCodecParameters]) -> None:
        """Nothing is chosen here: it is sent as it came, or refused by the sender."""

    def request_key_frame(self) -> None:
        """Have the remote side send a key frame, once for all who ask within 0.3 s."""
        self._origin.request_key_frame()

    def feedback(self, *, bitrate: int | None, loss: float, rtt: float | None) -> None:
        """Nothing is changed by it: the remote side sends what this machine can receive."""

    # --- what the origin tells it

    def take(self, packet: "Packet[Any]") -> None:
        """Take an encoded frame."""
        if self._packets.put(packet):
            self._waiter.set()
        elif self._packets.needs_key_frame and not self._waiter.is_set():
            self._origin.request_key_frame()

    def end(self) -> None:
        """Record that nothing comes any more."""
        self._complete = True
        self._waiter.set()


def forward(track: MediaStreamTrack) -> ForwardedTrack:
    """Return a track that passes on what a remote track receives, without decoding it.

    Make one for each peer. What is forwarded is decoded only while somebody reads that track too.

    Args:
        track: A track that a connection of icefloe receives, as its ``track`` event has it.

    Raises:
        NotForwardable: It is no such track.
    """
    origin = origin_of(track)
    if origin is None:
        raise NotForwardable(track)
    return ForwardedTrack(origin, track.kind)

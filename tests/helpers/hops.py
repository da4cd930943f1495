"""A track on its way from one peer connection to another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender
from av import AudioFrame, VideoFrame

from tests.helpers.pairs import closing, make, negotiate


@asynccontextmanager
async def hop(
    track: MediaStreamTrack, *, source: str = "icefloe", sink: str = "icefloe", codec: str = ""
) -> AsyncIterator[tuple[MediaStreamTrack, RTCPeerConnection, RTCPeerConnection]]:
    """Send a track from a new connection to another.

    Args:
        track: What is sent; it goes on afterwards.
        source: What kind of connection sends; see :func:`make`.
        sink: Likewise what receives.
        codec: The MIME type of the only codec; all are offered otherwise.

    Yields:
        What arrives, and both ends.
    """
    near, far = make(source), make(sink)
    tracks: list[MediaStreamTrack] = []
    far.on("track", tracks.append)
    async with closing(near, far):
        transceiver = near.addTransceiver(track, direction="sendonly")
        if codec:
            known = RTCRtpSender.getCapabilities(track.kind).codecs
            transceiver.setCodecPreferences([c for c in known if c.mimeType == codec])
        await negotiate(near, far)
        yield tracks[0], near, far


async def pictures(track: MediaStreamTrack, count: int) -> list[VideoFrame]:
    """Return the next pictures of a track."""
    got: list[VideoFrame] = []
    while len(got) < count:
        frame = await track.recv()
        assert isinstance(frame, VideoFrame)
        got.append(frame)
    return got


async def until_loud(track: MediaStreamTrack) -> None:
    """Wait until a track is heard; the test's time limit holds."""
    loudest = 0
    while loudest < 5000:
        frame = await track.recv()
        assert isinstance(frame, AudioFrame)
        loudest = max(loudest, max(memoryview(bytes(frame.planes[0])).cast("h")))

"""One encoder, many peers, over real connections."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiortc import MediaStreamTrack, RTCPeerConnection
from av import AudioFrame, VideoFrame

from icefloe.media import EncodedFanout, EncodedSubscription, TestPatternTrack, ToneTrack
from icefloe.peer._aiortc import Sender
from tests.helpers.pairs import closing, make, negotiate
from tests.media.tracks import until

SIZE = (320, 180)


def encoders_running() -> int:
    return sum(thread.name.startswith("encode ") for thread in threading.enumerate())


@asynccontextmanager
async def viewing(
    track: EncodedSubscription, *, source: str = "icefloe", sink: str = "icefloe", codec: str = ""
) -> AsyncIterator[tuple[MediaStreamTrack, RTCPeerConnection, RTCPeerConnection]]:
    """Send a track from a new connection to another; give what arrives, and both."""
    near, far = make(source), make(sink)
    tracks: list[MediaStreamTrack] = []
    far.on("track", tracks.append)
    async with closing(near, far):
        transceiver = near.addTransceiver(track, direction="sendonly")
        if codec:
            known = Sender.getCapabilities(track.kind).codecs
            transceiver.setCodecPreferences([c for c in known if c.mimeType == codec])
        await negotiate(near, far)
        yield tracks[0], near, far


async def pictures(track: MediaStreamTrack, count: int) -> list[VideoFrame]:
    got: list[VideoFrame] = []
    while len(got) < count:
        frame = await track.recv()
        assert isinstance(frame, VideoFrame)
        got.append(frame)
    return got


@pytest.mark.parametrize("sink", ["icefloe", "aiortc"])
@pytest.mark.parametrize("codec", ["video/VP8", "video/H264"])
async def test_peers_see_one_source_and_it_ends_with_the_last(codec: str, sink: str) -> None:
    source = TestPatternTrack(*SIZE)
    fanout = EncodedFanout(source)
    async with viewing(fanout.subscribe(), sink=sink, codec=codec) as (first, near, _):
        await pictures(first, 5)
        async with viewing(fanout.subscribe(), sink=sink, codec=codec) as (second, *_rest):
            await asyncio.gather(pictures(first, 10), pictures(second, 10))
            assert encoders_running() == 1
            report = await near.getStats()
            (sent,) = (s for s in report.values() if s.type == "outbound-rtp")
            assert sent.encoderImplementation in ("libx264", "libvpx")
            assert sent.framesEncoded == 0
        await until(lambda: fanout.subscribers == 1)
        await pictures(first, 5)
        assert source.readyState == "live"
    await until(lambda: encoders_running() == 0)
    assert source.readyState == "ended"


async def test_peers_that_prefer_another_codec_get_it() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE))
    async with (
        viewing(fanout.subscribe(), codec="video/VP8") as (first, *_),
        viewing(fanout.subscribe(), codec="video/H264") as (second, *_more),
    ):
        await asyncio.gather(pictures(first, 5), pictures(second, 5))
        assert [report.codec for report in fanout.encoders] == ["H264", "VP8"]


async def test_a_sender_of_plain_aiortc_takes_it_too() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE))
    async with viewing(fanout.subscribe(codec="VP8"), source="aiortc") as (arriving, *_):
        await pictures(arriving, 5)


async def test_a_peer_that_loses_a_picture_gets_a_key_frame() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE))
    async with viewing(fanout.subscribe(), codec="video/H264") as (arriving, near, far):
        await pictures(arriving, 20)
        sender, receiver = near.getSenders()[0], far.getReceivers()[0]
        assert isinstance(sender, Sender)
        before = sender.outgoing.key_frames
        await receiver._send_rtcp_pli(sender._ssrc)
        while sender.outgoing.key_frames == before:
            await pictures(arriving, 1)


async def test_a_limit_of_the_bitrate_leads_to_a_smaller_picture() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE), bitrate=1_000_000)
    async with viewing(fanout.subscribe()) as (arriving, near, _):
        await pictures(arriving, 5)
        sender = near.getSenders()[0]
        assert isinstance(sender, Sender)
        limits = sender.getParameters()
        limits.encodings[0].maxBitrate = 1_000
        await sender.setParameters(limits)
        while (await pictures(arriving, 1))[0].width != SIZE[0] // 2:
            pass


async def test_sound_goes_to_all_of_them() -> None:
    fanout = EncodedFanout(ToneTrack(level=-10))
    async with (
        viewing(fanout.subscribe()) as (first, *_),
        viewing(fanout.subscribe(), sink="aiortc") as (second, *_more),
    ):
        for track in (first, second):
            loudest = 0
            while loudest < 5000:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                loudest = max(loudest, max(memoryview(bytes(frame.planes[0])).cast("h")))
        assert encoders_running() == 1

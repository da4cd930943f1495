"""One encoder, many peers, over real connections."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from aiortc import MediaStreamTrack

from icefloe.media import EncodedFanout, TestPatternTrack, ToneTrack
from icefloe.peer._aiortc import Sender
from tests.helpers.hops import hop, pictures, until_loud
from tests.media.tracks import until

SIZE = (320, 180)


def encoders_running() -> int:
    return sum(thread.name.startswith("encode ") for thread in threading.enumerate())


@pytest.mark.parametrize("sink", ["icefloe", "aiortc"])
@pytest.mark.parametrize("codec", ["video/VP8", "video/H264"])
async def test_peers_see_one_source_and_it_ends_with_the_last(codec: str, sink: str) -> None:
    source = TestPatternTrack(*SIZE)
    fanout = EncodedFanout(source)
    async with hop(fanout.subscribe(), sink=sink, codec=codec) as (first, near, _):
        await pictures(first, 5)
        async with hop(fanout.subscribe(), sink=sink, codec=codec) as (second, *_rest):
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
        hop(fanout.subscribe(), codec="video/VP8") as (first, *_),
        hop(fanout.subscribe(), codec="video/H264") as (second, *_more),
    ):
        await asyncio.gather(pictures(first, 5), pictures(second, 5))
        assert [report.codec for report in fanout.encoders] == ["H264", "VP8"]


async def test_a_sender_of_plain_aiortc_takes_it_too() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE))
    async with hop(fanout.subscribe(codec="VP8"), source="aiortc") as (arriving, *_):
        await pictures(arriving, 5)


async def test_a_peer_that_loses_a_picture_gets_a_key_frame() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE))
    async with hop(fanout.subscribe(), codec="video/H264") as (arriving, near, far):
        await pictures(arriving, 20)
        sender, receiver = near.getSenders()[0], far.getReceivers()[0]
        assert isinstance(sender, Sender)
        before = sender.outgoing.key_frames
        await receiver._send_rtcp_pli(sender.outgoing.stream.ssrc)
        while sender.outgoing.key_frames == before:
            await pictures(arriving, 1)


async def test_a_limit_of_the_bitrate_leads_to_a_smaller_picture() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE), bitrate=1_000_000)
    async with hop(fanout.subscribe()) as (arriving, near, _):
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
        hop(fanout.subscribe()) as (first, *_),
        hop(fanout.subscribe(), sink="aiortc") as (second, *_more),
    ):
        for track in (first, second):
            await until_loud(track)
        assert encoders_running() == 1


@pytest.mark.parametrize("make", [ToneTrack, lambda: TestPatternTrack(*SIZE)])
async def test_a_source_is_muted_for_all_and_a_subscription_for_one_peer(
    make: Callable[[], MediaStreamTrack],
) -> None:
    source = make()
    fanout = EncodedFanout(source)
    one, other = fanout.subscribe(), fanout.subscribe()
    async with hop(one) as (_, first, _far), hop(other) as (_, second, _farther):
        ways = [connection.getSenders()[0] for connection in (first, second)]

        def sent() -> list[int]:
            return [way.outgoing.frames for way in ways if isinstance(way, Sender)]

        async def frames(which: int) -> None:
            before = sent()[which]
            await until(lambda: sent()[which] >= before + 10)

        await frames(0)
        one.enabled = False
        before = sent()
        await frames(1)
        assert sent()[0] == before[0]
        one.enabled = True
        await frames(0)
        source.enabled = False  # type: ignore[attr-defined]
        before, encoded = sent(), fanout.encoders[0].frames
        await until(lambda: fanout.encoders[0].frames >= encoded + 10)
        assert sent() == before
        source.enabled = True  # type: ignore[attr-defined]
        await asyncio.gather(frames(0), frames(1))

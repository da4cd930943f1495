"""Media of one peer, passed on to others without decoding."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from icefloe.encoding import VideoEncoder
from icefloe.media import TestPatternTrack, ToneTrack
from icefloe.peer import (
    EncodedTrack,
    ForwardedTrack,
    NotForwardable,
    PeerConnection,
    RemoteTrack,
    forward,
)
from icefloe.peer._aiortc import Receiver, Sender
from icefloe.peer.rtp.receive.encoded_stream import EncodedStream
from tests.encoding.test_video import picture
from tests.helpers.hops import hop, pictures, until_loud
from tests.helpers.pairs import closing

VP8 = RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90000, payloadType=97)
OPUS = RTCRtpCodecParameters(mimeType="audio/opus", clockRate=48000, payloadType=96)


# --- over connections


@pytest.mark.parametrize("source", ["icefloe", "aiortc"])
@pytest.mark.parametrize("codec", ["video/VP8", "video/H264"])
async def test_viewers_see_what_came_and_nothing_is_decoded(codec: str, source: str) -> None:
    pattern = TestPatternTrack(320, 180)
    async with AsyncExitStack() as stack:
        remote, _, middle = await stack.enter_async_context(
            hop(pattern, source=source, codec=codec)
        )
        viewers = [
            await stack.enter_async_context(hop(forward(remote), sink=sink, codec=codec))
            for sink in ("icefloe", "aiortc", "icefloe")
        ]
        for frames in await asyncio.gather(*(pictures(track, 10) for track, *_ in viewers)):
            assert {(frame.width, frame.height) for frame in frames} == {(320, 180)}
            times = [frame.pts or 0 for frame in frames]
            assert times == sorted(set(times))
        receiver = middle.getReceivers()[0]
        assert isinstance(receiver, Receiver)
        while not receiver.origin._needs_key_frame:  # nobody reads what is decoded
            await pictures(viewers[0][0], 1)
        assert isinstance(remote, RemoteTrack)
        assert len(remote.frames) == 0
        # Who reads the decoded track too gets pictures, from a key frame on.
        while receiver.origin._needs_key_frame:
            await pictures(remote, 1)
        await pictures(remote, 2)
        await pictures(viewers[1][0], 2)
    pattern.stop()


async def test_requests_for_key_frames_go_back_to_the_origin_once() -> None:
    pattern = TestPatternTrack(320, 180)
    async with (
        hop(pattern, codec="video/VP8") as (remote, near, _),
        hop(forward(remote), codec="video/VP8") as (first, middle, _far),
        hop(forward(remote), codec="video/VP8") as (second, *_rest),
    ):
        await asyncio.gather(pictures(first, 20), pictures(second, 20))
        origin = near.getSenders()[0]
        viewer = middle.getSenders()[0]
        assert isinstance(origin, Sender)
        assert isinstance(viewer, Sender)
        before = origin.outgoing.key_frames
        for _ in range(20):
            viewer.outgoing.on_key_frame_request("pli")
        while origin.outgoing.key_frames == before:
            await asyncio.gather(pictures(first, 1), pictures(second, 1))
        await asyncio.gather(pictures(first, 15), pictures(second, 15))
        assert origin.outgoing.key_frames <= before + 2
    pattern.stop()


async def test_a_viewer_that_comes_late_begins_with_a_key_frame() -> None:
    pattern = TestPatternTrack(320, 180)
    async with (
        hop(pattern, codec="video/H264") as (remote, *_),
        hop(forward(remote), codec="video/H264") as (first, *_more),
    ):
        await pictures(first, 30)
        async with hop(forward(remote), codec="video/H264") as (late, *_rest):
            await asyncio.gather(pictures(late, 5), pictures(first, 5))
    pattern.stop()


async def test_sound_is_passed_on() -> None:
    tone = ToneTrack(level=-10)
    async with (
        hop(tone) as (remote, *_),
        hop(forward(remote)) as (first, *_more),
        hop(forward(remote), sink="aiortc") as (second, *_rest),
    ):
        for track in (first, second):
            await until_loud(track)
    tone.stop()


async def test_it_ends_with_its_origin() -> None:
    pattern = TestPatternTrack(320, 180)
    async with hop(pattern) as (remote, *_):
        passed = forward(remote)
        await passed.recv()
    with pytest.raises(MediaStreamError):
        while True:
            await passed.recv()
    assert passed.readyState == "ended"
    pattern.stop()


async def test_leaving_it_leaves_the_others() -> None:
    pattern = TestPatternTrack(320, 180)
    async with hop(pattern) as (remote, *_):
        one, other = forward(remote), forward(remote)
        await asyncio.gather(one.recv(), other.recv())
        one.stop()
        with pytest.raises(MediaStreamError):
            await one.recv()
        for _ in range(5):
            await other.recv()
        other.stop()
    pattern.stop()


async def test_only_what_is_received_is_forwarded() -> None:
    pattern = TestPatternTrack(320, 180)
    with pytest.raises(NotForwardable) as caught:
        forward(pattern)
    assert caught.value.track is pattern
    async with hop(pattern, sink="aiortc") as (remote, *_):
        with pytest.raises(NotForwardable):
            forward(remote)
    pattern.stop()


async def test_a_peer_that_does_not_know_the_codec_is_told_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pattern = TestPatternTrack(320, 180)
    async with hop(pattern, codec="video/VP8") as (remote, *_):
        viewer = forward(remote)
        async with hop(viewer, codec="video/H264"):
            while "setCodecPreferences" not in caplog.text:
                await asyncio.sleep(0.01)
    assert caplog.text.count("setCodecPreferences") == 1
    pattern.stop()


# --- without connections


def frames(count: int, *keys: int) -> list[bytes]:
    encoder = VideoEncoder("VP8")
    made = [encoder.encode(picture(n), key_frame=n in keys)[0] for n in range(count)]
    return [bytes(packet) for packet in made]


async def test_a_viewer_that_does_not_read_loses_whole_pictures_and_grows_nothing() -> None:
    asked: list[None] = []
    origin = EncodedStream(lambda: asked.append(None))
    viewer = ForwardedTrack(origin, "video")
    assert isinstance(viewer, EncodedTrack)
    data = frames(2)
    origin.take(VP8, data[0], 0)
    for number in range(1, 100):
        origin.take(VP8, data[1], number * 3000)
    assert viewer.dropped == 100
    reading = asyncio.ensure_future(viewer.recv())
    await asyncio.sleep(0)
    origin.take(VP8, data[1], 300_000)
    assert not reading.done()
    origin.take(VP8, data[0], 303_000)
    assert (await reading).is_keyframe
    assert asked


async def test_the_payloads_are_made_once_for_all() -> None:
    origin = EncodedStream(lambda: None)
    viewers = [ForwardedTrack(origin, "video") for _ in range(3)]
    origin.take(VP8, frames(1)[0], 0)
    packets = [await viewer.recv() for viewer in viewers]
    assert packets[0] is packets[1] is packets[2]


async def test_sound_that_comes_too_late_is_left_out_and_times_wrap() -> None:
    origin = EncodedStream(lambda: None)
    viewer = ForwardedTrack(origin, "audio")
    start = 0xFFFFFFFF - 960
    for step in (0, 1, 3, 2, 4):
        origin.take_audio(OPUS, bytes([step]), start + step * 960 & 0xFFFFFFFF)
    got = [await viewer.recv() for _ in range(4)]
    assert [(bytes(packet), packet.pts) for packet in got] == [
        (b"\0", 0),
        (b"\1", 960),
        (b"\3", 2880),
        (b"\4", 3840),
    ]


async def test_a_connection_is_collected_although_it_was_looked_up() -> None:
    pc = PeerConnection()
    async with closing(pc):
        pc.addTransceiver("video")
    with pytest.raises(NotForwardable):
        forward(ToneTrack())

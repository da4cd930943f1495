"""Encode once: viewers, key frames, tiers; with real encoders and FFmpeg's decoders."""

import asyncio
import itertools
import threading
from typing import Any

import av
import pytest
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av import AudioFrame, VideoFrame
from av.packet import Packet

from icefloe.encoding import encoded
from icefloe.media import (
    EncodedFanout,
    EncodedSubscription,
    InvalidParameter,
    TestPatternTrack,
    ToneTrack,
)
from icefloe.peer import EncodedTrack
from tests.media.tracks import FedTrack, picture, until

SIZE = (320, 180)


def codecs(*names: str) -> list[RTCRtpCodecParameters]:
    return [RTCRtpCodecParameters(mimeType=f"video/{name}", clockRate=90000) for name in names]


def encoders_running() -> int:
    return sum(thread.name.startswith("encode ") for thread in threading.enumerate())


async def take(track: EncodedSubscription, count: int) -> "list[Packet[Any]]":
    return [await track.recv() for _ in range(count)]


async def together(*takes: "tuple[EncodedSubscription, int]") -> "list[list[Packet[Any]]]":
    """Take packets from several at the same time, so many of each."""
    return list(await asyncio.gather(*(take(track, count) for track, count in takes)))


def width(packet: "Packet[Any]") -> int:
    known = encoded(packet)
    assert known is not None
    return known.width


def decode(packets: "list[Packet[Any]]", codec: str) -> list[VideoFrame]:
    decoder = av.CodecContext.create(codec.lower(), "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    return frames + decoder.decode(None)


async def test_a_subscription_is_an_encoded_track() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE))
    assert isinstance(fanout.subscribe(), EncodedTrack)
    fanout.close()


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_many_viewers_share_an_encoder_and_its_bytes(codec: str) -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE, rate=100))
    viewers = [fanout.subscribe() for _ in range(5)]
    for viewer in viewers:
        viewer.use(codecs(codec))
    got = await asyncio.gather(*(take(viewer, 20) for viewer in viewers))
    assert encoders_running() == 1
    (report,) = fanout.encoders
    assert (report.codec, report.scale_down_by, report.viewers) == (codec, 1.0, 5)
    assert report.implementation in ("libx264", "libvpx")
    for packets in got:
        assert [packet is first for packet, first in zip(packets, got[0], strict=True)]
        assert packets[0] is got[0][0]
        assert packets[0].is_keyframe
        assert len(decode(packets, codec)) == 20
    fanout.close()
    await until(lambda: encoders_running() == 0)


async def test_a_late_viewer_begins_with_a_key_frame() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE, rate=100))
    first = fanout.subscribe(codec="VP8")
    await take(first, 5)
    late = fanout.subscribe(codec="VP8")
    # Who is there already reads on, so that the late one comes in the middle.
    packets, _ = await together((late, 10), (first, 60))
    assert packets[0].is_keyframe
    assert len(decode(packets, "vp8")) == 10
    fanout.close()


async def test_a_burst_of_requests_makes_one_key_frame() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE, rate=100))
    viewers = [fanout.subscribe(codec="H264") for _ in range(10)]
    await asyncio.gather(*(take(viewer, 40) for viewer in viewers))
    for viewer in viewers * 3:
        viewer.request_key_frame()
    got = await asyncio.gather(*(take(viewer, 25) for viewer in viewers))
    for packets in got:
        assert sum(packet.is_keyframe for packet in packets) == 1
    fanout.close()


async def test_viewers_with_other_codecs_have_encoders_of_their_own() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE, rate=60))
    one, other = fanout.subscribe(), fanout.subscribe()
    one.use(codecs("AV1", "VP8", "H264"))
    other.use(codecs("h264", "VP8"))
    assert (one.codec, other.codec) == ("VP8", "H264")
    await together((one, 3), (other, 3))
    assert [report.codec for report in fanout.encoders] == ["H264", "VP8"]
    one.stop()
    await until(lambda: encoders_running() == 1)
    assert [report.codec for report in fanout.encoders] == ["H264"]
    fanout.close()


async def test_a_slow_viewer_loses_frames_and_goes_on_with_a_key_frame() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE, rate=200))
    slow = fanout.subscribe(codec="VP8", keep=5)
    quick = fanout.subscribe(codec="VP8")
    await together((slow, 1), (quick, 1))
    seen = await take(quick, 60)
    pts = [packet.pts for packet in seen]
    assert pts == sorted(set(pts), key=lambda each: each or 0)
    assert quick.dropped == 0
    assert slow.dropped > 20
    packets, _ = await together((slow, 5), (quick, 100))
    assert packets[0].is_keyframe
    assert (packets[0].pts or 0) > (seen[-1].pts or 0)  # nothing old
    assert len(decode(packets, "vp8")) == 5
    fanout.close()


async def test_a_viewer_that_receives_badly_gets_less_and_the_others_do_not_notice() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE, rate=60))
    good, bad = fanout.subscribe(codec="H264"), fanout.subscribe(codec="H264")
    await together((good, 3), (bad, 3))
    assert bad.scale_down_by == 1.0
    while bad.scale_down_by == 1.0:
        await together((good, 5), (bad, 5))
        bad.feedback(bitrate=1_000, loss=0.0, rtt=0.1)
    assert bad.scale_down_by == 2.0
    fine, small = await together((good, 60), (bad, 60))
    assert {width(packet) for packet in fine} == {320}
    widths = [width(packet) for packet in small]
    switch = widths.index(160)
    assert set(widths[:switch]) <= {320}
    assert set(widths[switch:]) == {160}
    assert small[switch].is_keyframe
    # Without a break, and without a step back in time.
    times = [packet.pts for packet in small]
    assert times == sorted(set(times), key=lambda each: each or 0)
    assert [(report.scale_down_by, report.viewers) for report in fanout.encoders] == [
        (1.0, 1),
        (2.0, 1),
    ]
    fanout.close()


async def test_a_viewer_that_comes_up_again_starts_with_a_key_frame_there() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE, rate=60))
    viewer, other = fanout.subscribe(codec="VP8"), fanout.subscribe(codec="VP8")
    await together((viewer, 3), (other, 3))
    while viewer.scale_down_by == 1.0:
        viewer.feedback(bitrate=1_000, loss=0.0, rtt=None)
        await together((viewer, 5), (other, 5))
    await together((viewer, 30), (other, 30))
    viewer._chooser.tier = viewer._tier = 0  # as after seconds of good reports
    viewer._switch_encoder()
    packets, _ = await together((viewer, 40), (other, 40))
    widths = [width(packet) for packet in packets]
    assert packets[widths.index(320)].is_keyframe
    times = [packet.pts for packet in packets]
    assert times == sorted(set(times), key=lambda each: each or 0)
    fanout.close()


async def test_sound_is_encoded_once_too() -> None:
    fanout = EncodedFanout(ToneTrack(rate=44100))
    viewers = [fanout.subscribe() for _ in range(3)]
    got = await asyncio.gather(*(take(viewer, 10) for viewer in viewers))
    assert encoders_running() == 1
    times = [packet.pts for packet in got[0]]
    gaps = {(b or 0) - (a or 0) for a, b in itertools.pairwise(times)}
    assert gaps == {960}
    decoder: Any = av.CodecContext.create("libopus", "r")
    sound = [frame for packet in got[1] for frame in decoder.decode(packet)]
    assert all(isinstance(frame, AudioFrame) for frame in sound)
    assert len(sound) == 10
    fanout.close()


async def test_the_source_ends_and_so_do_the_viewers() -> None:
    source = FedTrack()
    fanout = EncodedFanout(source)
    viewer = fanout.subscribe(codec="VP8")
    source.feed(*(picture(number, SIZE) for number in range(3)))
    await viewer.recv()
    source.end()
    with pytest.raises(MediaStreamError):
        while True:
            await viewer.recv()
    assert fanout.subscribe().readyState == "ended"
    await until(lambda: encoders_running() == 0)


async def test_the_last_viewer_ends_the_encoder_and_the_source_unless_it_is_kept() -> None:
    for keeps in (False, True):
        source = TestPatternTrack(*SIZE)
        fanout = EncodedFanout(source, stop_source=not keeps)
        viewer = fanout.subscribe(codec="VP8")
        await viewer.recv()
        viewer.stop()
        viewer.stop()
        assert fanout.subscribers == 0
        assert source.readyState == ("live" if keeps else "ended")
        await until(lambda: encoders_running() == 0)
        if keeps:
            again = fanout.subscribe(codec="VP8")
            assert (await again.recv()).is_keyframe
            fanout.close()
            source.stop()


async def test_a_picture_that_cannot_be_encoded_is_counted_and_the_next_one_is() -> None:
    source = FedTrack()
    fanout = EncodedFanout(source)
    viewer = fanout.subscribe(codec="VP8")
    source.feed(picture(0, SIZE))
    await viewer.recv()
    source.feed(picture(1, (16400, 16)))  # VP8 has 14 bits for the width
    await until(lambda: fanout.encoders[0].dropped == 1)
    source.feed(picture(2, SIZE))
    await viewer.recv()
    fanout.close()


@pytest.mark.parametrize("tiers", [(), (0.5,), (2.0, 1.0), (1.0, 1.0)])
async def test_tiers_that_make_no_sense_are_refused(tiers: tuple[float, ...]) -> None:
    with pytest.raises(InvalidParameter, match="tiers"):
        EncodedFanout(TestPatternTrack(*SIZE), tiers=tiers)


async def test_what_cannot_be_encoded_is_refused() -> None:
    fanout = EncodedFanout(TestPatternTrack(*SIZE))
    with pytest.raises(InvalidParameter, match="H264 or VP8"):
        fanout.subscribe(codec="opus")
    with pytest.raises(InvalidParameter, match="keep"):
        fanout.subscribe(keep=0)
    with pytest.raises(InvalidParameter, match="bitrate"):
        EncodedFanout(TestPatternTrack(*SIZE), bitrate=0)
    fanout.close()

"""The encoders of video, given pictures with any time; FFmpeg's decoders at the other side."""

import itertools
from collections.abc import Callable
from fractions import Fraction

import av
import pytest
from av import VideoFrame

from icefloe.encoding import VideoEncoder
from icefloe.encoding.packing import AnyPacket
from tests.helpers.times import BASE, PICTURES, Told

DECODERS = {"H264": "h264", "VP8": "vp8"}


def picture(pts: int | None, time_base: Fraction | None, *, brightness: int = 90) -> VideoFrame:
    frame = VideoFrame(64, 48, "yuv420p")
    for plane, value in zip(frame.planes, (brightness, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.pts = pts
    if time_base is not None:
        frame.time_base = time_base
    return frame


def decoded(codec: str, packets: list[AnyPacket]) -> list[int]:
    decoder = av.CodecContext.create(DECODERS[codec], "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return [frame.pts for frame in frames if frame.pts is not None]


@pytest.mark.parametrize("codec", DECODERS)
@pytest.mark.parametrize("told", PICTURES.values(), ids=PICTURES)
def test_each_picture_is_encoded_whatever_it_tells(codec: str, told: Callable[[int], Told]) -> None:
    encoder = VideoEncoder(codec)
    packets = [
        packet
        for n in range(100)
        for packet in encoder.encode(picture(*told(n), brightness=20 + 2 * n))
    ]
    assert len(packets) == 100
    assert {packet.time_base for packet in packets} == {BASE}
    assert sum(packet.is_keyframe for packet in packets) == 1
    times = decoded(codec, packets)
    assert times == [packet.pts for packet in packets]
    steps = [b - a for a, b in itertools.pairwise(times)]
    assert min(steps) > 0
    assert max(steps) <= 61 * 90000


@pytest.mark.parametrize("codec", DECODERS)
def test_a_time_that_is_given_counts_and_what_the_picture_tells_does_not(codec: str) -> None:
    encoder = VideoEncoder(codec)
    given = [10**12, 10**12 + 1500, 10**12 + 90000, 10**12 + 10**10]
    made = [encoder.encode(picture(7, BASE), at=at) for at in given]
    assert [packet.pts for packets in made for packet in packets] == given
    # What goes back all the same is taken for a mistake, which encoders would not survive.
    made = [encoder.encode(picture(7, BASE), at=at) for at in (5, 5, 0)]
    assert [packet.pts for packets in made for packet in packets] == [
        given[-1] + n for n in (1, 2, 3)
    ]


@pytest.mark.parametrize("codec", DECODERS)
def test_the_picture_keeps_its_own_time(codec: str) -> None:
    frame = picture(-5, Fraction(1, 7))
    before = [bytes(plane) for plane in frame.planes]
    VideoEncoder(codec).encode(frame, at=90)
    assert (frame.pts, frame.time_base) == (-5, Fraction(1, 7))
    assert [bytes(plane) for plane in frame.planes] == before


def test_an_encoder_that_is_opened_again_reckons_with_the_rate_that_there_was() -> None:
    encoder = VideoEncoder("VP8")
    for n in range(100):
        encoder.encode(picture(n * 9000, BASE))
    encoder.encode(picture(100 * 9000, BASE), scale_down_by=2)
    assert encoder._context is not None
    assert encoder._context.framerate == 10

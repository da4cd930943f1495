"""The benchmarks of pictures: their clock survives codecs, and they measure what runs."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av import VideoFrame

from icefloe.encoding import VideoEncoder
from tests.bench.enduring import Endured, Sample, endure
from tests.bench.glass import PAIRS, Delays, measure_pair
from tests.bench.peers.coded import BLOCKS, Painter, luma_of, read
from tests.bench.stacks import Stack

NUMBERS = (0, 1, 2, 1000, 0x5555, 0xAAAA, 0xFFFF)


def test_numbers_are_read_back() -> None:
    painter = Painter()
    assert [read(luma_of(painter.paint(number))) for number in NUMBERS] == list(NUMBERS)


@pytest.mark.parametrize(("codec", "decoder"), [("VP8", "libvpx"), ("H264", "h264")])
def test_numbers_survive_few_bits_and_small_pictures(codec: str, decoder: str) -> None:
    painter, encoder = Painter(), VideoEncoder(codec, bitrate=100_000)
    context = av.CodecContext.create(decoder, "r")
    assert isinstance(context, av.VideoCodecContext)
    found: list[VideoFrame] = []
    for i, number in enumerate(NUMBERS):
        frame = painter.paint(number)
        frame.pts, frame.time_base = 3000 * i, Fraction(1, 90000)
        for packet in encoder.encode(frame, scale_down_by=4.0):
            found += context.decode(packet)
    assert [(frame.width, frame.height) for frame in found] == [(320, 180)] * len(NUMBERS)
    assert [read(luma_of(frame)) for frame in found] == list(NUMBERS)


def test_half_a_picture_has_no_number() -> None:
    painter = Painter(BLOCKS * 2, 36)
    for number in range(0, 0xFFFF, 2999):
        old, new = (luma_of(painter.paint(n)).copy() for n in (number, number + 1))
        for cut in range(2, 2 * BLOCKS, 2):
            assert read(np.hstack((new[:, :cut], old[:, cut:]))) in (None, number, number + 1)


def test_a_gray_picture_has_no_number() -> None:
    assert read(np.full((720, 1280), 128, np.uint8)) is None


def test_pictures_that_did_not_arrive_have_no_delay() -> None:
    delays = Delays(made=40, delays=[0.01] * 10 + [0.02] * 10, size=(1280, 720))
    assert delays.arrived == 0.5
    assert delays.p50 == pytest.approx(0.015)


@pytest.mark.alone
@pytest.mark.system("netns", "iproute2")
@pytest.mark.parametrize("name", ["icefloe", "aiortc"])
async def test_pictures_between_programs_are_measured(name: str) -> None:
    await check(name, "VP8")


@pytest.mark.alone
@pytest.mark.system("netns", "iproute2", "chromium")
@pytest.mark.parametrize(("name", "codec"), [("from-chromium", "VP8"), ("to-chromium", "H264")])
async def test_pictures_from_and_to_a_page_are_measured(name: str, codec: str) -> None:
    await check(name, codec)


@pytest.mark.alone
@pytest.mark.system("netns", "iproute2", "chromium")
async def test_pictures_from_a_canvas_to_a_video_element_are_measured() -> None:
    await check("screen", "VP8")


async def check(name: str, codec: str) -> None:
    delays = await measure_pair(PAIRS[name], None, codec, 2.0, None, warm_up=0.5)
    assert 0 < len(delays.delays) <= delays.made
    # Clocks that were not matched would be apart by the age of the machine.
    assert -0.1 < delays.delays[0] < delays.delays[-1] < 10


def test_growth_counts_from_a_tenth_on() -> None:
    samples = [Sample(n * 100, 0, (50 + n, 70)) for n in range(11)]
    endured = Endured(10.0, samples)
    assert endured.at(0.5).rss == (55, 70)
    assert (endured.growth(0), endured.growth(1)) == (9, 0)


@pytest.mark.alone
@pytest.mark.system("netns", "iproute2")
@pytest.mark.parametrize("stack", [Stack.ICEFLOE, Stack.AIORTC])
async def test_frames_go_through_and_memory_is_looked_at(stack: Stack) -> None:
    endured = await endure(stack, 0.001, limit=50.0)
    last = endured.samples[-1]
    assert last.video >= 108
    assert last.audio >= 180
    assert min(last.rss) > 0

import asyncio
import itertools
import math
import time
from array import array
from fractions import Fraction

import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from icefloe.media import InvalidParameter, MediaError, TestPatternTrack, ToneTrack
from icefloe.media.sources.digits import _GLYPHS
from tests.media.manual_clock import ManualClock
from tests.media.tracks import until

WHITE = 235


def read_digits(frame: VideoFrame) -> list[str]:
    """Read both lines of digits back from the picture, looking at dots and not at how it drew."""
    plane = frame.planes[0]
    pixels = bytes(plane)
    rows = [pixels[y * plane.line_size :][: frame.width] for y in range(frame.height)]
    mark_height = max(4, min(frame.width, frame.height) // 12)
    lit = [(x, y) for y, row in enumerate(rows[:-mark_height]) for x in find_all(row, WHITE)]
    top, bottom = min(y for _, y in lit), max(y for _, y in lit) + 1
    scale = (bottom - top) // 15  # two lines of seven dots and the gap between them
    left = min(x for x, _ in lit)
    lines = []
    for line in range(2):
        text = ""
        for place in range(8):
            dots = tuple(
                "".join(
                    "#"
                    if rows[top + (line * 8 + j) * scale][left + (place * 6 + i) * scale] == WHITE
                    else " "
                    for i in range(5)
                )
                for j in range(7)
            )
            text += next((c for c, glyph in _GLYPHS.items() if glyph == dots), "?")
        lines.append(text)
    return lines


def find_all(row: bytes, value: int) -> list[int]:
    return [x for x, pixel in enumerate(row) if pixel == value]


def mark_position(frame: VideoFrame) -> int:
    plane = frame.planes[0]
    last = bytes(plane)[(frame.height - 1) * plane.line_size :][: frame.width]
    return last.index(WHITE)


def samples(frame: AudioFrame) -> "array[int]":
    values = array("h")
    values.frombytes(bytes(frame.planes[0])[: frame.samples * 2])
    return values


async def one_second(track: ToneTrack) -> "array[int]":
    values = array("h")
    for _ in range(50):
        values += samples(await track.recv())
    return values


def strength(values: "array[int]", frequency: int, rate: int) -> float:
    """Return the amplitude of one frequency, by a discrete Fourier transform at that one point."""
    turn = 2 * math.pi * frequency / rate
    real = sum(v * math.cos(turn * i) for i, v in enumerate(values))
    imaginary = sum(v * math.sin(turn * i) for i, v in enumerate(values))
    return 2 * math.hypot(real, imaginary) / len(values)


@pytest.mark.parametrize("size", [(640, 480), (320, 241), (321, 240), (1920, 1080), (1080, 1920)])
async def test_the_picture_shows_the_time_and_the_number(size: tuple[int, int]) -> None:
    moment = time.mktime((2026, 11, 23, 21, 34, 56, 0, 0, -1))
    track = TestPatternTrack(*size, clock=ManualClock(), wall_clock=lambda: moment)
    frame = await track.recv()
    assert (frame.width, frame.height, frame.format.name) == (*size, "yuv420p")
    assert read_digits(frame) == ["21:34:56", "00000000"]
    for _ in range(41):
        frame = await track.recv()
    assert read_digits(frame) == ["21:34:56", "00000041"]


@pytest.mark.parametrize("size", [(50, 32), (51, 33), (321, 241), (64, 1000), (1000, 32)])
async def test_any_size_from_the_smallest_on_can_be_drawn(size: tuple[int, int]) -> None:
    track = TestPatternTrack(*size, clock=ManualClock())
    frame = await track.recv()
    assert (frame.width, frame.height) == size
    assert len(set(bytes(frame.planes[0]))) > 8


async def test_the_mark_moves_with_every_frame_and_starts_again_after_two_seconds() -> None:
    track = TestPatternTrack(640, 480, rate=10, clock=ManualClock())
    positions = [mark_position(await track.recv()) for _ in range(21)]
    assert all(a < b for a, b in itertools.pairwise(positions[:20]))
    assert positions[0] == positions[20] == 0


@pytest.mark.parametrize("rate", [1, 15, 30, Fraction(30000, 1001), 29.97])
async def test_pictures_come_at_their_rate(rate: int | float | Fraction) -> None:
    clock = ManualClock()
    start = clock.now()
    track = TestPatternTrack(64, 48, rate, clock=clock)
    for number in range(30):
        frame = await track.recv()
        assert clock.now() - start == pytest.approx(number / rate)
        assert frame.pts == pytest.approx(number * 90000 / rate, abs=0.51)
        assert frame.time_base == Fraction(1, 90000)


async def test_a_late_reader_gets_the_newest_picture() -> None:
    clock = ManualClock(jumps=False)
    track = TestPatternTrack(rate=10, clock=clock)
    await track.recv()
    clock.advance(1.05)
    assert read_digits(await track.recv())[1] == "00000010"


async def test_a_frame_once_given_does_not_change() -> None:
    track = TestPatternTrack(64, 48, clock=ManualClock())
    first = await track.recv()
    before = bytes(first.planes[0])
    for _ in range(5):
        await track.recv()
    assert bytes(first.planes[0]) == before


async def test_cancelling_recv_loses_no_frame() -> None:
    clock = ManualClock(jumps=False)
    track = TestPatternTrack(rate=10, clock=clock)
    await track.recv()
    reader = asyncio.create_task(track.recv())
    await until(lambda: clock.waiting == 1)
    reader.cancel()
    await asyncio.wait([reader])
    clock.advance(0.1)
    assert read_digits(await track.recv())[1] == "00000001"


@pytest.mark.parametrize("make", [TestPatternTrack, ToneTrack])
async def test_stopping_ends_a_reader_that_waits(
    make: type[TestPatternTrack] | type[ToneTrack],
) -> None:
    clock = ManualClock(jumps=False)
    track = make(clock=clock)
    ended = []
    track.on("ended", lambda: ended.append(True))
    await track.recv()
    reader = asyncio.create_task(track.recv())
    await until(lambda: clock.waiting == 1)
    track.stop()
    with pytest.raises(MediaStreamError):
        await reader
    with pytest.raises(MediaStreamError):
        await track.recv()
    assert ended == [True]


async def test_on_the_real_clock_frames_come_in_real_time() -> None:
    track = TestPatternTrack(64, 48, rate=100)
    start = time.monotonic()
    frames = [await track.recv() for _ in range(11)]
    assert time.monotonic() - start >= 0.099
    assert frames[-1].pts is not None
    assert frames[-1].pts >= 9000


@pytest.mark.parametrize(
    "values",
    [
        {"width": 49},
        {"height": 31},
        {"width": 3840, "height": 2160},
        {"rate": 0},
        {"rate": -1},
        {"rate": 1001},
        {"rate": float("nan")},
    ],
)
def test_a_picture_that_cannot_be_drawn_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(InvalidParameter) as caught:
        TestPatternTrack(**values)  # type: ignore[arg-type]
    assert isinstance(caught.value, MediaError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.name in values


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
async def test_a_tone_has_its_frequency_and_level(rate: int) -> None:
    track = ToneTrack(440, level=-6.0, rate=rate, clock=ManualClock())
    values = await one_second(track)
    assert len(values) == rate
    assert strength(values, 440, rate) == pytest.approx(32767 * 10 ** (-6 / 20), rel=0.001)
    assert strength(values, 880, rate) < 5


async def test_a_tone_goes_on_without_a_click_at_the_second() -> None:
    track = ToneTrack(997, level=-10, clock=ManualClock())
    values = await one_second(track) + await one_second(track)
    steepest = 2 * math.pi * 997 / 48000 * 32767 * 10 ** (-10 / 20)
    assert max(abs(a - b) for a, b in itertools.pairwise(values)) <= steepest + 1


async def test_sound_comes_in_frames_of_20_ms() -> None:
    clock = ManualClock()
    start = clock.now()
    track = ToneTrack(clock=clock)
    for number in range(100):
        frame = await track.recv()
        assert clock.now() - start == pytest.approx(number * 0.02)
        assert (frame.samples, frame.sample_rate, frame.pts) == (960, 48000, number * 960)
        assert (frame.format.name, frame.layout.name) == ("s16", "mono")
        assert frame.time_base == Fraction(1, 48000)


async def test_a_reader_of_sound_catches_up_when_it_is_a_little_late() -> None:
    clock = ManualClock(jumps=False)
    track = ToneTrack(clock=clock)
    clock.advance(0)
    assert (await track.recv()).pts == 0
    clock.advance(0.1)
    assert [(await track.recv()).pts for _ in range(5)] == [960 * n for n in range(1, 6)]


async def test_a_reader_of_sound_skips_when_it_is_very_late() -> None:
    clock = ManualClock(jumps=False)
    track = ToneTrack(clock=clock)
    await track.recv()
    clock.advance(3600.001)
    assert (await track.recv()).pts == 3600 * 48000


async def test_a_beep_sounds_at_the_start_of_each_second_and_fades() -> None:
    track = ToneTrack(1000, beep=True, level=0, clock=ManualClock())
    values = await one_second(track)
    assert strength(values[2400:4800], 1000, 48000) == pytest.approx(32767, rel=0.001)
    assert not any(values[9600:])
    assert max(map(abs, values[:24])) < 2000
    assert max(map(abs, values[9576:9600])) < 2000
    assert await one_second(track) == values


@pytest.mark.parametrize(
    "values",
    [
        {"frequency": 0},
        {"frequency": 24000},
        {"frequency": 440.5},
        {"rate": 0},
        {"rate": 11025},
        {"level": 1},
        {"level": float("nan")},
    ],
)
def test_a_tone_that_cannot_be_made_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(InvalidParameter) as caught:
        ToneTrack(**values)  # type: ignore[arg-type]
    assert caught.value.name in values


def test_no_two_characters_look_alike() -> None:
    assert len(set(_GLYPHS.values())) == len(_GLYPHS) == 11

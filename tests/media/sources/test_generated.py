import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from icefloe.media import GeneratedAudio, GeneratedVideo, InvalidParameter
from tests.media.files import LOUDNESS, gray, read_audio, read_video, sound
from tests.media.manual_clock import ManualClock
from tests.media.tracks import until

Wrap = Callable[[Iterator[Any]], Iterator[Any] | AsyncIterator[Any]]


def plain(source: Iterator[Any]) -> Iterator[Any]:
    yield from source


async def later(source: Iterator[Any]) -> AsyncIterator[Any]:
    for item in source:
        await asyncio.sleep(0)
        yield item


both = pytest.mark.parametrize("wrap", [plain, later])


def shown(frame: VideoFrame) -> list[int]:
    """Return red, green and blue in the middle of a picture."""
    rgb = frame.to_ndarray(format="rgb24")
    return [int(v) for v in rgb[frame.height // 2, frame.width // 2]]


@both
async def test_every_picture_of_a_generator_comes_in_time(wrap: Wrap) -> None:
    canvas = np.zeros((120, 160), np.uint8)

    def draw() -> Iterator[Any]:
        for number in range(40):
            canvas[:] = gray(number)
            yield canvas  # the same array again and again

    clock = ManualClock()
    track = GeneratedVideo(wrap(draw()), 25, clock=clock)
    start = 0.0
    for number in range(40):
        # The clock jumps, so it must not run ahead of the generator.
        await until(lambda: track._lane().peek() is not None)
        frame = await track.recv()
        start = start or clock.now()
        assert frame.format.name == "yuv420p"
        assert shown(frame) == pytest.approx([gray(number)] * 3, abs=3)
        assert frame.time == pytest.approx(number / 25, abs=1e-4)
        assert clock.now() - start == pytest.approx(number / 25)
    with pytest.raises(MediaStreamError):
        await track.recv()
    assert track.readyState == "ended"
    assert track.error is None
    await track.aclose()


@pytest.mark.parametrize(
    ("shape", "order", "expected"),
    [
        ((48, 64, 3), "rgb", [200, 100, 50]),
        ((48, 64, 3), "bgr", [50, 100, 200]),
        ((48, 64, 4), "rgb", [200, 100, 50]),
        ((48, 64, 4), "bgr", [50, 100, 200]),
        ((47, 63, 3), "rgb", [200, 100, 50]),
        ((48, 64), "rgb", [200, 200, 200]),
        ((48, 64, 1), "bgr", [200, 200, 200]),
    ],
)
async def test_the_colours_of_arrays(
    shape: tuple[int, ...], order: Literal["rgb", "bgr"], expected: list[int]
) -> None:
    picture = np.zeros(shape, np.uint8)
    picture[...] = [200, 100, 50, 255][: shape[2]] if len(shape) == 3 else 200
    # A view into a wider array: its rows do not lie side by side.
    wide = np.zeros((shape[0], shape[1] * 2, *shape[2:]), np.uint8)
    wide[:, : shape[1]] = picture
    pictures = [picture, wide[:, : shape[1]]]
    track = GeneratedVideo(iter(pictures), order=order, clock=ManualClock())
    frames = await read_video(track)
    assert [(f.height, f.width) for f in frames] == [shape[:2]] * 2
    for frame in frames:
        assert shown(frame) == pytest.approx(expected, abs=4)


async def test_frames_are_copied_and_keep_their_looks() -> None:
    frame = VideoFrame(34, 22, "yuv420p")
    for plane, value in zip(frame.planes, (90, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    track = GeneratedVideo([frame, frame], clock=ManualClock())
    got = await read_video(track)
    assert len({id(f) for f in (*got, frame)}) == 3
    for copy in got:
        for mine, given in zip(copy.planes, frame.planes, strict=True):
            assert bytes(mine)[: mine.width] == bytes(given)[: given.width]


@both
async def test_sound_of_a_generator_is_cut_into_frames(wrap: Wrap) -> None:
    def speak() -> Iterator[Any]:
        for size in (1, 0, 2399, 480, 5000, 960):
            yield np.full((size, 2), LOUDNESS, np.int16)
        yield from sound(Fraction(1, 10), 44100, 0)

    clock = ManualClock()
    track = GeneratedAudio(wrap(speak()), clock=clock)
    frames: list[AudioFrame] = []
    for number in range(15):
        await until(lambda: track._lane().peek() is not None)
        frames += await read_audio(track, 1)
        assert frames[-1].pts == number * 960
    values = np.concatenate([np.frombuffer(bytes(f.planes[0]), np.int16) for f in frames])
    assert len(values) == 2 * 960 * 15
    assert (abs(values[: 2 * (8840 + 4700)] - LOUDNESS) < 100).all()
    assert await read_audio(track) == []


async def test_a_slow_generator_keeps_step_with_the_clock() -> None:
    gate = asyncio.Queue[None]()

    async def slow() -> AsyncIterator[Any]:
        while True:
            yield np.zeros((16, 16), np.uint8)
            await gate.get()

    clock = ManualClock(jumps=False)
    track = GeneratedVideo(slow(), 10, clock=clock)
    times = []
    for _ in range(4):
        times.append((await track.recv()).time)
        clock.advance(0.35)
        gate.put_nowait(None)
    assert times == pytest.approx([0.0, 0.3, 0.7, 1.0])
    await track.aclose()


async def test_a_generator_is_not_run_ahead_of_its_reader() -> None:
    made = 0

    def count() -> Iterator[Any]:
        nonlocal made
        while True:
            made += 1
            yield np.zeros((16, 16), np.uint8)

    track = GeneratedVideo(count(), clock=ManualClock())
    await track.recv()
    await until(lambda: made == 4)
    await asyncio.sleep(0.05)
    assert made == 4
    await track.aclose()


@both
async def test_an_error_ends_the_track_after_what_was_made(
    wrap: Wrap, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Iterator[Any]:
        yield np.zeros((16, 16), np.uint8)
        raise ValueError("no more paint")

    track = GeneratedVideo(wrap(fail()), clock=ManualClock())
    assert len(await read_video(track)) == 1
    assert isinstance(track.error, ValueError)
    assert "no more paint" in caplog.text
    await track.aclose()


@both
@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2), np.int16), np.zeros((0, 2)), "text"]
)
async def test_what_is_no_picture_ends_the_track(wrap: Wrap, wrong: object) -> None:
    track = GeneratedVideo(wrap(iter([wrong])), clock=ManualClock())
    assert await read_video(track) == []
    assert isinstance(track.error, InvalidParameter)


@both
async def test_stopping_closes_the_generator(wrap: Wrap) -> None:
    closed = threading.Event()

    def endless() -> Iterator[Any]:
        try:
            while True:
                yield np.zeros(480, np.int16)
        finally:
            closed.set()

    track = GeneratedAudio(wrap(endless()), clock=ManualClock())
    await track.recv()
    await track.aclose()
    await track.aclose()
    await until(closed.is_set)
    with pytest.raises(MediaStreamError):
        await track.recv()
    assert track.error is None


async def test_a_generator_that_hangs_is_left_to_itself(caplog: pytest.LogCaptureFixture) -> None:
    free, hanging = threading.Event(), threading.Event()

    def hang() -> Iterator[Any]:
        yield np.zeros((16, 16), np.uint8)
        hanging.set()
        free.wait()

    track = GeneratedVideo(hang(), clock=ManualClock())
    await track.recv()
    await until(hanging.is_set)
    with caplog.at_level(logging.WARNING):
        await track.aclose()
    assert "hangs" in caplog.text
    free.set()


@pytest.mark.parametrize(
    "make",
    [
        lambda: GeneratedVideo(5),  # type: ignore[arg-type]
        lambda: GeneratedVideo([], 0),
        lambda: GeneratedVideo([], order="yuv"),  # type: ignore[arg-type]
        lambda: GeneratedAudio(None),  # type: ignore[arg-type]
    ],
)
async def test_wrong_parameters_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidParameter):
        make()


async def test_a_track_that_is_never_read_costs_no_thread() -> None:
    before = threading.active_count()
    track = GeneratedVideo([], clock=ManualClock())
    assert threading.active_count() == before
    track.stop()

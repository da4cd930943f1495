import asyncio
import logging
import threading
from typing import Any

import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from icefloe.media import TransformTrack
from tests.media.tracks import FedTrack, numbers, picture, tone, turns, until


def enlarge(frame: VideoFrame) -> VideoFrame:
    """Return a new frame, twice as wide, without any timestamp."""
    return VideoFrame(frame.width * 2, frame.height, "yuv420p")


async def enlarge_slowly(frame: VideoFrame) -> VideoFrame:
    await asyncio.sleep(0)
    return enlarge(frame)


class Enlarger:
    async def __call__(self, frame: VideoFrame) -> VideoFrame:
        return enlarge(frame)


class Gate:
    """A function that is done with a frame when the test lets it through."""

    def __init__(self) -> None:
        self.seen: list[int | None] = []
        self.threads: set[threading.Thread] = set()
        self._permits = threading.Semaphore(0)

    def open(self, frames: int) -> None:
        self._permits.release(frames)

    def __call__(self, frame: Any) -> Any:
        self.seen.append(frame.pts)
        self.threads.add(threading.current_thread())
        self._permits.acquire()
        return frame


@pytest.mark.parametrize("function", [enlarge, enlarge_slowly, Enlarger()])
async def test_every_frame_passes_through_the_function_and_keeps_its_time(function: Any) -> None:
    source = FedTrack()
    track = TransformTrack(source, function)
    for number in range(5):
        source.feed(picture(number))
        frame = await track.recv()
        assert isinstance(frame, VideoFrame)
        assert (frame.width, frame.pts, frame.time_base) == (32, number, picture(0).time_base)
    track.stop()


async def test_a_slow_function_lowers_the_frame_rate_and_no_queue_grows() -> None:
    source, gate = FedTrack(), Gate()
    track = TransformTrack(source, gate)
    reader = asyncio.create_task(numbers(track))
    source.feed(picture(0))
    await until(lambda: gate.seen == [0])
    source.feed(*map(picture, range(1, 200)))
    await until(lambda: source.read == 200)
    assert gate.seen == [0]
    gate.open(2)
    await until(lambda: len(gate.seen) == 2)
    source.end()
    assert await reader == [0, 199]
    assert gate.seen == [0, 199]
    assert track.dropped == 198


async def test_a_slow_function_blocks_neither_the_loop_nor_other_tracks() -> None:
    source, gate = FedTrack(), Gate()
    track = TransformTrack(source, gate)
    reader = asyncio.create_task(numbers(track))
    source.feed(picture(0))
    await until(lambda: len(gate.seen) == 1)
    other = TransformTrack(FedTrack(), enlarge)
    assert isinstance(other._source, FedTrack)
    other._source.feed(picture(7))
    assert (await other.recv()).pts == 7
    other.stop()
    gate.open(1)
    source.end()
    await reader
    assert gate.threads.isdisjoint({threading.main_thread()})
    assert len(gate.threads) == 1


async def test_audio_loses_nothing_while_the_function_is_slow_for_up_to_a_second() -> None:
    source, gate = FedTrack("audio"), Gate()
    track = TransformTrack(source, gate)
    reader = asyncio.create_task(numbers(track))
    source.feed(tone(0))
    await until(lambda: len(gate.seen) == 1)
    source.feed(*map(tone, range(1, 51)))
    await until(lambda: source.read == 51)
    gate.open(51)
    await until(lambda: len(gate.seen) == 51)
    source.end()
    assert await reader == [960 * n for n in range(51)]
    assert track.dropped == 0


async def test_audio_that_waits_longer_loses_its_oldest_frames() -> None:
    source, gate = FedTrack("audio"), Gate()
    track = TransformTrack(source, gate)
    reader = asyncio.create_task(numbers(track))
    source.feed(tone(0))
    await until(lambda: len(gate.seen) == 1)
    source.feed(*map(tone, range(1, 101)))
    await until(lambda: source.read == 101)
    gate.open(200)
    await until(lambda: len(gate.seen) == 51)
    source.end()
    assert await reader == [0, *(960 * n for n in range(51, 101))]
    assert track.dropped == 50


async def test_what_a_reader_leaves_unread_is_bounded() -> None:
    source = FedTrack()
    track = TransformTrack(source, enlarge_slowly)
    source.feed(picture(0))
    await track.recv()
    for number in range(1, 50):
        source.feed(picture(number))
        await until(lambda n=number: source.read > n)  # type: ignore[misc]
    await until(lambda: track.dropped == 48)
    assert (await track.recv()).pts == 49
    track.stop()


async def test_the_function_can_be_replaced_and_taken_away() -> None:
    source = FedTrack()
    track = TransformTrack(source, None)
    widths = []
    for function in (None, enlarge, enlarge_slowly, None):
        track.function = function
        source.feed(picture(0))
        frame = await track.recv()
        assert isinstance(frame, VideoFrame)
        widths.append(frame.width)
    assert widths == [16, 32, 32, 16]
    assert track.function is None
    track.stop()


@pytest.mark.parametrize("error", [ValueError, StopIteration, TimeoutError, MediaStreamError])
async def test_the_original_passes_when_the_function_raises(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(frame: VideoFrame) -> VideoFrame:
        frame.pts = None
        raise error("no good")

    source = FedTrack()
    track = TransformTrack(source, fail)
    with caplog.at_level(logging.ERROR):
        for number in range(5):
            source.feed(original := picture(number))
            assert await track.recv() is original
            assert original.pts == number
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    assert error.__name__ in caplog.text
    track.stop()


async def test_the_original_passes_when_what_the_function_waits_for_is_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(frame: VideoFrame) -> VideoFrame:
        request = asyncio.ensure_future(asyncio.sleep(60))
        request.cancel()
        await request
        return frame

    source = FedTrack()
    track = TransformTrack(source, fail)
    with caplog.at_level(logging.ERROR):
        for number in range(3):
            source.feed(original := picture(number))
            assert await track.recv() is original
    assert "CancelledError" in caplog.text
    track.stop()


async def test_each_kind_of_failure_is_logged_once_for_each_function(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = iter([ValueError("a"), KeyError("b"), ValueError("c"), ValueError("d")])

    async def fail(frame: VideoFrame) -> VideoFrame:
        raise next(errors)

    source = FedTrack()
    track = TransformTrack(source, fail)
    with caplog.at_level(logging.ERROR):
        for number in range(4):
            if number == 3:
                track.function = fail
            source.feed(picture(number))
            await track.recv()
    logged = [str(r.exc_info[1]) for r in caplog.records if r.exc_info]
    assert logged == ["a", "'b'", "d"]
    track.stop()


@pytest.mark.parametrize("result", [None, tone(0), "frame"])
async def test_the_original_passes_when_the_function_returns_no_such_frame(
    result: object, caplog: pytest.LogCaptureFixture
) -> None:
    source = FedTrack()
    track = TransformTrack(source, lambda frame: result)  # type: ignore[arg-type]
    source.feed(original := picture(3))
    with caplog.at_level(logging.ERROR):
        assert await track.recv() is original
    assert type(result).__name__ in caplog.text
    track.stop()


async def test_it_ends_with_its_source_after_the_last_frame() -> None:
    source = FedTrack("audio")
    track = TransformTrack(source, lambda frame: frame)
    source.feed(*map(tone, range(3)))
    source.end()
    assert await numbers(track) == [0, 960, 1920]
    assert track.readyState == "ended"


async def test_the_source_is_not_read_before_the_track_is() -> None:
    source = FedTrack()
    source.feed(picture(0))
    track = TransformTrack(source, enlarge)
    await turns()
    assert source.read == 0
    track.stop()
    assert source.readyState == "ended"


async def test_stopping_ends_a_reader_that_waits_and_the_source() -> None:
    source = FedTrack()
    track = TransformTrack(source, enlarge)
    reader = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    track.stop()
    track.stop()
    with pytest.raises(MediaStreamError):
        await reader
    assert source.readyState == "ended"


async def test_stopping_does_not_wait_for_the_function() -> None:
    source, gate = FedTrack(), Gate()
    track = TransformTrack(source, gate)
    reader = asyncio.create_task(numbers(track))
    source.feed(picture(0))
    await until(lambda: len(gate.seen) == 1)
    track.stop()
    assert await reader == []
    gate.open(1)
    thread = gate.threads.pop()
    await until(lambda: not thread.is_alive())


async def test_a_function_on_the_loop_is_cancelled_when_the_track_stops() -> None:
    cancelled = []
    begun = asyncio.Event()

    async def wait(frame: AudioFrame) -> AudioFrame:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(frame.pts)
            raise
        return frame

    source = FedTrack("audio")
    track = TransformTrack(source, wait)
    reader = asyncio.create_task(numbers(track))
    source.feed(tone(0))
    await begun.wait()
    track.stop()
    assert await reader == []
    await until(lambda: cancelled == [0])

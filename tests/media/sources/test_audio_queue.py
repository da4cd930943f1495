import asyncio
import gc
from array import array
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from icefloe.media import AudioQueue, InvalidParameter, QueuedAudio, TrackEnded
from tests.media.manual_clock import ManualClock
from tests.media.tracks import until


def wave(seconds: float, rate: int, hertz: float = 200.0) -> npt.NDArray[np.float32]:
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def loud(samples: int) -> "array[int]":
    return array("h", [8000]) * samples


async def read(queue: AudioQueue, count: int) -> npt.NDArray[np.int16]:
    """Read frames, and check that each has the format and the time that are promised."""
    parts = []
    for _ in range(count):
        frame = await queue.recv()
        assert isinstance(frame, AudioFrame)
        assert (frame.format.name, frame.sample_rate, frame.samples) == ("s16", 48000, 960)
        assert frame.time_base == Fraction(1, 48000)
        parts.append(np.frombuffer(bytes(frame.planes[0]), np.int16))
    return np.concatenate(parts)


async def test_silence_comes_at_the_pace_of_the_clock_when_there_is_nothing() -> None:
    clock = ManualClock()
    queue = AudioQueue(clock=clock)
    start = clock.now()
    for number in range(5):
        frame = await queue.recv()
        assert frame.pts == 960 * number
        assert clock.now() - start == pytest.approx(0.02 * number)
        assert not any(bytes(frame.planes[0]))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000, 96000])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
async def test_sound_of_any_rate_and_type_comes_out_as_it_was(
    rate: int, dtype: Literal["int16", "float32"]
) -> None:
    given = wave(0.5, rate)
    pcm = (given * 32767).astype(np.int16) if dtype == "int16" else given
    for form in (pcm, pcm.tobytes(), pcm.data):
        queue = AudioQueue(clock=ManualClock())
        piece = await queue.push(form, rate, dtype=dtype)
        heard = await read(queue, 26)
        assert piece.finished
        assert piece.played == pytest.approx(0.5, abs=0.002)
        expected = wave(0.5, 48000) * 32767
        middle = slice(2400, 21600)
        assert np.abs(heard[middle] - expected[middle]).max() < 250


@pytest.mark.parametrize("size", [1, 7, 159, 160, 1000, 4801])
async def test_pieces_of_any_size_follow_each_other_without_a_seam(size: int) -> None:
    given = wave(0.4, 16000)
    queue = AudioQueue(clock=ManualClock())
    for start in range(0, len(given), size):
        await queue.push(given[start : start + size], 16000)
    heard = await read(queue, 21)
    expected = wave(0.4, 48000) * 32767
    assert np.abs(heard[960:18200] - expected[960:18200]).max() < 250


async def test_stereo_is_mixed_down_or_kept() -> None:
    both = np.column_stack([np.full(4800, 6000), np.full(4800, 2000)]).astype(np.int16)
    mono = AudioQueue(clock=ManualClock())
    await mono.push(both, 48000)
    assert set(await read(mono, 2)) == {4000}
    stereo = AudioQueue(channels=2, clock=ManualClock())
    await stereo.push(both.tobytes(), 48000, channels=2)
    assert (await read(stereo, 2)).reshape(-1, 2).tolist() == [[6000, 2000]] * 1920


async def test_an_array_that_is_a_view_is_read_right() -> None:
    queue = AudioQueue(clock=ManualClock())
    samples = np.arange(1920, dtype=np.int16)
    await queue.push(samples[::2], 48000)
    assert (await read(queue, 1)).tolist() == samples[::2].tolist()


@pytest.mark.parametrize(
    ("pcm", "options", "name"),
    [
        (b"123", {}, "pcm"),
        ([1, 2], {}, "pcm"),
        (np.zeros(4, np.float64), {}, "pcm"),
        (np.zeros((2, 2, 2), np.int16), {}, "pcm"),
        (np.zeros((2, 9), np.int16), {}, "channels"),
        (np.zeros((2, 2), np.int16), {"channels": 1}, "channels"),
        (np.zeros(2, np.int16), {"dtype": "float32"}, "dtype"),
        (b"", {"dtype": "int8"}, "dtype"),
        (b"", {"rate": 0}, "rate"),
    ],
)
async def test_other_layouts_are_refused(pcm: bytes, options: dict[str, object], name: str) -> None:
    queue = AudioQueue(clock=ManualClock())
    arguments: dict[str, object] = {"rate": 48000, **options}
    with pytest.raises(InvalidParameter) as caught:
        await queue.push(pcm, **arguments)  # type: ignore[arg-type]
    assert caught.value.name == name
    with pytest.raises(InvalidParameter):
        queue.try_push(pcm, **arguments)  # type: ignore[arg-type]
    for parameters in ({"capacity": 0}, {"channels": 3}):
        with pytest.raises(InvalidParameter):
            AudioQueue(**parameters)  # type: ignore[arg-type]


async def test_clear_is_heard_with_the_next_frame() -> None:
    queue = AudioQueue(clock=ManualClock())
    first = await queue.push(loud(48000), 48000)
    second = await queue.push(loud(48000), 48000)
    assert set(await read(queue, 60)) == {8000}
    assert await first.wait()
    assert queue.clear() == pytest.approx(0.8)
    assert not (await read(queue, 3)).any()
    assert second.cleared
    assert not await second.wait()
    assert second.played == pytest.approx(0.2)
    # What comes after that is heard, at a time that has gone on.
    third = await queue.push(loud(960), 48000)
    frame = await queue.recv()
    assert frame.pts == 63 * 960
    assert bytes(frame.planes[0]) == loud(960).tobytes()
    assert await third.wait()


async def test_a_full_queue_makes_push_wait_and_try_push_refuse() -> None:
    queue = AudioQueue(capacity=1.5, clock=ManualClock())
    pushing = asyncio.create_task(queue.push(loud(48000 * 5), 48000))
    await until(lambda: queue.buffered == 1.0)
    assert queue.try_push(loud(480), 48000) is None
    played = 0
    while not pushing.done():
        # The clock jumps, so it must not run ahead of the thread that converts.
        await until(lambda: queue.buffered > 0 or pushing.done())
        if not pushing.done():
            assert queue.buffered <= 1.5
            assert set(await read(queue, 1)) == {8000}
            played += 1
    piece = await pushing
    assert not piece.finished
    assert played / 50 + queue.buffered == pytest.approx(5)
    while queue.buffered > 0.5:
        await read(queue, 1)
    assert queue.try_push(loud(48000), 48000)
    assert queue.try_push(loud(48000), 48000) is None
    with pytest.raises(InvalidParameter):
        queue.try_push(loud(48001), 48000)
    assert set(await read(queue, 75)) == {8000}
    assert await piece.wait()


async def test_clear_releases_a_push_that_waits() -> None:
    queue = AudioQueue(capacity=1.0, clock=ManualClock())
    pushing = asyncio.create_task(queue.push(loud(48000 * 60), 48000))
    await until(lambda: queue.buffered == 1.0)
    queue.clear()
    piece = await pushing
    assert piece.cleared
    assert queue.buffered == 0
    assert not (await read(queue, 2)).any()


@pytest.mark.parametrize("cancel", [True, False])
async def test_a_push_that_ends_early_lets_the_next_one_in(cancel: bool) -> None:
    queue = AudioQueue(capacity=1.0, clock=ManualClock())
    pushing = asyncio.create_task(queue.push(wave(60, 44100), 44100))
    # One turn: its thread converts the first second.
    await asyncio.sleep(0)
    if cancel:
        pushing.cancel()
    else:
        queue.clear()
    await asyncio.wait([pushing])
    await queue.push(loud(4410), 44100)
    heard = await read(queue, 3)
    assert (abs(heard[100:] - 8000) < 100).all()


async def test_drain_waits_for_the_last_sample() -> None:
    queue = AudioQueue(clock=ManualClock())
    await queue.drain()
    piece = await queue.push(loud(2400), 48000)
    draining = asyncio.create_task(queue.drain())
    await read(queue, 2)
    await asyncio.sleep(0)
    assert not draining.done()
    last = await read(queue, 1)
    await draining
    assert piece.finished
    assert (last[:480] == 8000).all()
    assert not last[480:].any()


async def test_sound_goes_on_after_its_reader_was_late() -> None:
    clock = ManualClock(jumps=False)
    queue = AudioQueue(clock=clock)
    await queue.push(np.arange(4800, dtype=np.int16), 48000)
    first = await queue.recv()
    clock.advance(5.0)
    second = await queue.recv()
    assert (first.pts, second.pts) == (0, 250 * 960)
    assert np.frombuffer(bytes(second.planes[0]), np.int16)[0] == 960


async def test_stopping_ends_everything_that_waits() -> None:
    clock = ManualClock(jumps=False)
    queue = AudioQueue(capacity=1.0, clock=clock)
    await queue.recv()
    reading = asyncio.create_task(queue.recv())
    pushing = asyncio.create_task(queue.push(loud(48000 * 9), 48000))
    await until(lambda: queue.buffered == 1.0)
    draining = asyncio.create_task(queue.drain())
    await asyncio.sleep(0)
    queue.stop()
    with pytest.raises(MediaStreamError):
        await reading
    with pytest.raises(TrackEnded):
        await pushing
    await draining
    for late in (queue.push(b"12", 48000), queue.push(loud(48000), 48000)):
        with pytest.raises(TrackEnded):
            await late
    with pytest.raises(TrackEnded):
        queue.try_push(b"12", 48000)


async def test_nothing_is_kept_of_what_was_played() -> None:
    queue = AudioQueue(clock=ManualClock())
    for _ in range(200):
        await queue.push(loud(960), 48000)
        await queue.recv()
    gc.collect()
    assert sum(type(each) is QueuedAudio for each in gc.get_objects()) <= 2
    assert queue.buffered == 0

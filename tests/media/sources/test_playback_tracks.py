"""Jumps, pauses and speeds of a file, and how it loops."""

import asyncio
import gc
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from icefloe.media import FileSource, InvalidParameter, NotSeekable, TrackEnded
from tests.media.files import (
    LOUDNESS,
    brightness,
    gray,
    make,
    played,
    read_audio,
    read_both,
    read_video,
)
from tests.media.manual_clock import ManualClock
from tests.media.tracks import threads, turns, until

CODECS = pytest.mark.parametrize(
    ("name", "codec", "audio_codec"),
    [
        ("film.mp4", "libx264", "aac"),
        ("film.mkv", "libx264", "pcm_s16le"),
        ("film.webm", "libvpx", "libopus"),
    ],
)


@asynccontextmanager
async def film(
    path: Path, seconds: int = 4, *, loop: bool = False, **options: str
) -> AsyncIterator[tuple[FileSource, ManualClock]]:
    """A file in which the brightness of a picture tells its number, with sound all along."""
    options = {"codec": "libx264", "audio_codec": "aac", **options}
    make(
        path,
        frames=30 * seconds,
        audio=Fraction(seconds),
        codec=options["codec"],
        audio_codec=options["audio_codec"],
        b_frames=2,
    )
    clock = ManualClock()
    async with await FileSource.open(path, loop=loop, clock=clock) as source:
        yield source, clock


def numbers(frames: list[VideoFrame]) -> list[int]:
    return [brightness(frame) for frame in frames]


def loudness(frames: list[AudioFrame]) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    return np.concatenate([np.frombuffer(bytes(f.planes[0]), np.int16)[: 2 * 960] for f in frames])


def check_times(heard: list[AudioFrame], seen: list[VideoFrame]) -> None:
    """Check that both kinds have times that only grow, and go on where the last ones were."""
    for frames, step in ((heard, 0.02), (seen, 1 / 30)):
        times = [float(f.time or 0) for f in frames]
        assert all(0 < b - a < 3 * step for a, b in itertools.pairwise(times)), times


@CODECS
@pytest.mark.parametrize("target", [0.0, 0.1, 1.0, 2.55, 3.9])
async def test_a_jump_is_exact_to_the_picture(
    tmp_path: Path, name: str, codec: str, audio_codec: str, target: float
) -> None:
    async with film(tmp_path / name, codec=codec, audio_codec=audio_codec) as (source, _):
        assert source.seekable
        assert source.duration == pytest.approx(4, abs=0.05)
        before = await read_both_for(source, 1.0)
        assert source.position == pytest.approx(1.0, abs=0.05)
        source.seek(target)
        assert source.position == pytest.approx(target)
        heard, seen = await read_both(source.audio, source.video)
        first = int(target * 30 + 0.02)
        assert numbers(seen) == pytest.approx([gray(n) for n in range(first, 120)], abs=3)
        assert len(heard) == pytest.approx((4 - target) * 50, abs=3)
        assert abs(float(heard[0].time or 0) - float(seen[0].time or 0)) <= 0.002
        check_times([*before[0], *heard], [*before[1], *seen])
        assert source.error is None


async def read_both_for(
    source: FileSource, seconds: float
) -> tuple[list[AudioFrame], list[VideoFrame]]:
    """Read so much of both tracks in the order of their time, since the clock jumps."""
    assert source.audio is not None
    assert source.video is not None
    heard: list[AudioFrame] = []
    seen: list[VideoFrame] = []
    while len(heard) < seconds * 50 or len(seen) < seconds * 30:
        if len(heard) / 50 <= len(seen) / 30:
            sound = await source.audio.recv()
            assert isinstance(sound, AudioFrame)
            heard.append(sound)
        else:
            picture = await source.video.recv()
            assert isinstance(picture, VideoFrame)
            seen.append(picture)
    return heard, seen


async def test_a_jump_back_after_all_was_decoded_starts_a_thread(tmp_path: Path) -> None:
    async with film(tmp_path / "film.mp4", 1) as (source, _):
        await until(lambda: not threads())
        for _ in range(3):
            assert numbers(await read_video(source.video, 5)) == pytest.approx(
                [gray(n) for n in range(5)], abs=3
            )
            source.seek(0)
        heard, seen = await read_both(source.audio, source.video)
        assert len(seen) == 30
        assert len(heard) == pytest.approx(50, abs=3)


async def test_many_jumps_at_once_end_at_the_last_one(tmp_path: Path) -> None:
    async with film(tmp_path / "film.mp4") as (source, _):
        await read_both_for(source, 0.2)
        for number in range(50):
            source.seek(3.9 - number / 20)
            if number % 7 == 0:
                await asyncio.sleep(0.002)
        source.seek(2)
        seen = await read_video(source.video, 10)
        assert numbers(seen) == pytest.approx([gray(n) for n in range(60, 70)], abs=3)


async def test_a_jump_wakes_readers_that_wait_for_their_time(tmp_path: Path) -> None:
    path = make(tmp_path / "slides.mkv", frames=8, rate=1, codec="libx264")
    clock = ManualClock(jumps=False)
    async with await FileSource.open(path, clock=clock) as source:
        assert source.video is not None
        await source.video.recv()
        reader = asyncio.create_task(source.video.recv())
        await until(lambda: clock.waiting == 1)
        source.seek(5)
        clock.advance(0.02)
        frame = await reader
        assert isinstance(frame, VideoFrame)
        assert brightness(frame) == pytest.approx(gray(5), abs=3)


async def test_what_cannot_be_jumped_to(tmp_path: Path) -> None:
    async with film(tmp_path / "film.mp4", 1) as (source, _):
        for wrong in (-1.0, float("nan")):
            with pytest.raises(InvalidParameter):
                source.seek(wrong)
        source.seek(1000)
        assert len(await read_video(source.video)) <= 1
        assert len(await read_audio(source.audio)) <= 2
        with pytest.raises(TrackEnded):
            source.seek(0)


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.8, 1.5, 2.0, 4.0])
async def test_a_rate_changes_the_pace_and_not_the_pitch(tmp_path: Path, rate: float) -> None:
    path = tmp_path / "film.mkv"
    make(path, frames=120, audio=Fraction(4), codec="libx264", audio_codec="pcm_s16le")
    clock = ManualClock()
    async with await FileSource.open(path, clock=clock) as source:
        source.rate = rate
        assert source.rate == rate
        start = clock.now()
        seen = await read_video(source.video)
        assert numbers(seen) == pytest.approx([gray(n) for n in range(120)], abs=3)
        assert [float(f.time or 0) for f in seen] == pytest.approx(
            [n / 30 / rate for n in range(120)], abs=1e-3 / rate
        )
        assert clock.now() - start == pytest.approx(4 / rate, abs=0.2)
    async with await FileSource.open(path, clock=clock) as source:
        source.rate = rate
        heard = await read_audio(source.audio)
        assert len(heard) == pytest.approx(200 / rate, abs=5)
        values = loudness(heard)
        assert (abs(values[4800:-9600].astype(int) - LOUDNESS) < 400).all()


async def test_the_pitch_stays_when_the_speed_changes() -> None:
    from icefloe.media.sources.tempo import Tempo

    tone = (np.sin(np.arange(48000 * 2) * 2 * np.pi * 440 / 48000) * 8000).astype(np.int16)
    tempo = Tempo(Fraction(3, 2))
    out = tempo.push(np.column_stack([tone, tone]).tobytes()) + tempo.finish()
    heard = np.frombuffer(out, np.int16)[::2]
    assert len(heard) == pytest.approx(48000 * 2 / 1.5, abs=2400)
    spectrum = np.abs(np.fft.rfft(heard[:48000]))
    assert int(spectrum.argmax()) == pytest.approx(440, abs=2)


async def test_a_rate_that_changes_on_the_way_goes_on_where_it_was(tmp_path: Path) -> None:
    async with film(tmp_path / "film.mp4") as (source, clock):
        before = await read_both_for(source, 1.0)
        source.rate = 2.0
        start = clock.now()
        heard, seen = await read_both(source.audio, source.video)
        assert clock.now() - start == pytest.approx(1.5, abs=0.1)
        assert abs(len(before[1]) + len(seen) - 120) <= 1
        check_times([*before[0], *heard], [*before[1], *seen])
        for wrong in (0.0, 0.2, 5.0, -1.0, float("nan")):
            with pytest.raises(InvalidParameter):
                source.rate = wrong


async def test_a_pause_stops_both_and_is_in_the_timestamps(tmp_path: Path) -> None:
    async with film(tmp_path / "film.mp4") as (source, clock):
        heard, seen = await read_both_for(source, 1.0)
        source.pause()
        source.pause()
        assert source.paused
        assert source.audio is not None
        assert source.video is not None
        waiting = [asyncio.create_task(t.recv()) for t in (source.audio, source.video)]
        await until(lambda: all(played(t).lane.queued for t in (source.audio, source.video)))
        await turns()
        assert not any(task.done() for task in waiting)
        clock.advance(10.5)
        start = clock.now()
        source.resume()
        source.resume()
        assert not source.paused
        sound, picture = [await task for task in waiting]
        assert isinstance(sound, AudioFrame)
        assert isinstance(picture, VideoFrame)
        assert clock.now() - start < 0.05
        assert float(sound.time or 0) - float(heard[-1].time or 0) == pytest.approx(10.52)
        assert float(picture.time or 0) - float(seen[-1].time or 0) == pytest.approx(
            10.5 + 1 / 30, abs=1e-3
        )
        rest = await read_both_for(source, 1.0)
        assert numbers(rest[1]) == pytest.approx([gray(n) for n in range(31, 61)], abs=3)


async def test_a_pause_before_the_start_and_a_jump_in_a_pause(tmp_path: Path) -> None:
    async with film(tmp_path / "film.mp4") as (source, clock):
        source.pause()
        source.seek(2)
        clock.advance(60)
        source.resume()
        assert numbers(await read_video(source.video, 2)) == pytest.approx(
            [gray(60), gray(61)], abs=3
        )
        source.pause()
        source.seek(1)
        reader = asyncio.create_task(read_video(source.video, 1))
        await until(lambda: played(source.video).lane.queued > 0)
        await turns()
        assert not reader.done()
        source.resume()
        assert numbers(await reader) == pytest.approx([gray(30)], abs=3)


async def test_closing_ends_readers_in_a_pause(tmp_path: Path) -> None:
    async with film(tmp_path / "film.mp4") as (source, _):
        source.pause()
        assert source.video is not None
        reader = asyncio.create_task(source.video.recv())
        await asyncio.sleep(0)
        await source.aclose()
        with pytest.raises(MediaStreamError):
            await reader


async def test_what_has_no_length_is_not_seekable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mkv")
    content = make(tmp_path / "voice.mkv", audio=Fraction(1), audio_codec="pcm_s16le").read_bytes()
    # The length stands at the end of what a live encoder writes, and is missing here.
    at = content.index(b"\x44\x89\x88")
    content = content[:at] + b"\xec\x89" + content[at + 2 :]
    writing = os.open(tmp_path / "pipe.mkv", os.O_RDWR)
    try:
        os.write(writing, content[:60_000])
        async with await FileSource.open(tmp_path / "pipe.mkv", clock=ManualClock()) as source:
            assert source.duration is None
            assert not source.seekable
            with pytest.raises(NotSeekable):
                source.seek(0)
            with pytest.raises(NotSeekable):
                source.rate = 2
    finally:
        os.close(writing)


def resident() -> int:
    """Return how many bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_a_hundred_rounds_with_every_frame_in_time_and_no_more_memory(
    tmp_path: Path,
) -> None:
    async with film(tmp_path / "film.mkv", 1, loop=True, audio_codec="pcm_s16le") as (
        source,
        clock,
    ):
        assert source.video is not None
        assert source.audio is not None
        start = clock.now()
        shown = heard = 0
        memory = 0
        for round_ in range(100):
            while shown < 30 * (round_ + 1):
                while heard / 50 <= shown / 30:
                    sound = await source.audio.recv()
                    assert isinstance(sound, AudioFrame)
                    assert sound.pts == heard * 960
                    assert bytes(sound.planes[0])[:4] == LOUDNESS.to_bytes(2, "little") * 2
                    heard += 1
                frame = await source.video.recv()
                assert isinstance(frame, VideoFrame)
                assert brightness(frame) == pytest.approx(gray(shown % 30), abs=3)
                assert float(frame.time) == pytest.approx(shown / 30, abs=2e-3)
                assert clock.now() - start == pytest.approx(frame.time, abs=0.025)
                shown += 1
            if round_ == 20:
                gc.collect()
                memory = resident()
        gc.collect()
        assert resident() - memory < 8 * 1024 * 1024
        assert source.error is None

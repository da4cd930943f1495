import asyncio
import itertools
import logging
import os
import threading
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from icefloe.media import FileSource, MediaError, SourceNotFound, SourceTimeout, SourceUnreadable
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
from tests.media.tracks import threads, until, until_idle


def samples(frames: list[AudioFrame]) -> "array[int]":
    values = array("h")
    for frame in frames:
        values.frombytes(bytes(frame.planes[0])[: frame.samples * 4])
    return values


def check_audio(frames: list[AudioFrame]) -> None:
    """Check that audio has the promised format and not one sample too few or too many."""
    for number, frame in enumerate(frames):
        assert (frame.format.name, frame.layout.name) == ("s16", "stereo")
        assert (frame.sample_rate, frame.samples) == (48000, 960)
        assert (frame.pts, frame.time_base) == (number * 960, Fraction(1, 48000))


@asynccontextmanager
async def pipe(path: Path) -> AsyncIterator[int]:
    """A named pipe that is open for writing, so that a reader waits and does not see its end."""
    os.mkfifo(path)
    # Opening for both directions does not wait for the other side.
    writing = os.open(path, os.O_RDWR)
    try:
        yield writing
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    ("name", "codec", "audio_codec", "b_frames"),
    [("film.webm", "libvpx", "libopus", 0), ("film.mp4", "libx264", "aac", 3)],
)
async def test_every_frame_arrives_in_order_and_in_time(
    tmp_path: Path, name: str, codec: str, audio_codec: str, b_frames: int
) -> None:
    path = make(
        tmp_path / name,
        frames=45,
        audio=Fraction(3, 2),
        codec=codec,
        audio_codec=audio_codec,
        b_frames=b_frames,
    )
    async with await FileSource.open(path, clock=ManualClock()) as source:
        heard, seen = await read_both(source.audio, source.video)
        assert source.error is None
    assert [brightness(f) for f in seen] == pytest.approx([gray(n) for n in range(45)], abs=3)
    assert [float(f.time or 0) for f in seen] == pytest.approx(
        [n / 30 for n in range(45)], abs=2e-3
    )
    assert all(a.pts < b.pts for a, b in itertools.pairwise(seen) if a.pts is not None and b.pts)
    check_audio(heard)
    assert 74 <= len(heard) <= 77


async def test_frames_come_at_the_pace_of_the_clock(tmp_path: Path) -> None:
    path = make(tmp_path / "film.webm", frames=60)
    clock = ManualClock()
    async with await FileSource.open(path, clock=clock) as source:
        start = clock.now()
        for _ in range(60):
            (frame,) = await read_video(source.video, 1)
            assert clock.now() - start == pytest.approx(frame.time)


async def test_audio_of_another_rate_is_resampled_to_the_last_sample(tmp_path: Path) -> None:
    path = make(
        tmp_path / "voice.wav", audio=Fraction(1), audio_codec="pcm_s16le", audio_rate=44100
    )
    async with await FileSource.open(path, clock=ManualClock()) as source:
        assert source.video is None
        frames = await read_audio(source.audio)
    check_audio(frames)
    loud = sum(abs(v - LOUDNESS) < 100 for v in samples(frames))
    assert len(frames) == 50
    assert loud == pytest.approx(2 * 48000, abs=200)


async def test_the_last_frame_of_audio_is_filled_up_with_silence(tmp_path: Path) -> None:
    path = make(tmp_path / "voice.wav", audio=Fraction(25, 1000), audio_codec="pcm_s16le")
    async with await FileSource.open(path, clock=ManualClock()) as source:
        frames = await read_audio(source.audio)
    check_audio(frames)
    assert samples(frames) == array("h", [LOUDNESS] * 2400 + [0] * 1440)


async def test_silence_stands_where_the_file_has_no_sound_yet(tmp_path: Path) -> None:
    path = make(
        tmp_path / "film.mkv",
        frames=60,
        audio=Fraction(1, 2),
        audio_codec="pcm_s16le",
        audio_start=Fraction(1),
    )
    async with await FileSource.open(path, clock=ManualClock()) as source:
        heard, seen = await read_both(source.audio, source.video)
    assert len(seen) == 60
    check_audio(heard)
    values = samples(heard)
    assert not any(values[: 2 * 47900])
    assert all(v == LOUDNESS for v in values[2 * 48100 : 2 * 71900])


async def test_video_without_audio_of_an_odd_size(tmp_path: Path) -> None:
    path = make(tmp_path / "film.webm", frames=10, size=(321, 241))
    async with await FileSource.open(path, clock=ManualClock()) as source:
        assert source.audio is None
        frames = await read_video(source.video)
    assert [(f.width, f.height) for f in frames] == [(321, 241)] * 10


@pytest.mark.parametrize("name", ["two words.webm", "größe 映画.webm", "10:30.webm", "-x%20y.webm"])
async def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / "plain.webm", frames=3).rename(tmp_path / name)
    for given in (path, str(path)):
        async with await FileSource.open(given, clock=ManualClock()) as source:
            assert len(await read_video(source.video)) == 3


async def test_a_relative_path_is_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "film.webm", frames=3)
    monkeypatch.chdir(tmp_path)
    async with await FileSource.open("film.webm", clock=ManualClock()) as source:
        assert len(await read_video(source.video)) == 3


async def test_a_missing_file_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound) as caught:
        await FileSource.open(tmp_path / "no such file.mp4")
    assert isinstance(caught.value, FileNotFoundError)
    assert isinstance(caught.value, MediaError)
    assert caught.value.path == str(tmp_path / "no such file.mp4")
    assert "check the path" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.mp4", b""),
        ("empty.wav", b""),
        ("garbage.webm", bytes(range(256)) * 64),
        ("text.mp4", b"not a film\n" * 100),
        ("header.wav", b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"),
    ],
)
async def test_what_is_no_media_is_refused_with_a_reason(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceUnreadable) as caught:
        await FileSource.open(path)
    assert caught.value.path == str(path)
    assert caught.value.reason
    assert "ffprobe" in str(caught.value)


async def test_a_film_of_which_no_frame_can_be_decoded_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mp4", frames=30, codec="libx264")
    content = path.read_bytes()
    start = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4
    path.write_bytes(content[:start] + b"\xff" * (end - start) + content[end:])
    for loop in (False, True):
        with pytest.raises(SourceUnreadable):
            await FileSource.open(path, loop=loop)


async def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable):
        await FileSource.open(tmp_path)


async def test_a_protocol_that_nobody_knows_is_refused() -> None:
    with pytest.raises(SourceUnreadable):
        await FileSource.open("nonsense://127.0.0.1/film.mp4")


async def test_a_damaged_part_is_left_out_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make(tmp_path / "film.mp4", frames=60, codec="libx264", size=(320, 240))
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    length = content.index(b"moov") - 4 - start
    content[start + length // 2 : start + length * 3 // 4] = b"\xff" * (
        length * 3 // 4 - length // 2
    )
    path.write_bytes(content)
    async with await FileSource.open(path, clock=ManualClock()) as source:
        frames = await read_video(source.video)
        assert source.error is None
    assert 10 < len(frames) < 60
    assert sum("damaged" in r.message for r in caplog.records) == 1


async def test_a_loop_goes_on_with_growing_timestamps_and_the_same_pace(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mp4", frames=15, codec="libx264", b_frames=3)
    clock = ManualClock()
    async with await FileSource.open(path, loop=True, clock=clock) as source:
        assert source.video is not None
        start = clock.now()
        for number in range(15 * 4):
            (frame,) = await read_video(source.video, 1)
            assert brightness(frame) == pytest.approx(gray(number % 15), abs=3)
            assert float(frame.time) == pytest.approx(number / 30, abs=1e-4)
            assert clock.now() - start == pytest.approx(frame.time)


async def test_a_loop_of_sound_has_no_seam(tmp_path: Path) -> None:
    path = make(tmp_path / "voice.wav", audio=Fraction(333, 1000), audio_codec="pcm_s16le")
    async with await FileSource.open(path, loop=True, clock=ManualClock()) as source:
        frames = await read_audio(source.audio, 100)
    check_audio(frames)
    assert set(samples(frames)) == {LOUDNESS}


async def test_both_tracks_of_a_loop_stay_in_step(tmp_path: Path) -> None:
    # The sound of each round is shorter than its picture: silence is to fill the rest.
    path = make(tmp_path / "film.mkv", frames=30, audio=Fraction(1, 2), audio_codec="pcm_s16le")
    async with await FileSource.open(path, loop=True, clock=ManualClock()) as source:
        assert source.audio is not None
        heard: list[AudioFrame] = []
        shown = 0
        while len(heard) < 50 * 4:
            heard += await read_audio(source.audio, 1)
            while shown / 30 < len(heard) / 50:
                (frame,) = await read_video(source.video, 1)
                assert brightness(frame) == pytest.approx(gray(shown % 30), abs=3)
                assert float(frame.time) == pytest.approx(shown / 30, abs=0.01)
                shown += 1
    check_audio(heard)
    values = samples(heard)
    for start in (1, 2, 3):
        rise = next(i for i in range((start * 48000 - 9600) * 2, len(values)) if values[i])
        assert rise / 2 / 48000 == pytest.approx(start, abs=0.045)


async def test_an_unread_picture_does_not_stall_the_sound_nor_grow(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mkv", frames=300, audio=Fraction(10), audio_codec="pcm_s16le")
    async with await FileSource.open(path, clock=ManualClock()) as source:
        frames = await read_audio(source.audio)
        lane = played(source.video).lane
        assert (lane.queued, lane.dropped) == (48, 300 - 48)
        assert source.video is not None
        assert source.video.readyState == "live"
    check_audio(frames)
    assert len(frames) == 500


async def test_unread_sound_does_not_stall_the_picture_nor_grow(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mkv", frames=300, audio=Fraction(10), audio_codec="pcm_s16le")
    async with await FileSource.open(path, clock=ManualClock()) as source:
        frames = await read_video(source.video)
        lane = played(source.audio).lane
        assert (lane.queued, lane.dropped) == (100, 400)
    assert len(frames) == 300


async def test_nothing_is_decoded_for_a_track_that_was_stopped(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mkv", frames=90, audio=Fraction(3), audio_codec="pcm_s16le")
    async with await FileSource.open(path, clock=ManualClock()) as source:
        assert source.video is not None
        source.video.stop()
        assert len(await read_audio(source.audio)) == 150
        with pytest.raises(MediaStreamError):
            await source.video.recv()


async def test_large_pictures_are_decoded_less_far_ahead(tmp_path: Path) -> None:
    path = make(tmp_path / "film.webm", frames=30, size=(1920, 1080))
    async with await FileSource.open(path, clock=ManualClock()) as source:
        lane = played(source.video).lane
        await until(lambda: lane.queued >= lane.capacity)
        assert lane.capacity * 1920 * 1080 * 1.5 <= 64 * 1024 * 1024
        assert len(await read_video(source.video)) == 30


async def test_a_late_reader_of_pictures_skips_to_the_newest(tmp_path: Path) -> None:
    path = make(tmp_path / "film.webm", frames=40)
    clock = ManualClock(jumps=False)
    async with await FileSource.open(path, clock=clock) as source:
        await until(lambda: not threads())
        (first,) = await read_video(source.video, 1)
        clock.advance(1.01)
        (late,) = await read_video(source.video, 1)
    assert first.pts == 0
    assert late.time == pytest.approx(1.0)


async def test_a_late_reader_of_sound_catches_up(tmp_path: Path) -> None:
    path = make(tmp_path / "voice.wav", audio=Fraction(1), audio_codec="pcm_s16le")
    clock = ManualClock(jumps=False)
    async with await FileSource.open(path, clock=clock) as source:
        await until(lambda: not threads())
        await read_audio(source.audio, 1)
        clock.advance(0.301)
        caught_up = await read_audio(source.audio, 15)
        assert [f.pts for f in caught_up] == [960 * n for n in range(1, 16)]
        assert clock.slept == []


async def test_after_a_pause_of_its_reader_sound_goes_on_at_its_pace(tmp_path: Path) -> None:
    path = make(tmp_path / "voice.wav", audio=Fraction(1), audio_codec="pcm_s16le")
    clock = ManualClock()
    async with await FileSource.open(path, clock=clock) as source:
        await read_audio(source.audio, 10)
        clock.advance(60)
        start = clock.now()
        for number in range(10, 50):
            (frame,) = await read_audio(source.audio, 1)
            assert frame.pts == number * 960
            assert clock.now() - start == pytest.approx((number - 10) * 0.02)


async def test_after_a_pause_of_the_file_it_goes_on_at_its_pace(tmp_path: Path) -> None:
    content = make(tmp_path / "voice.mkv", audio=Fraction(1), audio_codec="pcm_s16le").read_bytes()
    clock = ManualClock()
    async with pipe(tmp_path / "pipe.mkv") as writing:
        os.write(writing, content[:60_000])
        source = await FileSource.open(tmp_path / "pipe.mkv", clock=clock)
        reader = asyncio.create_task(read_audio(source.audio))
        await until_idle(*threads())
        assert played(source.audio).lane.waiting_readers == 1
        clock.advance(60)
        start = clock.now()
        os.write(writing, content[60_000:])
        await until(lambda: clock.now() > start + 0.1)
        waits = [when - start for when in clock.slept if when > start]
        assert waits[:5] == pytest.approx([0.02 * n for n in range(1, 6)])
    assert len(await reader) == 50
    await source.close()


async def test_cancelling_recv_loses_no_frame(tmp_path: Path) -> None:
    path = make(tmp_path / "film.webm", frames=3)
    clock = ManualClock(jumps=False)
    async with await FileSource.open(path, clock=clock) as source:
        assert source.video is not None
        await read_video(source.video, 1)
        reader = asyncio.create_task(source.video.recv())
        await until(lambda: clock.waiting == 1)
        reader.cancel()
        await asyncio.wait([reader])
        clock.advance(1 / 30)
        (frame,) = await read_video(source.video, 1)
    assert brightness(frame) == pytest.approx(gray(1), abs=3)


async def test_closing_ends_readers_that_wait(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mkv", frames=30, audio=Fraction(1), audio_codec="pcm_s16le")
    clock = ManualClock(jumps=False)
    source = await FileSource.open(path, clock=clock)
    hearing = asyncio.create_task(read_audio(source.audio))
    seeing = asyncio.create_task(read_video(source.video))
    await until(lambda: clock.waiting == 2)
    await source.close()
    await source.close()
    assert len(await hearing) == 1
    assert len(await seeing) == 1


async def test_the_thread_ends_when_both_tracks_are_stopped(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mkv", frames=300, audio=Fraction(10), audio_codec="pcm_s16le")
    source = await FileSource.open(path, loop=True)
    assert source.audio is not None
    assert source.video is not None
    source.audio.stop()
    source.video.stop()
    await until(lambda: not threads())


async def test_a_file_that_nobody_reads_is_closed_all_the_same(tmp_path: Path) -> None:
    path = make(tmp_path / "film.webm", frames=300)
    source = await FileSource.open(path, loop=True)
    assert threads()
    await source.close()
    assert not threads()
    assert source.video is not None
    assert source.video.readyState == "ended"


async def test_opening_gives_up_in_time(tmp_path: Path) -> None:
    async with pipe(tmp_path / "silent.wav"):
        with pytest.raises(SourceTimeout) as caught:
            await FileSource.open(tmp_path / "silent.wav", timeout=0.1)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.seconds == 0.1


async def test_opening_can_be_cancelled(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    async with pipe(tmp_path / "silent.wav"):
        opening = asyncio.create_task(FileSource.open(tmp_path / "silent.wav"))
        await until(lambda: set(threading.enumerate()) > before)
        (thread,) = set(threading.enumerate()) - before
        await until_idle(thread)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await until(lambda: not thread.is_alive())


async def test_closing_does_not_wait_for_a_read_that_hangs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = make(tmp_path / "voice.mkv", audio=Fraction(1), audio_codec="pcm_s16le").read_bytes()
    async with pipe(tmp_path / "pipe.mkv") as writing:
        os.write(writing, content[:60_000])
        source = await FileSource.open(tmp_path / "pipe.mkv", clock=ManualClock())
        reader = asyncio.create_task(read_audio(source.audio))
        await until_idle(*threads())
        with caplog.at_level(logging.WARNING):
            await source.close()
        assert not threads()
        assert caplog.text == ""
        assert await reader
        assert source.error is None


async def test_a_file_that_is_gone_ends_the_loop_with_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make(tmp_path / "voice.wav", audio=Fraction(3), audio_codec="pcm_s16le")
    async with await FileSource.open(path, loop=True, clock=ManualClock()) as source:
        path.unlink()
        frames = await read_audio(source.audio)
        assert len(frames) == 150
        assert isinstance(source.error, SourceNotFound)
    assert "the tracks end early" in caplog.text

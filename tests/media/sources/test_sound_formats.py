"""Sound of any format in readers, recordings and fan-outs; and what is no sound."""

import asyncio
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame
from av.packet import Packet

from icefloe.encoding import UnusableSound
from icefloe.media import (
    AudioQueue,
    EncodedFanout,
    GeneratedAudio,
    InvalidParameter,
    NobodyListens,
    Recorder,
    RecordingFailed,
    SpeechSegment,
    audio,
    frames,
    speech,
)
from tests.encoding.sounds import LOUD, frame_of, loudness, tone
from tests.helpers.at_once import at_once
from tests.helpers.sound_track import CHANGING, SoundTrack, changing, same
from tests.media.manual_clock import ManualClock
from tests.media.recordings import read
from tests.media.tracks import FedTrack, until


def without_rate() -> AudioFrame:
    return AudioFrame("s16", "mono", 960)


def without_layout() -> AudioFrame:
    frame = AudioFrame("s16", "20 channels", 960)
    frame.sample_rate = 48000
    return frame


ODD: list[tuple[Callable[[], Any], str]] = [
    (without_rate, "no sample rate"),
    (without_layout, "20 channels"),
    (AudioFrame, "no sample rate"),
    (lambda: VideoFrame(16, 16, "yuv420p"), "VideoFrame"),
    (lambda: None, "NoneType"),
    (lambda: "sound", "str"),
]
NAMES = ["rate", "layout", "empty", "picture", "none", "text"]


def feed_all_kinds(track: FedTrack) -> float:
    """Feed a tone that changes its format, and return how long it is."""
    at = Fraction(0)
    for form, layout, rate, seconds in CHANGING * 3:
        samples = round(seconds * rate)
        frame = frame_of(tone(at, samples, rate), form, layout, rate)
        frame.pts, frame.time_base = round(at * rate), Fraction(1, rate)
        track.feed(frame)
        at += Fraction(samples, rate)
    track.end()
    return float(at)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize(("rate", "layout"), [(16000, "mono"), (48000, "stereo"), (44100, "5.1")])
async def test_a_reader_hears_a_tone_go_on(dtype: Any, rate: int, layout: str) -> None:
    track = FedTrack("audio")
    length = feed_all_kinds(track)
    got, times = [], []
    async with audio(track, rate=rate, layout=layout, dtype=dtype, policy="wait") as reader:
        async for samples in reader:
            assert samples.dtype == dtype
            assert samples.flags.writeable
            got.append(samples if samples.ndim == 1 else samples[:, 0])
            times.append(reader.time)
    wave = np.concatenate(got).astype(np.float64) / (32767 if dtype == "int16" else 1)
    assert len(wave) == pytest.approx(length * rate, abs=3)
    starts = np.cumsum([0, *map(len, got)])[:-1] / rate
    assert max(abs(t - s) for t, s in zip(times, starts, strict=True) if t is not None) < 0.002
    if layout != "5.1":
        assert loudness(wave, rate) == pytest.approx(LOUD, rel=0.03)


@pytest.mark.parametrize("layout", ["mono", "stereo"])
async def test_floats_stay_within_1(layout: str) -> None:
    track = FedTrack("audio")
    for form, channels in (("flt", "5.1"), ("flt", "mono"), ("dblp", "7.1"), ("s16", "quad")):
        loud = 1.0 if form == "s16" else 1.5
        track.feed(frame_of(np.full(960, loud * 0.999), form, channels, 48000))
    track.end()
    async with audio(track, rate=48000, layout=layout, dtype="float32", policy="wait") as reader:
        got = [samples async for samples in reader]
    assert max(float(np.abs(samples).max()) for samples in got) <= 1.0
    assert float(np.abs(got[0]).max()) > 0.9


@pytest.mark.parametrize("policy", ["wait", "newest"])
@pytest.mark.parametrize(("make", "named"), ODD, ids=NAMES)
async def test_what_cannot_be_heard_is_raised_and_reading_goes_on(
    make: Callable[[], Any], named: str, policy: Any
) -> None:
    track = SoundTrack(lambda n: make() if n == 1 else ("s16", "mono", 48000, 0.02))
    async with audio(track, rate=48000, policy=policy) as reader:
        assert len(await anext(reader)) == 960
        with pytest.raises(UnusableSound, match=named):
            await anext(reader)
        assert len(await anext(reader)) == 960


async def test_a_track_that_breaks_raises_what_it_raised() -> None:
    def broken(number: int) -> Any:
        if number == 1:
            raise OSError("the microphone is gone")
        return ("s16", "mono", 48000, 0.02)

    for policy in ("wait", "newest"):
        async with audio(SoundTrack(broken), policy=policy) as reader:
            await anext(reader)
            with pytest.raises(OSError, match="microphone"):
                await anext(reader)


async def test_pictures_that_are_none_are_raised_likewise() -> None:
    class Odd(SoundTrack):
        kind = "video"

    for policy in ("wait", "newest"):
        for give, named in ((None, "NoneType"), (without_rate(), "AudioFrame")):
            async with frames(Odd(lambda _, g=give: g), policy=policy) as reader:  # type: ignore[misc]
                with pytest.raises(InvalidParameter, match=named):
                    await anext(reader)


@pytest.mark.parametrize(("make", "named"), ODD, ids=NAMES)
async def test_speech_raises_it_too(make: Callable[[], Any], named: str) -> None:
    async with speech(SoundTrack(lambda _: make())) as events:
        with pytest.raises(UnusableSound, match=named):
            await anext(events)


async def test_speech_is_heard_in_any_format() -> None:
    """Syllables of which each comes in another format are one segment."""
    track, at = FedTrack("audio"), Fraction(0)
    for number in range(60):
        form, layout, rate, _ = CHANGING[number % len(CHANGING)]
        samples = rate // 10
        times = float(at) + np.arange(samples) / rate
        loud = np.maximum(0.02, np.sin(2 * np.pi * 2.5 * times)) * (10 <= number < 35)
        phase = 2 * np.pi * (120 * times + 5 * np.sin(2 * times))
        wave = 0.12 * loud * sum(np.sin(k * phase) / k for k in range(1, 12))
        frame = frame_of(wave, form, layout, rate)
        frame.pts, frame.time_base = round(at * rate), Fraction(1, rate)
        track.feed(frame)
        at += Fraction(samples, rate)
    track.end()
    async with speech(track) as events:
        segments = [event async for event in events if isinstance(event, SpeechSegment)]
    assert segments[0].start == pytest.approx(0.7, abs=0.3)
    assert segments[-1].end == pytest.approx(3.7, abs=0.4)


async def test_a_tone_is_recorded_while_its_format_changes(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    async with Recorder(path) as recorder:
        track = SoundTrack(changing, length=5.0)
        recorder.add_track(track)
        await recorder.wait()
        assert (recorder.error, recorder.refused, recorder.track_errors) == (None, 0, {})
    wave = read(path).sound.astype(np.float64) / 32767
    assert len(wave) / 48000 == pytest.approx(float(track.at), abs=0.1)
    parts = wave[4800 : len(wave) // 4800 * 4800].reshape(-1, 4800)
    levels = [loudness(part, 48000) for part in parts[:-1]]
    assert min(levels) > 0.6 * LOUD
    assert float(np.median(levels)) == pytest.approx(LOUD, rel=0.05)


async def test_frames_of_any_length_are_recorded(tmp_path: Path) -> None:
    lengths = 0.0025, 1.0, 2.5
    await at_once(_recorded, *((tmp_path / f"{seconds}.wav", seconds) for seconds in lengths))


async def _recorded(path: Path, seconds: float) -> None:
    async with Recorder(path) as recorder:
        recorder.add_track(SoundTrack(same("fltp", "stereo", 44100, seconds), length=4.9))
        await recorder.wait()
    assert recorder.lost_audio == 0
    wave = read(path).sound.astype(np.float64) / 32767
    assert len(wave) / 48000 == pytest.approx(5.0, abs=0.15)
    # It may be stretched a little, as what drifts is.
    levels = [loudness(part, 48000) for part in wave[4800:230_400].reshape(-1, 4800)]
    assert min(levels) > 0.8 * LOUD


@pytest.mark.parametrize(("make", "named"), ODD, ids=NAMES)
async def test_what_cannot_be_recorded_is_told_of_each_track(
    tmp_path: Path, make: Callable[[], Any], named: str
) -> None:
    good = SoundTrack(same("s16", "mono", 48000, 0.02), length=2.0)
    mixed = SoundTrack(
        lambda n: make() if n % 10 == 3 else ("s16", "mono", 48000, 0.02), length=2.0
    )
    bad = SoundTrack(lambda _: make())
    recorder = Recorder(tmp_path / "call.wav")
    await recorder.start()
    for track in (good, mixed, bad):
        recorder.add_track(track)
    with pytest.raises(RecordingFailed, match=named) as caught:
        await recorder.wait()  # nothing of one of them was of use, and that one is given up
    assert isinstance(caught.value.__cause__, UnusableSound)
    assert set(recorder.track_errors) == {mixed, bad}
    assert recorder.refused >= 50
    await until(lambda: good.readyState == "ended" and mixed.readyState == "ended")
    with pytest.raises(RecordingFailed, match=named):
        await recorder.stop()
    wave = read(tmp_path / "call.wav").sound
    assert len(wave) / 48000 == pytest.approx(2.0, abs=0.2)


async def test_a_recorded_track_that_breaks_is_told(tmp_path: Path) -> None:
    def broken(number: int) -> Any:
        if number == 20:
            raise OSError("the microphone is gone")
        return ("s16", "mono", 48000, 0.02)

    track = SoundTrack(broken)
    async with Recorder(tmp_path / "call.wav") as recorder:
        recorder.add_track(track)
        await recorder.wait()
    assert isinstance(recorder.track_errors[track], OSError)
    assert recorder.error is None


async def test_an_odd_frame_does_not_end_a_fan_out() -> None:
    good = ("s16", "mono", 48000, 0.02)
    for make, named in ODD:
        track = SoundTrack(lambda n, make=make: make() if n == 2 else good)  # type: ignore[misc]
        fanout = EncodedFanout(track)
        viewer = fanout.subscribe()
        stamps = [(await viewer.recv()).pts for _ in range(10)]
        assert stamps == [960 * n for n in range(10)]
        assert isinstance(fanout.error, UnusableSound)
        assert named in str(fanout.error)
        assert fanout.encoders[0].dropped == 1
        fanout.close()


async def test_a_fan_out_of_what_comes_encoded_says_so() -> None:
    fanout = EncodedFanout(SoundTrack(lambda _: Packet(b"1")))
    viewer = fanout.subscribe()
    with pytest.raises(MediaStreamError):
        await viewer.recv()
    assert isinstance(fanout.error, InvalidParameter)


async def test_frames_of_seconds_come_out_of_a_fan_out_one_after_the_other() -> None:
    fanout = EncodedFanout(SoundTrack(same("s16p", "5.1", 96000, 3.0)))
    viewer = fanout.subscribe()
    loop, times, stamps = asyncio.get_running_loop(), [], []
    for _ in range(170):
        stamps.append((await viewer.recv()).pts)
        times.append(loop.time())
    assert stamps == [960 * n for n in range(170)]
    assert min(b - a for a, b in zip(times, times[50:], strict=False)) > 0.5
    assert viewer.dropped == 0
    fanout.close()


async def test_a_generator_may_change_its_format_and_is_told_what_is_no_sound() -> None:
    def sound() -> Any:
        at = Fraction(0)
        for form, layout, rate, seconds in CHANGING:
            samples = round(seconds * rate)
            yield frame_of(tone(at, samples, rate), form, layout, rate)
            at += Fraction(samples, rate)
        yield without_rate()

    track, parts = GeneratedAudio(sound(), clock=ManualClock()), []
    with pytest.raises(MediaStreamError):
        while True:
            frame = await track.recv()
            parts.append(np.frombuffer(bytes(frame.planes[0]), np.int16)[: 2 * 960 : 2])
    wave = np.concatenate(parts) / 32767
    assert loudness(wave[: 48000 * 9 // 10], 48000) == pytest.approx(LOUD, rel=0.05)
    assert isinstance(track.error, UnusableSound)
    await track.aclose()


@pytest.mark.parametrize("channels", range(1, 9))
async def test_a_queue_takes_up_to_eight_channels(channels: int) -> None:
    queue = AudioQueue(channels=2, clock=ManualClock())
    wave = np.rint(32767 * tone(Fraction(0), 4800, 24000)).astype(np.int16)
    await queue.push(np.repeat(wave[:, None], channels, axis=1), 24000)
    heard = [bytes((await queue.recv()).planes[0]) for _ in range(9)]
    left = np.frombuffer(b"".join(heard), np.int16)[::2] / 32767
    assert loudness(left, 48000) == pytest.approx(LOUD, rel=0.03)


async def test_a_queue_that_is_not_read_any_more_lets_nobody_wait() -> None:
    clock = ManualClock(jumps=False)
    queue = AudioQueue(capacity=2.0, clock=clock)
    loud = b"\x00\x40" * 48000
    first = await queue.push(loud, 48000)
    await queue.recv()
    waiting = [
        asyncio.ensure_future(wait)
        for wait in (first.wait(), queue.drain(), queue.push(loud, 48000), queue.push(loud, 48000))
    ]
    await asyncio.sleep(0)
    await until(lambda: queue.buffered > 1.9)
    clock.advance(4.9)
    await asyncio.sleep(0)
    await queue.recv()  # it was only late
    clock.advance(4.9)
    await asyncio.sleep(0)
    assert not any(task.done() for task in (waiting[0], waiting[1], waiting[3]))
    clock.advance(0.3)
    played, drained, pushed, refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert played is False
    assert drained is None
    assert not isinstance(pushed, BaseException)
    assert isinstance(refused, NobodyListens)
    assert queue.buffered == 0
    # Who comes back is heard again, and may take its time as long as nobody waits.
    again = await queue.push(loud, 48000)
    clock.advance(60.0)
    assert not again.finished
    assert bytes((await queue.recv()).planes[0])[:1920].strip(b"\x00")
    queue.stop()


async def test_a_queue_waits_for_its_first_reader() -> None:
    clock = ManualClock(jumps=False)
    queue = AudioQueue(clock=clock)
    piece = await queue.push(b"\x00\x40" * 4800, 48000)
    waiting = asyncio.ensure_future(piece.wait())
    await asyncio.sleep(0)
    clock.advance(3600.0)
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.stop()
    assert await waiting is False

"""Speech on a track: cut in pieces, told from noise and tones, read while others work."""

import asyncio
import io
import subprocess
import wave
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame
from numpy.typing import NDArray

from icefloe.media import InvalidParameter, TestPatternTrack, speech
from icefloe.media.speech.segments import (
    FRAME_SAMPLES,
    SAMPLE_RATE,
    Segmenter,
    SpeechEvent,
    SpeechLimits,
    SpeechSegment,
    SpeechStarted,
)
from icefloe.media.speech.voice_activity import EnergyDetector

Sound = NDArray[np.float64]


def quiet(seconds: float, loudness: float = 10, seed: int = 1) -> Sound:
    return np.random.default_rng(seed).normal(0, loudness, int(seconds * SAMPLE_RATE))


def tone(*frequencies: float, seconds: float = 5) -> Sound:
    at = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    waves = np.array([4000 * np.sin(2 * np.pi * f * at) for f in frequencies])
    summed: Sound = waves.sum(axis=0)
    return summed


def said(text: str, voice: str = "en", pitch: int = 50) -> Sound:
    command = ("espeak-ng", "-v", voice, "-p", str(pitch), "--stdout", text)
    told = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    with wave.open(io.BytesIO(told)) as file:
        samples = np.frombuffer(file.readframes(10**8), np.int16)
        count = int(len(samples) * SAMPLE_RATE / file.getframerate())
        at = np.arange(count) * file.getframerate() / SAMPLE_RATE
    sound: Sound = np.interp(at, np.arange(len(samples)), samples)
    return sound


def hear(sound: Sound, limits: SpeechLimits | None = None) -> list[SpeechEvent]:
    detector, segmenter = EnergyDetector(), Segmenter(limits or SpeechLimits())
    events = []
    whole = np.clip(sound, -32768, 32767).astype(np.int16)
    for start in range(0, len(whole) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        piece = whole[start : start + FRAME_SAMPLES]
        is_speech = detector.is_speech(piece)
        events += segmenter.push(start / SAMPLE_RATE, piece, is_speech=is_speech)
    return events + segmenter.finish()


def segments(events: list[SpeechEvent]) -> list[SpeechSegment]:
    return [event for event in events if isinstance(event, SpeechSegment)]


# --- cutting, with the answers given


def cut(marks: str, **limits: float) -> list[SpeechEvent]:
    """Cut sound of which each sign is a piece: ``#`` is speech."""
    segmenter = Segmenter(SpeechLimits(**limits))
    events = []
    for number, mark in enumerate(marks):
        samples = np.full(FRAME_SAMPLES, number, np.int16)
        events += segmenter.push(number * 0.02, samples, is_speech=mark == "#")
    return events + segmenter.finish()


def test_a_segment_has_what_was_before_and_some_of_the_pause() -> None:
    started, segment = cut(
        "." * 20 + "#" * 10 + "." * 30, minimum=0.06, pause=0.4, before=0.1, after=0.2
    )
    assert isinstance(started, SpeechStarted)
    assert started.start == pytest.approx(0.4)
    assert isinstance(segment, SpeechSegment)
    assert segment.complete
    assert segment.start == pytest.approx(0.3)
    assert segment.end == pytest.approx(0.8)
    assert segment.samples.dtype == np.int16
    assert list(segment.samples[::FRAME_SAMPLES]) == list(range(15, 40))


def test_it_is_told_as_soon_as_enough_was_speech() -> None:
    segmenter = Segmenter(SpeechLimits(minimum=0.06))
    told = [
        segmenter.push(n * 0.02, np.zeros(FRAME_SAMPLES, np.int16), is_speech=True)
        for n in range(3)
    ]
    assert told == [[], [], [SpeechStarted(0.0)]]
    assert segmenter.is_speaking


@pytest.mark.parametrize("marks", ["", "." * 50, ("##" + "." * 10) * 9, "#....#....#....#....#"])
def test_what_is_too_short_is_no_speech(marks: str) -> None:
    assert cut(marks, minimum=0.06) == []


def test_a_breath_does_not_end_it_and_a_pause_does() -> None:
    breath = "." * 19
    assert len(segments(cut("####" + breath + "####" + "." * 25, pause=0.4))) == 1
    assert len(segments(cut("####" + breath + "." + "####" + "." * 25, pause=0.4))) == 2


def test_what_is_too_long_is_cut_without_losing_any() -> None:
    events = cut("#" * 120, longest=1.0, before=0.0)
    found = segments(events)
    assert [type(event) for event in events].count(SpeechStarted) == 1
    assert [segment.complete for segment in found] == [False, False, False]
    whole = np.concatenate([segment.samples for segment in found])
    assert list(whole[::FRAME_SAMPLES]) == list(range(120))
    assert all(a.end == pytest.approx(b.start) for a, b in pairwise(found))


def test_what_had_begun_at_the_end_is_given_as_it_is() -> None:
    (segment,) = segments(cut("." * 5 + "#" * 10))
    assert not segment.complete
    assert segment.end == pytest.approx(0.3)


def test_no_piece_is_in_two_segments() -> None:
    found = segments(cut(("#" * 8 + "." * 25) * 3, pause=0.4, before=1.0, after=0.1))
    numbers = np.concatenate([segment.samples[::FRAME_SAMPLES] for segment in found])
    assert len(set(numbers.tolist())) == len(numbers)


@pytest.mark.parametrize(
    "limits",
    [{"minimum": 0.0}, {"pause": 0.0}, {"before": -1.0}, {"after": 0.7}, {"longest": 0.1}],
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(InvalidParameter):
        SpeechLimits(**limits)


# --- telling speech from the rest


@pytest.mark.system("espeak-ng")
@pytest.mark.parametrize("voice", ["en", "de", "fr", "en+f3"])
@pytest.mark.parametrize("pitch", [20, 50, 90])
@pytest.mark.parametrize("loudness", [1.0, 0.1])
def test_a_voice_is_heard(voice: str, pitch: int, loudness: float) -> None:
    words = said("Please open the window and tell me a story.", voice, pitch) * loudness
    events = hear(np.concatenate([quiet(1), words, quiet(1.5)]))
    assert isinstance(events[0], SpeechStarted)
    assert 0.98 <= events[0].start <= 1.35
    found = segments(events)
    ends = 1 + len(words) / SAMPLE_RATE
    assert found[-1].complete
    assert ends - 0.5 <= found[-1].end <= ends + 0.3
    assert sum(segment.end - segment.start for segment in found) > 0.75 * len(words) / SAMPLE_RATE


@pytest.mark.system("espeak-ng")
@pytest.mark.parametrize("voice", ["en", "de", "fr", "es", "en+f3"])
@pytest.mark.parametrize("word", ["Stop!", "No.", "Yes please"])
def test_a_word_is_enough(word: str, voice: str) -> None:
    (started, segment) = hear(np.concatenate([quiet(1), said(word, voice), quiet(1)]))
    assert isinstance(started, SpeechStarted)
    assert isinstance(segment, SpeechSegment)


@pytest.mark.system("espeak-ng")
def test_a_voice_is_heard_above_noise() -> None:
    words = said("Please open the window and tell me a story.")
    sound = np.concatenate([quiet(2), words, quiet(1.5)])
    found = segments(hear(sound + quiet(len(sound) / SAMPLE_RATE + 1, 400, seed=2)[: len(sound)]))
    assert found
    assert found[0].start > 1.5
    assert found[-1].end < 2 + len(words) / SAMPLE_RATE + 0.4


@pytest.mark.parametrize("loudness", [10, 300, 3000, 10000])
def test_noise_is_no_voice(loudness: float) -> None:
    assert hear(quiet(5, loudness)) == []
    assert hear(np.concatenate([quiet(2), quiet(4, loudness, seed=3), quiet(1)])) == []


def test_rumble_is_no_voice() -> None:
    rumble = np.cumsum(quiet(5, 100))
    rumble -= np.convolve(rumble, np.ones(400) / 400, "same")
    assert hear(np.concatenate([quiet(1), rumble, quiet(1)])) == []


@pytest.mark.parametrize(
    "frequencies",
    [(110,), (200,), (440,), (1000,), (3000,), (261.6, 329.6, 392.0), (50, 150), (150, 300, 450)],
)
def test_tones_and_chords_are_no_voice(frequencies: tuple[float, ...]) -> None:
    assert hear(np.concatenate([quiet(1), tone(*frequencies), quiet(1)])) == []


def test_a_tune_and_clicks_are_no_voice() -> None:
    tune = np.concatenate([tone(f, seconds=0.5) for f in (262, 294, 330, 349, 392, 440)])
    assert hear(np.concatenate([quiet(1), tune, quiet(1)])) == []
    clicks = quiet(5)
    clicks[:: SAMPLE_RATE // 2] = 30000
    assert hear(clicks) == []


def test_nothing_at_all_is_no_voice() -> None:
    assert hear(np.zeros(3 * SAMPLE_RATE)) == []


# --- on a track


class Told:
    """A detector that takes what is loud for speech."""

    def is_speech(self, samples: NDArray[np.int16]) -> bool:
        return int(np.abs(samples).max()) > 1000


class Spoken(MediaStreamTrack):
    """Gives frames at 48 kHz in stereo, one for each sign, as fast as they are read."""

    kind = "audio"

    def __init__(self, marks: str, gap_after: int | None = None) -> None:
        super().__init__()
        self._marks = marks
        self._gap_after = gap_after
        self.read = 0

    async def recv(self) -> AudioFrame:
        if self.read >= len(self._marks):
            self.stop()
            raise MediaStreamError
        loud = self._marks[self.read] == "#"
        frame = AudioFrame.from_ndarray(
            np.full((1, 1920), 8000 if loud else 0, np.int16), format="s16", layout="stereo"
        )
        late = 500 if self._gap_after is not None and self.read > self._gap_after else 0
        frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
        frame.pts = (self.read + late) * 960
        self.read += 1
        await asyncio.sleep(0)
        return frame


async def test_a_track_is_listened_to() -> None:
    track = Spoken("." * 30 + "#" * 20 + "." * 40 + "#" * 20)
    async with speech(track, detector=Told()) as events:
        found = [event async for event in events]
    assert [type(event).__name__ for event in found] == ["SpeechStarted", "SpeechSegment"] * 2
    first, second = segments(found)
    assert first.start == pytest.approx(0.3, abs=0.05)
    assert first.end == pytest.approx(1.2, abs=0.05)
    assert len(first.samples) == pytest.approx(
        (first.end - first.start) * SAMPLE_RATE, abs=FRAME_SAMPLES
    )
    assert (first.complete, second.complete) == (True, False)


async def test_a_gap_in_the_track_ends_what_is_said() -> None:
    track = Spoken("." * 30 + "#" * 40, gap_after=49)
    async with speech(track, detector=Told()) as events:
        first, second = segments([event async for event in events])
    assert first.end < 1.1
    assert second.start > 10.9


async def test_listening_goes_on_while_a_segment_is_dealt_with() -> None:
    track = Spoken(("." * 40 + "#" * 20) * 3 + "." * 40)
    async with speech(track, detector=Told()) as events:
        assert isinstance(await anext(events), SpeechStarted)
        while track.readyState == "live":  # the loop is busy elsewhere
            await asyncio.sleep(0.01)
        assert len([event async for event in events]) == 5
        assert events.dropped == 0


async def test_what_waits_is_bounded() -> None:
    track = Spoken(("." * 35 + "#" * 5) * 50 + "." * 40)
    async with speech(track, detector=Told()) as events:
        while track.readyState == "live":
            await asyncio.sleep(0.01)
        kept = [event async for event in events]
        assert len(kept) == 64
        assert events.dropped == 36


async def test_closing_leaves_the_track_alone_and_wakes_who_waits() -> None:
    track = Spoken("." * 10**6)
    events = speech(track, detector=Told())
    waiting = asyncio.create_task(anext(events))
    while track.read < 100:
        await asyncio.sleep(0)
    await events.aclose()
    await events.aclose()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert track.readyState == "live"


async def test_what_a_detector_raises_is_raised() -> None:
    class Broken:
        def is_speech(self, samples: NDArray[np.int16]) -> bool:
            raise ArithmeticError("no model")

    async with speech(Spoken("." * 100), detector=Broken()) as events:
        with pytest.raises(ArithmeticError, match="no model"):
            await anext(events)
        with pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_pictures_are_refused() -> None:
    with pytest.raises(InvalidParameter):
        speech(TestPatternTrack())

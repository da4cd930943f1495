"""The times that readers of a track are told, whatever the track tells."""

import itertools
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

from icefloe.media import SpeechSegment, SpeechStarted, audio, frames, speech
from icefloe.media._util.frame_times import FrameTimes
from tests.helpers.times import PICTURES, SOUND, Told
from tests.media.tracks import FedTrack


def picture(told: Told) -> VideoFrame:
    frame = VideoFrame(16, 16, "yuv420p")
    frame.pts, time_base = told
    if time_base is not None:
        frame.time_base = time_base
    return frame


def sound(told: Told, level: int = 100) -> AudioFrame:
    frame = AudioFrame.from_ndarray(np.full((1, 960), level, np.int16), "s16", "mono")
    frame.sample_rate = 48000
    frame.pts, time_base = told
    if time_base is not None:
        frame.time_base = time_base
    return frame


@pytest.mark.parametrize("told", PICTURES.values(), ids=PICTURES)
async def test_times_of_pictures_only_grow(told: Callable[[int], Told]) -> None:
    track, times = FedTrack(), []
    track.feed(*(picture(told(n)) for n in range(100)))
    track.end()
    async with frames(track, policy="wait") as reader:
        async for _ in reader:
            assert reader.time is not None
            times.append(reader.time)
    assert len(times) == 100
    assert all(a < b < a + 62 for a, b in itertools.pairwise(times))


@pytest.mark.parametrize("told", SOUND.values(), ids=SOUND)
async def test_times_of_sound_count_its_samples(told: Callable[[int], Told]) -> None:
    track, times = FedTrack("audio"), []
    track.feed(*(sound(told(n)) for n in range(100)))
    track.end()
    async with audio(track, policy="wait", rate=48000) as reader:
        async for _ in reader:
            assert reader.time is not None
            times.append(reader.time)
    assert len(times) >= 100
    assert all(a <= b < a + 61 for a, b in itertools.pairwise(times))
    if abs(times[0]) < 100 and told is not SOUND["a leap of ten seconds"]:
        assert times[-1] - times[0] == pytest.approx(99 * 0.02, abs=0.05)


def test_what_makes_sense_is_what_they_are_told() -> None:
    times = FrameTimes()
    assert [times.of_picture(picture((n + 7, Fraction(1, 10))), 5.0) for n in range(50)] == [
        (n + 7) / 10 for n in range(50)
    ]
    told = [(n * 960 + 48000 * (n >= 30), Fraction(1, 48000)) for n in range(50)]
    assert [times.of_sound(sound(each), 5.0) for each in told] == [pts / 48000 for pts, _ in told]


class Loud:
    def is_speech(self, samples: NDArray[np.int16]) -> bool:
        return int(np.abs(samples).max()) > 4000


@pytest.mark.parametrize("name", ["always 0", "no pts", "backwards", "anew each second"])
async def test_what_is_said_is_one_segment(name: str) -> None:
    track = FedTrack("audio")
    levels = [100] * 50 + [9000] * 100 + [100] * 100
    track.feed(*(sound(SOUND[name](n), level) for n, level in enumerate(levels)))
    track.end()
    async with speech(track, detector=Loud()) as events:
        started, segment = [event async for event in events]
    assert isinstance(started, SpeechStarted)
    assert isinstance(segment, SpeechSegment)
    assert segment.complete
    assert segment.end - segment.start == pytest.approx(2.5, abs=0.2)

from fractions import Fraction

import numpy as np
from av import AudioFrame
from numpy.typing import NDArray

from icefloe.media.sinks.audio_mixer import SAMPLE_RATE, Mixer, MixerInput


def sound(value: int, samples: int = 960, rate: int = SAMPLE_RATE) -> AudioFrame:
    frame = AudioFrame.from_ndarray(np.full((1, samples), value, np.int16), "s16", "mono")
    frame.sample_rate = rate
    frame.time_base = Fraction(1, rate)
    return frame


def sine(start: int, samples: int = 960) -> AudioFrame:
    at = np.arange(start, start + samples)
    wave = np.rint(8000 * np.sin(2 * np.pi * 440 * at / SAMPLE_RATE)).astype(np.int16)
    frame = AudioFrame.from_ndarray(wave.reshape(1, -1), "s16", "mono")
    frame.sample_rate = SAMPLE_RATE
    return frame


def left(samples: NDArray[np.int16]) -> list[int]:
    values: list[int] = samples[:, 0].tolist()
    return values


def test_tracks_are_added_up_and_cut_off_at_full_scale() -> None:
    mixer = Mixer()
    one, other = MixerInput(mixer), MixerInput(mixer)
    one.push(sound(1000), 0.0)
    other.push(sound(200), 0.01)
    one.push(sound(30000), 0.02)
    other.push(sound(30000), 0.03)
    got = left(mixer.take(2400))
    assert got[0] == 1000
    assert got[500] == 1200
    assert got[1000] == 30200
    assert got[1500] == 32767
    assert got[2000] == 30000


def test_what_was_lost_is_silence_of_the_same_length() -> None:
    mixer = Mixer()
    voice = MixerInput(mixer)
    for number in (0, 1, 3, 4, 54):
        voice.push(sound(500), number * 0.02)
    got = np.array(left(mixer.take(55 * 960))).reshape(55, 960)
    assert np.flatnonzero(got.any(axis=1)).tolist() == [0, 1, 3, 4, 54]
    assert (got[[0, 1, 3, 4, 54]] == 500).all()


def test_jitter_of_timestamps_leaves_no_gap() -> None:
    mixer = Mixer()
    voice = MixerInput(mixer)
    for number in range(100):
        voice.push(sound(500), number * 0.02 + (0.001 if number % 2 else -0.0005))
    assert set(left(mixer.take(99 * 960))[100:]) == {500}


def test_sound_that_overlaps_what_was_heard_is_cut_and_not_added() -> None:
    mixer = Mixer()
    voice = MixerInput(mixer)
    voice.push(sound(500), 0.0)
    voice.push(sound(700), 0.001)
    assert set(left(mixer.take(960))) == {500}
    assert set(left(mixer.take(1008))) == {700}
    assert set(left(mixer.take(1100))) == {0}


def test_what_a_jitter_buffer_cuts_out_or_puts_in_is_made_up_for_without_a_gap() -> None:
    mixer = Mixer()
    voice = MixerInput(mixer)
    at, parts = 0.0, []
    for number in range(1000):
        voice.push(sine(number * 960), at)
        parts.append(mixer.take(voice.end or 0)[:, 0])
        at += {100: 0.035, 600: 0.01}.get(number, 0.02)
    assert abs((voice.end or 0) / SAMPLE_RATE - at) < 0.003
    assert np.abs(np.diff(np.concatenate(parts).astype(float))).max() < 520


def test_drift_is_made_up_for_by_stretching_without_a_click() -> None:
    mixer = Mixer()
    voice = MixerInput(mixer)
    # A sender whose clock is slow by 0.1 %: in 60 s its sound is 60 ms too short.
    parts, end = [], 0
    for number in range(3000):
        voice.push(sine(number * 960), number * 0.02 * 1.001)
        end = voice.end or 0
        parts.append(mixer.take(end)[:, 0])
    assert abs(end / SAMPLE_RATE - 60 * 1.001) < 0.003
    wave = np.concatenate(parts).astype(float)
    # A sine of 440 Hz and amplitude 8000 moves by 461 from sample to sample.
    assert np.abs(np.diff(wave)).max() < 520


def test_another_rate_and_layout_is_resampled_in_place() -> None:
    mixer = Mixer()
    voice = MixerInput(mixer)
    for number in range(50):
        voice.push(sound(500, 160, 8000), number * 0.02)
    got = left(mixer.take(SAMPLE_RATE))
    assert got[100] == 0 or abs(got[100] - 500) < 60
    assert all(abs(value - 500) < 5 for value in got[2000:46000])


def test_what_comes_too_late_is_counted() -> None:
    mixer = Mixer()
    voice = MixerInput(mixer)
    mixer.take(SAMPLE_RATE)
    voice.push(sound(500), 0.99)
    assert mixer.lost == 480
    assert set(left(mixer.take(SAMPLE_RATE + 480))) == {500}


def test_a_wrong_timestamp_does_not_make_the_mixer_grow() -> None:
    mixer = Mixer()
    MixerInput(mixer).push(sound(500), 1e6)
    assert mixer.lost == 960
    assert len(mixer._buffer) == SAMPLE_RATE


def test_taking_much_at_once_gives_silence_where_nothing_was() -> None:
    mixer = Mixer()
    MixerInput(mixer).push(sound(500), 0.0)
    got = mixer.take(10 * SAMPLE_RATE)
    assert len(got) == 10 * SAMPLE_RATE
    assert got[:960].all()
    assert not got[960:].any()

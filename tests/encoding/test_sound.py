"""Sound of every format: it comes out as long, as high and as loud as it went in."""

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av import AudioFrame, AudioResampler, VideoFrame
from hypothesis import given, settings, strategies as st

from icefloe.encoding import SoundConverter, SoundFormat, UnusableSound, check_sound, duration_of
from icefloe.encoding.sound import audio_level, planes_of
from tests.encoding.sounds import FORMATS, LAYOUTS, LOUD, RATES, frame_of, heard, loudness, tone

OPUS = SoundFormat(48000, "stereo")
TARGETS = (OPUS, SoundFormat(48000, "mono"), SoundFormat(16000, "mono"), SoundFormat(8000, "mono"))

frames = st.tuples(
    st.sampled_from(FORMATS),
    st.sampled_from(LAYOUTS),
    st.sampled_from(RATES),
    st.floats(0.02, 0.3),
)


def convert(converter: SoundConverter, form: str, layout: str, rate: int, seconds: float) -> bytes:
    """Put a tone through in frames of 20 ms."""
    made, size = b"", rate // 50
    for number in range(round(seconds * 50)):
        wave = tone(Fraction(number * size, rate), size, rate)
        made += converter.convert(frame_of(wave, form, layout, rate))
    return made


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.rate}-{t.layout}")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", FORMATS)
def test_a_tone_keeps_its_pitch_its_level_and_its_length(
    form: str, layout: str, target: SoundFormat
) -> None:
    for rate in RATES:
        converter = SoundConverter(target)
        data = convert(converter, form, layout, rate, 0.4) + converter.finish()
        wave = heard(data, target.channels)
        size = rate // 50
        assert abs(len(wave) - 20 * size * target.rate / rate) <= 1
        middle = wave[target.rate // 20 : -target.rate // 20]
        for channel in middle.T:
            assert loudness(channel, target.rate) == pytest.approx(LOUD, rel=0.03)
            # There is nothing beside the tone: no clicks, no noise.
            rest = math.sqrt(max(0.0, float(np.mean(channel**2)) - LOUD**2 / 2))
            assert rest < 0.035


@settings(max_examples=60, deadline=None)
@given(st.lists(frames, min_size=1, max_size=25), st.sampled_from(TARGETS))
def test_a_tone_goes_on_whatever_its_format_becomes(
    parts: list[tuple[str, str, int, float]], target: SoundFormat
) -> None:
    converter = SoundConverter(target)
    at, data = Fraction(0), b""
    for form, layout, rate, length in parts:
        samples = max(1, round(length * rate))
        frame = frame_of(tone(at, samples, rate), form, layout, rate)
        before = bytes(planes_of(frame)[0])
        data += converter.convert(frame)
        assert bytes(planes_of(frame)[0]) == before
        at += Fraction(samples, rate)
        assert abs(float(at) - len(data) / target.sample_bytes / target.rate) < 0.02
    data += converter.finish()
    wave = heard(data, target.channels)
    assert abs(len(wave) - float(at) * target.rate) <= 1 + len(parts) / 100
    wanted = tone(Fraction(0), len(wave), target.rate)
    off = np.abs(wave - wanted[:, None])
    # It may be off by a part of a sample, filters settle where the format changes, and 8 bits have
    # a noise.
    part = LOUD * 2 * math.pi * 440 / target.rate
    assert float(np.median(off)) < 0.02 + part
    assert float(np.mean(off > 0.05 + part)) < 0.1


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(RATES), st.integers(1, 40)), max_size=60))
def test_frames_of_a_few_samples_are_not_lost(parts: list[tuple[int, int]]) -> None:
    converter = SoundConverter(SoundFormat(48000, "mono"))
    data, length = b"", 0.0
    for rate, samples in parts:
        frame = frame_of(np.full(samples, 0.25), "s16", "mono", rate)
        data += converter.convert(frame)
        length += samples / rate
    data += converter.finish()
    assert abs(len(data) / 2 - length * 48000) <= 1
    assert converter.held == 0


def test_one_channel_is_as_loud_in_both() -> None:
    converter = SoundConverter(OPUS)
    data = converter.convert(frame_of(np.full(960, 0.5), "s16", "mono", 48000))
    assert np.allclose(heard(data, 2), 0.5, atol=1e-3)


@pytest.mark.parametrize(
    "layout",
    [
        *("1 channels", "2 channels", "3 channels", "5 channels", "7 channels", "FL+LFE", "LFE"),
        *("ambisonic 1", "downmix", "hexadecagonal", "22.2", "octagonal", "FL+FR+FC+LFE+BL"),
    ],
)
def test_odd_layouts_are_mixed_down(layout: str) -> None:
    for target in TARGETS:
        wave = tone(Fraction(0), 4800, 48000)
        converter = SoundConverter(target)
        data = converter.convert(frame_of(wave, "flt", layout, 48000)) + converter.finish()
        got = heard(data, target.channels)[target.rate // 100 :]
        assert len(got) == pytest.approx(0.09 * target.rate, abs=1)
        assert 0.2 < max(loudness(channel, target.rate) for channel in got.T) < 0.26


@pytest.mark.parametrize("type", ["s16", "s32"])
def test_what_is_mixed_down_is_not_cut_off(type: str) -> None:
    loud = 0.99 * np.sin(2 * np.pi * 440 * np.arange(9600) / 48000)
    converter = SoundConverter(SoundFormat(48000, "mono", "s32" if type == "s32" else "s16"))
    data = converter.convert(frame_of(loud, "fltp", "5.1", 48000))
    wave = np.frombuffer(data, np.int32 if type == "s32" else np.int16).astype(np.float64)
    full = 2**31 if type == "s32" else 2**15
    assert loudness(wave / full, 48000) == pytest.approx(0.99, rel=0.01)


def without_rate() -> AudioFrame:
    return AudioFrame("s16", "mono", 960)


def at_rate(rate: int, samples: int = 960, layout: str = "mono") -> AudioFrame:
    frame = AudioFrame("s16", layout, samples)
    frame.sample_rate = rate
    return frame


def planar(layout: str) -> AudioFrame:
    frame = AudioFrame("fltp", layout, 960)
    frame.sample_rate = 48000
    return frame


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (without_rate(), "no sample rate"),
        (at_rate(-48000), "sample rate is -48000"),
        (at_rate(7), "sample rate is 7 Hz"),
        (at_rate(2**31 - 1), "sample rate"),
        (at_rate(48000, 0), "no samples"),
        (AudioFrame(), "sample rate"),
        (at_rate(8000, 8000 * 61), "longer than 60 s"),
        (at_rate(48000, layout="30 channels"), "30 channels"),
        (planar("hexadecagonal"), "16 channels"),
        (VideoFrame(16, 16), "VideoFrame"),
        (av.Packet(b"1"), "Packet"),
        (None, "NoneType"),
        (b"\0\0", "bytes"),
    ],
)
def test_what_cannot_be_used_is_named_and_does_no_harm(given: object, named: str) -> None:
    converter, other = SoundConverter(OPUS), SoundConverter(OPUS)
    wave = tone(Fraction(0), 1920, 44100)
    one, two = (frame_of(part, "s16", "mono", 44100) for part in (wave[:960], wave[960:]))
    first = converter.convert(one)
    with pytest.raises(UnusableSound, match=named) as caught:
        converter.convert(given)
    assert caught.value.reason in str(caught.value)
    assert first + converter.convert(two) == other.convert(one) + other.convert(two)


def test_a_frame_is_as_long_as_it_says_or_of_no_length() -> None:
    assert duration_of(at_rate(8000)) == 0.12
    assert duration_of(without_rate()) == duration_of(None) == duration_of(VideoFrame(2, 2)) == 0
    frame = at_rate(8000)
    assert check_sound(frame) is frame


def test_floats_that_are_no_numbers_come_out_as_some_sound() -> None:
    wave = np.array([math.nan, math.inf, -math.inf, 1e30, -7.0] * 192)
    data = SoundConverter(OPUS).convert(frame_of(wave, "flt", "stereo", 48000))
    assert len(data) == 960 * 4


def test_times_make_no_gaps_here() -> None:
    """A resampler of FFmpeg would put silence in where ``pts`` jumps."""
    converter, length = SoundConverter(OPUS), 0
    for pts in (0, 10_000_000, -5, None, 2**62):
        frame = frame_of(np.full(441, 0.5), "s16", "mono", 44100)
        frame.pts, frame.time_base = pts, Fraction(1, 1000)
        length += len(converter.convert(frame))
    length += len(converter.finish())
    assert length == 5 * 480 * 4


def test_a_layout_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="layout"):
        SoundConverter(SoundFormat(48000, "nowhere"))


def test_levels_are_decibels_below_full_scale() -> None:
    def level(amplitude: float) -> int:
        wave = np.sin(2 * np.pi * 440 * np.arange(960) / 48000)
        return audio_level(memoryview(np.rint(32767 * amplitude * wave).astype(np.int16).tobytes()))

    assert level(1.0) == 3
    assert level(0.1) == 23
    assert level(0.0) == 127
    assert audio_level(memoryview(b"")) == 127
    assert audio_level(memoryview(np.full(960, -32768, np.int16).tobytes())) == 0
    assert audio_level(memoryview(np.array([1] + [0] * 959, np.int16).tobytes())) == 120


def test_a_resampler_of_ffmpeg_refuses_another_format() -> None:
    """This is why there is one for each."""
    resampler = AudioResampler("s16", "stereo", 48000)
    resampler.resample(at_rate(44100))
    with pytest.raises(ValueError, match="does not match"):
        resampler.resample(at_rate(48000))


def test_a_resampler_starts_no_threads() -> None:
    folder = Path("/proc/self/task")
    if not folder.is_dir():
        pytest.skip("only Linux lists threads there")
    before = len(list(folder.iterdir()))
    converters = [SoundConverter(SoundFormat(48000)) for _ in range(10)]
    for converter in converters:
        for _ in range(3):
            converter.convert(frame_of(np.zeros(480), "s16", "mono", 24000))
    assert len(list(folder.iterdir())) <= before

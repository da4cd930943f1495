"""The Opus encoder by libopus: what FFmpeg decodes of it, and what may be changed while it runs."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from icefloe.encoding import AudioEncoder, libopus
from icefloe.encoding.libopus import OpusEncoder
from tests.encoding.sounds import LOUD, frame_of, loudness, tone

STEREO_BIT = 0x04
"""Of the first byte of a packet (RFC 6716 section 3.1)."""


def sound(number: int, *, channels: int = 2) -> bytes:
    wave = np.round(tone(Fraction(number, 50), 960, 48000) * 32767).astype(np.int16)
    both = np.stack([wave, wave // 2 if channels == 2 else wave], axis=1)
    return both.tobytes()


def decode(packets: list[bytes]) -> NDArray[np.float64]:
    decoder: Any = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout, decoder.format = 48000, "stereo", "s16"
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet))]
    return np.concatenate([f.to_ndarray().reshape(-1, 2) for f in frames])[:, 0] / 32767


def test_what_is_encoded_sounds_as_it_did() -> None:
    encoder = OpusEncoder()
    made = [encoder.encode(sound(n), bitrate=64_000, loss=0.0, mono=False) for n in range(100)]
    assert loudness(decode(made)[24000:72000], 48000) == pytest.approx(LOUD, rel=0.08)


def test_bit_rate_loss_and_channels_change_without_a_gap() -> None:
    encoder = OpusEncoder()
    made = [
        encoder.encode(
            sound(number, channels=1 + number // 100),
            bitrate=96_000 if number < 50 else 24_000,
            loss=0.0 if number < 150 else 0.1,
            mono=number < 100,
        )
        for number in range(200)
    ]
    assert sum(map(len, made[60:100])) < sum(map(len, made[10:50])) / 2
    assert not any(packet[0] & STEREO_BIT for packet in made[:100])
    wave = decode(made)
    for start in range(24000, 180_000, 4800):
        effective = float(np.sqrt(np.mean(np.square(wave[start : start + 4800]))))
        assert effective > LOUD / 3


@pytest.mark.parametrize("size", [0, 4, 959 * 4, 961 * 4, 10_000])
def test_what_is_no_frame_of_opus_is_refused(size: int) -> None:
    with pytest.raises(OSError, match="libopus"):
        OpusEncoder().encode(bytes(size), bitrate=64_000, loss=0.0, mono=False)


@pytest.mark.parametrize("loss", [-1.0, 2.0])
def test_settings_that_there_are_not_are_refused(loss: float) -> None:
    with pytest.raises(OSError, match="libopus"):
        OpusEncoder().encode(sound(0), bitrate=64_000, loss=loss, mono=False)


def test_without_libopus_ffmpeg_encodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icefloe.encoding.audio.library", lambda: None)
    encoder = AudioEncoder("opus")
    made: list[bytes] = []
    for number in range(100):
        frame = frame_of(tone(Fraction(number, 50), 960, 48000), "s16", "mono", 48000)
        assert not encoder.is_quick(frame, number / 50)
        encoder.put(frame, number / 50)
        made += [bytes(packet) for packet in encoder.take(number / 50)]
    assert loudness(decode(made)[24000:72000], 48000) == pytest.approx(LOUD, rel=0.08)


def test_the_library_is_found_once() -> None:
    assert libopus.library() is libopus.library()


def test_only_short_frames_that_need_nothing_new_are_quick() -> None:
    encoder = AudioEncoder("opus")

    def frame(samples: int, rate: int = 48000, layout: str = "mono") -> Any:
        return frame_of(tone(Fraction(0), samples, rate), "s16", layout, rate)

    assert encoder.is_quick(frame(960), 0.0)
    assert encoder.is_quick(frame(960, layout="stereo"), 0.0)
    assert not encoder.is_quick(frame(48000), 0.0)
    assert not encoder.is_quick(frame(480, 24000), 0.0)
    assert encoder.is_quick("no frame", 0.0)
    encoder.put(frame(480, 24000), 0.0)
    assert encoder.is_quick(frame(480, 24000), 0.02)  # the resampler is there
    assert not encoder.is_quick(frame(960), 0.02)
    encoder.put(frame(48000), 0.02)
    assert not encoder.is_quick(frame(960), 5.0)  # a second of sound is due
    assert not AudioEncoder("PCMU").is_quick(frame(960), 0.0)

"""Frames of sound in every format that FFmpeg has, and what is heard of them."""

from fractions import Fraction
from typing import Any

import numpy as np
from av import AudioFrame
from numpy.typing import NDArray

from icefloe.encoding.sound import planes_of

FORMATS = (
    *("u8", "s16", "s32", "s64", "flt", "dbl"),
    *("u8p", "s16p", "s32p", "s64p", "fltp", "dblp"),
)
LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
"""One for each number of channels."""
RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000)

LOUD = 0.25
"""The amplitude of the tone, of full scale."""

_TYPES: dict[str, Any] = {
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "s64": np.int64,
    "flt": np.float32,
    "dbl": np.float64,
}


def tone(at: Fraction, samples: int, rate: int, pitch: float = 440.0) -> NDArray[np.float64]:
    """Return a tone as it is from some second on."""
    times = float(at % 1000) + np.arange(samples) / rate
    wave: NDArray[np.float64] = LOUD * np.sin(2 * np.pi * pitch * times)
    return wave


def frame_of(wave: NDArray[np.float64], format: str, layout: str, rate: int) -> AudioFrame:
    """Return the same sound in all channels of a frame without a time."""
    kind = format.removesuffix("p")
    frame = AudioFrame(format, layout, len(wave))
    if kind == "u8":
        made = np.rint(wave * 127 + 128).astype(np.uint8)
    elif kind in ("flt", "dbl"):
        made = wave.astype(_TYPES[kind])
    else:
        made = np.rint(wave * float(np.iinfo(_TYPES[kind]).max // 2 * 2)).astype(_TYPES[kind])
    channels = frame.layout.nb_channels
    if not frame.format.is_planar:
        made = np.repeat(made, channels)
    data = made.tobytes()
    for plane in planes_of(frame):
        plane.update(data.ljust(plane.buffer_size, b"\0"))
    frame.sample_rate = rate
    return frame


def loudness(samples: NDArray[np.float64], rate: int, pitch: float = 440.0) -> float:
    """Return the amplitude that a tone has in sound."""
    times = np.arange(len(samples)) / rate
    return float(2 * abs(np.mean(samples * np.exp(-2j * np.pi * pitch * times))))


def heard(data: bytes, channels: int) -> NDArray[np.float64]:
    """Return ``s16`` as an array of the shape ``(n, channels)``, from -1 to 1."""
    wave: NDArray[np.float64] = np.frombuffer(data, np.int16).astype(np.float64) / 32767
    return wave.reshape(-1, channels)

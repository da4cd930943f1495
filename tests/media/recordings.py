"""Content of a recorded file, and frames that can be told apart in one."""

import itertools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av import AudioFrame, AudioResampler, VideoFrame
from numpy.typing import NDArray

RATE = 48000


@dataclass(frozen=True)
class Recording:
    """The decoded content of a file.

    Attributes:
        sound: The left channel, from the file's time 0.
        pictures: Time in seconds, size and brightness in the middle of each picture.
    """

    sound: NDArray[np.int16]
    pictures: list[tuple[float, tuple[int, int], int]]

    @property
    def seconds(self) -> float:
        return len(self.sound) / RATE

    def loud(self, start: float, end: float) -> float:
        """Return what part of the sound between two times is not silent."""
        part = self.sound[round(start * RATE) : round(end * RATE)].astype(float)
        blocks = part[: len(part) // 240 * 240].reshape(-1, 240)
        return float(np.mean(np.sqrt(np.mean(blocks**2, axis=1)) > 1000))

    def onsets(self) -> list[float]:
        """Return when sound begins after at least 0.3 s of silence, in seconds."""
        loud = np.flatnonzero(np.abs(self.sound) > 3000)
        if not len(loud):
            return []
        first = np.concatenate([[True], np.diff(loud) > 0.3 * RATE])
        return [float(at) / RATE for at in loud[first]]

    def flashes(self) -> list[float]:
        """Return when a bright picture follows a dark one, in seconds."""
        bright = [(at, value > 140) for at, _, value in self.pictures]
        return [at for (_, was), (at, now) in itertools.pairwise(bright) if now > was]


def read(path: Path) -> Recording:
    """Decode a file from its start to its end; what cannot be decoded raises."""
    pictures: list[tuple[float, tuple[int, int], int]] = []
    sound = np.zeros(0, np.int16)
    # A playlist without an end is taken for one that still grows.
    growing = {"live_start_index": "0", "max_reload": "1"} if path.suffix == ".m3u8" else {}
    with av.open(str(path), options=growing) as container:
        resampler = AudioResampler("s16", "stereo", RATE)
        parts: list[NDArray[np.int16]] = []
        for frame in container.decode(*container.streams):
            if isinstance(frame, VideoFrame):
                assert frame.time is not None
                pictures.append((frame.time, (frame.width, frame.height), _middle(frame)))
            elif isinstance(frame, AudioFrame):
                if not parts and frame.time:
                    parts.append(np.zeros(round(frame.time * RATE), np.int16))
                frame.pts = None
                parts += [_left(part) for part in resampler.resample(frame)]
        if parts:
            sound = np.concatenate(parts)
    return Recording(sound, pictures)


def _left(frame: AudioFrame) -> NDArray[np.int16]:
    samples: NDArray[np.int16] = frame.to_ndarray().astype(np.int16, copy=False).reshape(-1, 2)
    return samples[:, 0]


def _middle(frame: VideoFrame) -> int:
    plane = frame.planes[0]
    return bytes(plane)[frame.height // 2 * plane.line_size + frame.width // 2]


def gray(luma: int, at: float, size: tuple[int, int] = (64, 48)) -> VideoFrame:
    """Return a picture of one brightness, whose timestamp is ``at`` seconds."""
    frame = VideoFrame(*size, "yuv420p")
    for plane, value in zip(frame.planes, (luma, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.pts = round(at * 90000)
    frame.time_base = Fraction(1, 90000)
    return frame


def noise(number: int, size: tuple[int, int]) -> VideoFrame:
    """Return a picture that costs an encoder much."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 255, (size[1] * 3 // 2, size[0]), np.uint8)
    frame = VideoFrame.from_ndarray(pixels, "yuv420p")
    frame.pts = number * 3000
    frame.time_base = Fraction(1, 90000)
    return frame


def constant(value: int, at: float, samples: int = 960) -> AudioFrame:
    """Return sound of one loudness, whose timestamp is ``at`` seconds."""
    data = np.full((1, 2 * samples), value, np.int16)
    # A square wave of 1 kHz: an encoder would take a constant out.
    data[0, (np.arange(2 * samples) // 2 % 48) < 24] = -value
    frame = AudioFrame.from_ndarray(data, "s16", "stereo")
    frame.sample_rate = RATE
    frame.pts = round(at * RATE)
    frame.time_base = Fraction(1, RATE)
    return frame

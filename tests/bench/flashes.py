"""A picture that flashes while there is a beep, and how far apart the two are in a recording.

Each second of one clock there is a chirp of 80 ms, and two pictures are bright. Each picture has
its number in it, so that the time at which it was captured can be read from a recording even where
its neighbours were lost, and a chirp is found where a part of it was.
"""

import asyncio
import statistics
import time
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from aiortc import AudioStreamTrack, VideoStreamTrack
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

RATE = 48000
PICTURES = 15
"""Pictures a second."""

_SAMPLES = 960
_CHIRP = 0.08
_FLASH = 2
_BITS = 16
_COLUMNS = 8
_DARK, _BRIGHT = 40, 220
_CHIRP_RATE = 16000
"""Samples a second at which chirps are looked for: they have nothing above 4 kHz."""
_CLEAR = 0.4
"""The part of a chirp that must be there for it to be found."""
_LOUDNESS = 12000


def chirp(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what is heard so many seconds after a chirp begins, -1.0 to 1.0."""
    inside = (seconds >= 0) & (seconds < _CHIRP)
    fade = np.minimum(1.0, np.minimum(seconds, _CHIRP - seconds) / 0.004)
    phase = 2 * np.pi * (1000 * seconds + 1500 * seconds**2 / _CHIRP)
    return np.where(inside, fade * np.sin(phase), 0.0)


class Beeps(AudioStreamTrack):
    """A chirp each second since ``origin``.

    Args:
        origin: Seconds on the monotonic clock.
        drift: By how much the sound card's clock is fast: 1e-4 is what a poor quartz may be.
    """

    def __init__(self, origin: float, drift: float = 0.0) -> None:
        super().__init__()
        self._origin = origin
        self._began: float | None = None
        self._rate = RATE * (1 + drift)
        self._number = 0

    async def recv(self) -> AudioFrame:
        """Return the next 20 ms when their first sample is due."""
        if self._began is None:
            self._began = time.monotonic()
        first = self._number * _SAMPLES
        due = self._began + first / self._rate
        await asyncio.sleep(due - time.monotonic())
        heard = chirp((due - self._origin + np.arange(_SAMPLES) / self._rate) % 1.0)
        frame = AudioFrame("s16", "mono", _SAMPLES)
        frame.planes[0].update((_LOUDNESS * heard).astype(np.int16).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
        self._number += 1
        return frame


class Flashes(VideoStreamTrack):
    """Numbered pictures, of which the first two of each second since ``origin`` are bright.

    Args:
        origin: Seconds on the monotonic clock.
        size: Width and height, multiples of 16.
    """

    def __init__(self, origin: float, size: tuple[int, int] = (160, 128)) -> None:
        super().__init__()
        self.size = size
        self._origin = origin
        self._began: int | None = None

    async def recv(self) -> VideoFrame:
        """Return the next picture when it is due."""
        number = int((time.monotonic() - self._origin) * PICTURES) + 1
        if self._began is None:
            self._began = number
        due = self._origin + number / PICTURES
        await asyncio.sleep(due - time.monotonic())
        frame = draw(number, self.size)
        frame.pts, frame.time_base = (number - self._began) * 90000 // PICTURES, Fraction(1, 90000)
        return frame


def draw(number: int, size: tuple[int, int]) -> VideoFrame:
    """Return a picture whose lower half tells its number, in two rows of eight bits."""
    width, height = size
    bits = np.array([number >> bit & 1 for bit in range(_BITS)]).reshape(-1, _COLUMNS)
    code = np.where(bits, _BRIGHT, _DARK).astype(np.uint8)
    code = code.repeat(height // 4, axis=0).repeat(width // _COLUMNS, axis=1)
    bright = number % PICTURES < _FLASH
    flash = np.full((height // 2, width), _BRIGHT if bright else _DARK, np.uint8)
    frame = VideoFrame(width, height, "yuv420p")
    luma = np.zeros((height, frame.planes[0].line_size), np.uint8)
    luma[:, :width] = np.concatenate([flash, code])
    frame.planes[0].update(luma.tobytes())
    for plane in frame.planes[1:]:
        plane.update(b"\x80" * plane.buffer_size)
    return frame


def number_of(frame: VideoFrame) -> int | None:
    """Return the number in a picture; None if it cannot be read, or its flash contradicts it."""
    width, height = frame.width, frame.height
    plane = frame.planes[0]
    luma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    xs = [width * (2 * column + 1) // (2 * _COLUMNS) for column in range(_COLUMNS)]
    levels = luma[[height * 5 // 8, height * 7 // 8]][:, xs].reshape(-1).astype(int)
    if np.any(np.abs(levels - (_DARK + _BRIGHT) // 2) < 30):
        return None
    number = sum(1 << bit for bit, level in enumerate(levels) if level > 130)
    bright = bool(luma[height // 4, width // 2] > 130)
    return number if bright == (number % PICTURES < _FLASH) else None


@dataclass(frozen=True, slots=True)
class Offset:
    """The distance of sound and picture at one beep.

    Attributes:
        at: Where it is in the recording, in seconds.
        sound_late: By how much the sound comes later than the picture, in seconds.
    """

    at: float
    sound_late: float


@dataclass(frozen=True)
class Step:
    """The content of a recording.

    Attributes:
        chirps: When each chirp begins, in seconds.
        pictures: When each picture is shown first, in seconds, by its number.
    """

    chirps: list[float]
    pictures: dict[int, float]

    @cached_property
    def offsets(self) -> list[Offset]:
        """The distance of sound and pictures, at each chirp near which there is a picture."""
        found = []
        shown = sorted((at, number / PICTURES) for number, at in self.pictures.items())
        times = [at for at, _ in shown]
        for chirp_at in self.chirps:
            near = int(np.searchsorted(times, chirp_at))
            around = shown[max(0, near - 3) : near + 3]
            # Which of the seconds it is, and then the picture nearest to that.
            if not around or min(abs(at - chirp_at) for at, _ in around) > 0.5:
                continue
            second = round(statistics.median(taken + chirp_at - at for at, taken in around))
            at, taken = min(around, key=lambda pair: abs(pair[1] - second))
            found.append(Offset(chirp_at, (chirp_at - second) - (at - taken)))
        return found

    def worst(self, begin: float, end: float) -> float:
        """Return the greatest distance between two times of the recording, in seconds.

        Raises:
            ValueError: There is no beep with a picture.
        """
        return max(abs(o.sound_late) for o in self.offsets if begin <= o.at < end)


def read(path: Path) -> Step:
    """Look through a recording."""
    pictures: dict[int, float] = {}
    parts: list[NDArray[np.int16]] = []
    begin: float | None = None
    resampler = av.AudioResampler("s16", "mono", _CHIRP_RATE)
    with av.open(str(path)) as container:
        for frame in container.decode(*container.streams):
            if isinstance(frame, VideoFrame):
                number = number_of(frame)
                if number is not None and frame.time is not None:
                    pictures.setdefault(number, frame.time)
            elif isinstance(frame, AudioFrame):
                if begin is None:
                    begin = frame.time
                frame.pts = None
                parts += [
                    part.to_ndarray().reshape(-1).astype(np.int16, copy=False)
                    for part in resampler.resample(frame)
                ]
    sound = np.concatenate(parts) if parts else np.zeros(0, np.int16)
    return Step([at + (begin or 0.0) for at in _chirps(sound)], pictures)


def _chirps(sound: NDArray[np.int16]) -> list[float]:
    """Return where chirps begin, in seconds: one in each second, where it is clear."""
    pattern = chirp(np.arange(round(_CHIRP * _CHIRP_RATE)) / _CHIRP_RATE)
    clear = _CLEAR * _LOUDNESS * float(np.sum(pattern**2))
    found: list[float] = []
    for first in range(0, len(sound), _CHIRP_RATE):
        part = sound[first : first + _CHIRP_RATE + len(pattern)].astype(float)
        if len(part) < len(pattern):
            break
        size = 1 << (len(part) + len(pattern)).bit_length()
        spectrum = np.fft.rfft(part, size) * np.conj(np.fft.rfft(pattern, size))
        match = np.abs(np.fft.irfft(spectrum, size)[: len(part) - len(pattern) + 1])
        best = int(np.argmax(match))
        if match[best] > clear:
            found.append((first + best) / _CHIRP_RATE)
    # One at the edge of a second is found twice.
    return [at for at, before in zip(found, [-1.0, *found], strict=False) if at - before > 0.5]

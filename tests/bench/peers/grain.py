"""Pictures with a number and the grain of a camera, and a tone: there is always more to encode.

``grain.mjs`` does the same in a page. The grain is made once; a picture takes two copies.
"""

import asyncio
import time
from fractions import Fraction

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

from icefloe.media._util.clock import Pacer
from tests.bench.peers.coded import RATE, Painter, luma_of

GRAIN = 8
"""The most by which a pixel differs from the picture beneath, either way."""
_SPREAD = 512
"""Pixels by which the grain of one picture may be shifted from that of another."""
_ROWS = 18

AUDIO_RATE, SAMPLES = 48000, 960
TONE, LOUDNESS = 400, 6000
"""Hertz, a whole number of periods in 20 ms, and the amplitude of 16-bit samples."""
QUIET = 300
"""An amplitude below which there is no tone."""


class GrainPainter:
    """Paints pictures with a number and grain.

    Args:
        width: Pixels, a multiple of 32.
        height: A multiple of 18.
    """

    def __init__(self, width: int, height: int) -> None:
        self._painter = Painter(width, height)
        self._size = width, height
        self._chances = np.random.default_rng(1)
        shape = height + _SPREAD, width + _SPREAD
        # Added to bytes with a carry that is lost: 255 is one less.
        self._grain = self._chances.integers(-GRAIN, GRAIN + 1, shape, np.int8).view(np.uint8)

    def paint(self, number: int) -> VideoFrame:
        """Return a new picture, ``yuv420p``."""
        width, height = self._size
        frame = self._painter.paint(number)
        x, y = (int(n) for n in self._chances.integers(0, _SPREAD, 2))
        strip = height // _ROWS
        pixels = luma_of(frame)[strip:]
        np.add(pixels, self._grain[y + strip : y + height, x : x + width], out=pixels)
        return frame


class GrainTrack(MediaStreamTrack):
    """Numbered pictures with grain, 30 a second.

    Args:
        width: Pixels.
        height: Pixels.

    Attributes:
        made: When each picture was handed over, by the machine's monotonic clock.
    """

    kind = "video"

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self.made: dict[int, float] = {}
        self._painter = GrainPainter(width, height)
        self._pacer = Pacer(Fraction(RATE))

    async def recv(self) -> VideoFrame:
        """Return the next picture when it is due."""
        while (left := self._pacer.due(now := time.monotonic()) - now) > 0:
            await asyncio.sleep(left)
        number = self._pacer.take(now)
        frame = self._painter.paint(number)
        frame.pts, frame.time_base = number * VIDEO_CLOCK_RATE // RATE, VIDEO_TIME_BASE
        self.made[number] = time.monotonic()
        return frame


def tone() -> bytes:
    """Return 20 ms of the tone, which begin where they end: 16-bit mono."""
    turn = 2 * np.pi * TONE * np.arange(SAMPLES) / AUDIO_RATE
    return (LOUDNESS * np.sin(turn)).astype(np.int16).tobytes()


class SteadyTone(MediaStreamTrack):
    """A tone that never pauses."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._pacer = Pacer(Fraction(AUDIO_RATE, SAMPLES), catch_up=0.5)
        self._tone = tone()

    async def recv(self) -> AudioFrame:
        """Return the next 20 ms when they are due."""
        while (left := self._pacer.due(now := time.monotonic()) - now) > 0:
            await asyncio.sleep(left)
        frame = AudioFrame("s16", "mono", SAMPLES)
        frame.planes[0].update(self._tone)
        frame.pts, frame.sample_rate = self._pacer.take(now) * SAMPLES, AUDIO_RATE
        frame.time_base = Fraction(1, AUDIO_RATE)
        return frame


class Listener:
    """Plays sound as it comes, as a loudspeaker does, and notes when there is none.

    Attributes:
        gaps: When each gap began, by the clock of ``now``, and its seconds.
    """

    _BLOCK = 240

    def __init__(self) -> None:
        self.gaps: list[tuple[float, float]] = []
        self._end = 0.0
        self._heard: float | None = None

    def play(self, now: float, samples: NDArray[np.int16], rate: int) -> None:
        """Play mono samples that came now."""
        at = max(now, self._end)
        self._end = at + len(samples) / rate
        for first in range(0, len(samples), self._BLOCK):
            block = samples[first : first + self._BLOCK]
            if int(np.abs(block).max()) < QUIET:
                continue
            begin = at + first / rate
            if self._heard is not None and begin - self._heard > self._BLOCK / rate:
                self.gaps.append((self._heard, begin - self._heard))
            self._heard = begin + len(block) / rate

    def until(self, now: float) -> list[tuple[float, float]]:
        """Return the gaps until now, with one that has not ended."""
        if self._heard is None or now - self._heard <= self._BLOCK / AUDIO_RATE:
            return self.gaps
        return [*self.gaps, (self._heard, now - self._heard)]

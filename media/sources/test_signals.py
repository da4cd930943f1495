"""Test signals: a test pattern with a clock, and a test tone."""

import math
import time
from array import array
from collections.abc import Callable
from fractions import Fraction

from aiortc.mediastreams import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE
from av import AudioFrame, VideoFrame

from .._util.clock import Clock
from ..errors import InvalidParameter
from .digits import GLYPH_HEIGHT, GLYPH_WIDTH, scaled_glyphs
from .paced_track import PacedTrack

_MAX_PIXELS = 1920 * 1080
"""Maximum pixels: pictures are drawn in the event loop, and at this size it takes under 2 ms."""

_TEXT_LENGTH = 8
_MIN_WIDTH = _TEXT_LENGTH * (GLYPH_WIDTH + 1) + 2
_MIN_HEIGHT = 2 * (GLYPH_HEIGHT + 1) + 16

_BLACK, _WHITE = 16, 235
# Luma, blue and red difference of 75 % bars in BT.601 studio range, from left to right:
# white, yellow, cyan, green, magenta, red, blue, black.
_BARS = (
    (180, 128, 128),
    (162, 44, 142),
    (131, 156, 44),
    (112, 72, 58),
    (84, 184, 198),
    (65, 100, 212),
    (35, 212, 114),
    (16, 128, 128),
)

_FRAMES_PER_SECOND = 50
"""Audio frames of 20 ms, the usual packet time of RFC 7587."""

_AUDIO_CATCH_UP = 0.2
_FADE = 0.01
_BEEP_FRAMES = 10


class TestPatternTrack(PacedTrack):
    """Color bars with the wall-clock time, a frame counter and a moving mark.

    The upper line of digits is the local time as HH:MM:SS, the lower one the frame number, which
    skips frames that a late reader missed. The mark crosses the picture once in two seconds.
    Pictures are ``yuv420p``.

    Args:
        width: Pixels, 50 or more. Odd sizes are allowed.
        height: Pixels, 32 or more; ``width * height`` is at most 1920 * 1080.
        rate: Frames per second, up to 1000.
        clock: Paces the frames; the monotonic clock of the machine if ``None``.
        wall_clock: Returns the time to show, in seconds since the Unix epoch.

    Raises:
        InvalidParameter: The size or rate is out of range.
    """

    __test__ = False  # the name looks like a test case to pytest
    kind = "video"

    def __init__(
        self,
        width: int = 640,
        height: int = 480,
        rate: int | float | Fraction = 30,
        *,
        clock: Clock | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        if width < _MIN_WIDTH:
            raise InvalidParameter("width", width, f"the clock needs {_MIN_WIDTH} pixels")
        if height < _MIN_HEIGHT:
            raise InvalidParameter("height", height, f"the clock needs {_MIN_HEIGHT} pixels")
        if width * height > _MAX_PIXELS:
            raise InvalidParameter("height", height, f"give {_MAX_PIXELS} pixels in all at most")
        if not 0 < rate <= 1000:
            raise InvalidParameter("rate", rate, "give up to 1000 frames per second")
        self._rate = Fraction(rate)
        super().__init__(self._rate, 0.0, clock)
        self._wall_clock = wall_clock
        self._picture = _Picture(width, height)

    async def recv(self) -> VideoFrame:
        """Return the next picture when it is due; a late caller gets the newest that is due.

        Raises:
            MediaStreamError: The track was stopped.

        Cancellation: safe.
        """
        number = await self._next_number()
        shown = time.strftime("%H:%M:%S", time.localtime(self._wall_clock()))
        progress = float(number / self._rate) % 2 / 2
        frame = self._picture.draw((shown, f"{number % 10**_TEXT_LENGTH:08d}"), progress)
        frame.pts = round(number * VIDEO_CLOCK_RATE / self._rate)
        frame.time_base = VIDEO_TIME_BASE
        return frame


class _Picture:
    """The test pattern, whose static parts are drawn once and copied."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        planes = VideoFrame(width, height, "yuv420p").planes
        self._stride = planes[0].line_size
        self._scale = max(
            1,
            min(
                (width - 2) // (_TEXT_LENGTH * (GLYPH_WIDTH + 1)) * 2 // 3,
                height // (4 * (GLYPH_HEIGHT + 1)),
            ),
        )
        self._glyphs = scaled_glyphs(self._scale, ink=_WHITE, paper=_BLACK)
        self._mark = max(4, min(width, height) // 12)
        self._box_width = (_TEXT_LENGTH * (GLYPH_WIDTH + 1) + 1) * self._scale
        self._box_left = (width - self._box_width) // 2
        self._box_top = max(0, (height - self._mark) // 2 - (GLYPH_HEIGHT + 1) * self._scale)
        self._background = [
            self._draw_background(i, p.line_size, p.buffer_size // p.line_size, 2 if i else 1)
            for i, p in enumerate(planes)
        ]

    def _draw_background(self, component: int, stride: int, rows: int, shrink: int) -> bytes:
        """Return one plane with the bars, the box of the clock and the strip of the mark."""
        width = -(-self._width // shrink)
        dark = _BLACK if component == 0 else 128
        bars = bytes(_BARS[x * len(_BARS) // width][component] for x in range(width))
        bars += bytes(stride - width)
        left, right = self._box_left // shrink, (self._box_left + self._box_width) // shrink
        boxed = bars[:left] + bytes([dark]) * (right - left) + bars[right:]
        strip = bytes([dark]) * stride
        box_bottom = self._box_top + (2 * (GLYPH_HEIGHT + 1) + 1) * self._scale
        strip_top = self._height - self._mark
        plane = bytearray()
        for row in range(rows):
            y = row * shrink
            in_box = self._box_top <= y < box_bottom
            plane += strip if y >= strip_top else boxed if in_box else bars
        return bytes(plane)

    def draw(self, lines: tuple[str, str], progress: float) -> VideoFrame:
        """Return a new picture with two lines of digits and the mark at 0.0 to 1.0 of the width."""
        frame = VideoFrame(self._width, self._height, "yuv420p")
        for plane, background in zip(frame.planes, self._background, strict=True):
            plane.update(background)
        luma = memoryview(frame.planes[0])
        top = self._box_top + self._scale
        for line in lines:
            self._draw_text(luma, line, top)
            top += (GLYPH_HEIGHT + 1) * self._scale
        x = int(progress * (self._width - self._mark))
        self._fill(luma, x, self._height - self._mark, bytes([_WHITE]) * self._mark, self._mark)
        return frame

    def _draw_text(self, luma: memoryview, text: str, top: int) -> None:
        left = self._box_left + self._scale
        for row in range(GLYPH_HEIGHT):
            pixels = b"".join(self._glyphs[character][row] for character in text)
            self._fill(luma, left, top + row * self._scale, pixels, self._scale)

    def _fill(self, luma: memoryview, left: int, top: int, pixels: bytes, rows: int) -> None:
        for y in range(top, top + rows):
            at = y * self._stride + left
            luma[at : at + len(pixels)] = pixels


class ToneTrack(PacedTrack):
    """A sine tone as mono frames of 20 ms in ``s16``, continuous or as a soft beep each second.

    A reader that is late by up to 0.2 s gets the frames that it missed without waiting; if it is
    later, it skips them.

    Args:
        frequency: Hertz, a whole number, below half of ``rate``.
        level: Decibels relative to full scale, -127 to 0 (the range of RFC 6464).
        rate: Sample rate, in hertz, a multiple of 50.
        beep: Whether to play only the first 0.2 s of each second of the track.
        clock: Paces the frames; the monotonic clock of the machine if ``None``.

    Raises:
        InvalidParameter: A parameter is out of range.
    """

    kind = "audio"

    def __init__(
        self,
        frequency: int = 440,
        *,
        level: float = -20.0,
        rate: int = 48000,
        beep: bool = False,
        clock: Clock | None = None,
    ) -> None:
        if rate <= 0 or rate % _FRAMES_PER_SECOND:
            raise InvalidParameter("rate", rate, "give a multiple of 50, such as 48000")
        if frequency != int(frequency) or not 0 < frequency < rate / 2:
            raise InvalidParameter("frequency", frequency, f"give 1 to {rate // 2 - 1} hertz")
        if not -127 <= level <= 0:
            raise InvalidParameter("level", level, "give -127 to 0 decibels")
        super().__init__(Fraction(_FRAMES_PER_SECOND), _AUDIO_CATCH_UP, clock)
        self._rate = rate
        self._samples = rate // _FRAMES_PER_SECOND
        self._second = _one_second(int(frequency), 32767 * 10 ** (level / 20), rate, beep)

    async def recv(self) -> AudioFrame:
        """Return the next 20 ms of audio when they are due.

        Raises:
            MediaStreamError: The track was stopped.

        Cancellation: safe.
        """
        number = await self._next_number()
        start = number % _FRAMES_PER_SECOND * self._samples
        frame = AudioFrame(format="s16", layout="mono", samples=self._samples)
        frame.planes[0].update(self._second[start : start + self._samples].tobytes())
        frame.sample_rate = self._rate
        frame.pts = number * self._samples
        frame.time_base = Fraction(1, self._rate)
        return frame


def _one_second(frequency: int, amplitude: float, rate: int, beep: bool) -> "array[int]":
    """Return the samples of one second, which repeat exactly since the frequency is whole."""
    period = rate // math.gcd(rate, frequency)
    turn = 2 * math.pi * frequency / rate
    wave = [amplitude * math.sin(turn * i) for i in range(period)] * (rate // period)
    if beep:
        length = rate // _FRAMES_PER_SECOND * _BEEP_FRAMES
        fade = rate * _FADE
        # Without a fade the edges of the beep would click.
        wave = [s * min(1.0, i / fade, (length - i) / fade) for i, s in enumerate(wave[:length])]
        wave += [0.0] * (rate - length)
    return array("h", map(round, wave))

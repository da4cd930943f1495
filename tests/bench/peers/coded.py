"""Pictures that tell their number, and how it is read back from what a decoder made of them.

The number and its checksum are a row of :data:`BLOCKS` blocks, black or white, along the upper
edge, each a 32nd of the picture's width and 18th of its height: large enough to survive any codec
and being scaled down. What a lost packet left half new and half old does not pass for a number.
``coded.mjs`` does the same in a page.
"""

import asyncio
import binascii
import time
from fractions import Fraction

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE
from av import VideoFrame
from numpy.typing import NDArray

from icefloe.media._util.clock import Pacer

Plane = NDArray[np.uint8]

WIDTH, HEIGHT, RATE = 1280, 720, 30
BLOCKS = 32
_ROWS = 18
_BLACK, _WHITE = 16, 235
_DOUBT = 50
"""The distance that a block must have from the middle between black and white."""

_PERIOD = 320
_STEP = 4
"""Pixels by which the background, which repeats itself after the period, moves with each frame."""


def blocks(number: int) -> list[bool]:
    """Return which blocks are white for a number of 16 bits."""
    check = binascii.crc_hqx(number.to_bytes(2, "big"), 0xFFFF)
    bits = number << 16 | check
    return [bool(bits >> (BLOCKS - 1 - i) & 1) for i in range(BLOCKS)]


def read(luma: Plane) -> int | None:
    """Return the number in a picture's luma, whatever its size; ``None`` if it cannot be told."""
    height, width = luma.shape
    tall, wide = height / _ROWS, width / BLOCKS
    rows = luma[int(tall / 4) : max(int(tall / 4) + 1, int(tall * 3 / 4))]
    bits = 0
    for i in range(BLOCKS):
        left = int(wide * (i + 0.25))
        level = float(rows[:, left : max(left + 1, int(wide * (i + 0.75)))].mean())
        if abs(level - (_BLACK + _WHITE) / 2) < _DOUBT:
            return None
        bits = bits << 1 | (level > (_BLACK + _WHITE) / 2)
    number = bits >> 16
    return (
        number if blocks(number)[16:] == [bool(bits >> (15 - i) & 1) for i in range(16)] else None
    )


def luma_of(frame: VideoFrame) -> Plane:
    """Return the luma of a planar picture, without copying it."""
    plane = frame.planes[0]
    pixels: Plane = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return pixels[: frame.height, : frame.width]


class Painter:
    """Paints pictures with a number, over a background that moves as if a camera was turned."""

    def __init__(self, width: int = WIDTH, height: int = HEIGHT) -> None:
        self._size = width, height
        y, x = np.mgrid[0:height, 0 : width + _PERIOD]
        turn = 2 * np.pi / _PERIOD
        waves = 50 * np.sin(turn * x) * np.sin(2 * turn * y) + 30 * np.sin(turn * (7 * x + 9 * y))
        self._background: Plane = (128 + waves).astype(np.uint8)

    def paint(self, number: int) -> VideoFrame:
        """Return a new picture, ``yuv420p``."""
        width, height = self._size
        frame = VideoFrame(width, height, "yuv420p")
        left = number * _STEP % _PERIOD
        pixels = luma_of(frame)
        pixels[:] = self._background[:, left : left + width]
        row = np.array([_WHITE if white else _BLACK for white in blocks(number)], np.uint8)
        pixels[: height // _ROWS] = row.repeat(width // BLOCKS)
        for plane in frame.planes[1:]:
            plane.update(bytes([128]) * plane.buffer_size)
        return frame


class CodedTrack(MediaStreamTrack):
    """Pictures with their numbers, 720p30.

    Attributes:
        made: When each picture was handed over, by the machine's monotonic clock.
    """

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, float] = {}
        self._painter = Painter()
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

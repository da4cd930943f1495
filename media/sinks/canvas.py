"""Video compositor: pictures of any size in a grid on a canvas of fixed size; for a thread."""

import math
from collections.abc import Hashable

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from icefloe.encoding import PictureConverter, UnusablePicture, upright_size

_BLACK = (16, 128, 128)
_SUBSAMPLING = (1, 2, 2)
"""Subsampling of the planes of ``yuv420p``."""


class Canvas:
    """A canvas for pictures: a single one is scaled to fit, several are arranged in a grid.

    Args:
        width: Pixels, even.
        height: Pixels, even.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._planes: list[NDArray[np.uint8]] = [
            np.full((height // shrink, width // shrink), black, np.uint8)
            for black, shrink in zip(_BLACK, _SUBSAMPLING, strict=True)
        ]
        self._shown: dict[Hashable, VideoFrame] = {}
        self._boxes: dict[Hashable, tuple[int, int]] = {}
        self._converter = PictureConverter()

    def show(self, key: Hashable, frame: VideoFrame) -> None:
        """Replace the picture with the same key, or add a cell for it.

        Raises:
            UnusablePicture: It cannot be converted; the canvas is unchanged.
        """
        before = self._shown.get(key)
        self._shown[key] = frame
        try:
            if before is None:
                self._arrange()
            else:
                self._draw_into_cell(key)
        except UnusablePicture:
            if before is None:
                self.remove(key)
            else:
                self._shown[key] = before
            raise

    def remove(self, key: Hashable) -> None:
        """Remove a picture and rearrange the others."""
        if self._shown.pop(key, None) is not None:
            self._arrange()

    def draw(self) -> VideoFrame:
        """Return the canvas as a new frame in ``yuv420p``, without a timestamp."""
        frame = VideoFrame(self.width, self.height, "yuv420p")
        for plane, pixels in zip(frame.planes, self._planes, strict=True):
            rows, width = pixels.shape
            target = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            target[:rows, :width] = pixels
        return frame

    def _arrange(self) -> None:
        for plane, black in zip(self._planes, _BLACK, strict=True):
            plane[:] = black
        self._boxes.clear()
        for key in self._shown:
            self._draw_into_cell(key)

    def _draw_into_cell(self, key: Hashable) -> None:
        frame = self._shown[key]
        left, top, width, height = self._fit(key, frame)
        scaled = self._converter.convert(frame, "yuv420p", width, height)
        if self._boxes.get(key, (width, height)) != (width, height):
            # The previous picture may have covered more of the cell.
            self._boxes.pop(key)
            self._clear_cell(key)
        self._boxes[key] = (width, height)
        for plane, pixels, shrink in zip(scaled.planes, self._planes, _SUBSAMPLING, strict=True):
            rows, columns = height // shrink, width // shrink
            source = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            y, x = top // shrink, left // shrink
            pixels[y : y + rows, x : x + columns] = source[:rows, :columns]

    def _cell(self, key: Hashable) -> tuple[int, int, int, int]:
        """Return left, top, width and height of a picture's cell, all of them even."""
        columns = math.ceil(math.sqrt(len(self._shown)))
        rows = math.ceil(len(self._shown) / columns)
        row, column = divmod(list(self._shown).index(key), columns)
        width, height = self.width // columns // 2 * 2, self.height // rows // 2 * 2
        return column * width, row * height, width, height

    def _fit(self, key: Hashable, frame: VideoFrame) -> tuple[int, int, int, int]:
        left, top, width, height = self._cell(key)
        frame_width, frame_height = (max(1, side) for side in upright_size(frame))
        scale = min(width / frame_width, height / frame_height)
        fitted_width = min(width, max(2, round(frame_width * scale / 2) * 2))
        fitted_height = min(height, max(2, round(frame_height * scale / 2) * 2))
        return (
            left + (width - fitted_width) // 4 * 2,
            top + (height - fitted_height) // 4 * 2,
            fitted_width,
            fitted_height,
        )

    def _clear_cell(self, key: Hashable) -> None:
        left, top, width, height = self._cell(key)
        for plane, black, shrink in zip(self._planes, _BLACK, _SUBSAMPLING, strict=True):
            y, x = top // shrink, left // shrink
            plane[y : y + height // shrink, x : x + width // shrink] = black

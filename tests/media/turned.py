"""Pictures with a display matrix, as phones write them into films, and what they are upright."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from av import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

_ONE = 1 << 16

MARKED: NDArray[np.uint8] = np.repeat(
    np.repeat(np.array([[30, 90, 150], [210, 60, 120]], np.uint8), 20, axis=0), 20, axis=1
)
"""Another shade in each corner: of 60 x 40 pixels."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A display matrix.

    Attributes:
        matrix: Its numbers a, b, c and d (ISO/IEC 14496-12 section 6.2.2), of -1, 0 and 1.
        expected: Returns pixels as they are to be shown.
    """

    matrix: tuple[int, int, int, int]
    expected: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


TURNS = {
    "right": Turn((0, 1, -1, 0), lambda pixels: np.rot90(pixels, -1)),
    "left": Turn((0, -1, 1, 0), lambda pixels: np.rot90(pixels, 1)),
    "half": Turn((-1, 0, 0, -1), lambda pixels: np.rot90(pixels, 2)),
    "mirrored": Turn((-1, 0, 0, 1), lambda pixels: pixels[:, ::-1]),
    "upside down": Turn((1, 0, 0, -1), lambda pixels: pixels[::-1]),
    "transposed": Turn((0, 1, 1, 0), lambda pixels: pixels.T),
    "other diagonal": Turn((0, -1, -1, 0), lambda pixels: np.rot90(pixels, 2).T),
}


def marked() -> VideoFrame:
    """Return :data:`MARKED` in ``yuv420p``."""
    frame = VideoFrame.from_ndarray(MARKED, "gray").reformat(format="yuv420p")
    frame.pts, frame.time_base = 5, Fraction(1, 1000)
    return frame


def film(path: Path | BytesIO, frames: list[VideoFrame], turn: str | None = None) -> None:
    """Write a film in MP4 without loss, 25 pictures a second, that is to be shown turned."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", 25, options={"qp": "0", "preset": "ultrafast"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = frames[0].width, frames[0].height
        stream.pix_fmt = frames[0].format.name
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = bytearray(file.getvalue())
    if turn is not None:
        a, b, c, d = (_ONE * value for value in TURNS[turn].matrix)
        at = data.find(b"tkhd") + 44
        data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    if isinstance(path, Path):
        path.write_bytes(data)
    else:
        path.write(data)


@cache
def _bearer(turn: str) -> BytesIO:
    file = BytesIO()
    film(file, [marked() for _ in range(2)], turn)
    return file


def turned(frame: VideoFrame, turn: str) -> VideoFrame:
    """Return a copy of a picture with a display matrix, which only decoders can give it.

    Its format is that of the picture; only pictures of the size of :data:`MARKED` can be had.
    """
    file = _bearer(turn)
    file.seek(0)
    with av.open(file, "r") as container:
        bearer = next(container.decode(video=0))
    assert isinstance(bearer, VideoFrame)
    # Through another format, for what a decoder gave may not be written to.
    between = "gray" if frame.format.name != "gray" else "rgb24"
    made = bearer.reformat(format=between).reformat(format=frame.format.name)
    for target, source in zip(made.planes, frame.planes, strict=True):
        target.update(bytes(source))
    made.pts, made.time_base = frame.pts, frame.time_base
    return made

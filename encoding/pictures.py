"""Pictures of any format, colours and orientation, made into those that are encoded or shown.

Every picture on its way to an encoder, a file or an array goes through :class:`PictureConverter`.
It reads pixels by the frame's ``color_range`` and ``colorspace``, and turns a picture as its
display matrix says. YUV comes out in the colours of WebRTC where nothing else is said: the matrix
of BT.601 and limited range. RGB, gray and the ``yuvj`` formats have full range.

A frame that does not say its matrix is taken for BT.601, as libswscale and browsers do, whatever
its size. Transfer functions and primaries are left as they are: HDR is not mapped to SDR.
"""

import struct
from fractions import Fraction

from av import VideoFormat, VideoFrame
from av.filter import Graph
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from .errors import UnusablePicture

LARGEST_SIDE = 16383
"""Pixels of a side at most: VP8 has 14 bits for each (RFC 6386 section 9.1)."""

BT601 = 6
"""The matrix of what is sent and recorded, as ITU-T H.273 section 8.3 numbers it."""

_UNSPECIFIED, _BT601_TOO = 2, 5
_RGB, _RESERVED, _BT2020_CONSTANT = 0, 3, 10
"""Others; ``colorspace`` of a frame is such a number."""

_FULL_RANGE = frozenset({"gray", "rgb24", "bgr24", "rgba", "bgra", "yuvj420p", "yuvj444p"})
_ABORTING = frozenset({"yaf32be", "yaf32le"})
"""Pixel formats that libswscale (FFmpeg 8) ends the whole process for, by an assertion."""

_MONOCHROME = frozenset({"monow", "monob"})
_MATRIX = struct.Struct("=9i")


class PictureConverter:
    """Converts the pictures of one stream; used by one thread at a time.

    The converter of a frame itself (``frame.reformat()``) would be used by every thread that has
    the frame, at the same time.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._turning: tuple[tuple[str, str, int, int], Graph] | None = None

    def convert(
        self, frame: VideoFrame, format: str, width: int | None = None, height: int | None = None
    ) -> VideoFrame:
        """Return a picture upright, in some format and size.

        Args:
            frame: The picture, which is not changed.
            format: FFmpeg's name of the pixel format.
            width: Pixels; as many as the picture has, upright, if ``None``.
            height: Likewise.

        Returns:
            A new frame with the times of the given one; or the given one itself, if it is so
            already.

        Raises:
            UnusablePicture: It has no pixels, or FFmpeg does not convert it.
        """
        turn = turn_of(frame)
        upright = upright_size(frame)
        wide, high = width or upright[0], height or upright[1]
        if _is_turned(turn):
            wide, high = high, wide
        if frame.format is None or not (frame.width > 0 and frame.height > 0):
            raise UnusablePicture(
                _described(frame), format, "it has no pixels", "give one with a width and a height"
            )
        name = frame.format.name
        is_cut = name.startswith("bayer_") and (frame.width % 2 or frame.height % 2)
        if name in _ABORTING or is_cut:
            # For half a Bayer pattern libswscale ends the process as well.
            advice = "give one with an even width and height" if is_cut else "convert it before"
            raise UnusablePicture(_described(frame), format, "FFmpeg does not convert it", advice)
        try:
            made = self._converted(frame, format, wide, high)
            return self._turned(made, frame, turn) if turn else made
        except (OSError, ValueError, MemoryError) as exc:  # FFmpeg's errors are of the first type
            raise UnusablePicture(
                _described(frame), f"{format} {wide}x{high}", str(exc) or type(exc).__name__
            ) from exc

    def upright(self, frame: VideoFrame) -> VideoFrame:
        """Return a picture turned as its display matrix says, with its pixel format if possible.

        Returns:
            A new frame without a display matrix, or the given one, if it has none that turns it.

        Raises:
            UnusablePicture: FFmpeg does not turn it.
        """
        turn = turn_of(frame)
        if not turn:
            return frame
        try:
            return self._turned(frame, frame, turn)
        except (OSError, ValueError):  # not in this pixel format
            return self.convert(frame, "yuv420p")

    def _converted(self, frame: VideoFrame, format: str, width: int, height: int) -> VideoFrame:
        if frame.format.name in _MONOCHROME:
            # libswscale takes the white of one bit for more than limited range has.
            frame = self._reformatter.reformat(frame, format="gray")
        is_limited = format not in _FULL_RANGE
        is_yuv = is_limited or format.startswith("yuv")
        if (
            frame.format.name == format
            and (frame.width, frame.height) == (width, height)
            and not (is_yuv and not _is_bt601(frame))
            and not (is_limited and frame.color_range == ColorRange.JPEG)
        ):
            return frame
        return self._reformatter.reformat(
            frame,
            width,
            height,
            format,
            src_colorspace=_read_as(frame.colorspace),
            dst_colorspace=Colorspace.ITU601 if is_yuv else None,
            dst_color_range=ColorRange.MPEG if is_limited else ColorRange.JPEG,
        )

    def _turned(self, picture: VideoFrame, frame: VideoFrame, turn: str) -> VideoFrame:
        """Turn a picture that was made of a frame."""
        key = (turn, picture.format.name, picture.width, picture.height)
        if self._turning is None or self._turning[0] != key:
            self._turning = key, _graph(*key)
        graph = self._turning[1]
        try:
            graph.vpush(picture)
            turned = graph.vpull()
        except BaseException:
            self._turning = None
            raise
        turned.pts, turned.time_base = frame.pts, frame.time_base or turned.time_base
        turned.pict_type = frame.pict_type
        turned.color_range, turned.colorspace = picture.color_range, picture.colorspace
        return turned


def upright_size(frame: VideoFrame) -> tuple[int, int]:
    """Return width and height of a picture as it is to be shown, in pixels."""
    if _is_turned(turn_of(frame)):
        return frame.height, frame.width
    return frame.width, frame.height


def turn_of(frame: VideoFrame) -> str:
    """Return the filters of FFmpeg that turn a picture upright; empty if it is so.

    The display matrix (ISO/IEC 14496-12 section 8.5.3) is rounded to a quarter of a turn, and may
    mirror. A matrix of another length or of zeros turns nothing.
    """
    data = frame.side_data.get(SideData.DISPLAYMATRIX)  # type: ignore[call-overload]
    if data is None or data.buffer_size != _MATRIX.size:
        return ""
    a, b, _, c, d, *_ = _MATRIX.unpack(bytes(data))
    if abs(a) + abs(d) < abs(b) + abs(c):
        if b > 0:
            return "transpose=clock" if c < 0 else "transpose=cclock_flip"
        return "transpose=cclock" if c > 0 else "transpose=clock_flip"
    return ",".join(name for name, value in (("hflip", a), ("vflip", d)) if value < 0)


def _is_turned(turn: str) -> bool:
    return turn.startswith("transpose")


def _graph(turn: str, format: str, width: int, height: int) -> Graph:
    graph = Graph()
    graph.threads = 1
    nodes = [
        graph.add_buffer(
            width=width, height=height, format=VideoFormat(format), time_base=Fraction(1, 90000)
        )
    ]
    for step in turn.split(","):
        name, _, direction = step.partition("=")
        nodes.append(graph.add(name, f"dir={direction}" if direction else None))
    nodes.append(graph.add("sidedata", "mode=delete:type=DISPLAYMATRIX"))
    nodes.append(graph.add("format", f"pix_fmts={format}"))
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    return graph


def _is_bt601(frame: VideoFrame) -> bool:
    return frame.colorspace in (_UNSPECIFIED, _RGB, _RESERVED, BT601, _BT601_TOO)


def _read_as(matrix: int) -> Colorspace | None:
    """Return the matrix to read pixels by, where libswscale does not take the frame's own."""
    if matrix == _RESERVED:
        return Colorspace.ITU601
    return Colorspace.BT2020 if matrix == _BT2020_CONSTANT else None


def _described(frame: VideoFrame) -> str:
    name = frame.format.name if frame.format is not None else "no format"
    parts = [name, f"{frame.width}x{frame.height}"]
    if frame.colorspace != _UNSPECIFIED:
        parts.append(f"matrix {int(frame.colorspace)}")
    if frame.color_range == ColorRange.JPEG:
        parts.append("full range")
    return " ".join(parts)

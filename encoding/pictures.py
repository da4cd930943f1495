"""Pixel format, color space and orientation conversion of video frames.

Every picture is converted by :class:`PictureConverter` before it is encoded, recorded or turned
into an array. The converter interprets pixels by the frame's ``color_range`` and ``colorspace``,
and rotates the picture by its display matrix. YUV output has the default colors of WebRTC: BT.601
matrix and limited range. RGB, gray and the ``yuvj`` formats have full range.

A frame with an unspecified matrix is taken for BT.601 whatever its size, as libswscale and browsers
do. Transfer functions and primaries are not converted: HDR is not mapped to SDR.
"""

import struct
from fractions import Fraction

from av import VideoFormat, VideoFrame
from av.filter import Graph
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from .errors import UnusablePicture

MAX_SIDE = 16383
"""Maximum width and height in pixels: VP8 has 14 bits for each (RFC 6386 section 9.1)."""

BT601 = 6
"""The matrix of all sent and recorded video, as numbered by ITU-T H.273 section 8.3."""

_UNSPECIFIED, _BT601_625 = 2, 5
_RGB, _RESERVED, _BT2020_CONSTANT = 0, 3, 10
"""Other matrices of ITU-T H.273; ``colorspace`` of a frame is such a number."""

_FULL_RANGE = frozenset({"gray", "rgb24", "bgr24", "rgba", "bgra", "yuvj420p", "yuvj444p"})
_ABORTING = frozenset({"yaf32be", "yaf32le"})
"""Pixel formats for which libswscale (FFmpeg 8) aborts the process with a failed assertion."""

_MONOCHROME = frozenset({"monow", "monob"})
_MATRIX = struct.Struct("=9i")


class PictureConverter:
    """Converter for the pictures of one stream; used by one thread at a time.

    ``frame.reformat()`` is not used: its converter belongs to the frame, so all threads that share
    the frame would use it at the same time.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._rotation: tuple[tuple[str, str, int, int], Graph] | None = None

    def convert(
        self, frame: VideoFrame, format: str, width: int | None = None, height: int | None = None
    ) -> VideoFrame:
        """Return a picture upright, in the given format and size.

        Args:
            frame: The picture, which is not changed.
            format: FFmpeg's name of the pixel format.
            width: Pixels; those of the upright picture if ``None``.
            height: Likewise.

        Returns:
            A new frame with the timestamp of the given one; or the given one itself if it needs no
            conversion.

        Raises:
            UnusablePicture: It has no pixels, or FFmpeg cannot convert it.
        """
        turn = turn_of(frame)
        upright = upright_size(frame)
        wide, high = width or upright[0], height or upright[1]
        if _swaps_sides(turn):
            wide, high = high, wide
        if frame.format is None or not (frame.width > 0 and frame.height > 0):
            raise UnusablePicture(
                _described(frame), format, "it has no pixels", "give one with a width and a height"
            )
        name = frame.format.name
        is_cut = name.startswith("bayer_") and (frame.width % 2 or frame.height % 2)
        if name in _ABORTING or is_cut:
            # libswscale aborts the process for half a Bayer pattern too.
            advice = "give one with an even width and height" if is_cut else "convert it before"
            raise UnusablePicture(_described(frame), format, "FFmpeg cannot convert it", advice)
        try:
            made = self._converted(frame, format, wide, high)
            return self._rotated(made, frame, turn) if turn else made
        except (OSError, ValueError, MemoryError) as exc:  # FFmpeg's errors are of the first type
            raise UnusablePicture(
                _described(frame), f"{format} {wide}x{high}", str(exc) or type(exc).__name__
            ) from exc

    def upright(self, frame: VideoFrame) -> VideoFrame:
        """Return a picture rotated by its display matrix, in its own pixel format if possible.

        Returns:
            A new frame without a display matrix, or the given one if it is upright already.

        Raises:
            UnusablePicture: FFmpeg cannot rotate it.
        """
        turn = turn_of(frame)
        if not turn:
            return frame
        try:
            return self._rotated(frame, frame, turn)
        except (OSError, ValueError):  # the filters do not support this pixel format
            return self.convert(frame, "yuv420p")

    def _converted(self, frame: VideoFrame, format: str, width: int, height: int) -> VideoFrame:
        if frame.format.name in _MONOCHROME:
            # libswscale converts the white of one-bit formats to values beyond limited range.
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
            src_colorspace=_source_matrix(frame.colorspace),
            dst_colorspace=Colorspace.ITU601 if is_yuv else None,
            dst_color_range=ColorRange.MPEG if is_limited else ColorRange.JPEG,
        )

    def _rotated(self, picture: VideoFrame, frame: VideoFrame, turn: str) -> VideoFrame:
        """Rotate ``picture``, converted from ``frame``, and copy the timestamp of the frame."""
        key = (turn, picture.format.name, picture.width, picture.height)
        if self._rotation is None or self._rotation[0] != key:
            self._rotation = key, _rotation_graph(*key)
        graph = self._rotation[1]
        try:
            graph.vpush(picture)
            turned = graph.vpull()
        except BaseException:
            self._rotation = None
            raise
        turned.pts, turned.time_base = frame.pts, frame.time_base or turned.time_base
        turned.pict_type = frame.pict_type
        turned.color_range, turned.colorspace = picture.color_range, picture.colorspace
        return turned


def upright_size(frame: VideoFrame) -> tuple[int, int]:
    """Return width and height of a picture after rotation by its display matrix, in pixels."""
    if _swaps_sides(turn_of(frame)):
        return frame.height, frame.width
    return frame.width, frame.height


def turn_of(frame: VideoFrame) -> str:
    """Return the FFmpeg filters that make a picture upright; empty if it is upright.

    The display matrix (ISO/IEC 14496-12 section 8.5.3) is rounded to quarter turns, and may mirror.
    A matrix of zeros or of another length is ignored.
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


def _swaps_sides(turn: str) -> bool:
    return turn.startswith("transpose")


def _rotation_graph(turn: str, format: str, width: int, height: int) -> Graph:
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
    return frame.colorspace in (_UNSPECIFIED, _RGB, _RESERVED, BT601, _BT601_625)


def _source_matrix(matrix: int) -> Colorspace | None:
    """Return the matrix for a frame whose own matrix libswscale rejects; ``None`` otherwise."""
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

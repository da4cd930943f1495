"""Conversion of arrays and frames of the application to ``yuv420p`` for encoders."""

from av import VideoFrame
from av.video.plane import VideoPlane

from icefloe.encoding import PictureConverter

from .._util.buffer import ArrayData, flat, view_of
from ..errors import InvalidParameter

_ENCODED = "yuv420p"
_BY_CHANNELS = {
    3: {"rgb": "rgb24", "bgr": "bgr24"},
    4: {"rgb": "rgba", "bgr": "bgra"},
}


def to_picture(picture: VideoFrame | ArrayData, order: str) -> VideoFrame:
    """Return a picture as a new frame in ``yuv420p``, upright, without a timestamp.

    Args:
        picture: A frame, or an array of ``uint8`` of the shape ``(height, width)`` for gray,
            ``(height, width, 3)`` or ``(height, width, 4)``.
        order: Order of the channels of an array: ``rgb`` or ``bgr``; a fourth is alpha.

    Raises:
        InvalidParameter: The array has another shape or type.
        UnusablePicture: The frame cannot be converted.
    """
    frame = picture if isinstance(picture, VideoFrame) else _from_array(picture, order)
    # A frame in the right format is copied too, because the application may reuse it.
    copy = PictureConverter().convert(frame, _ENCODED)
    if copy is frame:
        copy = VideoFrame(frame.width, frame.height, _ENCODED)
        for mine, given in zip(copy.planes, frame.planes, strict=True):
            _copy_rows(bytes(given), given.line_size, mine, mine.line_size, mine.height)
    return copy


def _from_array(picture: ArrayData, order: str) -> VideoFrame:
    view, shape = view_of(picture, "picture")
    if view.format != "B" or len(shape) not in (2, 3) or 0 in shape:
        raise InvalidParameter(
            "picture", (view.format, shape), "give uint8 of (height, width) or (height, width, 3)"
        )
    channels = shape[2] if len(shape) == 3 else 1
    formats = {1: {order: "gray"}, **_BY_CHANNELS}
    if channels not in formats:
        raise InvalidParameter("picture", shape, "give 1, 3 or 4 channels")
    frame = VideoFrame(shape[1], shape[0], formats[channels][order])
    plane = frame.planes[0]
    _copy_rows(flat(view), shape[1] * channels, plane, plane.line_size, shape[0])
    return frame


def _copy_rows(
    given: "bytes | memoryview", stride: int, plane: VideoPlane, own_stride: int, rows: int
) -> None:
    """Copy the rows of a plane between buffers with different strides."""
    target = memoryview(plane)
    if stride == own_stride:
        target[: rows * stride] = given[: rows * stride]
        return
    length = min(stride, own_stride)
    for row in range(rows):
        start = row * stride
        at = row * own_stride
        target[at : at + length] = given[start : start + length]

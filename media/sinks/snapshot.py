"""Snapshots: one video frame of a track as a JPEG or PNG image."""

import asyncio
import contextlib
import os
import secrets
from fractions import Fraction
from typing import Literal, TypeAlias

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange

from icefloe.encoding import PictureConverter, UnusablePicture

from ..errors import InvalidParameter, SnapshotFailed

PictureFile: TypeAlias = Literal["jpeg", "png"]

_SUFFIXES = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}
_CODECS = {"jpeg": ("mjpeg", "yuvj420p"), "png": ("png", "rgb24")}
_FINEST, _COARSEST = 2, 31
"""Range of FFmpeg's JPEG quantizer."""


async def snapshot(
    source: MediaStreamTrack | VideoFrame,
    path: str | os.PathLike[str] | None = None,
    *,
    format: PictureFile | None = None,
    quality: int = 90,
    timeout: float = 10.0,
) -> bytes:
    """Encode the next picture of a track, or a given frame, as a JPEG or PNG.

    The picture is encoded and written in a thread. The file is written atomically.

    Args:
        source: A video track, of which one frame is read, or a frame. A track gives each frame to
            one reader only: share a track that has another reader with ``Fanout``.
        path: Path of the image file; an existing file is replaced. ``None`` writes no file.
        format: ``jpeg`` or ``png``; if ``None`` chosen by the suffix of the path, or ``jpeg``
            without a path.
        quality: JPEG quality, 1 to 100.
        timeout: Seconds to wait for a frame of the track.

    Returns:
        The bytes of the JPEG or PNG.

    Raises:
        InvalidParameter: A parameter is out of range, or the track is not a video track.
        SnapshotFailed: The track has ended or gave no picture in time, the picture cannot be
            converted, or the file cannot be written.

    Cancellation: safe; a write in progress is completed.
    """
    place = None if path is None else os.fspath(path)
    suffix = os.path.splitext(place or "")[1].lower()
    name = format or (_SUFFIXES.get(suffix, "") if place else "jpeg")
    if name not in _CODECS:
        raise InvalidParameter("format", format or suffix, "give jpeg or png, or that suffix")
    if not 1 <= quality <= 100:
        raise InvalidParameter("quality", quality, "give 1 to 100")
    frame = source
    if isinstance(frame, MediaStreamTrack):
        frame = await _next(frame, place or name, timeout)
    return await asyncio.to_thread(_take, frame, name, quality, place)


async def _next(track: MediaStreamTrack, place: str, timeout: float) -> VideoFrame:
    if track.kind != "video":
        raise InvalidParameter("source", track, "give a track of video")
    try:
        async with asyncio.timeout(timeout):
            frame = await track.recv()
    except TimeoutError as exc:
        raise SnapshotFailed(place, f"no picture arrived in {timeout:g} s") from exc
    except MediaStreamError as exc:
        raise SnapshotFailed(place, "the track has ended") from exc
    if not isinstance(frame, VideoFrame):
        raise InvalidParameter("source", track, "it gives encoded packets")
    return frame


def _take(frame: VideoFrame, name: str, quality: int, place: str | None) -> bytes:
    try:
        data = _encode(frame, name, quality)
        if place is not None:
            _write(place, data)
    except UnusablePicture as exc:
        raise SnapshotFailed(place or name, str(exc)) from exc
    except OSError as exc:  # FFmpeg's errors are of this type too
        raise SnapshotFailed(place or name, exc.strerror or str(exc)) from exc
    return data


def _encode(frame: VideoFrame, name: str, quality: int) -> bytes:
    codec, pixels = _CODECS[name]
    converter = PictureConverter()
    picture = converter.convert(frame, pixels)
    if picture is frame:
        # Other readers may share the frame, and its timestamp is changed below.
        other = converter.convert(frame, "rgb24" if name == "jpeg" else "yuv444p")
        picture = converter.convert(other, pixels)
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = picture.width, picture.height
    encoder.pix_fmt = pixels
    encoder.time_base = Fraction(1, 25)
    if name == "jpeg":
        quantiser = round(_COARSEST + (_FINEST - _COARSEST) * (quality - 1) / 99)
        encoder.qmin = encoder.qmax = quantiser
        encoder.color_range = ColorRange.JPEG
    picture.pts = 0
    picture.time_base = Fraction(1, 25)
    return b"".join(bytes(p) for f in (picture, None) for p in encoder.encode(f))


def _write(place: str, data: bytes) -> None:
    folder, name = os.path.split(place)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise

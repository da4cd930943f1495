"""Readers of a track as NumPy arrays: ``frames()`` for video, ``audio()`` for audio.

::

    async for picture in frames(track):          # (height, width, 3), uint8
        faces = await asyncio.to_thread(detect, picture)

    async for samples in audio(track, rate=16000):   # (n,), int16
        recognizer.feed(samples)

The queues of both are bounded. With the policy ``newest`` the track is read continuously, and
frames are dropped and counted when the loop is too slow. With ``wait`` the track is read only when
the loop asks for a frame, which suits a source that waits for its reader, such as a file.
"""

import time
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from aiortc import MediaStreamTrack
from av import AudioFrame, VideoFrame

from icefloe.encoding import PictureConverter, SoundConverter, SoundFormat, check_sound, duration_of

from ..errors import InvalidParameter
from .reader_base import Backlog, MediaReader, Policy

if TYPE_CHECKING:
    from numpy.typing import NDArray

PictureFormat: TypeAlias = Literal["rgb24", "bgr24", "rgba", "bgra", "gray"]
SampleType: TypeAlias = Literal["int16", "float32"]

_PICTURE_FORMATS = ("rgb24", "bgr24", "rgba", "bgra", "gray")
_SAMPLE_FORMATS: dict[str, Literal["s16", "s32"]] = {"int16": "s16", "float32": "s32"}
"""Intermediate sample formats: FFmpeg does not limit a mixdown of float samples to 1."""

_DEFAULT_KEEP = 1
_DEFAULT_KEEP_SECONDS = 1.0
"""Default queue of a second of audio, so that a speech recognizer may be busy for that long."""

_REST_SECONDS = 0.1
"""Seconds of audio kept after an overflow; less than the limit, so that the reader catches up."""


class FrameReader(MediaReader[VideoFrame]):
    """Reader of the pictures of a video track as arrays; made by ``frames()``."""

    def __init__(
        self,
        track: MediaStreamTrack,
        picture_format: PictureFormat,
        size: tuple[int, int] | None,
        keep: int,
        policy: Policy,
    ) -> None:
        """Use ``frames()`` instead."""
        if picture_format not in _PICTURE_FORMATS:
            raise InvalidParameter(
                "format", picture_format, f"give one of {', '.join(_PICTURE_FORMATS)}"
            )
        if size is not None and min(size) < 1:
            raise InvalidParameter("size", size, "give a width and a height in pixels")
        if keep < 1:
            raise InvalidParameter("keep", keep, "keep at least one frame")
        super().__init__(track, "video", policy, Backlog(keep, _DEFAULT_KEEP))
        self._format = picture_format
        self._converter = PictureConverter()
        self._size = size

    def _frame(self, data: Any) -> VideoFrame:
        if not isinstance(data, VideoFrame):
            reason = f"it gives {type(data).__name__}; a video track must give av.VideoFrame"
            raise InvalidParameter("track", self._track, reason)
        return data

    def _free(self) -> None:
        self._converter = PictureConverter()

    def _convert(
        self, frame: VideoFrame | None, captured: float | None
    ) -> "list[tuple[NDArray[Any], float | None, float | None]]":
        if frame is None:
            return []
        converted = self._converter.convert(frame, self._format, *(self._size or ()))
        array = converted.to_ndarray()
        if converted is frame:
            array = array.copy()  # other readers may share the frame
        return [(array, self._times.of_picture(frame, time.monotonic()), captured)]


class AudioReader(MediaReader[AudioFrame]):
    """Reader of an audio track as arrays; made by ``audio()``."""

    def __init__(
        self,
        track: MediaStreamTrack,
        rate: int,
        layout: str,
        dtype: SampleType,
        samples: int | None,
        keep: float,
        policy: Policy,
    ) -> None:
        """Use ``audio()`` instead."""
        if not 1000 <= rate <= 384000:
            raise InvalidParameter("rate", rate, "give 1000 to 384000 Hz")
        if dtype not in _SAMPLE_FORMATS:
            raise InvalidParameter("dtype", dtype, "give int16 or float32")
        if samples is not None and samples < 1:
            raise InvalidParameter("samples", samples, "give one or more")
        if keep < _REST_SECONDS:
            raise InvalidParameter("keep", keep, f"keep {_REST_SECONDS:g} s or more")
        self._rate = rate
        self._target = SoundFormat(rate, layout, _SAMPLE_FORMATS[dtype])
        self._is_float = dtype == "float32"
        self._samples = samples
        self._converter = self._new_converter()
        self._pending: list[NDArray[Any]] = []
        self._pushed = 0.0
        self._end: float | None = None
        self._captured_end: float | None = None
        super().__init__(track, "audio", policy, Backlog(keep, _REST_SECONDS))

    def _new_converter(self) -> SoundConverter:
        try:
            return SoundConverter(self._target)
        except ValueError as exc:
            raise InvalidParameter("layout", self._target.layout, "give mono or stereo") from exc

    def _frame(self, data: Any) -> AudioFrame:
        return check_sound(data)

    def _convert(
        self, frame: AudioFrame | None, captured: float | None
    ) -> "list[tuple[NDArray[Any], float | None, float | None]]":
        if frame is None:
            self._add(self._converter.finish())
            return self._cut(last=True)
        data = self._converter.convert(frame)
        length = duration_of(frame)
        self._end = self._times.of_sound(frame, time.monotonic()) + length
        self._captured_end = None if captured is None else captured + length
        self._pushed += length
        self._add(data)
        return self._cut(last=False)

    def _free(self) -> None:
        self._converter = self._new_converter()

    def _add(self, data: bytes) -> None:
        import numpy as np

        array: NDArray[Any] = np.frombuffer(data, np.int32 if self._is_float else np.int16)
        if self._is_float:
            array = np.multiply(array, 2.0**-31, dtype=np.float32)
        channels = self._target.channels
        self._pending.append(array.reshape(-1, channels) if channels > 1 else array)

    def _cut(self, *, last: bool) -> "list[tuple[NDArray[Any], float | None, float | None]]":
        """Split the pending samples into arrays of the requested length."""
        import numpy as np

        whole = sum(map(len, self._pending))
        size = self._samples or whole
        if not whole or (whole < size and not last):
            return []
        joined = np.concatenate(self._pending)
        if last and whole % size:
            padding = [(0, size - whole % size)] + [(0, 0)] * (joined.ndim - 1)
            joined = np.pad(joined, padding)
        cut = len(joined) // size * size
        self._pending = [joined[cut:]] if cut < len(joined) else []
        # Time is counted back from the end of the latest frame, over all samples not yet returned.
        behind = self._pushed
        arrays = []
        for start in range(0, cut, size):
            at = None if self._end is None else self._end - behind
            captured = None if self._captured_end is None else self._captured_end - behind
            arrays.append((joined[start : start + size], at, captured))
            behind -= size / self._rate
        self._pushed = behind
        return arrays


def frames(
    track: MediaStreamTrack,
    *,
    format: PictureFormat = "rgb24",
    size: tuple[int, int] | None = None,
    keep: int = _DEFAULT_KEEP,
    policy: Policy = "newest",
) -> FrameReader:
    """Read the pictures of a track as NumPy arrays, with ``async for``.

    The arrays are ``uint8`` and may be changed: ``(height, width, 3)`` for ``rgb24`` and ``bgr24``
    (the order of OpenCV), ``(height, width, 4)`` for ``rgba`` and ``bgra``, and ``(height, width)``
    for ``gray``. A separate thread converts the pictures.

    Args:
        track: A video track; with the policy ``newest`` reading begins at once.
        format: Pixel format of the arrays.
        size: Width and height to scale to, in pixels. If ``None`` each picture keeps its own size,
            which may change in mid-call.
        keep: Maximum number of queued pictures with the policy ``newest``. After an overflow only
            the newest one is kept until the next read.
        policy: ``newest``: the track is read continuously, and pictures that the reader is too slow
            for are dropped and counted in ``dropped``. ``wait``: the track is read on demand.

    Raises:
        InvalidParameter: A parameter is out of range, or the track is an audio track.
        RuntimeError: No event loop runs.
    """
    return FrameReader(track, format, size, keep, policy)


def audio(
    track: MediaStreamTrack,
    *,
    rate: int = 16000,
    layout: str = "mono",
    dtype: SampleType = "int16",
    samples: int | None = None,
    keep: float = _DEFAULT_KEEP_SECONDS,
    policy: Policy = "newest",
) -> AudioReader:
    """Read an audio track as NumPy arrays, with ``async for``.

    The arrays are ``(n,)`` for mono and ``(n, channels)`` otherwise. ``float32`` samples are
    between -1.0 and 1.0. A separate thread resamples the audio. Lost audio leaves no gap in the
    arrays; the attribute ``time`` of the reader jumps by its length.

    Args:
        track: An audio track; with the policy ``newest`` reading begins at once.
        rate: Sample rate of the arrays, in hertz, 1000 to 384000.
        layout: FFmpeg's name of the channel layout, such as ``mono`` or ``stereo``.
        dtype: ``int16`` or ``float32``.
        samples: Number of samples in each array; the last one is padded with silence. If ``None``
            each array has the samples of one frame of the track, usually 20 ms.
        keep: Maximum seconds of queued audio with the policy ``newest``, 0.1 or more. After an
            overflow only the newest 0.1 s are kept until the next read.
        policy: As for ``frames()``.

    Raises:
        InvalidParameter: A parameter is out of range, or the track is a video track.
        RuntimeError: No event loop runs.
    """
    return AudioReader(track, rate, layout, dtype, samples, keep, policy)

"""The frames of a track as NumPy arrays: ``frames()`` for video, ``audio()`` for sound.

::

    async for picture in frames(track):          # (height, width, 3), uint8
        faces = await asyncio.to_thread(detect, picture)

    async for samples in audio(track, rate=16000):   # (n,), int16
        recognizer.feed(samples)

Both are bounded. With the policy ``newest`` the track is read as it comes, and what the loop over
it is too slow for is lost and counted. With ``wait`` the track is read only when the loop asks, as
is right for a source that waits for its reader, such as a file.
"""

import asyncio
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeAlias, TypeVar

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame
from av.packet import Packet

from icefloe.encoding import PictureConverter, SoundConverter, SoundFormat, check_sound, duration_of
from icefloe.logs import get_logger

from .._util.capture_time import capture_time
from .._util.closing import Closing
from .._util.frame_times import FrameTimes
from .._util.numpy_extra import require_numpy
from .._util.shared_reader import MediaData, pump
from .._util.wakeup import Signal
from ..errors import InvalidParameter

if TYPE_CHECKING:
    from numpy.typing import NDArray

Policy: TypeAlias = Literal["newest", "wait"]
PictureFormat: TypeAlias = Literal["rgb24", "bgr24", "rgba", "bgra", "gray"]
SampleType: TypeAlias = Literal["int16", "float32"]

_PICTURE_FORMATS = ("rgb24", "bgr24", "rgba", "bgra", "gray")
_SAMPLE_FORMATS: dict[str, Literal["s16", "s32"]] = {"int16": "s16", "float32": "s32"}
"""What sound is turned into first: FFmpeg does not keep sums of float samples within 1."""

_KEPT_PICTURES = 1
_KEPT_SECONDS = 1.0
"""A recognizer may be busy for a second without losing a word."""

_REST_SECONDS = 0.1
"""What a reader of sound that was away for longer finds: it is not to lag for ever after."""

logger = get_logger(__name__)


class _End(Enum):
    """The end of a track, of which one may say anything but that it gives this."""

    END = "end"


F = TypeVar("F", VideoFrame, AudioFrame)


class _Backlog:
    """What waits for a reader: up to a limit, and after an overflow only the newest of it.

    Args:
        limit: How much is kept: pictures, or seconds of sound.
        rest: How much of it is left by an overflow, until the reader comes again.
    """

    def __init__(self, limit: float, rest: float) -> None:
        self._limit = limit
        self._rest = rest
        self._size = 0.0
        self._overflown = False
        self._items: deque[tuple[MediaData, float]] = deque()
        self.dropped = 0
        self.complete = False
        self.error: Exception | None = None
        self.changed = Signal()

    def put(self, data: MediaData) -> None:
        size = 1.0 if isinstance(data, VideoFrame) else duration_of(data)
        self._items.append((data, size))
        self._size += size
        if self._size > self._limit:
            self._overflown = True
        # One frame is always kept, however long it is.
        while self._overflown and self._size > self._rest and len(self._items) > 1:
            self._size -= self._items.popleft()[1]
            self.dropped += 1
        self.changed.wake()

    def take(self) -> "MediaData | _End":
        self._overflown = False
        if not self._items:
            return _End.END
        data, size = self._items.popleft()
        self._size -= size
        return data

    def clear(self) -> None:
        self._items.clear()
        self._size = 0.0
        self.complete = True
        self.changed.wake()


class MediaReader(Closing, ABC, Generic[F]):
    """What ``frames()`` and ``audio()`` have in common.

    It ends with its track. Leaving a loop over it with ``break`` ends it too unless it is kept in a
    variable; ``aclose()`` or ``async with`` end it at once. The track goes on in either case:
    it belongs to whoever made it.

    Attributes:
        time: Media time of the first sample or the picture of the array given last, in seconds;
            None before the first. It only grows, and follows the arrivals where what the track says
            makes no sense.
        captured: When that was captured, in seconds since the Unix epoch by the clock of its
            sender; None if the track does not know, as no track does that is not remote.
    """

    def __init__(
        self, track: MediaStreamTrack, kind: str, policy: Policy, backlog: _Backlog
    ) -> None:
        """Use ``frames()`` or ``audio()`` instead."""
        if track.kind != kind:
            raise InvalidParameter("track", track, f"give a track of {kind}")
        if policy not in ("newest", "wait"):
            raise InvalidParameter("policy", policy, "give newest or wait")
        self.time: float | None = None
        self.captured: float | None = None
        self._track = track
        self._times = FrameTimes()
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"icefloe-{kind}")
        self._backlog = backlog
        self._waits = policy == "wait"
        self._task: asyncio.Task[MediaData | _End] | None = None
        self._ready: deque[tuple[NDArray[Any], float | None, float | None]] = deque()
        self._job: asyncio.Future[list[tuple[NDArray[Any], float | None, float | None]]] | None
        self._job = None
        self._busy = False
        self._ended = False
        self._closed = False
        if not self._waits:
            self._task = self._loop.create_task(_fill(track, backlog), name=f"read {track.id}")
            # A reader that is forgotten must not read on for ever.
            weakref.finalize(self, _forget, self._loop, self._task).atexit = False

    @property
    def dropped(self) -> int:
        """How many frames of the track were lost because the loop was too slow."""
        return self._backlog.dropped

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "NDArray[Any]":
        """Return the next array.

        Raises:
            StopAsyncIteration: The track has ended, or this was closed.
            InvalidParameter: The track gives encoded packets, or no frames at all.
            UnusablePicture: A picture cannot be converted; the next call goes on with the next one.
            UnusableSound: Sound has no sample rate, or cannot be used for another reason; likewise.
            Exception: What the track raised, if it broke; it is taken as ended then.
            RuntimeError: Another task is waiting for the next array.

        Cancellation: safe; no array is lost.
        """
        if self._busy:
            raise RuntimeError("one task at a time can read; Fanout shares a track among several")
        self._busy = True
        try:
            while not self._ready:
                await self._advance()
        finally:
            self._busy = False
        array, self.time, self.captured = self._ready.popleft()
        return array

    async def _advance(self) -> None:
        """Have the next frame converted, or the rest of the last ones."""
        if self._job is None:
            if self._ended:
                raise StopAsyncIteration
            data = await self._next()
            if self._closed:
                raise StopAsyncIteration
            frame = None if data is _End.END else self._checked(data)
            self._ended = frame is None
            captured = None if frame is None else capture_time(self._track, frame)
            self._job = self._loop.run_in_executor(self._thread, self._convert, frame, captured)
        # The conversion goes on when its waiter is cancelled, and the next one finds its result.
        await asyncio.wait([self._job])
        done, self._job = self._job, None
        arrays = done.result()
        if self._closed:
            raise StopAsyncIteration
        self._ready.extend(arrays)
        if self._ended and not self._ready:
            await self.aclose()
            raise StopAsyncIteration

    def _checked(self, data: Any) -> F:
        if isinstance(data, Packet):
            raise InvalidParameter(
                "track", self._track, "it gives encoded packets; read it before its encoder"
            )
        return self._frame(data)

    async def _next(self) -> "MediaData | _End":
        """Return the next frame of the track, or the end. Cancellation: safe."""
        if self._waits:
            if self._task is None:
                self._task = self._loop.create_task(_receive(self._track))
            await asyncio.wait([self._task])
            task, self._task = self._task, None
            return _End.END if task.cancelled() else task.result()
        while (data := self._backlog.take()) is _End.END and not self._backlog.complete:
            await self._backlog.changed.wait()
        if data is _End.END and self._backlog.error is not None:
            error, self._backlog.error = self._backlog.error, None
            raise error
        return data

    @abstractmethod
    def _frame(self, data: Any) -> F:
        """Return what the track gave, if it is a frame of the right kind."""

    @abstractmethod
    def _convert(
        self, frame: F | None, captured: float | None
    ) -> "list[tuple[NDArray[Any], float | None, float | None]]":
        """Make arrays of a frame, or of what is left at the end; for the thread."""

    @abstractmethod
    def _free(self) -> None:
        """Let go of FFmpeg's own threads, though somebody may hold on to what is closed."""

    async def aclose(self) -> None:
        """Stop reading and free the thread; the track is left alone.

        Whoever waits for an array gets ``StopAsyncIteration``. It can be called again.
        Cancellation: safe.
        """
        if not self._closed:
            self._thread.submit(self._free)  # after what is being converted
        self._ended = self._closed = True
        self._ready.clear()
        self._backlog.clear()
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=False)


class FrameReader(MediaReader[VideoFrame]):
    """The pictures of a track as arrays; made by ``frames()``."""

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
        super().__init__(track, "video", policy, _Backlog(keep, _KEPT_PICTURES))
        self._format = picture_format
        self._converter = PictureConverter()
        self._size = size

    def _frame(self, data: Any) -> VideoFrame:
        if not isinstance(data, VideoFrame):
            reason = f"it gives {type(data).__name__}; a track of video gives av.VideoFrame"
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
            array = array.copy()  # the frame may be shared with other readers
        return [(array, self._times.of_picture(frame, time.monotonic()), captured)]


class AudioReader(MediaReader[AudioFrame]):
    """The sound of a track as arrays; made by ``audio()``."""

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
            raise InvalidParameter("rate", rate, "give 1000 to 384000 samples a second")
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
        super().__init__(track, "audio", policy, _Backlog(keep, _REST_SECONDS))

    def _new_converter(self) -> SoundConverter:
        try:
            return SoundConverter(self._target)
        except ValueError as exc:
            raise InvalidParameter("layout", self._target.layout, "give mono, stereo, …") from exc

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
        """Take arrays of the wanted length off what is there."""
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
        # What the resampler holds back is as old as what was pushed and has not come out.
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
    keep: int = _KEPT_PICTURES,
    policy: Policy = "newest",
) -> FrameReader:
    """Read the pictures of a track as NumPy arrays, with ``async for``.

    The arrays are ``uint8`` and belong to the reader: ``(height, width, 3)`` for ``rgb24`` and
    ``bgr24``, which OpenCV wants, ``(height, width, 4)`` for ``rgba`` and ``bgra``, and
    ``(height, width)`` for ``gray``. They are made in a thread of their own.

    Args:
        track: A track of video; reading begins at once with the policy ``newest``.
        format: How a pixel is laid out.
        size: Width and height to scale to, in pixels. If None each picture has the size that it
            came in, and that may change in mid-call.
        keep: How many unread pictures are kept with the policy ``newest``. When there are more, all
            but the newest are lost, until the reader comes again.
        policy: ``newest``: the track is read as it comes, and what the reader is too slow for is
            lost and counted in ``dropped``. ``wait``: the track is read when an array is asked for.

    Raises:
        InvalidParameter: There is no such format or policy, or the track is of audio.
        MissingDependency: NumPy is not installed.
        RuntimeError: No event loop runs.
    """
    require_numpy("frames()")
    return FrameReader(track, format, size, keep, policy)


def audio(
    track: MediaStreamTrack,
    *,
    rate: int = 16000,
    layout: str = "mono",
    dtype: SampleType = "int16",
    samples: int | None = None,
    keep: float = _KEPT_SECONDS,
    policy: Policy = "newest",
) -> AudioReader:
    """Read the sound of a track as NumPy arrays, with ``async for``.

    The arrays are ``(n,)`` for mono and ``(n, channels)`` otherwise. ``float32`` samples are
    between -1.0 and 1.0. The sound is resampled in a thread of its own. Where sound was lost the
    arrays run on without a gap; ``time`` tells how much it was.

    Args:
        track: A track of audio; reading begins at once with the policy ``newest``.
        rate: Samples a second.
        layout: FFmpeg's name for the channels, such as ``mono`` or ``stereo``.
        dtype: ``int16`` or ``float32``.
        samples: How many samples each array has; the last one is filled up with silence. If None
            each array is what a frame of the track gives, which is mostly 20 ms.
        keep: How many seconds of unread sound are kept with the policy ``newest``. When there is
            more, all but the newest 0.1 s is lost, until the reader comes again.
        policy: As for ``frames()``.

    Raises:
        InvalidParameter: There is no such rate, layout, type or policy, or the track is of video.
        MissingDependency: NumPy is not installed.
        RuntimeError: No event loop runs.
    """
    require_numpy("audio()")
    return AudioReader(track, rate, layout, dtype, samples, keep, policy)


async def _fill(track: MediaStreamTrack, backlog: _Backlog) -> "MediaData | _End":
    backlog.error = await pump(track, backlog.put)
    backlog.complete = True
    backlog.changed.wake()
    return _End.END


async def _receive(track: MediaStreamTrack) -> "MediaData | _End":
    try:
        return await track.recv()
    except MediaStreamError:
        return _End.END


def _forget(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[Any]") -> None:
    try:
        loop.call_soon_threadsafe(task.cancel)
    except RuntimeError:  # the loop is closed, and the task has gone with it
        logger.debug("reader.forget.dropped reason=loop-closed")

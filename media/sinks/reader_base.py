"""Base of the frame and audio readers: bounded backlog, conversion in a thread, async iteration."""

import asyncio
import weakref
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from logging import Logger
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeAlias, TypeVar

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame
from av.packet import Packet

from icefloe.encoding import duration_of
from icefloe.logs import get_logger

from .._util.capture_time import capture_time
from .._util.closing import Closing
from .._util.frame_times import FrameTimes
from .._util.shared_reader import MediaData, pump
from .._util.wakeup import Signal
from ..errors import InvalidParameter

if TYPE_CHECKING:
    from numpy.typing import NDArray

Policy: TypeAlias = Literal["newest", "wait"]

logger: Logger = get_logger(__name__)


class _End(Enum):
    """Marker for the end of a track."""

    END = "end"


F = TypeVar("F", VideoFrame, AudioFrame)


class Backlog:
    """A bounded queue of frames that, after an overflow, keeps only the newest until it is read.

    Args:
        limit: Maximum size of the queue: a number of pictures, or seconds of audio.
        rest: Size that is kept after an overflow, likewise.

    Attributes:
        dropped: Number of frames that were dropped.
        complete: Whether no more frames will be put.
        error: The error that ended the track; ``None`` if there was none.
        changed: Wakes the reader after each change.
    """

    def __init__(self, limit: float, rest: float) -> None:
        self._limit = limit
        self._rest = rest
        self._size = 0.0
        self._overflown = False
        self._items: deque[tuple[MediaData, float]] = deque()
        self.dropped: int = 0
        self.complete: bool = False
        self.error: Exception | None = None
        self.changed: Signal = Signal()

    def put(self, data: MediaData) -> None:
        """Add a frame; drop the oldest ones if the queue is full."""
        size = 1.0 if isinstance(data, VideoFrame) else duration_of(data)
        self._items.append((data, size))
        self._size += size
        if self._size > self._limit:
            self._overflown = True
        # The newest frame is kept even if it alone exceeds the limit.
        while self._overflown and self._size > self._rest and len(self._items) > 1:
            self._size -= self._items.popleft()[1]
            self.dropped += 1
        self.changed.wake()

    def take(self) -> "MediaData | _End":
        """Take the oldest frame; return the end marker if the queue is empty."""
        self._overflown = False
        if not self._items:
            return _End.END
        data, size = self._items.popleft()
        self._size -= size
        return data

    def clear(self) -> None:
        """Drop all frames and mark the queue as complete."""
        self._items.clear()
        self._size = 0.0
        self.complete = True
        self.changed.wake()


class MediaReader(Closing, ABC, Generic[F]):
    """Asynchronous iterator over the frames of a track as arrays.

    It ends with its track. Leaving a loop over it with ``break`` ends it too, unless there is
    another reference to it; ``aclose()`` or ``async with`` end it immediately. The track itself is
    never stopped.

    Attributes:
        time: Media time of the latest array, at its first sample or its picture, in seconds;
            ``None`` before the first array. It never decreases, and follows the arrival times if
            the timestamps of the track are invalid.
        captured: Capture time of the same, in seconds since the Unix epoch by the clock of the
            sender; ``None`` if not known. Only remote tracks know it.
    """

    def __init__(
        self, track: MediaStreamTrack, kind: str, policy: Policy, backlog: Backlog
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
            # A reader without references must stop reading.
            weakref.finalize(self, _cancel_from_any_thread, self._loop, self._task).atexit = False

    @property
    def dropped(self) -> int:
        """Number of frames that were dropped because the loop was too slow."""
        return self._backlog.dropped

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "NDArray[Any]":
        """Return the next array.

        Raises:
            StopAsyncIteration: The track has ended, or the reader was closed.
            InvalidParameter: The track gives encoded packets, or no frames at all.
            UnusablePicture: A picture cannot be converted; call again for the next one.
            UnusableSound: An audio frame cannot be used, for example because it has no sample rate;
                call again for the next one.
            Exception: The exception of the track, if it broke; the track counts as ended then.
            RuntimeError: Another task is waiting for the next array.

        Cancellation: safe; no array is lost.
        """
        if self._busy:
            raise RuntimeError("only one task may read; use Fanout to share a track among several")
        self._busy = True
        try:
            while not self._ready:
                await self._advance()
        finally:
            self._busy = False
        array, self.time, self.captured = self._ready.popleft()
        return array

    async def _advance(self) -> None:
        """Convert the next frame, or flush the converter at the end."""
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
        # If the caller is cancelled the conversion continues, and the next call gets its result.
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
                "track", self._track, "it gives encoded packets; read the track before its encoder"
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
        """Return a frame if it is of the right kind.

        Raises:
            InvalidParameter: The video track gave another object.
            UnusableSound: The audio track gave another object, or an unusable frame.
        """

    @abstractmethod
    def _convert(
        self, frame: F | None, captured: float | None
    ) -> "list[tuple[NDArray[Any], float | None, float | None]]":
        """Convert a frame to arrays, each with its media and capture time; for the thread.

        Args:
            frame: The frame; ``None`` at the end of the track, to flush the converter.
            captured: Capture time, in seconds since the Unix epoch; ``None`` if not known.
        """

    @abstractmethod
    def _free(self) -> None:
        """Release the converter and its FFmpeg threads even if the reader is still referenced."""

    async def aclose(self) -> None:
        """Stop reading and free the thread; the track is not stopped.

        A pending ``__anext__`` raises ``StopAsyncIteration``. Idempotent. Cancellation: safe.
        """
        if not self._closed:
            self._thread.submit(self._free)  # runs after a conversion in progress
        self._ended = self._closed = True
        self._ready.clear()
        self._backlog.clear()
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=False)


async def _fill(track: MediaStreamTrack, backlog: Backlog) -> "MediaData | _End":
    backlog.error = await pump(track, backlog.put)
    backlog.complete = True
    backlog.changed.wake()
    return _End.END


async def _receive(track: MediaStreamTrack) -> "MediaData | _End":
    try:
        return await track.recv()
    except MediaStreamError:
        return _End.END


def _cancel_from_any_thread(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[Any]") -> None:
    try:
        loop.call_soon_threadsafe(task.cancel)
    except RuntimeError:  # the loop is closed, so the task has ended
        logger.debug("reader.forget.dropped reason=loop-closed")

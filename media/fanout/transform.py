"""Transform track: applies a function of the application to each frame of another track."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from logging import Logger
from typing import Any, TypeAlias

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.frame import Frame

from icefloe._util.cancellation import is_cancelled
from icefloe.logs import get_logger

from .._util.shared_reader import MediaData
from .fanout import LatestFrame, QueuedTrack

TransformFunction: TypeAlias = Callable[[Any], Frame] | Callable[[Any], Awaitable[Frame]]
"""A function that takes a ``VideoFrame`` or an ``AudioFrame`` and returns one of the same type."""

AUDIO_FRAMES = 50
"""Queue length for audio, so that a slow call loses no frame; fifty frames are one second."""

logger: Logger = get_logger(__name__)


class TransformTrack(QueuedTrack):
    """A track that applies a function to every frame of another track.

    A plain function runs in a worker thread, a coroutine function in the event loop, and only one
    call runs at a time. Video: the function gets the newest frame, so that a slow function only
    lowers the frame rate. Audio: it gets all frames in order. Up to a second of audio is queued
    before it and up to a second after it; beyond that the oldest frames are dropped.

    The result gets the ``pts`` and ``time_base`` of the original frame. When the function raises,
    or does not return a frame of the original's type, the original frame passes unchanged, and each
    type of exception is logged once. Encoded packets pass unchanged.

    The frame may be shared with other readers or with a decoder: a function that changes it must
    call ``frame.make_writable()`` first. A function that never returns blocks its thread for ever.

    The track starts with the first ``recv()``, and it ends with its source. Stopping it stops the
    source and frees the thread.

    Args:
        track: The source, audio or video.
        function: The function to apply; ``None`` passes the frames unchanged.
    """

    def __init__(self, track: MediaStreamTrack, function: TransformFunction | None) -> None:
        super().__init__(track, AUDIO_FRAMES if track.kind == "audio" else None)
        self._source = track
        self._input: LatestFrame | None = None
        self._worker: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._function = function
        self._reported: set[type[BaseException]] = set()

    @property
    def function(self) -> TransformFunction | None:
        """The function that is applied; a new one takes effect with the next frame."""
        return self._function

    @function.setter
    def function(self, function: TransformFunction | None) -> None:
        self._function = function
        self._reported.clear()

    @property
    def dropped(self) -> int:
        """Number of frames that were dropped: the function or the reader was too slow."""
        return self._dropped + (self._input.dropped if self._input else 0)

    def _begin(self) -> None:
        if self._worker is None:
            self._input = LatestFrame(self._source, keep=self._frames.maxlen)
            self._worker = asyncio.get_running_loop().create_task(
                self._work(self._input), name=f"transform {self._source.id}"
            )

    async def _work(self, frames: LatestFrame) -> None:
        try:
            while True:
                self._put(await self._apply(await frames.recv()))
        except MediaStreamError:
            self._finish()
        finally:
            self._free_thread()

    async def _apply(self, frame: MediaData) -> MediaData:
        function = self._function
        if function is None or not isinstance(frame, Frame):
            return frame
        # The function may change the frame, so its timestamp is read first.
        pts, time_base = frame.pts, frame.time_base
        result: Any
        try:
            result = await self._call(function, frame)
            if not isinstance(result, type(frame)):
                raise TypeError(
                    f"{function!r} returned {type(result).__name__} instead of "
                    f"{type(frame).__name__}"
                )
        except asyncio.CancelledError as cancelled:
            if is_cancelled():
                raise
            self._report(function, cancelled)
            result = frame
        except Exception as exc:
            self._report(function, exc)
            result = frame
        changed: Frame = result
        changed.pts, changed.time_base = pts, time_base
        return changed

    async def _call(self, function: Callable[[Any], Any], frame: Frame) -> Any:
        if _is_coroutine_function(function):
            return await function(frame)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="icefloe-transform")
        loop = asyncio.get_running_loop()
        result, error = await loop.run_in_executor(self._thread, _call, function, frame)
        if error is not None:
            raise error
        return result

    def _report(self, function: TransformFunction, exc: BaseException) -> None:
        if type(exc) in self._reported or function is not self._function:
            return
        self._reported.add(type(exc))
        logger.error(
            "transform %r failed; the frame passes unchanged. Later failures of this type are not "
            "logged",
            function,
            exc_info=exc,
        )

    def _free_thread(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    def stop(self) -> None:
        """End this track and its source, without waiting for a call in progress."""
        super().stop()
        if self._worker is not None:
            self._worker.cancel()
        if self._input is not None:
            self._input.stop()
        self._source.stop()
        self._free_thread()


def _is_coroutine_function(function: Callable[[Any], Any]) -> bool:
    # A callable object is async if the `__call__` of its type is.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        type(function).__call__
    )


def _call(function: Callable[[Any], Any], frame: Frame) -> tuple[Any, Exception | None]:
    # Exceptions are returned, because a future cannot hold a StopIteration.
    try:
        return function(frame), None
    except Exception as exc:
        return None, exc

"""Reading task of a sender: reads the current track until it is replaced."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from icefloe._util.cancellation import is_cancelled


class TrackFailed(Exception):
    """``recv()`` of a track raised an unexpected exception, which is the ``__cause__``."""


class TrackReader:
    """Reads the track of a sender, one track at a time.

    Args:
        read: Reads a track and sends its media until it ends; raises ``ConnectionError`` once the
            transport is closed.
        on_failure: Called with a track and the unexpected exception that ended ``read``.
    """

    def __init__(
        self,
        read: Callable[[MediaStreamTrack], Coroutine[Any, Any, None]],
        on_failure: Callable[[MediaStreamTrack, BaseException], None],
    ) -> None:
        self.track: MediaStreamTrack | None = None
        self._read = read
        self._on_failure = on_failure
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._has_ended = False

    def replace(self, track: MediaStreamTrack | None) -> None:
        """Stop reading the current track, and read another one if there is one."""
        self.track = track
        if self._task is not None:
            self._task.cancel()
        self._changed.set()

    async def run(self) -> None:
        """Read the current track and its replacements, without end.

        Raises:
            ConnectionError: The transport was closed.

        Cancellation: safe; the reading task has ended when this returns.
        """
        while True:
            self._changed.clear()
            if self.track is not None:
                await self._read_until_replaced(self.track)
            await self._changed.wait()

    def end(self) -> None:
        """Release the track, even if it was never read: stop it, or call ``reader_left()``.

        See :class:`~icefloe.peer.EncodedTrack`. Idempotent.
        """
        track, self._has_ended = None if self._has_ended else self.track, True
        if track is None:
            return
        if getattr(track, "ends_with_sender", False):
            track.stop()
        elif (reader_left := getattr(track, "reader_left", None)) is not None:
            reader_left()

    async def _read_until_replaced(self, track: MediaStreamTrack) -> None:
        name = f"send {track.kind} {track.id}"
        task = self._task = asyncio.get_running_loop().create_task(self._read(track), name=name)
        try:
            await asyncio.wait((task,))
        finally:
            task.cancel()
            await asyncio.wait((task,))
            outcome = None if task.cancelled() else task.exception()
            # A cancelled task refers to its frames, and so to the encoder and its threads, until
            # the garbage collector runs.
            self._task = None
            del task
        match outcome:
            case None:
                pass
            case ConnectionError() as error:
                raise error
            case error:
                self._on_failure(track, error)


async def receive(track: MediaStreamTrack) -> Any:
    """Return the next frame or packet of a track.

    Raises:
        MediaStreamError: The track has ended.
        TrackFailed: ``recv()`` raised another exception, which is the ``__cause__``. It may be a
            ``CancelledError``, if not this task was cancelled, but what the track waits for.

    Cancellation: as safe as that of the track's ``recv()``.
    """
    try:
        return await track.recv()
    except MediaStreamError:
        raise
    except asyncio.CancelledError as error:
        if is_cancelled():
            raise
        raise TrackFailed from error
    except Exception as error:
        raise TrackFailed from error

"""Sink that reads a track and discards its frames."""

import asyncio
from typing import Any

from aiortc import MediaStreamTrack

from .._util.shared_reader import MediaData, pump

_running: "set[asyncio.Task[None]]" = set()
"""Strong references, because the event loop keeps only weak ones to its tasks."""


class Discard:
    """A sink that discards the frames of a track; made by ``discard()``.

    Attributes:
        count: Number of frames read.
    """

    def __init__(self, track: MediaStreamTrack) -> None:
        """Use ``discard()`` instead."""
        self.count: int = 0
        self._task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(
            pump(track, self._drop), name=f"discard {track.id}"
        )
        _running.add(self._task)
        self._task.add_done_callback(_running.discard)

    def _drop(self, frame: MediaData) -> None:
        self.count += 1

    def close(self) -> None:
        """Stop reading; the track is not stopped. Idempotent."""
        self._task.cancel()

    async def wait(self) -> None:
        """Return when the track has ended or this was closed. Cancellation: safe."""
        await asyncio.wait([self._task])


def discard(track: MediaStreamTrack) -> Discard:
    """Read a track from now on to its end, and discard its frames.

    Use it for a track that has no other reader and whose source would queue frames without bound.
    The returned object need not be kept; it ends with the track.

    Raises:
        RuntimeError: No event loop runs.
    """
    return Discard(track)

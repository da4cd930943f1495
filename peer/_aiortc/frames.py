"""The queue of a remote track, as programs reach for it that know aiortc's own.

aiortc has an ``asyncio.Queue`` without a bound there. Some programs empty it, so that they do not
go on with pictures that are long past.
"""

import asyncio
from typing import Any

from ..rtp.receive.remote_track import FrameQueue


class FramesAsQueue(asyncio.Queue[Any]):
    """The frames that wait to be read, as an ``asyncio.Queue``.

    Attributes:
        frames: Them.
    """

    def __init__(self, frames: FrameQueue[Any]) -> None:
        super().__init__()
        self.frames = frames

    def qsize(self) -> int:
        """Return how many frames wait."""
        return len(self.frames)

    def empty(self) -> bool:
        """Return whether no frame waits."""
        return not len(self.frames)

    def full(self) -> bool:
        """Return False: there is always room, since the oldest frame is dropped."""
        return False

    def get_nowait(self) -> Any:
        """Take the oldest frame.

        Raises:
            asyncio.QueueEmpty: There is none.
        """
        frame = self.frames.take()
        if frame is None:
            raise asyncio.QueueEmpty
        return frame

    async def get(self) -> Any:
        """Take the next frame; ``None`` at the end. Cancellation: safe; no frame is lost."""
        return await self.frames.get()

    def put_nowait(self, item: Any) -> None:
        """Add a frame, or with ``None`` the end."""
        if item is None:
            self.frames.end()
        else:
            self.frames.put(item)

    async def put(self, item: Any) -> None:
        """Add a frame, or with ``None`` the end; never waits."""
        self.put_nowait(item)

    def task_done(self) -> None:
        """Do nothing: nobody waits in ``join()`` until all frames are done with."""

    async def join(self) -> None:
        """Return at once, likewise."""

"""What the other side opens, in order, until there is no other side."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

CAPACITY = 256
"""How much may wait to be taken."""

T = TypeVar("T")


class Arrivals(Generic[T]):
    """A bounded queue that ends: tracks, channels or peers, each handed out once."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[T | None] = asyncio.Queue(CAPACITY + 1)
        self._ended = False

    def put(self, thing: T) -> bool:
        """Add a thing; return whether there was room for it."""
        if self._ended or self._queue.qsize() >= CAPACITY:
            return False
        self._queue.put_nowait(thing)
        return True

    def end(self) -> None:
        """Let readers stop after what is there."""
        if not self._ended:
            self._ended = True
            self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[T]:
        while (thing := await self._queue.get()) is not None:
            yield thing
        self._queue.put_nowait(None)  # for whoever else reads

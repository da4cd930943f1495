"""Queue of the tracks, channels or files that a remote peer opens."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Generic, TypeVar

CAPACITY = 256
"""Items that may wait to be taken."""

T = TypeVar("T")


class Arrivals(Generic[T]):
    """A bounded queue of tracks, channels or peers that can be ended; each item is taken once."""

    def __init__(self) -> None:
        self._waiting: deque[T] = deque()
        self._ended = False
        self._changed = asyncio.Event()

    def put(self, thing: T) -> bool:
        """Add an item; return whether there was room."""
        if self._ended or len(self._waiting) >= CAPACITY:
            return False
        self._waiting.append(thing)
        self._changed.set()
        return True

    def withdraw(self, thing: T) -> None:
        """Remove an item, unless it was taken already."""
        with suppress(ValueError):
            self._waiting.remove(thing)

    def end(self) -> None:
        """End the queue; readers stop after the remaining items."""
        self._ended = True
        self._changed.set()

    async def take(self) -> T | None:
        """Wait for the next item; return ``None`` after the last one.

        Cancellation: safe; nothing is lost.
        """
        while not self._waiting:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()

    async def __aiter__(self) -> AsyncIterator[T]:
        while (thing := await self.take()) is not None:
            yield thing

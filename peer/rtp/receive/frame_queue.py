"""Decoded frames on their way from a thread to whoever reads a track: bounded, the oldest goes."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class FrameQueue(Generic[T]):
    """A queue from one thread to readers in the event loop in which it is made.

    A reader that is late finds all that came meanwhile, up to ``capacity``. One that was away for
    longer finds the newest ``keep`` alone, so that it is not late for ever. While it
    :attr:`is_forsaken` nothing is kept, and nothing need be decoded for it.

    Args:
        capacity: How many frames are kept at most.
        keep: How many of them are, after some were dropped.
        patience: How many frames may come, one after the other, without anybody reading.

    Attributes:
        dropped: How many frames nobody read.
        on_return: Called when somebody reads again, in the event loop.
    """

    def __init__(self, capacity: int, keep: int, patience: int) -> None:
        self.dropped = 0
        self.on_return: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._frames: deque[T] = deque()
        self._capacity, self._keep, self._patience = capacity, keep, patience
        self._unread = 0
        """Frames that came since somebody read."""
        self._overflowed = self._ended = False
        self._waiting: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_forsaken(self) -> bool:
        """Whether nobody has read for so long that nobody seems to want any frames."""
        return self._unread > self._patience

    def put(self, frame: T) -> None:
        """Add a frame; from any thread. Once the queue has ended, it goes nowhere."""
        with self._lock:
            if self._ended:
                return
            self._unread = 0 if self._waiting else self._unread + 1
            if self.is_forsaken:
                self.dropped += len(self._frames) + 1
                self._frames.clear()
                return
            if len(self._frames) >= self._capacity:
                self._frames.popleft()
                self.dropped += 1
                self._overflowed = True
            self._frames.append(frame)
            hungry = bool(self._waiting)
        if hungry:
            self._call_wake()

    def end(self) -> None:
        """Take no more frames; what is there can still be read. From any thread."""
        with self._lock:
            self._ended = True
        self._call_wake()

    async def get(self) -> T | None:
        """Return the next frame, or ``None`` at the end. Cancellation: safe; no frame is lost."""
        while True:
            with self._lock:
                returns, self._unread = self.is_forsaken, 0
                if self._overflowed:
                    self._overflowed = False
                    while len(self._frames) > self._keep:
                        self._frames.popleft()
                        self.dropped += 1
                if self._frames:
                    return self._frames.popleft()
                if self._ended:
                    return None
                woken: asyncio.Future[None] = self._loop.create_future()
                self._waiting.add(woken)
            if returns and self.on_return is not None:
                self.on_return()
            try:
                await woken
            finally:
                with self._lock:
                    self._waiting.discard(woken)

    def take(self) -> T | None:
        """Take the oldest frame without waiting; ``None`` if there is none. From any thread."""
        with self._lock:
            return self._frames.popleft() if self._frames else None

    def drop(self) -> None:
        """Drop the oldest frame, if there is one; from any thread."""
        with self._lock:
            if self._frames:
                self._frames.popleft()
                self.dropped += 1

    def clear(self) -> None:
        """Drop the frames that wait; from any thread."""
        with self._lock:
            self.dropped += len(self._frames)
            self._frames.clear()
            self._overflowed = False

    def _call_wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop is closed, and with it everyone who could read
            with self._lock:
                self._frames.clear()

    def _wake(self) -> None:
        with self._lock:
            for woken in self._waiting:
                if not woken.done():
                    woken.set_result(None)

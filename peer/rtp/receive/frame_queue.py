"""Bounded queue of decoded frames between a decoder thread and the readers of a track."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class FrameQueue(Generic[T]):
    """A queue from one thread to readers in the event loop in which it is created.

    On overflow the oldest frame is dropped, and the next reader gets only the newest ``keep``
    frames, so that it does not stay late. While the queue :attr:`is_forsaken`, it stores nothing,
    and no frame needs to be decoded for it.

    Args:
        capacity: Maximum number of frames.
        keep: Number of frames kept for the next reader after an overflow.
        patience: Number of consecutive unread frames after which the queue counts as abandoned.

    Attributes:
        dropped: Number of frames dropped unread.
        on_return: Called in the event loop when reading resumes.
    """

    def __init__(self, capacity: int, keep: int, patience: int) -> None:
        self.dropped: int = 0
        self.on_return: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._frames: deque[T] = deque()
        self._capacity, self._keep, self._patience = capacity, keep, patience
        self._unread = 0
        """Frames added since the last read."""
        self._overflowed = self._ended = False
        self._readers: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_abandoned(self) -> bool:
        """True if nobody has read for so long that frames are not wanted."""
        return self._unread > self._patience

    def put(self, frame: T) -> None:
        """Add a frame; from any thread. No-op once the queue has ended."""
        with self._lock:
            if self._ended:
                return
            self._unread = 0 if self._readers else self._unread + 1
            if self.is_abandoned:
                self.dropped += len(self._frames) + 1
                self._frames.clear()
                return
            if len(self._frames) >= self._capacity:
                self._frames.popleft()
                self.dropped += 1
                self._overflowed = True
            self._frames.append(frame)
            has_reader = bool(self._readers)
        if has_reader:
            self._schedule_wake()

    def end(self) -> None:
        """Accept no more frames; those in the queue can still be read. From any thread."""
        with self._lock:
            self._ended = True
        self._schedule_wake()

    async def get(self) -> T | None:
        """Return the next frame; ``None`` at the end.

        Cancellation: safe; no frame is lost.
        """
        while True:
            with self._lock:
                resumes, self._unread = self.is_abandoned, 0
                if self._overflowed:
                    self._overflowed = False
                    while len(self._frames) > self._keep:
                        self._frames.popleft()
                        self.dropped += 1
                if self._frames:
                    return self._frames.popleft()
                if self._ended:
                    return None
                wakeup: asyncio.Future[None] = self._loop.create_future()
                self._readers.add(wakeup)
            if resumes and self.on_return is not None:
                self.on_return()
            try:
                await wakeup
            finally:
                with self._lock:
                    self._readers.discard(wakeup)

    def take(self) -> T | None:
        """Return the oldest frame without waiting; ``None`` if there is none. From any thread."""
        with self._lock:
            return self._frames.popleft() if self._frames else None

    def drop(self) -> None:
        """Drop the oldest frame, if there is one. From any thread."""
        with self._lock:
            if self._frames:
                self._frames.popleft()
                self.dropped += 1

    def clear(self) -> None:
        """Drop all frames. From any thread."""
        with self._lock:
            self.dropped += len(self._frames)
            self._frames.clear()
            self._overflowed = False

    def _schedule_wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop is closed, so there are no readers
            with self._lock:
                self._frames.clear()

    def _wake(self) -> None:
        with self._lock:
            for wakeup in self._readers:
                if not wakeup.done():
                    wakeup.set_result(None)

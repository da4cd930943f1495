"""Bounded queues from a thread to the event loop, and a thread whose end can be awaited.

A ``Bridge`` has *lanes*, one queue for each track. The thread blocks while the lane it puts into is
full. But if the reader of another lane waits for an item, the full lane drops its oldest item
instead. So nothing is lost while all lanes are read, and a lane that is not read neither blocks the
others nor grows.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from icefloe.logs import get_logger

from .wakeup import Signal

LOOP_CHECK = 0.25
"""Seconds between checks of a waiting thread whether the event loop still exists. Without them a
program that ends without closing its sources would wait for the threads for ever."""

logger = get_logger(__name__)

T = TypeVar("T")


class Bridge(Generic[T]):
    """The queues from one thread to the event loop in which this object is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._lanes: list[Lane[T]] = []
        self._epoch = self._accepted = 0
        self._running = True

    def lane(self, capacity: int) -> "Lane[T]":
        """Add a lane with room for ``capacity`` items."""
        lane = Lane(self, capacity)
        self._lanes.append(lane)
        return lane

    @property
    def is_open(self) -> bool:
        """True while a lane can be read; when it is false the thread is to end."""
        return not self._loop.is_closed() and any(lane.is_open for lane in self._lanes)

    def close(self) -> None:
        """Close every lane and wake the thread. Call it in the event loop."""
        for lane in self._lanes:
            lane.close()

    def redirect(self) -> bool:
        """Empty every lane for a seek, and refuse items until the thread calls ``accept``.

        Call it in the event loop.

        Returns:
            Whether the thread is running; if not, start a new one.
        """
        with self._changed:
            self._epoch += 1
            running, self._running = self._running, True
            for lane in self._lanes:
                lane._complete = False
                lane._items.clear()
            self._changed.notify_all()
        for lane in self._lanes:
            lane.changed.wake()
        return running

    @property
    def redirected(self) -> bool:
        """True if there was a ``redirect`` that the thread has not accepted."""
        return self._accepted != self._epoch

    def accept(self) -> None:
        """Accept a ``redirect``: the lanes take items again. For the thread."""
        with self._changed:
            self._accepted = self._epoch

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` or until the lanes are closed or redirected. For the thread."""
        until = time.monotonic() + seconds
        with self._changed:
            while self.is_open and not self.redirected:
                rest = until - time.monotonic()
                if rest <= 0:
                    return
                self._changed.wait(min(rest, LOOP_CHECK))

    def end(self) -> bool:
        """Mark every lane as complete; its items can still be read. For the thread.

        It takes effect in the event loop after all earlier ``call`` callbacks.

        Returns:
            Whether the thread is to end; false if the bridge was redirected in the meantime.
        """
        with self._changed:
            if self.redirected and self.is_open:
                return False
            self._running = False
            epoch = self._epoch
        self.call(partial(self._end, epoch))
        return True

    def _end(self, epoch: int) -> None:
        with self._changed:
            if epoch != self._epoch:
                return
            for lane in self._lanes:
                lane._complete = True
        for lane in self._lanes:
            lane.changed.wake()

    def call(self, callback: Callable[[], object]) -> None:
        """Schedule a callback in the event loop unless it is closed. For the thread."""
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed, so nobody waits for the result
            logger.debug("bridge.call.dropped reason=loop-closed")


class Lane(Generic[T]):
    """A bounded queue from the thread to the readers in the event loop.

    Attributes:
        capacity: Maximum number of items; the thread may set it before its first ``put``.
        live: Whether a full lane drops its oldest item instead of blocking the thread, as a live
            source requires; the thread may set it before its first ``put``.
        dropped: Number of items that were dropped because the lane was not read in time.
        changed: Wakes readers when there may be an item, or the lane has ended.
    """

    def __init__(self, bridge: Bridge[T], capacity: int) -> None:
        self.capacity = capacity
        self.live = False
        self.dropped: int = 0
        self.changed: Signal = Signal()
        self._taken = Signal()
        self._bridge = bridge
        self._lock = bridge._changed
        self._items: deque[T] = deque()
        self._complete = False
        self._closed = False
        self._waiting_readers = 0

    @property
    def queued(self) -> int:
        """Number of items."""
        return len(self._items)

    @property
    def waiting_readers(self) -> int:
        """Number of readers that wait for an item."""
        return self._waiting_readers

    @property
    def is_open(self) -> bool:
        """True until ``close``."""
        return not self._closed

    @property
    def ended(self) -> bool:
        """True if there is no item and there will be none."""
        return self._closed or (self._complete and not self._items)

    def put(self, item: T) -> bool:
        """Add an item; block while the lane is full. For the thread.

        Returns:
            Whether the item was added; false if the lane is closed or redirected.
        """
        with self._lock:
            while len(self._items) >= self.capacity and not self._must_not_wait():
                self._lock.wait(LOOP_CHECK)
            if self._closed or self._bridge._loop.is_closed() or self._bridge.redirected:
                return False
            if len(self._items) >= self.capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            has_readers = self._waiting_readers > 0
        if has_readers:
            self._bridge.call(self.changed.wake)
        return True

    def _must_not_wait(self) -> bool:
        if self._closed or self._bridge._loop.is_closed() or self._bridge.redirected:
            return True
        return self.live or any(
            lane._waiting_readers and not lane._items for lane in self._bridge._lanes
        )

    def peek(self, index: int = 0) -> T | None:
        """Return an item without taking it; 0 is the oldest. ``None`` if there is none."""
        with self._lock:
            return self._items[index] if index < len(self._items) else None

    def take(self, item: T) -> bool:
        """Take ``item`` if it is still the oldest; return false if it was dropped meanwhile."""
        with self._lock:
            if not self._items or self._items[0] is not item:
                return False
            self._items.popleft()
            self._lock.notify_all()
        self._taken.wake()
        return True

    def trim(self, keep: int) -> None:
        """Drop all but the newest ``keep`` items."""
        with self._lock:
            while len(self._items) > keep:
                self._items.popleft()
                self.dropped += 1
            self._lock.notify_all()

    async def room(self) -> None:
        """Return once a ``put`` would not block, for producers in the event loop.

        Cancellation: safe.
        """
        while not self._closed and len(self._items) >= self.capacity:
            await self._taken.wait()

    async def wait(self) -> None:
        """Return once the lane may have an item, or has ended. Cancellation: safe."""
        with self._lock:
            if self._items or self.ended:
                return
            self._waiting_readers += 1
            self._lock.notify_all()
        try:
            await self.changed.wait()
        finally:
            with self._lock:
                self._waiting_readers -= 1

    def close(self) -> None:
        """Empty the lane and refuse further items. Call it in the event loop."""
        with self._lock:
            self._closed = True
            self._items.clear()
            self._lock.notify_all()
        self.changed.wake()
        self._taken.wake()


class Worker:
    """A thread whose end can be awaited without blocking the event loop.

    Args:
        bridge: The bridge to the event loop.
        target: Body of the thread; it must return soon after the bridge is closed.
        name: Name of the thread.
        daemon: Whether the program may end while the thread runs, because the target may hang.
    """

    def __init__(
        self, bridge: Bridge[T], target: Callable[[], None], name: str, *, daemon: bool = False
    ) -> None:
        self._target = target
        self._report = bridge.call
        self._done = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=daemon)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._target()
        finally:
            self._report(self._done.set)

    async def join(self, timeout: float) -> bool:
        """Wait for the end of the thread, at most ``timeout`` seconds.

        Returns:
            Whether the thread has ended.

        Cancellation: safe.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._done.wait()
        except TimeoutError:
            return False
        # The thread has set the event as its last step, so this takes only microseconds.
        self._thread.join()
        return True

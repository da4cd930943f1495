"""From one thread into the event loop, bounded.

A ``Bridge`` has *lanes*, one for each track. The thread puts into them and waits while one is
full. It does not wait for a lane that nobody reads while the reader of another lane starves: then
the full lane loses its oldest item. With all lanes read nothing is lost; a lane that is not read
neither stalls the others nor grows.
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
"""Seconds after which a waiting thread looks whether its event loop still exists: a program that
ends without closing what it opened waits for its threads."""

logger = get_logger(__name__)

T = TypeVar("T")


class Bridge(Generic[T]):
    """The lanes between one thread and the event loop in which this object is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._lanes: list[Lane[T]] = []
        self._epoch = self._accepted = 0
        self._running = True

    def lane(self, capacity: int) -> "Lane[T]":
        """Add a lane that holds up to ``capacity`` items."""
        lane = Lane(self, capacity)
        self._lanes.append(lane)
        return lane

    @property
    def is_open(self) -> bool:
        """Whether anything put into a lane can still be read; the thread ends when it is not."""
        return not self._loop.is_closed() and any(lane.is_open for lane in self._lanes)

    def close(self) -> None:
        """Close every lane. To be called in the event loop; the thread is woken."""
        for lane in self._lanes:
            lane.close()

    def redirect(self) -> bool:
        """Empty every lane, and refuse what is put into them until the thread accepts that.

        To be called in the event loop.

        Returns:
            Whether a thread is there to accept it; if not, a new one is needed.
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
        """Whether there was a ``redirect`` that the thread has not accepted."""
        return self._accepted != self._epoch

    def accept(self) -> None:
        """Have the lanes take what the thread puts in from now on. For the thread."""
        with self._changed:
            self._accepted = self._epoch

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the lanes are closed or redirected. For the thread."""
        until = time.monotonic() + seconds
        with self._changed:
            while self.is_open and not self.redirected:
                rest = until - time.monotonic()
                if rest <= 0:
                    return
                self._changed.wait(min(rest, LOOP_CHECK))

    def end(self) -> bool:
        """Mark every lane as complete: what is in it can still be read. For the thread.

        It takes effect in the event loop, after all that the thread has had called there before.

        Returns:
            Whether the thread is to end; not so if the bridge was redirected in the meantime.
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
        """Have the event loop call back, from the thread; nothing happens if the loop is gone."""
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed, and with it everyone who could care
            logger.debug("bridge.call.dropped reason=loop-closed")


class Lane(Generic[T]):
    """A bounded queue from the thread to the readers in the event loop.

    Attributes:
        capacity: How many items it holds; the thread may set it before its first ``put``.
        live: Whether the thread drops the oldest item instead of waiting, because what it reads
            does not wait either; the thread may set it before its first ``put``.
        dropped: How many items were lost because nobody read this lane in time.
        changed: Wakes readers when there may be something to read, or the lane has ended.
    """

    def __init__(self, bridge: Bridge[T], capacity: int) -> None:
        self.capacity = capacity
        self.live = False
        self.dropped = 0
        self.changed = Signal()
        self._taken = Signal()
        self._bridge = bridge
        self._lock = bridge._changed
        self._items: deque[T] = deque()
        self._complete = False
        self._closed = False
        self._starving = 0

    @property
    def is_open(self) -> bool:
        """Whether the lane still takes items."""
        return not self._closed

    @property
    def ended(self) -> bool:
        """Whether there is nothing to read any more, now or later."""
        return self._closed or (self._complete and not self._items)

    def put(self, item: T) -> bool:
        """Add an item, from the thread; wait while the lane is full.

        Returns:
            Whether the lane took it. One that is closed or redirected does not.
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
            hungry = self._starving > 0
        if hungry:
            self._bridge.call(self.changed.wake)
        return True

    def _must_not_wait(self) -> bool:
        if self._closed or self._bridge._loop.is_closed() or self._bridge.redirected:
            return True
        return self.live or any(lane._starving and not lane._items for lane in self._bridge._lanes)

    def peek(self, index: int = 0) -> T | None:
        """Return an item without taking it, the oldest first; None if there are not so many."""
        with self._lock:
            return self._items[index] if index < len(self._items) else None

    def take(self, item: T) -> bool:
        """Take the oldest item if it is still this one, and not dropped since it was seen."""
        with self._lock:
            if not self._items or self._items[0] is not item:
                return False
            self._items.popleft()
            self._lock.notify_all()
        self._taken.wake()
        return True

    def trim(self, keep: int) -> None:
        """Drop all but the newest items."""
        with self._lock:
            while len(self._items) > keep:
                self._items.popleft()
                self.dropped += 1
            self._lock.notify_all()

    async def room(self) -> None:
        """Return once a ``put`` would not wait, for what puts from within the event loop.

        Cancellation: safe.
        """
        while not self._closed and len(self._items) >= self.capacity:
            await self._taken.wait()

    async def wait(self) -> None:
        """Return once the lane may have something to read, or has ended. Cancellation: safe."""
        with self._lock:
            if self._items or self.ended:
                return
            self._starving += 1
            self._lock.notify_all()
        try:
            await self.changed.wait()
        finally:
            with self._lock:
                self._starving -= 1

    def close(self) -> None:
        """Empty the lane and refuse what else is put into it. To be called in the event loop."""
        with self._lock:
            self._closed = True
            self._items.clear()
            self._lock.notify_all()
        self.changed.wake()
        self._taken.wake()


class Worker:
    """A thread of its own whose end can be awaited without blocking the event loop.

    Args:
        bridge: The bridge to the event loop that waits.
        target: What the thread runs; it ends soon after the bridge is closed.
        name: The name of the thread, for a debugger's list.
        daemon: Whether the program may end while the thread runs, because what it runs may hang.
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
            Whether it has ended.

        Cancellation: safe.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._done.wait()
        except TimeoutError:
            return False
        # The report was the thread's last act, so this is a matter of microseconds.
        self._thread.join()
        return True

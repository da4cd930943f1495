"""A bounded asyncio queue that can be closed."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class BoundedQueue(Generic[_Item]):
    """A FIFO queue with limits on number and weight, and an end after the last item.

    Args:
        size: The largest number of items; :meth:`put` waits for room.
        weight: The largest total weight. An empty queue accepts one item of any weight.
    """

    def __init__(self, size: int, weight: int = 0) -> None:
        self._size = size
        self._max_weight = weight
        self._weight = 0
        self._items: deque[tuple[_Item, int]] = deque()
        self._has_items = asyncio.Event()
        self._has_room = asyncio.Event()
        self._failure: Exception | None = None
        self._has_ended = False

    async def put(self, item: _Item, weight: int = 0) -> None:
        """Append an item, waiting for room; after :meth:`end` the item is dropped.

        Args:
            item: The item.
            weight: Its weight, such as its bytes.

        Cancellation: safe; the item was not appended.
        """
        while not (self._has_room_for(weight) or self._has_ended):
            self._has_room.clear()
            await self._has_room.wait()
        if not self._has_ended:
            self._append(item, weight)

    def put_nowait(self, item: _Item, weight: int = 0) -> bool:
        """Append an item if there is room for it and :meth:`end` was not called.

        Args:
            item: The item.
            weight: Its weight.

        Returns:
            Whether it was appended.
        """
        if self._has_ended or not self._has_room_for(weight):
            return False
        self._append(item, weight)
        return True

    @property
    def is_empty(self) -> bool:
        """True if there is no item."""
        return not self._items

    @property
    def is_full(self) -> bool:
        """True if there is no room for another item of any weight."""
        return not self._has_room_for(0)

    def _append(self, item: _Item, weight: int) -> None:
        self._items.append((item, weight))
        self._weight += weight
        self._has_items.set()

    def _has_room_for(self, weight: int) -> bool:
        if not self._items:
            return True
        return len(self._items) < self._size and self._weight + weight <= self._max_weight

    def end(self, failure: Exception | None = None) -> None:
        """Accept no more items; those in the queue can still be taken. Only the first call counts.

        Args:
            failure: The exception that :meth:`get` raises after the last item.
        """
        if not self._has_ended:
            self._has_ended = True
            self._failure = failure
            self._has_items.set()
            self._has_room.set()

    async def get(self) -> _Item:
        """Take the first item.

        Raises:
            StopAsyncIteration: The queue has ended.
            Exception: The queue has ended with this failure.

        Cancellation: safe; no item is lost.
        """
        if self._items:
            await asyncio.sleep(0)  # a consumer of many items must not keep the loop from others
        while not self._items:
            if self._failure is not None:
                raise self._failure
            if self._has_ended:
                raise StopAsyncIteration
            self._has_items.clear()
            await self._has_items.wait()
        item, weight = self._items.popleft()
        self._weight -= weight
        self._has_room.set()
        return item

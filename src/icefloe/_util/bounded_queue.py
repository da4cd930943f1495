"""A bounded queue with an end."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class BoundedQueue(Generic[_Item]):
    """Items in order, and then the end.

    Args:
        size: How many items fit; :meth:`put` waits for room.
        weight: What they may weigh together, beside one of any weight.
    """

    def __init__(self, size: int, weight: int = 0) -> None:
        self._size = size
        self._most_weight = weight
        self._weight = 0
        self._items: deque[tuple[_Item, int]] = deque()
        self._has_items = asyncio.Event()
        self._has_room = asyncio.Event()
        self._failure: Exception | None = None
        self._has_ended = False

    async def put(self, item: _Item, weight: int = 0) -> None:
        """Append an item; after the end it is dropped.

        Args:
            item: The item.
            weight: What it weighs, such as its bytes.

        Cancellation: safe; the item was not appended.
        """
        while not (self._has_room_for(weight) or self._has_ended):
            self._has_room.clear()
            await self._has_room.wait()
        if not self._has_ended:
            self._append(item, weight)

    def put_nowait(self, item: _Item, weight: int = 0) -> bool:
        """Append an item if there is room for it, and it is not after the end.

        Args:
            item: The item.
            weight: What it weighs.

        Returns:
            Whether it was appended.
        """
        if self._has_ended or not self._has_room_for(weight):
            return False
        self._append(item, weight)
        return True

    @property
    def is_empty(self) -> bool:
        """Whether there is no item."""
        return not self._items

    @property
    def is_full(self) -> bool:
        """Whether there is no room for any item, however light."""
        return not self._has_room_for(0)

    def _append(self, item: _Item, weight: int) -> None:
        self._items.append((item, weight))
        self._weight += weight
        self._has_items.set()

    def _has_room_for(self, weight: int) -> bool:
        if not self._items:
            return True
        return len(self._items) < self._size and self._weight + weight <= self._most_weight

    def end(self, failure: Exception | None = None) -> None:
        """Let nothing more in; what is there can be taken still.

        Args:
            failure: What :meth:`get` raises when there is nothing more.
        """
        if not self._has_ended:
            self._has_ended = True
            self._failure = failure
            self._has_items.set()
            self._has_room.set()

    async def get(self) -> _Item:
        """Take the first item.

        Raises:
            StopAsyncIteration: Nothing more comes.
            Exception: Nothing more comes, because of this failure.

        Cancellation: safe; no item is lost.
        """
        if self._items:
            await asyncio.sleep(0)  # who takes many, one after the other, lets others have a turn
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

"""A bounded queue with an end."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Inbox(Generic[_Item]):
    """Items in order, and then the end.

    Args:
        size: How many items fit; :meth:`put` waits for room.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[_Item] = deque()
        self._has_items = asyncio.Event()
        self._has_room = asyncio.Event()
        self._failure: Exception | None = None
        self._has_ended = False

    async def put(self, item: _Item) -> None:
        """Append an item; after the end it is dropped.

        Cancellation: safe; the item was not appended.
        """
        while len(self._items) >= self._size and not self._has_ended:
            self._has_room.clear()
            await self._has_room.wait()
        if not self._has_ended:
            self._items.append(item)
            self._has_items.set()

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
        item = self._items.popleft()
        self._has_room.set()
        return item

"""The turns of the event loop, counted: what gives way to others, and what does not."""

import asyncio
from types import TracebackType


class Turns:
    """Counts the turns of the running event loop within a block.

    Attributes:
        number: How many there were.
    """

    def __init__(self) -> None:
        self.number = 0
        self._handle: asyncio.Handle | None = None

    def __enter__(self) -> "Turns":
        self._count()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _count(self) -> None:
        self.number += 1
        self._handle = asyncio.get_running_loop().call_soon(self._count)

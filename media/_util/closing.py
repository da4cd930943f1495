"""``async with`` for whatever has an ``aclose()``."""

from types import TracebackType
from typing import Self


class Closing:
    """Is closed at the end of an ``async with`` block, whatever happened in it."""

    async def aclose(self) -> None:
        """Free what it holds."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

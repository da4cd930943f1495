"""Base class that makes an object with ``aclose()`` an asynchronous context manager."""

from types import TracebackType
from typing import Self


class Closing:
    """An asynchronous context manager that calls ``aclose()`` on exit."""

    async def aclose(self) -> None:
        """Free all resources."""
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

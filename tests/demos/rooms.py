"""A demo that runs while a test is in its room."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def running(demo: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have a demo take part until the end of the block; what it raises is raised there."""
    task = asyncio.create_task(demo)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.result()

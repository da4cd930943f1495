"""Work that is done to its end although its caller is cancelled meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Do work to its end, also when the caller is cancelled meanwhile.

    The caller goes on then as if nothing had happened, and is cancelled where it waits next. All
    waiting of a longer piece of work may be wrapped so: it is done to its end as a whole, see
    :func:`cancelled_at_the_end`.
    """
    caller = asyncio.current_task()
    assert caller is not None
    task = asyncio.create_task(work)
    is_cancelled = False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            is_cancelled = True
            caller.uncancel()
    if is_cancelled:
        caller.cancel()
    return task.result()


@asynccontextmanager
async def cancelled_at_the_end() -> AsyncIterator[None]:
    """Raise at the end of the block what :func:`to_the_end` has put off within it."""
    caller = asyncio.current_task()
    before = caller.cancelling() if caller is not None else 0
    yield
    if caller is not None and caller.cancelling() > before:
        await asyncio.sleep(0)

"""The thread in which files of a transfer are read and written."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class Disk:
    """A thread in which files are read and written, one thing at a time, in order.

    Whoever uses it waits for each result, so that nothing queues up in it.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="transfer disk")

    async def run(
        self,
        work: Callable[_Parameters, _Result],
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> _Result:
        """Do something in the thread and return what it returns, or raise what it raises.

        Cancellation: waits for it to come to its end first, so that nothing is used by two.
        """
        future = self._pool.submit(work, *args, **kwargs)
        waiting = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            await asyncio.wait((waiting,))
            if not waiting.cancelled():
                waiting.exception()
            raise

    async def close(self) -> None:
        """End the thread once what it does is done; a second call does no harm."""
        await asyncio.to_thread(self._pool.shutdown)

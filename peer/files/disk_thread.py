"""The thread in which files of a transfer are read and written."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class Stopped(Exception):
    """Long work on the disk was given up, because nobody waits for it any more."""


class Stop:
    """A sign for long work on the disk to end: hashing, or going through many files."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Have what runs end at its next step, and all that comes after at its first."""
        self._event.set()

    def check(self) -> None:
        """Raise :class:`Stopped` if it was set."""
        if self._event.is_set():
            raise Stopped


class Disk:
    """A thread in which files are read and written, one thing at a time, in order.

    Whoever uses it waits for each result, so that nothing queues up in it.

    Attributes:
        stop: What long work is to look at; set by a cancellation.
    """

    def __init__(self) -> None:
        self.stop = Stop()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="transfer disk")

    async def run(
        self,
        work: Callable[_Parameters, _Result],
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> _Result:
        """Do something in the thread and return what it returns, or raise what it raises.

        Cancellation: has it stop and waits for that, so that nothing is used by two. Work that
        looks at :attr:`stop` ends within the time of one step: a file, or 1 MiB of one.
        """
        future = self._pool.submit(work, *args, **kwargs)
        waiting = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            self.stop.set()
            await asyncio.wait((waiting,))
            if not waiting.cancelled():
                waiting.exception()
            raise

    async def close(self) -> None:
        """End the thread once what it does is done; a second call does no harm."""
        await asyncio.to_thread(self._pool.shutdown)

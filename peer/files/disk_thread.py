"""A worker thread for blocking file access, with cancellation of long operations."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class Stopped(Exception):
    """A long disk operation was abandoned, since the transfer was cancelled."""


class Stop:
    """A cancellation flag for long disk operations, such as hashing a large file."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Stop the current operation at its next step, and all later ones at their first."""
        self._event.set()

    def check(self) -> None:
        """Raise :class:`Stopped` if the flag is set."""
        if self._event.is_set():
            raise Stopped


class Disk:
    """A thread that runs blocking file operations, one at a time.

    The caller waits for each result before it starts the next operation, so there is no queue.

    Attributes:
        stop: The flag that long operations check; a cancellation sets it.
    """

    def __init__(self) -> None:
        self.stop: Stop = Stop()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="transfer disk")

    async def run(
        self,
        work: Callable[_Parameters, _Result],
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> _Result:
        """Call a function in the thread; return its result or raise its exception.

        Cancellation: sets :attr:`stop` and waits for the function to return, so that no file is
        used from two threads. A function that checks the flag returns within one step: a file, or
        1 MiB of a file.
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
        """Wait for the current operation and end the thread. Further calls have no effect."""
        await asyncio.to_thread(self._pool.shutdown)

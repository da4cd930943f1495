"""Calls that may take long, without holding up anything else."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(call: Callable[[], T], name: str) -> T:
    """Make a slow call in a daemon thread of its own, which ends with it.

    The loop's default executor is left to those who encode in it: a name server that does not
    answer occupies none of its threads, and the end of the program waits for nothing.

    Args:
        call: What to call.
        name: Name of the thread.

    Raises:
        OSError: It is what the call raised, as a ``ValueError`` is.

    Cancellation: safe; the outcome is then ignored.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def deliver(result: T | None, error: Exception | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = call()
        except (OSError, ValueError) as error:
            failure = error
        try:
            loop.call_soon_threadsafe(deliver, result, failure)
        except RuntimeError:
            return  # the loop was closed meanwhile: nobody waits any more

    threading.Thread(target=run, name=name, daemon=True).start()
    return await outcome

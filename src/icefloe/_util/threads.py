"""Blocking calls in daemon threads of their own."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(call: Callable[[], T], name: str) -> T:
    """Run a blocking call in a new daemon thread.

    Not in the loop's default executor: a slow call would occupy its threads, which encoders use,
    and the interpreter would wait for the call at its exit.

    Args:
        call: The function to call.
        name: The name of the thread.

    Returns:
        The result of the call.

    Raises:
        OSError: The call raised it.
        ValueError: The call raised it.

    Cancellation: safe; the result is then ignored.
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
            return  # the loop is closed, so nothing waits for the result

    threading.Thread(target=run, name=name, daemon=True).start()
    return await outcome

"""Trying several ways to one goal: the first that works is taken, and a slow one delays none."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def first_to_succeed(
    attempts: Sequence[Callable[[], Coroutine[Any, Any, T]]],
    *,
    delay: float,
    discard: Callable[[T], None],
    failures: tuple[type[Exception], ...],
) -> T:
    """Begin one attempt after the other until one succeeds, as RFC 8305 section 5 has it.

    The next begins when the latest has failed, or after a delay; those under way go on.

    Args:
        attempts: What to try, the most preferred first.
        delay: Seconds that an attempt has to itself.
        discard: Called with the outcome of an attempt that succeeded too late.
        failures: The errors that mean that an attempt did not work.

    Returns:
        The outcome of the first attempt that succeeds.

    Raises:
        Exception: What the first attempt that failed raised, if all of them do; any error that is
            not among ``failures``, at once.

    Cancellation: safe; attempts under way are cancelled, and it waits for that.
    """
    waiting = list(attempts)
    running: set[asyncio.Task[T]] = set()
    failure: Exception | None = None
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(waiting.pop(0)(), name="icefloe-attempt"))
            done, _ = await asyncio.wait(
                running,
                timeout=delay if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                running.discard(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, failures):
                    raise error
                failure = failure or error
        raise failure or ValueError("nothing to try")
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        for task in running:
            _drop(task, discard)


def _drop(task: asyncio.Task[T], discard: Callable[[T], None]) -> None:
    if not task.cancelled() and task.exception() is None:
        discard(task.result())

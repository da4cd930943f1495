"""Happy Eyeballs: staggered concurrent attempts, of which the first success wins (RFC 8305)."""

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
    """Start attempts one after the other until one succeeds (RFC 8305 section 5).

    The next attempt starts when one has failed, or after ``delay``; earlier attempts go on.

    Args:
        attempts: The attempts, the most preferred first.
        delay: Seconds between the starts of two attempts (the Connection Attempt Delay).
        discard: Called with the result of an attempt that succeeded too late.
        failures: The exceptions that count as the failure of an attempt.

    Returns:
        The result of the first attempt that succeeds.

    Raises:
        Exception: The first failure, if all attempts fail. An exception that is not among
            ``failures`` is raised at once.
        ValueError: There are no attempts.

    Cancellation: safe; running attempts are cancelled and awaited.
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
        raise failure or ValueError("there are no attempts")
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

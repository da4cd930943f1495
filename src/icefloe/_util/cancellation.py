"""Tells the cancellation of a task from that of something that it waits for."""

import asyncio


def is_cancelled() -> bool:
    """Return whether somebody has cancelled the current task.

    If not, a ``CancelledError`` comes from what the task waits for, as from a track whose own task
    was cancelled: it is an error like any other, which ends nothing silently.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0

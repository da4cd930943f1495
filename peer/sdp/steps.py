"""Long work of descriptions in steps, between which the event loop has its turns."""

import asyncio
from collections.abc import Generator
from typing import TypeVar

from .._util.uninterrupted import to_the_end

T = TypeVar("T")

AT_ONCE = 1000
"""Lines of a description that are worked off at once: some milliseconds."""

A_SECTION = 20
"""Lines that are as much work as a media section is beside its own lines."""

Steps = Generator[int, None, T]
"""Work that stops after each part of it and tells how many lines that had; see :func:`in_turns`."""


class Turns:
    """Gives everything else on the loop a turn whenever enough was done.

    Args:
        to_the_end: Whether the work is not to be given up when its caller is cancelled.
    """

    def __init__(self, *, to_the_end: bool = False) -> None:
        self._to_the_end = to_the_end
        self._done = 0

    async def after(self, lines: int) -> None:
        """Note that so many lines of a description, or as much work, were done.

        Cancellation: safe.
        """
        self._done += lines
        if self._done >= AT_ONCE:
            self._done = 0
            turn = asyncio.sleep(0)
            await (to_the_end(turn) if self._to_the_end else turn)


async def in_turns(steps: Steps[T]) -> T:
    """Do work to its end, with turns for everything else on the loop in between.

    Cancellation: safe; the work is given up.
    """
    turns = Turns()
    while True:
        try:
            lines = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await turns.after(lines)


def at_once(steps: Steps[T]) -> T:
    """Do work to its end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result

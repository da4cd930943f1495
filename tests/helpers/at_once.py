"""Several cases of a test at the same time: for what goes by the clock, and costs little."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVarTuple

Case = TypeVarTuple("Case")


async def at_once(check: Callable[[*Case], Awaitable[None]], *cases: tuple[*Case]) -> None:
    """Check all cases at the same time; the first that fails ends the others.

    Args:
        check: What a test would do with one of them.
        cases: Its arguments; an error tells for which of them it was.

    Raises:
        BaseExceptionGroup: What they raised.
    """

    async def one(case: tuple[*Case]) -> None:
        try:
            await check(*case)
        except Exception as error:
            error.add_note(f"in the case {case!r}")
            raise

    async with asyncio.TaskGroup() as group:
        for case in cases:
            group.create_task(one(case))

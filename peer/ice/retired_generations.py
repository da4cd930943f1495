"""Retired ICE generations, which still receive for a while after a restart."""

import asyncio

from .generation import Generation

MAX_LINGERING = 2
"""Maximum number of replaced generations that still receive. The oldest is closed first, so that
restarts by the remote peer cannot accumulate sockets."""


class RetiredGenerations:
    """Generations that an ICE restart has replaced, until they are closed."""

    def __init__(self) -> None:
        self._timers: dict[Generation, asyncio.TimerHandle] = {}
        self._closings: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._timers)

    def add(self, generation: Generation, seconds: float) -> None:
        """Retire a generation, and close it after ``seconds``."""
        while len(self._timers) >= MAX_LINGERING:
            self._close(next(iter(self._timers)))
        generation.retire()
        loop = asyncio.get_running_loop()
        self._timers[generation] = loop.call_later(seconds, self._close, generation)

    async def close(self) -> None:
        """Close all generations now; a second call waits for the first."""
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(*(generation.close() for generation in self._timers))
        if self._closings:
            await asyncio.wait(self._closings)

    def _close(self, generation: Generation) -> None:
        self._timers.pop(generation).cancel()
        task = asyncio.get_running_loop().create_task(generation.close(), name="ICE retired")
        self._closings.add(task)
        task.add_done_callback(self._closings.discard)

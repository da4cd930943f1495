"""Wake-up signal for coroutines, with an optional deadline on an injected clock.

It replaces ``asyncio.Condition``, which has an unneeded lock and no deadline on an injected clock.
"""

import asyncio

from .clock import Clock


class Signal:
    """A signal that wakes all waiting coroutines; each must check its own condition again."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def wake(self) -> None:
        """Wake all coroutines that wait now. Call it in the event loop."""
        for waiter in self._waiters:
            _resolve(waiter)

    async def wait(self) -> None:
        """Return at the next ``wake``. Cancellation: safe."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    async def wait_until(self, clock: Clock, when: float) -> None:
        """Return at the next ``wake``, or at ``when`` seconds on the clock if that is earlier.

        Cancellation: safe. It may return a moment early, so the caller looks at the clock again.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        timer = clock.call_at(when, lambda: _resolve(waiter))
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)


def _resolve(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)

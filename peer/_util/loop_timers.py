"""One timer wheel for each event loop, which all connections of the loop share.

The asyncio shell of :class:`~.timer_wheel.TimerWheel`: the event loop has a single timer, however
many connections there are.
"""

import asyncio
from collections.abc import Callable

from .timer_wheel import NEVER, TimerWheel, WheelTimer

TIME_SLICE = 0.005
"""Seconds spent on timers in one turn of the event loop; the rest follow in later ones."""

_RESOLUTION = 0.0005
"""Seconds by which event loops may fire early, because their clocks are coarse."""


class LoopTimers:
    """The timers of one event loop.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wheel = TimerWheel()
        self._handle: asyncio.TimerHandle | None = None
        self._armed_for = NEVER
        self._is_running = False

    def set(self, timer: WheelTimer, at: float) -> None:
        """Set a timer, or change when it is due.

        Args:
            timer: The timer.
            at: Time of the event loop at which it is due; infinite unsets it.
        """
        self._wheel.set(timer, at, self._loop.time())
        self._arm()

    def _arm(self) -> None:
        deadline = self._wheel.deadline
        if self._is_running or deadline == NEVER:
            return
        if self._handle is not None:
            if self._armed_for <= deadline:
                return
            self._handle.cancel()
        self._armed_for = max(deadline, self._loop.time())
        self._handle = self._loop.call_at(self._armed_for + _RESOLUTION, self._run)

    def _run(self) -> None:
        self._handle = None
        self._is_running = True
        now = self._loop.time()
        until = now + TIME_SLICE
        try:
            while now < until and (timer := self._wheel.pop(now)) is not None:
                self._fire(timer)
                now = self._loop.time()
        finally:
            self._is_running = False
            self._arm()

    def _fire(self, timer: WheelTimer) -> None:
        if timer.callback is None:
            return
        try:
            timer.callback()
        except Exception as error:
            # An error of one connection must not affect the others.
            context = {"message": "a timer's callback raised", "exception": error}
            self._loop.call_exception_handler(context)


class Timer:
    """A timer of the running event loop.

    Args:
        callback: What is due when it fires. An exception goes to the loop's exception handler.
    """

    __slots__ = ("_timer", "_timers")

    def __init__(self, callback: Callable[[], None]) -> None:
        self._timers = _timers_of(asyncio.get_running_loop())
        self._timer = WheelTimer(callback)

    def set(self, at: float) -> None:
        """Have it fire once, and not at the time that was set before.

        Args:
            at: Time of the event loop; infinite unsets the timer.
        """
        if self._timer.callback is not None and at != self._timer.at:
            self._timers.set(self._timer, at)

    def close(self) -> None:
        """Never fire again; a second call does nothing."""
        self._timer.at = NEVER
        self._timer.callback = None


_of_loop: dict[asyncio.AbstractEventLoop, LoopTimers] = {}


def _timers_of(loop: asyncio.AbstractEventLoop) -> LoopTimers:
    """Return the timers of an event loop, the same for all who ask."""
    found = _of_loop.get(loop)
    if found is None:
        for gone in [known for known in _of_loop if known.is_closed()]:
            del _of_loop[gone]
        found = _of_loop[loop] = LoopTimers(loop)
    return found

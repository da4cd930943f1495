"""A timer wheel: the timers of many connections, in slots of time. No I/O.

A timer never fires early. One that is far away may fire :data:`COARSE` late, so that the wake-ups
of many connections coincide. To set a timer that is set already costs next to nothing if it is to
fire later than before: it stays in its slot, and moves to the right one when that slot is due.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable

TICK = 0.002
"""Seconds that a slot has for a timer that is due soon."""

COARSE = 0.1
"""Seconds that a slot has for a timer that is due after :data:`FAR` or later."""

FAR = 1.0
"""Seconds from now on from which a timer is coarse."""

_COARSE_TICKS = round(COARSE / TICK)
NEVER = float("inf")


class WheelTimer:
    """A timer of a wheel; :meth:`TimerWheel.set` sets it.

    Args:
        callback: What is due then.

    Attributes:
        callback: As above; ``None`` once the timer is not needed any more.
        at: Time at which it is due, in seconds; infinite if it is not set.
        slot: Number of the slot that it waits in; ``None`` if it waits in none.
    """

    __slots__ = ("at", "callback", "slot")

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback
        self.at = NEVER
        self.slot: int | None = None


class TimerWheel:
    """Slots of timers. Times are seconds of any clock that goes forward."""

    def __init__(self) -> None:
        self._slots: dict[int, list[WheelTimer]] = {}
        self._order: list[int] = []
        self._due: deque[WheelTimer] = deque()

    @property
    def deadline(self) -> float:
        """Time at which :meth:`pop` may return something; infinite if no timer is set."""
        if self._due:
            return float("-inf")
        return self._order[0] * TICK if self._order else NEVER

    def set(self, timer: WheelTimer, at: float, now: float) -> None:
        """Set a timer, or change when it is due.

        Args:
            timer: The timer.
            at: Time at which it is due; infinite unsets it.
            now: The time.
        """
        timer.at = at
        if at == NEVER:
            return
        slot = _slot_of(at, now)
        if timer.slot is None or slot < timer.slot:
            self._enter(timer, slot)

    def pop(self, now: float) -> WheelTimer | None:
        """Return a timer that is due, and unset it; ``None`` if there is none."""
        while self._order and self._order[0] * TICK <= now:
            slot = heapq.heappop(self._order)
            for timer in self._slots.pop(slot):
                if timer.slot != slot:
                    continue  # it was set to an earlier time, and waits elsewhere since
                timer.slot = None
                if timer.at <= now:
                    self._due.append(timer)
                elif timer.at != NEVER:
                    self._enter(timer, _slot_of(timer.at, now))
        while self._due:
            timer = self._due.popleft()
            if timer.at <= now:  # another that was due may have set it to a later time
                timer.at = NEVER
                return timer
        return None

    def _enter(self, timer: WheelTimer, slot: int) -> None:
        timer.slot = slot
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [timer]
            heapq.heappush(self._order, slot)
        else:
            waiting.append(timer)


def _slot_of(at: float, now: float) -> int:
    """Return the number of the first slot that is not before a time."""
    slot = math.ceil(at / TICK)
    if slot * TICK < at:  # rounded
        slot += 1
    if at - now >= FAR:
        slot = -(-slot // _COARSE_TICKS) * _COARSE_TICKS
    return slot

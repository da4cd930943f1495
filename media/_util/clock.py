"""Pacing of frames on the monotonic clock, and the clock interface that tests replace.

The classes compute due times from the current time, which the caller gets from a ``Clock``. Each
due time is computed from the start and not from the previous frame, so that errors do not add up.
"""

import asyncio
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Protocol


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call; do nothing if it was made already."""


class Clock(Protocol):
    """A source of the current time; tests replace ``MonotonicClock`` with one of their own."""

    def now(self) -> float:
        """Return the time in seconds, from any origin; it never goes back."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` in the running event loop when ``now()`` is about ``when`` seconds."""
        ...


class MonotonicClock:
    """The machine's monotonic clock, on which setting the wall clock has no effect."""

    def now(self) -> float:
        """Return the time in seconds since an origin of the system."""
        return time.monotonic()

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` in the running event loop at ``when``, in seconds.

        Raises:
            RuntimeError: No event loop runs in this thread.
        """
        return asyncio.get_running_loop().call_later(max(0.0, when - self.now()), callback)


class Pacer:
    """Schedule of a source with a fixed frame rate: frame n is due at ``start + n / rate``.

    The start is the time of the first call of ``due``. A caller that is late by no more than
    ``catch_up`` gets all frames that it missed, one per call, without waiting. A caller that is
    later skips to the newest frame that is due; the numbers between are not used.

    Args:
        rate: Frames per second.
        catch_up: Seconds. Zero skips whenever a newer frame is due, which suits video; audio should
            not skip frames and needs some hundred milliseconds.
    """

    def __init__(self, rate: Fraction, *, catch_up: float = 0.0) -> None:
        self._rate = float(rate)
        self._catch_up = catch_up
        self._start: float | None = None
        self._next = 0

    def due(self, now: float) -> float:
        """Return the due time of the next frame, in seconds on the clock of ``now``."""
        if self._start is None:
            self._start = now
        return self._start + self._next / self._rate

    def take(self, now: float) -> int:
        """Return the number of the frame to deliver; call it when ``due`` has passed."""
        late = now - self.due(now)
        number = self._next
        if late > self._catch_up:
            number += int(late * self._rate)
        self._next = number + 1
        return number


class Playback:
    """Mapping of media time to the clock, shared by all tracks of a file to synchronize them.

    Playback starts with the first requested frame. After a stall of the media or its readers the
    caller moves it with ``resume``, because a stall must not make the following media late.

    Attributes:
        shift: Seconds to add to timestamps: the total length of deliberate pauses. Stalls do not
            count.
    """

    def __init__(self) -> None:
        self.shift: Fraction = Fraction(0)
        self._start: float | None = None
        self._paused: float | None = None

    def due(self, media_time: float, now: float) -> float:
        """Return the due time of ``media_time`` seconds, on the clock of ``now``."""
        if self._start is None:
            self._start = now - media_time
        return self._start + media_time

    def resume(self, media_time: float, now: float) -> None:
        """Make media of ``media_time`` seconds due now, and shift all later media accordingly."""
        self._start = now - media_time

    @property
    def paused(self) -> bool:
        """True between ``pause`` and ``go_on``."""
        return self._paused is not None

    def pause(self, now: float) -> None:
        """Pause at ``now``; nothing is due until ``go_on``."""
        if self._paused is None:
            self._paused = now

    def go_on(self, now: float) -> None:
        """End a pause; all due times move by its length."""
        if self._paused is None:
            return
        if self._start is not None:
            # Whole milliseconds are whole ticks of the clocks of all kinds of media.
            lasted = Fraction(round((now - self._paused) * 1000), 1000)
            self._start += now - self._paused
            self.shift += lasted
        self._paused = None

    def media_time(self, now: float) -> float:
        """Return the media time that is due now, in seconds; zero before the first frame."""
        if self._start is None:
            return 0.0
        return (now if self._paused is None else self._paused) - self._start

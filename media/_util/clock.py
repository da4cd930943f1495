"""Pacing on the monotonic clock: which frame is due when.

The arithmetic is plain and takes the time as an argument; a ``Clock`` supplies the time. Every due
time is computed from the start and never from the frame before, so that errors do not add up.
"""

import asyncio
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Give the call up; harmless once it was made."""


class Clock(Protocol):
    """Where the time comes from; a test puts its own in place of ``MonotonicClock``."""

    def now(self) -> float:
        """Return the time in seconds, from any origin; it never goes back."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call back in the running event loop once ``now()`` is ``when`` seconds or about to be."""
        ...


class MonotonicClock:
    """The machine's monotonic clock, on which setting the wall clock has no effect."""

    def now(self) -> float:
        """Return the time in seconds since an origin that the system chose."""
        return time.monotonic()

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call back in the running event loop at ``when``, in seconds.

        Raises:
            RuntimeError: No event loop runs in this thread.
        """
        return asyncio.get_running_loop().call_later(max(0.0, when - self.now()), callback)


class Pacer:
    """Numbers the frames of a source with a fixed rate: frame n is due at ``start + n / rate``.

    The start is the first time that ``due`` is asked. A caller that comes late by no more than
    ``catch_up`` gets the frames that it missed at once, one per call, until it is back in time; one
    that comes later skips to the newest frame that is due, and the numbers between are never given.

    Args:
        rate: Frames a second.
        catch_up: Seconds. Zero skips whenever a newer frame is due, as is right for video; sound
            has no frames to spare and takes some hundred milliseconds.
    """

    def __init__(self, rate: Fraction, *, catch_up: float = 0.0) -> None:
        self._rate = float(rate)
        self._catch_up = catch_up
        self._start: float | None = None
        self._next = 0

    def due(self, now: float) -> float:
        """Return when the next frame is due, in seconds on the clock of ``now``."""
        if self._start is None:
            self._start = now
        return self._start + self._next / self._rate

    def take(self, now: float) -> int:
        """Return the number of the frame to hand out; to be called once ``due`` has come."""
        late = now - self.due(now)
        number = self._next
        if late > self._catch_up:
            number += int(late * self._rate)
        self._next = number + 1
        return number


class Playback:
    """Places recorded media on the clock; all tracks of one file share it and so stay in step.

    It is started by the first frame that is asked for, and moved later when the media or its
    readers paused, because a pause does not make the media that follows late.

    Attributes:
        shift: Seconds to add to timestamps: how long it was paused on purpose. Time that is merely
            lost does not count.
    """

    def __init__(self) -> None:
        self.shift = Fraction(0)
        self._start: float | None = None
        self._paused: float | None = None

    def due(self, media_time: float, now: float) -> float:
        """Return when media of ``media_time`` seconds is due, on the clock of ``now``."""
        if self._start is None:
            self._start = now - media_time
        return self._start + media_time

    def resume(self, media_time: float, now: float) -> None:
        """Make media of ``media_time`` seconds due now, and all that follows as much later."""
        self._start = now - media_time

    @property
    def paused(self) -> bool:
        """Whether nothing is due until ``go_on``."""
        return self._paused is not None

    def pause(self, now: float) -> None:
        """Stop the time of the media."""
        if self._paused is None:
            self._paused = now

    def go_on(self, now: float) -> None:
        """Let the time of the media go on; all that was due later is due as much later."""
        if self._paused is None:
            return
        if self._start is not None:
            # All kinds of media have a whole number of clock ticks in a millisecond.
            lasted = Fraction(round((now - self._paused) * 1000), 1000)
            self._start += now - self._paused
            self.shift += lasted
        self._paused = None

    def media_time(self, now: float) -> float:
        """Return which media is due now, in seconds; zero before the first frame."""
        if self._start is None:
            return 0.0
        return (now if self._paused is None else self._paused) - self._start

"""From the times that a track tells to a clock that only grows. No I/O: the time is given.

A track tells the time of each frame by ``pts`` and ``time_base``. Either may be missing or coarse,
begin anew, repeat itself, leap, or run at another rate than the frames come. Both clocks here keep
to what the track tells, to the tick, as long as that agrees with when its frames come, and to when
they come where it does not.
"""

from collections import deque
from typing import Final, Protocol

_LONGEST_UNIT = 60
"""A time base of more seconds than this tells nothing."""

_KNOWN, _ENOUGH = 64, 8
"""Frames by whose steps it is judged at what rate a track tells the time: at most, at least."""
_APART, _WRONG_RATE = 0.15, 0.1
"""It is wrong when the track and the arrivals come apart by so many seconds within those frames,
and by this part of the time that passes, of nearly each frame."""
_RIGHT_RATE = 0.05
"""It is right again when they come apart by less than this part."""
_STRIKES, _REMEMBERED = 2, 16
"""So many impossible steps among so many frames, and nothing that the track tells is believed."""

_WINDOW = 1.0
"""Seconds for which the frame that was late least counts, up to twice as long."""
_NEAR = 0.02
"""Seconds that the clock may be off without being moved: frames are handed over as unevenly."""
_STEP = 0.25
"""Seconds of lateness, of all frames of a window, that are made up for at once; what is less is
approached within about a second, so that motion stays smooth."""
_LATE = 1.4
"""Seconds that a frame may be late, as after a stall, before its track is taken to have paused."""
_EARLY = 0.5
"""Seconds that a frame may be early: no source knows the future."""
_CATCHING_UP, _AT_ONCE = 0.1, 0.25
"""Seconds. What is early by less than the first may make up for a stall, and so may frames that all
come within the second."""
_LEAP = 60.0
"""Seconds that a step may have where frames come at any pace."""

_REORDERED, _REORDERED_FRAMES = 0.5, 16
"""Seconds by which a picture may go back in decoding order, and how many may come one after the
other below the latest time (``max_num_reorder_frames`` of H.264 is 16, encoders use 2 or 3)."""

_GAP = 0.04
"""Seconds by which sound has to be further on than its samples for there to be a gap: containers
round times, and programs tell when they were called."""
_SUDDEN = 3
"""A gap is where at least this part of it, one to so many, comes with one frame."""
_PAUSE = 0.5
"""Seconds without sound that are a pause, where times tell nothing."""
_HELD_UP = 2.0
"""Seconds that sound may be late, as after a stall, before its track is taken to have paused."""
_DRIFT = 0.005
"""Seconds in a second by which the rate of samples may differ from that of the machine's clock."""


class TimeBase(Protocol):
    """A ``fractions.Fraction``, or PyAV's own type for such numbers."""

    @property
    def numerator(self) -> int: ...
    @property
    def denominator(self) -> int: ...


def ticks_of(pts: int | None, time_base: TimeBase | None, rate: int) -> int | None:
    """Return a timestamp in other units; ``None`` if it tells nothing.

    Args:
        pts: Of any size and sign; ``None`` if there is none.
        time_base: Seconds of a unit of ``pts``. None, zero, negative ones and those of more than a
            minute tell nothing.
        rate: Units a second of the result, which is rounded down.
    """
    if pts is None or time_base is None:
        return None
    over, under = time_base.numerator, time_base.denominator
    if under < 0:
        over, under = -over, -under
    if over <= 0 or under == 0 or over > _LONGEST_UNIT * under:
        return None
    return pts * over * rate // under


class _Judge:
    """Decides whether what a track tells is to be believed, by the steps from frame to frame.

    Attributes:
        believes: The verdict.
    """

    def __init__(self) -> None:
        self.believes = True
        self._steps: deque[tuple[float, float]] = deque(maxlen=_KNOWN)
        self._wrong_rate = False
        self._strikes: deque[int] = deque(maxlen=_STRIKES)
        self._frames = 0

    def strike(self) -> None:
        """Take a step that cannot be."""
        self._frames += 1
        self._strikes.append(self._frames)
        self._steps.clear()
        self._decide()

    def interrupt(self) -> None:
        """Take a step that tells nothing: after a pause, or to a frame without a time."""
        self._frames += 1
        self._steps.clear()
        self._decide()

    def step(self, told: float, passed: float, late: float) -> None:
        """Take a step that may be.

        Args:
            told: Seconds since the frame before, as the track tells.
            passed: Seconds since that came.
            late: By how much it is late, in seconds.
        """
        self._frames += 1
        self._steps.append((told, passed))
        passed_all = sum(step[1] for step in self._steps)
        apart = passed_all - sum(step[0] for step in self._steps)
        if len(self._steps) >= _ENOUGH:
            if not self._wrong_rate:
                self._wrong_rate = self._comes_apart(apart, passed_all, late)
            elif passed_all >= _WINDOW:
                self._wrong_rate = abs(apart) > _RIGHT_RATE * passed_all
        self._decide()

    def _comes_apart(self, apart: float, passed: float, late: float) -> bool:
        if abs(apart) <= max(_APART, _WRONG_RATE * passed):
            return False
        if apart < 0 and (late > -_CATCHING_UP or passed < _AT_ONCE):
            return False
        sign = 1 if apart > 0 else -1
        # After a stall they are apart too, by the step of one frame.
        same = sum(sign * (passed - told) > _WRONG_RATE * told for told, passed in self._steps)
        return same >= len(self._steps) * 3 / 4

    def _decide(self) -> None:
        while self._strikes and self._frames - self._strikes[0] >= _REMEMBERED:
            self._strikes.popleft()
        self.believes = not self._wrong_rate and len(self._strikes) < _STRIKES


class MediaClock:
    """The clock of one stream of pictures, or of encoded frames, whatever its tracks tell.

    A place on it is a number of ticks, and each is greater than the one before. It differs from
    that by what the track tells, exactly, as long as that agrees with the arrivals. A track whose
    times begin anew, repeat themselves or leap goes on where its frames come. One that pauses, with
    times that go on or not, leaves as much time. One that tells another rate than it has is placed
    by its arrivals, and so is one without times. In the long run the clock passes as ``now`` does.

    Args:
        rate: Ticks a second.
        start: The first place; the time of its arrival, ``now * rate``, if ``None``.
        reorders: Whether times may go back by up to half a second, as those of H.264 in decoding
            order do (B-frames; RFC 6184 section 5.1: the RTP timestamp is that of presentation).
            The places of such frames go back as much, and no place is given twice.
        live: Whether frames come when they were made. If not they may come at any pace, and
            ``now`` matters only where the track tells nothing, begins anew, or leaps by a minute
            more than there was time.
    """

    def __init__(
        self, rate: int, *, start: int | None = 0, reorders: bool = False, live: bool = True
    ) -> None:
        self.rate: Final = rate
        self.reorders = reorders
        self._start = start
        self._live = live
        self._judge = _Judge()
        self._last: int | None = None
        """The greatest place that was given."""
        self._at = 0.0
        """When the frame that got it came."""
        self._told: int | None = None
        """What the track told of that frame, in ticks."""
        self._offset = 0
        """What is to be added to what the track tells."""
        self._zero = 0.0
        """When frames come whose place is 0, in seconds of ``now``."""
        self._between: tuple[int, int] | None = None
        """Ticks from the frame with the next lower place to that one: told, and those given."""
        self._given: deque[int] = deque(maxlen=2 * _REORDERED_FRAMES)
        self._behind = 0
        """Frames since the one with the greatest place."""
        self._least = self._least_before = self._since = 0.0

    def anew(self) -> None:
        """Note that the next frame is of another track, whose times have nothing to do with this.

        It is placed by its arrival.
        """
        self._told = self._between = None
        self._judge = _Judge()

    def place(self, pts: int | None, time_base: TimeBase | None, now: float) -> int:
        """Return the place of a frame, in ticks.

        Args:
            pts: What its track tells, in units of ``time_base``; anything.
            time_base: Seconds; anything.
            now: When it came, in seconds on a monotonic clock.
        """
        told = ticks_of(pts, time_base, self.rate)
        if self._last is None:
            place = round(now * self.rate) if self._start is None else self._start
            self._zero = now - place / self.rate
            self._begin_window(0.0, now)
            return self._set(place, told, now)
        now = max(now, self._at)
        if told is None or self._told is None:
            self._judge.interrupt()
            return self._set(self._by_arrival(now), told, now)
        if (between := self._reordered(self._told - told)) is not None:
            self._given.append(between)
            self._behind += 1
            return between
        place = self._followed(told - self._told, told + self._offset, now)
        return self._set(place, told, now)

    def _reordered(self, back: int) -> int | None:
        """Return the place of a picture that is seen between the two latest, if it is one.

        Args:
            back: By how many ticks it is before the latest, as the track tells.
        """
        if not self.reorders or self._between is None or self._last is None:
            return None
        told, passed = self._between
        if not 0 < back < min(told, _REORDERED * self.rate) or self._behind >= _REORDERED_FRAMES:
            return None
        if passed < told:  # the two were moved together
            back = max(1, back * passed // told)
        place = self._last - back
        return place if back < passed and place not in self._given else None

    def _followed(self, ticks: int, place: int, now: float) -> int:
        """Return the place of a frame that tells a time, ``ticks`` after the one before."""
        told, passed = ticks / self.rate, now - self._at
        late = now - self._zero - place / self.rate
        early = _EARLY + _REORDERED * self.reorders
        cannot_be = late < -early if self._live else told > passed + _LEAP
        if told <= 0 or cannot_be:
            self._judge.strike()
            return self._by_arrival(now)
        if not self._live:
            return place
        if late > _LATE:
            self._judge.interrupt()
            return self._by_arrival(now)
        self._judge.step(told, passed, late)
        if not self._judge.believes:
            return self._by_arrival(now)
        return place + self._correction(late, told, now)

    def _correction(self, late: float, told: float, now: float) -> int:
        """Return by how many ticks to move what the track tells, for it to keep to the arrivals."""
        if now - self._since > _WINDOW:
            self._least_before, self._least = self._least, late
            self._since = now
        self._least = min(self._least, late)
        wrong = min(self._least, self._least_before)
        # A picture that others refer to comes as much earlier as those are shown before it.
        if -(_REORDERED if self.reorders else _NEAR) <= wrong <= _NEAR:
            return 0
        if wrong <= _STEP:
            wrong *= min(told, 0.5)
        self._least -= wrong
        self._least_before -= wrong
        return round(wrong * self.rate)

    def _by_arrival(self, now: float) -> int:
        """Return the place of a frame that tells nothing."""
        assert self._last is not None
        place = round((now - self._zero) * self.rate)
        # Where the clock is ahead of the arrivals it waits for them, but does not stand still.
        place = max(place, self._last + int((now - self._at) * self.rate / 2))
        self._begin_window(now - self._zero - place / self.rate, now)
        return place

    def _begin_window(self, late: float, now: float) -> None:
        self._least, self._least_before, self._since = late, float("inf"), now

    def _set(self, place: int, told: int | None, now: float) -> int:
        if self._last is not None:
            # There is room for those that are seen before it.
            place = max(place, self._last + 1 + self.reorders * _REORDERED_FRAMES)
            self._between = None
            if told is not None and self._told is not None and told > self._told:
                self._between = told - self._told, place - self._last
        self._given.append(place)
        self._behind = 0
        self._last, self._at, self._told = place, now, told
        if told is not None:
            self._offset = place - told
        return place


class SoundClock:
    """The clock of one stream of sound, whose samples follow each other.

    What comes begins where the sound before it ended, unless there is a gap: its track tells that
    samples are missing, or nothing came for a while. Jitter of its times makes no gap, nor do
    times that begin anew, leap, are coarse, or are missing. A rate of samples that is not quite the
    one told is kept to: timestamps of sound count samples (RFC 3550 section 5.1).

    Args:
        rate: Ticks a second; for sound as a rule one for each sample.
        start: The first place.
        jitter: Seconds by which times may differ from the samples without a gap.
        live: Whether sound comes when it was made. If not there are no pauses but those that the
            track tells, and gaps of up to a minute are believed.

    Attributes:
        end: Where the sound that came so far ends.
    """

    def __init__(
        self, rate: int, *, start: int = 0, jitter: float = _GAP, live: bool = True
    ) -> None:
        self.rate: Final = rate
        self.end = start
        self._jitter = jitter
        self._live = live
        self._zero: float | None = None
        """When sound comes whose place is 0, in seconds of ``now``."""
        self._at = 0.0
        self._told_end: int | None = None
        self._offset = 0

    def anew(self) -> None:
        """Note that the next sound is of another track, whose times have nothing to do with this.

        It follows at once, or as much later as it comes later if that is more than half a second.
        """
        self._told_end = None

    def place(self, pts: int | None, time_base: TimeBase | None, duration: int, now: float) -> int:
        """Return where sound begins, in ticks: where the last one ended, or after a gap.

        Args:
            pts: What its track tells, in units of ``time_base``; anything.
            time_base: Seconds; anything.
            duration: Ticks that it lasts, 0 or more.
            now: When it came, in seconds on a monotonic clock.
        """
        told = ticks_of(pts, time_base, self.rate)
        unit = ticks_of(1, time_base, self.rate) or 0
        if self._zero is None:
            self._zero, self._at = now - self.end / self.rate, now
        now = max(now, self._at)
        late = now - self._zero - self.end / self.rate
        jitter = max(self._jitter * self.rate, 2 * unit)
        begin = self.end + self._gap(told, late, jitter)
        # Follow the rate at which samples come, which is no lateness.
        most = _DRIFT * (now - self._at)
        self._zero += max(-most, min(most, now - self._zero - begin / self.rate))
        self.end, self._at = begin + duration, now
        if told is None:
            self._told_end = None
        else:
            if self._told_end is None or abs(told + self._offset - begin) > jitter:
                self._offset = begin - told
            self._told_end = told + duration
        return begin

    def _gap(self, told: int | None, late: float, jitter: float) -> int:
        """Return how many ticks are missing before sound, ``late`` seconds behind its arrival."""
        if not self._live:
            late = 0.0
        passed, room = round(late * self.rate), _PAUSE if self._live else _LEAP
        if told is None or self._told_end is None:
            return passed if late > _PAUSE else 0
        missing = told + self._offset - self.end
        if abs(missing) <= jitter:
            return passed if late > _HELD_UP else 0
        if not 0 < missing < passed + room * self.rate:  # it begins anew, or leaps
            return passed if late > _PAUSE else 0
        if _SUDDEN * (told - self._told_end) < missing:  # another rate of samples than is told
            missing = 0
        # Time that passed and is not told of was a pause besides.
        return passed if passed - missing > _HELD_UP * self.rate else missing

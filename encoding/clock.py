"""Timestamp repair: monotonic output timestamps from the unreliable timestamps of a track. No I/O.

A track gives each frame a ``pts`` and a ``time_base``. Either may be missing or coarse, restart,
repeat, jump, or advance at another rate than the frames arrive. While the reported timestamps agree
with the arrival times, both clocks here reproduce them to the tick. Otherwise they follow the
arrival times. The caller passes the current time in.
"""

from collections import deque
from typing import Final, Protocol

_MAX_TIME_BASE = 60
"""Seconds. A frame with a longer time base counts as one without a timestamp."""

_RATE_FRAMES, _MIN_RATE_FRAMES = 64, 8
"""Frames over which the rate of the reported timestamps is measured: at most, at least."""
_DIVERGENCE, _WRONG_RATE = 0.15, 0.1
"""The rate is wrong if, within those frames, timestamps and arrivals diverge by this many seconds
and by this fraction of the elapsed time, and if nearly every frame contributes to it."""
_RIGHT_RATE = 0.05
"""The rate is right again when they diverge by less than this fraction."""
_BAD_STEPS, _BAD_STEP_FRAMES = 2, 16
"""This many impossible timestamp steps among this many frames, and timestamps are ignored."""

_WINDOW = 1.0
"""Seconds over which the minimum lateness is taken; the effective span is one to two windows."""
_TOLERANCE = 0.02
"""Seconds of lateness that are not corrected, because frames are delivered with such jitter."""
_STEP_THRESHOLD = 0.25
"""A minimum lateness above this many seconds is corrected in one step. A smaller one is corrected
within about a second, so that motion stays smooth."""
_PAUSE_LATENESS = 1.4
"""Seconds that a frame may be late, as after a stall. Beyond that the track has paused."""
_EARLY_TOLERANCE = 0.5
"""Seconds that a frame may be early. Beyond that its timestamp is impossible."""
_CATCH_UP_LEAD, _BURST_SECONDS = 0.1, 0.25
"""Seconds. Frames that are early by less than the first, or that all arrive within the second, may
be catching up after a stall, so they say nothing about the rate."""
_MAX_JUMP = 60.0
"""The largest step between timestamps, in seconds, of media that is not live."""

_REORDER_SECONDS, _REORDER_FRAMES = 0.5, 16
"""Seconds by which a picture may be early in decoding order, and the number of consecutive pictures
that may stay below the latest timestamp (``max_num_reorder_frames`` of H.264 is at most 16,
encoders use 2 or 3)."""
_MAX_REORDERING = 2.0
"""Seconds by which the timestamp of a picture may go back in decoding order: three pictures, at two
a second."""

_GAP_THRESHOLD = 0.04
"""Seconds by which a timestamp must be ahead of the sample count to be a gap. Less is rounding by
containers, or jitter of programs that stamp frames when they are called."""
_GAP_STEP_RATIO = 3
"""At least one part in this many of a gap must appear with a single frame. Otherwise the samples
have another rate than reported."""
_PAUSE = 0.5
"""Seconds without audio that are a pause if the timestamps do not say."""
_AUDIO_PAUSE_LATENESS = 2.0
"""Seconds that audio may be late, as after a stall. Beyond that the track has paused."""
_RATE_DRIFT = 0.005
"""Seconds per second by which the sample clock may differ from the clock of this machine."""


class TimeBase(Protocol):
    """A ``fractions.Fraction``, or PyAV's own rational type."""

    @property
    def numerator(self) -> int: ...
    @property
    def denominator(self) -> int: ...


def ticks_of(pts: int | None, time_base: TimeBase | None, rate: int) -> int | None:
    """Return a timestamp in ticks of another clock; ``None`` if there is no valid timestamp.

    Args:
        pts: The timestamp, of any size and sign; ``None`` if there is none.
        time_base: Seconds per unit of ``pts``. ``None``, zero, negative values and those of more
            than a minute are invalid.
        rate: Ticks per second of the result, which is rounded down.
    """
    if pts is None or time_base is None:
        return None
    over, under = time_base.numerator, time_base.denominator
    if under < 0:
        over, under = -over, -under
    if over <= 0 or under == 0 or over > _MAX_TIME_BASE * under:
        return None
    return pts * over * rate // under


class _TimestampChecker:
    """Detector of untrustworthy timestamps, from the steps between the frames of a track.

    Attributes:
        trusted: True while the timestamps can be trusted.
    """

    def __init__(self) -> None:
        self.trusted = True
        self._steps: deque[tuple[float, float]] = deque(maxlen=_RATE_FRAMES)
        self._wrong_rate = False
        self._bad_steps: deque[int] = deque(maxlen=_BAD_STEPS)
        self._frames = 0

    def add_impossible_step(self) -> None:
        """Count an impossible step."""
        self._frames += 1
        self._bad_steps.append(self._frames)
        self._steps.clear()
        self._decide()

    def restart(self) -> None:
        """Restart the measurement of the rate, after a pause or a frame without a timestamp."""
        self._frames += 1
        self._steps.clear()
        self._decide()

    def add_step(self, reported: float, passed: float, late: float) -> None:
        """Add a possible step to the measurement of the rate.

        Args:
            reported: Seconds since the previous frame, by the timestamps.
            passed: Seconds since the previous frame, by the arrival times.
            late: Lateness of the frame, in seconds.
        """
        self._frames += 1
        self._steps.append((reported, passed))
        elapsed = sum(step[1] for step in self._steps)
        divergence = elapsed - sum(step[0] for step in self._steps)
        if len(self._steps) >= _MIN_RATE_FRAMES:
            if not self._wrong_rate:
                self._wrong_rate = self._diverges(divergence, elapsed, late)
            elif elapsed >= _WINDOW:
                self._wrong_rate = abs(divergence) > _RIGHT_RATE * elapsed
        self._decide()

    def _diverges(self, divergence: float, passed: float, late: float) -> bool:
        if abs(divergence) <= max(_DIVERGENCE, _WRONG_RATE * passed):
            return False
        if divergence < 0 and (late > -_CATCH_UP_LEAD or passed < _BURST_SECONDS):
            return False
        sign = 1 if divergence > 0 else -1
        # After a stall timestamps and arrivals diverge too, but by the step of a single frame.
        same = sum(
            sign * (passed - reported) > _WRONG_RATE * reported for reported, passed in self._steps
        )
        return same >= len(self._steps) * 3 / 4

    def _decide(self) -> None:
        while self._bad_steps and self._frames - self._bad_steps[0] >= _BAD_STEP_FRAMES:
            self._bad_steps.popleft()
        self.trusted = not self._wrong_rate and len(self._bad_steps) < _BAD_STEPS


class MediaClock:
    """Strictly increasing timestamps for one stream of pictures or encoded frames.

    Output timestamps are in ticks. While the reported timestamps agree with the arrival times, each
    step of the output is exactly the reported step. If the reported timestamps restart, repeat or
    jump, the output continues by arrival time. A pause of the track stays in the output, whether
    its timestamps continued or not. If the reported rate is wrong, or there are no timestamps, the
    output follows the arrival times. In the long run the clock advances as ``now`` does.

    Args:
        rate: Ticks per second.
        start: The first output timestamp; the arrival time, ``now * rate``, if ``None``.
        reorders: Whether timestamps may go back by up to two seconds, as those of H.264 in
            decoding order do (B-frames; RFC 6184 section 5.1: the RTP timestamp is that of
            presentation). The output of such frames goes back as much. No output timestamp is used
            twice.
        live: Whether frames arrive as they are captured. If not they may arrive at any pace, and
            ``now`` matters only if timestamps are missing, restart, or jump by a minute more than
            the time that passed.
    """

    def __init__(
        self, rate: int, *, start: int | None = 0, reorders: bool = False, live: bool = True
    ) -> None:
        self.rate: Final = rate
        self.reorders = reorders
        self._start = start
        self._live = live
        self._checker = _TimestampChecker()
        self._last: int | None = None
        """The greatest output timestamp so far."""
        self._arrived = 0.0
        """Arrival time of the frame with that timestamp."""
        self._reported: int | None = None
        """Reported timestamp of that frame, in ticks."""
        self._offset = 0
        """Ticks to add to a reported timestamp."""
        self._origin = 0.0
        """Expected arrival time of the output timestamp 0, in seconds of ``now``."""
        self._latest_step: tuple[int, int] | None = None
        """The latest step to a greater output timestamp, in ticks: reported, and in the output."""
        self._recent: deque[int] = deque(maxlen=2 * _REORDER_FRAMES)
        self._reordered_frames = 0
        """Frames since the one with the greatest output timestamp."""
        self._min_lateness = self._previous_min_lateness = self._window_start = 0.0

    def anew(self) -> None:
        """Prepare for the frames of another track, whose timestamps are unrelated.

        The next frame is placed by its arrival time.
        """
        self._reported = self._latest_step = None
        self._checker = _TimestampChecker()

    def place(self, pts: int | None, time_base: TimeBase | None, now: float) -> int:
        """Return the output timestamp of the next frame, in ticks.

        Args:
            pts: Reported timestamp, in units of ``time_base``; any value.
            time_base: Seconds per unit; any value.
            now: Arrival time, in seconds on a monotonic clock.
        """
        reported = ticks_of(pts, time_base, self.rate)
        if self._last is None:
            place = round(now * self.rate) if self._start is None else self._start
            self._origin = now - place / self.rate
            self._begin_window(0.0, now)
            return self._set(place, reported, now)
        now = max(now, self._arrived)
        if reported is None or self._reported is None:
            self._checker.restart()
            return self._set(self._by_arrival(now), reported, now)
        if (between := self._reordered(self._reported - reported)) is not None:
            self._recent.append(between)
            self._reordered_frames += 1
            return between
        place = self._followed(reported - self._reported, reported + self._offset, now)
        return self._set(place, reported, now)

    def _reordered(self, back: int) -> int | None:
        """Return the output timestamp of a reordered picture; ``None`` if it is not reordered.

        Args:
            back: Ticks before the latest picture, by the reported timestamps.
        """
        if not self.reorders or self._latest_step is None or self._last is None:
            return None
        reported, passed = self._latest_step
        if (
            not 0 < back < min(reported, _MAX_REORDERING * self.rate)
            or self._reordered_frames >= _REORDER_FRAMES
        ):
            return None
        if passed < reported:  # a correction shortened the step
            back = max(1, back * passed // reported)
        place = self._last - back
        return place if back < passed and place not in self._recent else None

    def _followed(self, ticks: int, place: int, now: float) -> int:
        """Return the output timestamp of a frame reported ``ticks`` after the previous one."""
        reported, passed = ticks / self.rate, now - self._arrived
        late = now - self._origin - place / self.rate
        early = _EARLY_TOLERANCE + _REORDER_SECONDS * self.reorders
        impossible = late < -early if self._live else reported > passed + _MAX_JUMP
        if reported <= 0 or impossible:
            self._checker.add_impossible_step()
            return self._by_arrival(now)
        if not self._live:
            return place
        if late > _PAUSE_LATENESS:
            self._checker.restart()
            return self._by_arrival(now)
        self._checker.add_step(reported, passed, late)
        if not self._checker.trusted:
            return self._by_arrival(now)
        return place + self._correction(late, reported, now)

    def _correction(self, late: float, reported: float, now: float) -> int:
        """Return the correction that keeps reported timestamps close to arrivals, in ticks."""
        if now - self._window_start > _WINDOW:
            self._previous_min_lateness, self._min_lateness = self._min_lateness, late
            self._window_start = now
        self._min_lateness = min(self._min_lateness, late)
        correction = min(self._min_lateness, self._previous_min_lateness)
        # A reference picture arrives earlier, by the pictures that are shown before it.
        if -(_REORDER_SECONDS if self.reorders else _TOLERANCE) <= correction <= _TOLERANCE:
            return 0
        if correction <= _STEP_THRESHOLD:
            correction *= min(reported, 0.5)
        self._min_lateness -= correction
        self._previous_min_lateness -= correction
        return round(correction * self.rate)

    def _by_arrival(self, now: float) -> int:
        """Return the output timestamp of a frame by its arrival time alone."""
        assert self._last is not None
        place = round((now - self._origin) * self.rate)
        # If the clock is ahead of the arrivals it runs at half speed until they catch up.
        place = max(place, self._last + int((now - self._arrived) * self.rate / 2))
        self._begin_window(now - self._origin - place / self.rate, now)
        return place

    def _begin_window(self, late: float, now: float) -> None:
        self._min_lateness, self._previous_min_lateness = late, float("inf")
        self._window_start = now

    def _set(self, place: int, reported: int | None, now: float) -> int:
        if self._last is not None:
            # Leave timestamps free for reordered pictures that are shown before this one.
            place = max(place, self._last + 1 + self.reorders * _REORDER_FRAMES)
            self._latest_step = None
            if reported is not None and self._reported is not None and reported > self._reported:
                self._latest_step = reported - self._reported, place - self._last
        self._recent.append(place)
        self._reordered_frames = 0
        self._last, self._arrived, self._reported = place, now, reported
        if reported is not None:
            self._offset = place - reported
        return place


class SoundClock:
    """Timestamps for one stream of audio, whose frames follow each other without overlap.

    A frame begins where the previous one ended, unless there is a gap: the timestamps say that
    samples are missing, or nothing arrived for a while. Timestamps that jitter, restart, jump, are
    coarse or are missing make no gap. If the sample rate differs slightly from the reported one,
    the output still counts samples, as RTP timestamps of audio do (RFC 3550 section 5.1).

    Args:
        rate: Ticks per second; usually the sample rate.
        start: The first output timestamp.
        jitter: Seconds by which timestamps may differ from the sample count without a gap.
        live: Whether audio arrives as it is captured. If not the only pauses are those that the
            timestamps report, and gaps of up to a minute are accepted.

    Attributes:
        end: Output timestamp of the end of the audio so far, in ticks.
    """

    def __init__(
        self, rate: int, *, start: int = 0, jitter: float = _GAP_THRESHOLD, live: bool = True
    ) -> None:
        self.rate: Final = rate
        self.end: int = start
        self._jitter = jitter
        self._live = live
        self._origin: float | None = None
        """Expected arrival time of the output timestamp 0, in seconds of ``now``."""
        self._arrived = 0.0
        self._reported_end: int | None = None
        self._offset = 0

    def anew(self) -> None:
        """Prepare for the audio of another track, whose timestamps are unrelated.

        The next frame follows without a gap, unless it arrives more than half a second late.
        """
        self._reported_end = None

    def place(self, pts: int | None, time_base: TimeBase | None, duration: int, now: float) -> int:
        """Return the output timestamp of the next frame, in ticks: ``end``, or later after a gap.

        Args:
            pts: Reported timestamp, in units of ``time_base``; any value.
            time_base: Seconds per unit; any value.
            duration: Length of the frame, in ticks, 0 or more.
            now: Arrival time, in seconds on a monotonic clock.
        """
        reported = ticks_of(pts, time_base, self.rate)
        unit = ticks_of(1, time_base, self.rate) or 0
        if self._origin is None:
            self._origin, self._arrived = now - self.end / self.rate, now
        now = max(now, self._arrived)
        late = now - self._origin - self.end / self.rate
        jitter = max(self._jitter * self.rate, 2 * unit)
        begin = self.end + self._gap(reported, late, jitter)
        # The rate at which samples arrive differs a little; that difference is no lateness.
        most = _RATE_DRIFT * (now - self._arrived)
        self._origin += max(-most, min(most, now - self._origin - begin / self.rate))
        self.end, self._arrived = begin + duration, now
        if reported is None:
            self._reported_end = None
        else:
            if self._reported_end is None or abs(reported + self._offset - begin) > jitter:
                self._offset = begin - reported
            self._reported_end = reported + duration
        return begin

    def _gap(self, reported: int | None, late: float, jitter: float) -> int:
        """Return the length of the gap before a frame that is ``late`` seconds late, in ticks."""
        if not self._live:
            late = 0.0
        passed, room = round(late * self.rate), _PAUSE if self._live else _MAX_JUMP
        if reported is None or self._reported_end is None:
            return passed if late > _PAUSE else 0
        missing = reported + self._offset - self.end
        if abs(missing) <= jitter:
            return passed if late > _AUDIO_PAUSE_LATENESS else 0
        if not 0 < missing < passed + room * self.rate:  # the timestamps restart or jump
            return passed if late > _PAUSE else 0
        if _GAP_STEP_RATIO * (reported - self._reported_end) < missing:
            missing = 0  # the sample rate differs from the reported one
        # Elapsed time beyond the reported gap was a pause.
        return passed if passed - missing > _AUDIO_PAUSE_LATENESS * self.rate else missing

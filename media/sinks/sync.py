"""Audio and video synchronization: frames of several senders on one timeline (lip sync). No I/O.

A recording combines three clocks. *Media time* is the timestamp of a frame, from any origin, as
repaired by ``icefloe.encoding.clock``. *Capture time* is the clock of the sender, which all its
tracks share (RFC 3550 section 6.4.1). *Arrival time* is the local monotonic clock, on which the
timeline of the recording runs. Media and capture time are steady, and arrival time has network
jitter. So a frame is placed by its capture time if that is known, else by its media time, plus an
offset to the local clock. The offset is the minimum of the recent differences between arrival and
media or capture time: the minimum belongs to the frame with the least network delay.

The caller passes the current time in.
"""

from icefloe.encoding.clock import MediaClock, SoundClock, TimeBase

_WINDOW = 5.0
"""Seconds over which the minimum offset is taken; the effective span is one to two windows."""

_SLEW_RATE = 0.002
"""Seconds per second by which an offset is adjusted: forty times the drift between two quartz
clocks, and inaudible."""

_STEP_ARRIVAL = 0.04
_STEP_CAPTURE = 0.5
"""An offset error above this many seconds is corrected in one step. The threshold for capture times
is larger because their offset moves audio and video of a sender together."""

_MAX_DELAY, _MAX_LEAD = 10.0, 1.0
"""Plausible capture times, in seconds before and after the arrival. Beyond them the clock of the
sender has been set."""

_VIDEO_RATE, _SOUND_RATE = 90000, 48000
"""Ticks per second of the media clocks."""


class Offset:
    """A windowed minimum of observed clock offsets, smoothed by slewing.

    Args:
        step: Error, in seconds, above which the offset is corrected in one step.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._value: float | None = None
        self._minimum = self._previous_minimum = float("inf")
        self._window_start = self._observed_at = 0.0

    @property
    def value(self) -> float | None:
        """The offset in seconds; None before the first observation."""
        return self._value

    def reset(self, now: float, value: float) -> None:
        """Discard all observations and set the offset to ``value`` seconds."""
        self._value = self._minimum = value
        self._previous_minimum = float("inf")
        self._window_start = self._observed_at = now

    def observe(self, now: float, offset: float) -> float:
        """Add an observed offset at ``now``, and return the smoothed offset; all in seconds."""
        if self._value is None:
            self.reset(now, offset)
            return offset
        if now - self._window_start > _WINDOW:
            self._previous_minimum, self._minimum = self._minimum, offset
            self._window_start = now
        self._minimum = min(self._minimum, offset)
        error = min(self._minimum, self._previous_minimum) - self._value
        if abs(error) <= self._step:
            limit = _SLEW_RATE * max(0.0, now - self._observed_at)
            error = max(-limit, min(limit, error))
        self._value += error
        self._observed_at = now
        return self._value


class SenderClock:
    """Offset of one sender's clock to the local clock; shared by all tracks of a participant."""

    def __init__(self) -> None:
        self._offset = Offset(_STEP_CAPTURE)
        self._follows_sound = False

    def place(
        self, captured: float, arrived: float, by_media_time: float, *, had_audio: bool
    ) -> float:
        """Return the capture time of a frame on the local clock, in seconds.

        The first track keeps its position, and the other tracks are aligned with it. If audio was
        recorded before its capture times were known, the offset is reset to the position of that
        audio instead: a step of audio is audible, a step of video is not.

        Args:
            captured: Capture time on the clock of the sender, in seconds.
            arrived: Arrival time on the local clock, in seconds.
            by_media_time: Position by media time, in seconds on the local clock.
            had_audio: Whether audio of the track was recorded without capture times.
        """
        if self._offset.value is None or (had_audio and not self._follows_sound):
            self._follows_sound = had_audio
            self._offset.reset(arrived, by_media_time - captured)
        placed = captured + self._offset.observe(arrived, arrived - captured)
        if not arrived - _MAX_DELAY <= placed <= arrived + _MAX_LEAD:
            self._offset.reset(arrived, by_media_time - captured)
            placed = by_media_time
        return placed


class TrackClock:
    """Positions of the frames of one track on the timeline.

    Args:
        kind: ``audio`` or ``video``.
        sender: Clock of the participant that sends the track.
    """

    def __init__(self, kind: str, sender: SenderClock) -> None:
        self._kind = kind
        self._sender = sender
        self._pictures = MediaClock(_VIDEO_RATE, start=None)
        self._sound = SoundClock(_SOUND_RATE)
        self._tick_rest = 0.0
        """Fraction of a tick that the audio clock has not counted yet."""
        self._offset = Offset(_STEP_ARRIVAL)
        self._had_audio = False

    def place(
        self,
        pts: int | None,
        time_base: TimeBase | None,
        captured: float | None,
        arrived: float,
        *,
        duration: float = 0.0,
    ) -> float:
        """Return the position of a frame, in seconds on the clock of ``arrived``.

        Args:
            pts: Timestamp of the frame, in units of ``time_base``; any value.
            time_base: Seconds per unit; any value.
            captured: Capture time, in seconds on the clock of the sender; ``None`` if not known.
            arrived: Arrival time, in seconds on the local clock.
            duration: Length of an audio frame, in seconds.
        """
        if self._kind == "audio":
            placed = self._place_sound(pts, time_base, arrived, duration)
        else:
            placed = self._pictures.place(pts, time_base, arrived) / _VIDEO_RATE
        if captured is None:
            self._had_audio = self._kind == "audio"
            return placed
        placed = self._sender.place(captured, arrived, placed, had_audio=self._had_audio)
        self._had_audio = False
        return placed

    def _place_sound(
        self, pts: int | None, time_base: TimeBase | None, arrived: float, duration: float
    ) -> float:
        exact = duration * _SOUND_RATE + self._tick_rest
        ticks = round(exact)
        self._tick_rest = exact - ticks
        media_time = self._sound.place(pts, time_base, ticks, arrived) / _SOUND_RATE
        return media_time + self._offset.observe(arrived, arrived - media_time)

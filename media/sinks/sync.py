"""Puts what arrives from several senders on one timeline; no I/O, the time is an argument.

Three clocks meet in a recording. *Media time* is what the frames of a track say, from any origin,
as far as it makes sense (``icefloe.encoding.clock``).
*Capture time* is the clock of a sender, which all its tracks share (RFC 3550 section 6.4.1).
*Arrival* is our own monotonic clock, on which the recording runs. The first two are steady and the
third is not, so a frame is placed by its capture time if there is one, else by its media time, each
moved by an offset that is watched at the arrivals: the least of them is the one that was delayed
least.
"""

from icefloe.encoding.clock import MediaClock, SoundClock, TimeBase

_WINDOW = 5.0
"""Seconds for which a least offset counts, up to twice as long."""

_SLEW = 0.002
"""Seconds that an offset is moved in a second: forty times what two quartzes drift apart, and too
little to be heard."""

_STEP_ARRIVAL = 0.04
_STEP_CAPTURE = 0.5
"""An offset that is wrong by more than this many seconds is moved at once. That of a sender moves
its audio and video alike and so need not hurry."""

_EARLIEST, _LATEST = 10.0, 1.0
"""Seconds before and after its arrival at which something can have been captured: a clock that says
otherwise was set."""

_VIDEO_RATE, _SOUND_RATE = 90000, 48000
"""Ticks a second of the media clocks."""


class Offset:
    """The least offset of late, approached slowly.

    Args:
        step: Seconds beyond which it is approached at once.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._value: float | None = None
        self._least = self._least_before = float("inf")
        self._since = self._seen = 0.0

    @property
    def value(self) -> float | None:
        """The offset in seconds; None before the first observation."""
        return self._value

    def reset(self, now: float, value: float) -> None:
        """Forget what was, and begin with a value."""
        self._value = self._least = value
        self._least_before = float("inf")
        self._since = self._seen = now

    def observe(self, now: float, offset: float) -> float:
        """Take an offset that was seen, and return the one to use, in seconds."""
        if self._value is None:
            self.reset(now, offset)
            return offset
        if now - self._since > _WINDOW:
            self._least_before, self._least = self._least, offset
            self._since = now
        self._least = min(self._least, offset)
        wrong = min(self._least, self._least_before) - self._value
        if abs(wrong) <= self._step:
            most = _SLEW * max(0.0, now - self._seen)
            wrong = max(-most, min(most, wrong))
        self._value += wrong
        self._seen = now
        return self._value


class SenderClock:
    """Where the clock of one sender stands on ours; all tracks of a participant share one."""

    def __init__(self) -> None:
        self._offset = Offset(_STEP_CAPTURE)
        self._follows_sound = False

    def place(self, captured: float, arrived: float, otherwise: float, *, heard: bool) -> float:
        """Return when on our clock something was captured, in seconds.

        The first track stays where it would be otherwise, and the others are put in step with it.
        That is undone for sound that was heard already, before its capture times were known: a step
        of it can be heard, and a picture can be moved.
        """
        if self._offset.value is None or (heard and not self._follows_sound):
            self._follows_sound = heard
            self._offset.reset(arrived, otherwise - captured)
        placed = captured + self._offset.observe(arrived, arrived - captured)
        if not arrived - _EARLIEST <= placed <= arrived + _LATEST:
            self._offset.reset(arrived, otherwise - captured)
            placed = otherwise
        return placed


class TrackClock:
    """Places the frames of one track.

    Args:
        kind: ``audio`` or ``video``.
        sender: Of the participant that the track is from.
    """

    def __init__(self, kind: str, sender: SenderClock) -> None:
        self._kind = kind
        self._sender = sender
        self._pictures = MediaClock(_VIDEO_RATE, start=None)
        self._sound = SoundClock(_SOUND_RATE)
        self._rest = 0.0
        """The part of a tick by which the clock of sound is behind its samples."""
        self._offset = Offset(_STEP_ARRIVAL)
        self._is_heard = False

    def place(
        self,
        pts: int | None,
        time_base: TimeBase | None,
        captured: float | None,
        arrived: float,
        *,
        duration: float = 0.0,
    ) -> float:
        """Return where a frame belongs, in seconds on the clock of ``arrived``.

        Args:
            pts: What the frame says, in units of ``time_base``; anything.
            time_base: Seconds; anything.
            captured: Seconds on the clock of the sender, if it is known.
            arrived: Seconds on our clock.
            duration: Seconds that it lasts, if it is sound.
        """
        if self._kind == "audio":
            placed = self._place_sound(pts, time_base, arrived, duration)
        else:
            placed = self._pictures.place(pts, time_base, arrived) / _VIDEO_RATE
        if captured is None:
            self._is_heard = self._kind == "audio"
            return placed
        placed = self._sender.place(captured, arrived, placed, heard=self._is_heard)
        self._is_heard = False
        return placed

    def _place_sound(
        self, pts: int | None, time_base: TimeBase | None, arrived: float, duration: float
    ) -> float:
        exact = duration * _SOUND_RATE + self._rest
        ticks = round(exact)
        self._rest = exact - ticks
        media_time = self._sound.place(pts, time_base, ticks, arrived) / _SOUND_RATE
        return media_time + self._offset.observe(arrived, arrived - media_time)

"""The times of frames as whoever reads them is told, whatever their track tells. No I/O."""

from av import AudioFrame, VideoFrame

from icefloe.encoding.clock import MediaClock, SoundClock, ticks_of

_VIDEO_RATE, _SOUND_RATE = 90000, 48000
"""Ticks a second of the clocks."""

_FARTHEST = 10**9
"""Seconds at which the first frame may be; what is beyond that is taken for 0."""


class FrameTimes:
    """Times that only grow, and begin with what the first frame tells.

    When frames are read is for their reader to say, and counts only where they tell no time.
    """

    def __init__(self) -> None:
        self._pictures: MediaClock | None = None
        self._sound: SoundClock | None = None
        self._rest = 0.0

    def of_picture(self, frame: VideoFrame, now: float) -> float:
        """Return the time of a picture, in seconds.

        Args:
            frame: With any time.
            now: When it was read, in seconds on a monotonic clock.
        """
        if self._pictures is None:
            start = _start(frame, _VIDEO_RATE)
            self._pictures = MediaClock(_VIDEO_RATE, start=start, live=False)
        return self._pictures.place(frame.pts, frame.time_base, now) / _VIDEO_RATE

    def of_sound(self, frame: AudioFrame, now: float) -> float:
        """Return the time at which sound begins, in seconds; see :meth:`of_picture`."""
        if self._sound is None:
            start = _start(frame, _SOUND_RATE)
            self._sound = SoundClock(_SOUND_RATE, start=start, live=False)
        exact = frame.samples * _SOUND_RATE / frame.sample_rate + self._rest
        duration = round(exact)
        self._rest = exact - duration
        return self._sound.place(frame.pts, frame.time_base, duration, now) / _SOUND_RATE


def _start(frame: VideoFrame | AudioFrame, rate: int) -> int:
    told = ticks_of(frame.pts, frame.time_base, rate)
    return told if told is not None and abs(told) < _FARTHEST * rate else 0

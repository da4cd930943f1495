"""Monotonic media times of frames for readers, from any timestamps of the track. No I/O."""

from av import AudioFrame, VideoFrame

from icefloe.encoding.clock import MediaClock, SoundClock, ticks_of

_VIDEO_RATE, _SOUND_RATE = 90000, 48000
"""Ticks per second of the clocks."""

_MAX_START = 10**9
"""Maximum absolute value of the first timestamp, in seconds; a larger one is replaced by 0."""


class FrameTimes:
    """Increasing media times that start with the timestamp of the first frame.

    The reader may read at any pace, so arrival times are used only for frames without timestamps.
    """

    def __init__(self) -> None:
        self._pictures: MediaClock | None = None
        self._sound: SoundClock | None = None
        self._rest = 0.0

    def of_picture(self, frame: VideoFrame, now: float) -> float:
        """Return the media time of a picture, in seconds.

        Args:
            frame: The picture, with any timestamp.
            now: Time at which it was read, in seconds on a monotonic clock.
        """
        if self._pictures is None:
            start = _start_ticks(frame, _VIDEO_RATE)
            self._pictures = MediaClock(_VIDEO_RATE, start=start, live=False)
        return self._pictures.place(frame.pts, frame.time_base, now) / _VIDEO_RATE

    def of_sound(self, frame: AudioFrame, now: float) -> float:
        """Return the media time of the first sample, in seconds; see :meth:`of_picture`."""
        if self._sound is None:
            start = _start_ticks(frame, _SOUND_RATE)
            self._sound = SoundClock(_SOUND_RATE, start=start, live=False)
        exact = frame.samples * _SOUND_RATE / frame.sample_rate + self._rest
        duration = round(exact)
        self._rest = exact - duration
        return self._sound.place(frame.pts, frame.time_base, duration, now) / _SOUND_RATE


def _start_ticks(frame: VideoFrame | AudioFrame, rate: int) -> int:
    reported = ticks_of(frame.pts, frame.time_base, rate)
    return reported if reported is not None and abs(reported) < _MAX_START * rate else 0

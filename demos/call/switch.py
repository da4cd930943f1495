"""A track whose source can be exchanged while it is being sent."""

import asyncio
import time
from fractions import Fraction
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import AUDIO_PTIME, VIDEO_TIME_BASE, MediaStreamError
from av import AudioFrame, AudioResampler, VideoFrame

_SAMPLE_RATE = 48000
_TIME_BASES = {"audio": Fraction(1, _SAMPLE_RATE), "video": VIDEO_TIME_BASE}
_LEAST_STEP = {"audio": AUDIO_PTIME, "video": 1 / 60}
"""Seconds from the last frame of one source to the first of the next, at least."""


class Switch(MediaStreamTrack):
    """Gives the frames of one source at a time; another one takes over from one frame to the next.

    Nothing is negotiated for it. aiortc's ``replaceTrack()`` does not do: it waits for one more
    frame of the old track, its sender ends for good with a track that ends, and its timestamps jump
    to those of the new track. Here timestamps go on, and audio stays in stereo.

    Args:
        resort: The source to begin with, and to go back to when another one ends. Its ``recv()``,
            and that of every other source, must be safe to cancel; audio comes at 48 kHz.
    """

    def __init__(self, resort: MediaStreamTrack) -> None:
        super().__init__()
        self.kind = resort.kind
        self._resort = resort
        self._source = resort
        self._reading: asyncio.Task[Any] | None = None
        self._timeline = _Timeline(_TIME_BASES[self.kind], _LEAST_STEP[self.kind])

    def show(self, source: MediaStreamTrack | None) -> None:
        """Go on with another source, at once; ``None`` is the one to begin with."""
        source = source or self._resort
        if source is self._source:
            return
        self._source = source
        if self._reading is not None:
            self._reading.cancel()

    async def recv(self) -> AudioFrame | VideoFrame:
        """Return the next frame of the source of now.

        Raises:
            MediaStreamError: The track was stopped, or the source to begin with has ended.

        Cancellation: safe.
        """
        while self.readyState == "live":
            source = self._source
            frame = await self._read(source)
            if frame is not None and source is self._source:
                return self._timeline.place(frame, source.id)
            if frame is None and source is self._source:
                self._end_of(source)
        raise MediaStreamError("the track has ended")

    async def _read(self, source: MediaStreamTrack) -> AudioFrame | VideoFrame | None:
        """Return a frame; ``None`` if the source has ended or another one is to be shown."""
        self._reading = reading = asyncio.ensure_future(source.recv())
        try:
            await asyncio.wait((reading,))
        finally:
            self._reading = None
            reading.cancel()
        if reading.cancelled() or isinstance(reading.exception(), MediaStreamError):
            return None
        frame = reading.result()
        if not isinstance(frame, AudioFrame | VideoFrame):
            raise TypeError(f"a switch takes frames, not {type(frame).__name__}")
        return frame

    def _end_of(self, source: MediaStreamTrack) -> None:
        if source is self._resort:
            super().stop()
        else:
            self._source = self._resort

    def stop(self) -> None:
        """End the track; its sources are left alone."""
        super().stop()
        if self._reading is not None:
            self._reading.cancel()


class _Timeline:
    """Puts the frames of several sources on one timeline, in one format."""

    def __init__(self, time_base: Fraction, least_step: float) -> None:
        self._time_base = time_base
        self._least_step = round(least_step / time_base)
        self._source_id = ""
        self._offset = 0
        self._last = -self._least_step
        self._last_at = time.monotonic()
        self._resampler: AudioResampler | None = None

    def place(self, frame: AudioFrame | VideoFrame, source_id: str) -> AudioFrame | VideoFrame:
        now = time.monotonic()
        own = frame.pts or 0
        if frame.time_base is not None:
            own = round(own * _fraction(frame.time_base) / self._time_base)
        if source_id != self._source_id:
            self._source_id = source_id
            passed = round((now - self._last_at) / self._time_base)
            self._offset = self._last + max(self._least_step, passed) - own
            self._resampler = None
        self._last, self._last_at = own + self._offset, now
        placed = self._in_stereo(frame) if isinstance(frame, AudioFrame) else frame
        placed.pts, placed.time_base = self._last, self._time_base
        return placed

    def _in_stereo(self, frame: AudioFrame) -> AudioFrame:
        # aiortc's encoder fails for good when the layout changes under way.
        if (frame.format.name, frame.layout.name) == ("s16", "stereo"):
            return frame
        if self._resampler is None:
            self._resampler = AudioResampler("s16", "stereo", _SAMPLE_RATE)
        frame.pts = None
        (converted,) = self._resampler.resample(frame)
        return converted


def _fraction(time_base: Any) -> Fraction:
    # Newer versions of PyAV have a rational type of their own.
    return Fraction(time_base.numerator, time_base.denominator)

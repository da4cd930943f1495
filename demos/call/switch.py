"""A media track that can switch its source while it is being sent."""

import asyncio
import time
from fractions import Fraction
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import AUDIO_PTIME, VIDEO_TIME_BASE, MediaStreamError
from av import AudioFrame, AudioResampler, VideoFrame

_SAMPLE_RATE = 48000
_TIME_BASES = {"audio": Fraction(1, _SAMPLE_RATE), "video": VIDEO_TIME_BASE}
_MIN_STEP = {"audio": AUDIO_PTIME, "video": 1 / 60}
"""Seconds between the last frame of one source and the first frame of the next, at least."""


class Switch(MediaStreamTrack):
    """A track that gives the frames of one of several sources, and switches without renegotiation.

    aiortc's ``replaceTrack()`` is not suitable: it waits for another frame of the old track, its
    sender ends with the first track that ends, and the timestamps jump. Here the timestamps are
    continuous, and audio is always stereo.

    Args:
        fallback: The first source, which is also used when another source ends. The ``recv()`` of
            all sources must be safe to cancel, and audio must have 48 kHz.
    """

    def __init__(self, fallback: MediaStreamTrack) -> None:
        super().__init__()
        self.kind: str = fallback.kind
        self._fallback = fallback
        self._source = fallback
        self._reading: asyncio.Task[Any] | None = None
        self._timeline = _Timeline(_TIME_BASES[self.kind], _MIN_STEP[self.kind])

    def show(self, source: MediaStreamTrack | None) -> None:
        """Switch to another source at once; ``None`` for the fallback."""
        source = source or self._fallback
        if source is self._source:
            return
        self._source = source
        if self._reading is not None:
            self._reading.cancel()

    async def recv(self) -> AudioFrame | VideoFrame:
        """Return the next frame of the current source.

        Raises:
            MediaStreamError: The track was stopped, or the fallback has ended.

        Cancellation: safe.
        """
        while self.readyState == "live":
            source = self._source
            frame = await self._read(source)
            if frame is not None and source is self._source:
                return self._timeline.place(frame, source.id)
            if frame is None and source is self._source:
                self._on_end(source)
        raise MediaStreamError("the track has ended")

    async def _read(self, source: MediaStreamTrack) -> AudioFrame | VideoFrame | None:
        """Return a frame; ``None`` if the source has ended or was switched away from."""
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

    def _on_end(self, source: MediaStreamTrack) -> None:
        if source is self._fallback:
            super().stop()
        else:
            self._source = self._fallback

    def stop(self) -> None:
        """Stop the track; its sources are not stopped."""
        super().stop()
        if self._reading is not None:
            self._reading.cancel()


class _Timeline:
    """Gives the frames of several sources continuous timestamps and one audio format."""

    def __init__(self, time_base: Fraction, min_step: float) -> None:
        self._time_base = time_base
        self._min_step = round(min_step / time_base)
        self._source_id = ""
        self._offset = 0
        self._last = -self._min_step
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
            self._offset = self._last + max(self._min_step, passed) - own
            self._resampler = None
        self._last, self._last_at = own + self._offset, now
        placed = self._in_stereo(frame) if isinstance(frame, AudioFrame) else frame
        placed.pts, placed.time_base = self._last, self._time_base
        return placed

    def _in_stereo(self, frame: AudioFrame) -> AudioFrame:
        # aiortc's encoder fails permanently when the channel layout changes.
        if (frame.format.name, frame.layout.name) == ("s16", "stereo"):
            return frame
        if self._resampler is None:
            self._resampler = AudioResampler("s16", "stereo", _SAMPLE_RATE)
        frame.pts = None
        (converted,) = self._resampler.resample(frame)
        return converted


def _fraction(time_base: Any) -> Fraction:
    # Newer versions of PyAV have their own rational type.
    return Fraction(time_base.numerator, time_base.denominator)

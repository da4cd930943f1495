"""From an open container to frames on one timeline, over any number of passes; for a thread.

Audio comes out as frames of 20 ms without a gap, in 48 kHz stereo ``s16``: silence stands where the
file has none, and one pass runs on into the next. Video keeps its size and pixel format, with
timestamps that only grow. A pass can begin anywhere in the media, and be played faster or slower;
timestamps are the time of playing and not that of the media.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
from aiortc.mediastreams import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE
from av import AudioFrame, Packet, VideoFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import PictureType
from av.video.stream import VideoStream

from icefloe.encoding import (
    PictureConverter,
    SoundConverter,
    SoundFormat,
    UnusablePicture,
    UnusableSound,
    check_sound,
)
from icefloe.logs import get_logger

from .pcm import FRAME_SAMPLES, SAMPLE_RATE
from .tempo import Tempo
from .timed_media import Timed, seconds
from .timestamp_splices import Splices

_SOUND = SoundFormat(SAMPLE_RATE, "stereo")
_SAMPLE_BYTES = _SOUND.sample_bytes
_FRAME_BYTES = FRAME_SAMPLES * _SAMPLE_BYTES
_GAP_SAMPLES = SAMPLE_RATE // 25
"""Timestamps may be this far ahead of the samples before silence is put in between: containers
round them, and the resampler holds some samples back."""

_ROUNDING = Fraction(1, 500)
"""A picture of which less than this is left after a jump ended before, but for rounding."""

_TICK = Fraction(1, 1000)
"""Seconds after a picture at which another one may be shown."""

_DEFAULT_RATE = Fraction(25)
"""Frames a second of a stream that does not say; FFmpeg assumes the same."""

logger = get_logger(__name__)


class AudioTimeline:
    """Cuts audio of any format into frames of 20 ms without gaps."""

    def __init__(self) -> None:
        self._converter = SoundConverter(_SOUND)
        self._source: tuple[str, str, int] | None = None
        self._tempo: Tempo | None = None
        self._rate = Fraction(1)
        self._skip = 0
        self._pending = bytearray()
        self._position = 0

    @property
    def end(self) -> Fraction:
        """How many seconds of audio have come so far."""
        held = self._tempo.held if self._tempo else 0
        return Fraction(self._position + len(self._pending) // _SAMPLE_BYTES + held, SAMPLE_RATE)

    def restart(self, at: Fraction, rate: Fraction) -> None:
        """Drop what was held back, and go on at the first whole frame that is not before ``at``."""
        self._converter = SoundConverter(_SOUND)
        self._source = self._tempo = None
        self._pending.clear()
        self._skip = 0
        self._rate = rate
        frames = -(-at * SAMPLE_RATE // FRAME_SAMPLES)
        self._position = int(frames) * FRAME_SAMPLES

    def push(
        self, frame: AudioFrame, at: Fraction | None, skip: Fraction = Fraction(0)
    ) -> Iterator[AudioFrame]:
        """Add a decoded frame.

        Args:
            frame: The frame.
            at: When it is to start, in seconds; where the one before it ended if None.
            skip: Seconds of its beginning to leave out.

        Raises:
            UnusableSound: It cannot be used; it is as if it had not been given.
        """
        check_sound(frame)
        key = (frame.format.name, frame.layout.name, frame.sample_rate)
        if key != self._source:
            yield from self.flush()
            self._source = key
            if self._rate != 1:
                self._tempo = Tempo(self._rate)
        if at is not None:
            gap = round((at - self.end) * SAMPLE_RATE)
            if gap > _GAP_SAMPLES:
                yield from self._silence(gap)
        self._skip = round(skip * SAMPLE_RATE)
        yield from self._take(self._converter.convert(frame))

    def flush(self) -> Iterator[AudioFrame]:
        """Get what the resampler holds back; the next pass has a new one."""
        yield from self._take(self._converter.finish())
        if self._tempo is not None:
            rest = self._tempo.finish()
            self._tempo = None
            yield from self._append(rest)
        self._source = None

    def finish(self) -> Iterator[AudioFrame]:
        """Get the last frame, filled up with silence."""
        yield from self.flush()
        if self._pending:
            yield from self._append(bytes(-len(self._pending) % _FRAME_BYTES))

    def _take(self, data: bytes) -> Iterator[AudioFrame]:
        skipped = self._skip * _SAMPLE_BYTES
        self._skip = max(0, self._skip - len(data) // _SAMPLE_BYTES)
        data = data[skipped:]
        if self._tempo is not None and data:
            data = self._tempo.push(data)
        yield from self._append(data)

    def _silence(self, samples: int) -> Iterator[AudioFrame]:
        for _ in range(samples // FRAME_SAMPLES):
            yield from self._append(bytes(_FRAME_BYTES))
        yield from self._append(bytes(samples % FRAME_SAMPLES * _SAMPLE_BYTES))

    def _append(self, samples: bytes) -> Iterator[AudioFrame]:
        self._pending += samples
        while len(self._pending) >= _FRAME_BYTES:
            frame = AudioFrame("s16", "stereo", FRAME_SAMPLES)
            frame.planes[0].update(bytes(self._pending[:_FRAME_BYTES]))
            del self._pending[:_FRAME_BYTES]
            frame.sample_rate = SAMPLE_RATE
            frame.pts = self._position
            frame.time_base = Fraction(1, SAMPLE_RATE)
            self._position += FRAME_SAMPLES
            yield frame


class VideoTimeline:
    """Gives video frames timestamps in 1/90000 s that only grow."""

    def __init__(self) -> None:
        self._last = -1
        self.end = Fraction(0)
        """When the last frame will have been shown, in seconds."""

    def restart(self, at: Fraction) -> None:
        """Go on ``at`` seconds, also when frames that were dropped were later than that."""
        self.end = at
        self._last = round(at * VIDEO_CLOCK_RATE) - 1

    def push(self, frame: VideoFrame, at: Fraction | None, duration: Fraction) -> VideoFrame:
        """Put a decoded frame ``at`` seconds, or where the one before it ended."""
        start = self.end if at is None else at
        self._last = max(self._last + 1, round(start * VIDEO_CLOCK_RATE))
        frame.pts = self._last
        frame.time_base = VIDEO_TIME_BASE
        # An encoder would take the type for a wish, and make a key frame wherever the file has one.
        frame.pict_type = PictureType.NONE
        self.end = max(self.end, start + duration)
        return frame


class Decoder:
    """Decodes the first video and the first audio stream of a container, again and again.

    Args:
        wanted: Whether anybody still reads the tracks of a kind, ``audio`` or ``video``. What is
            not wanted is not decoded.
    """

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self._audio = AudioTimeline()
        self._video = VideoTimeline()
        self._start = Fraction(0)
        self._from = Fraction(0)
        self._rate = Fraction(1)
        self._origin = Fraction(0)
        self._splices = Splices(Fraction(0))
        self._damaged = False
        self._converter = PictureConverter()

    def pick(self, container: InputContainer) -> "dict[str, AudioStream | VideoStream]":
        """Return the streams of a container that are decoded, by their kind."""
        return pick_streams(container)

    def restart(self, at: Fraction, rate: Fraction) -> None:
        """Drop what is held back, and have the next pass played at another time and rate.

        Args:
            at: The time of playing at which the next pass starts, in seconds.
            rate: How many seconds of the media are played in a second.
        """
        self._audio.restart(at, rate)
        self._video.restart(at)
        self._start = at
        self._rate = rate

    @property
    def reached(self) -> Fraction:
        """How far the media was decoded in the pass that is being played, in seconds."""
        return self._media(max(self._audio.end, self._video.end))

    def play(
        self,
        container: InputContainer,
        *,
        start: Fraction = Fraction(0),
        origin: Fraction | None = None,
    ) -> Iterator[Timed]:
        """Decode from some place in the container to its end, with all that decoders hold back.

        What cannot be decoded is left out, and logged once.

        Args:
            container: It stands at ``start`` or a little before.
            start: Seconds from the start of the media; what is before that is left out.
            origin: The timestamp of the start of the media, in seconds; that which the container
                tells if None.

        Raises:
            FFmpegError: The container cannot be read any further.
        """
        streams = self.pick(container)
        if origin is None:
            origin = Fraction(container.start_time or 0, av.time_base)
        self._origin, self._from = origin, start
        self._splices = Splices(start)
        for packet in container.demux(*streams.values()):
            kind = packet.stream.type
            if self._wanted(kind):
                for frame in self._decode(packet, kind):
                    yield self._timed(frame)
        for frame in self._audio.flush():
            yield self._timed(frame)

    def next_pass(self) -> None:
        """Have the next pass follow the one that was played."""
        self._start = max(self._audio.end, self._video.end)

    def finish(self) -> Iterator[Timed]:
        """Get what is left after the last pass."""
        for frame in self._audio.finish():
            yield self._timed(frame)

    def _timed(self, frame: AudioFrame | VideoFrame) -> Timed:
        assert frame.pts is not None
        assert frame.time_base is not None
        start = end = seconds(frame.pts, frame.time_base)
        if isinstance(frame, AudioFrame):
            end += Fraction(frame.samples, frame.sample_rate)
        else:
            end += _TICK
        kind = "video" if isinstance(frame, VideoFrame) else "audio"
        return Timed(frame, kind, max(0.0, float(self._media(start))), float(start), float(end))

    def _media(self, playing: Fraction) -> Fraction:
        return self._from + (playing - self._start) * self._rate

    def _decode(self, packet: "Packet[Any]", kind: str) -> Iterator[AudioFrame | VideoFrame]:
        try:
            frames = packet.decode()
        except FFmpegError as exc:
            if not self._damaged:
                self._damaged = True
                logger.warning("%s of %s is damaged: %s", kind, packet.stream.container.name, exc)
            return
        for frame in frames:
            if isinstance(frame, VideoFrame):
                duration = _duration(frame, packet.stream)
                at = self._place(frame, kind, duration)
                early = self._early(at)
                if early < duration - _ROUNDING or not early:
                    upright = self._upright(frame)
                    yield self._video.push(upright, self._time(at), duration / self._rate)
            elif isinstance(frame, AudioFrame):
                duration = Fraction(frame.samples, max(1, frame.sample_rate))
                at = self._place(frame, kind, duration)
                early = self._early(at)
                if early < duration:
                    yield from self._sound(frame, self._time(at), early)

    def _sound(
        self, frame: AudioFrame, at: Fraction | None, early: Fraction
    ) -> Iterator[AudioFrame]:
        try:
            yield from self._audio.push(frame, at, early)
        except UnusableSound as exc:
            if not self._damaged:
                self._damaged = True
                logger.warning("some sound is left out: %s", exc)

    def _upright(self, frame: VideoFrame) -> VideoFrame:
        try:
            return self._converter.upright(frame)
        except UnusablePicture as exc:
            if not self._damaged:
                self._damaged = True
                logger.warning("a picture is shown as it is: %s", exc)
            return frame

    def _place(
        self, frame: AudioFrame | VideoFrame, kind: str, duration: Fraction
    ) -> Fraction | None:
        """Return where a frame is, in seconds from the start of the media; None if it follows."""
        if frame.pts is None or frame.time_base is None:
            return None
        at = seconds(frame.pts, frame.time_base) - self._origin
        return self._splices.place(kind, at, duration)

    def _early(self, at: Fraction | None) -> Fraction:
        """Return by how many seconds a frame is before the place from which to play."""
        if not self._from or at is None:
            return Fraction(0)
        return max(Fraction(0), self._from - at)

    def _time(self, at: Fraction | None) -> Fraction | None:
        """Return when a frame is to be played, in seconds from the start of the first pass."""
        if at is None:
            return None
        return self._start + max(Fraction(0), at - self._from) / self._rate


def pick_streams(container: InputContainer) -> "dict[str, AudioStream | VideoStream]":
    """Return the first audio and the first video stream that can be decoded, by their kind."""
    picked: dict[str, AudioStream | VideoStream] = {}
    for stream in container.streams:
        # The cover of a song is a stream of one picture.
        if stream.disposition & Disposition.attached_pic:
            continue
        if isinstance(stream, AudioStream | VideoStream) and stream.codec_context is not None:
            picked.setdefault(stream.type, stream)
    return picked


def _duration(frame: VideoFrame, stream: AudioStream | VideoStream) -> Fraction:
    if frame.duration and frame.time_base is not None:
        return seconds(frame.duration, frame.time_base)
    rate = stream.average_rate
    return 1 / (Fraction(rate.numerator, rate.denominator) if rate else _DEFAULT_RATE)

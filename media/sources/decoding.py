"""Decoder: from a container to frames on one playback timeline, with loops and seeks; for a thread.

Audio becomes contiguous frames of 20 ms in 48 kHz stereo ``s16``: gaps of the file are filled with
silence, and loops are joined without a gap. Video keeps its size and pixel format, with increasing
timestamps. A pass decodes the media once. It can start anywhere in the media, and be played faster
or slower; timestamps are playback time, not media time.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from logging import Logger
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

_OUTPUT_FORMAT = SoundFormat(SAMPLE_RATE, "stereo")
_SAMPLE_BYTES = _OUTPUT_FORMAT.sample_bytes
_FRAME_BYTES = FRAME_SAMPLES * _SAMPLE_BYTES
_GAP_SAMPLES = SAMPLE_RATE // 25
"""Samples by which a timestamp may be ahead of the sample count before silence is inserted.
Containers round timestamps, and the resampler holds samples back."""

_ROUNDING = Fraction(1, 500)
"""Seconds. A picture that overlaps the target of a seek by less is left out: it is rounding."""

_MIN_FRAME_INTERVAL = Fraction(1, 1000)
"""Minimum of seconds from one picture to the next."""

_DEFAULT_RATE = Fraction(25)
"""Frame rate of a stream without one; FFmpeg assumes the same."""

logger: Logger = get_logger(__name__)


class AudioTimeline:
    """Converter of audio of any format to contiguous frames of 20 ms."""

    def __init__(self) -> None:
        self._converter = SoundConverter(_OUTPUT_FORMAT)
        self._source: tuple[str, str, int] | None = None
        self._tempo: Tempo | None = None
        self._rate = Fraction(1)
        self._skip = 0
        self._pending = bytearray()
        self._position = 0

    @property
    def end(self) -> Fraction:
        """Playback time of the end of the audio so far, in seconds."""
        held = self._tempo.held if self._tempo else 0
        return Fraction(self._position + len(self._pending) // _SAMPLE_BYTES + held, SAMPLE_RATE)

    def restart(self, at: Fraction, rate: Fraction) -> None:
        """Drop pending samples, and continue with the first whole frame not before ``at`` seconds.

        Args:
            at: Playback time, in seconds.
            rate: Playback speed: seconds of media per second.
        """
        self._converter = SoundConverter(_OUTPUT_FORMAT)
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
            at: Playback time of its start, in seconds; the end of the previous frame if ``None``.
            skip: Seconds to leave out at its start.

        Raises:
            UnusableSound: The frame cannot be used; the timeline is unchanged.
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
        """Flush the resampler; the next frame starts a new one."""
        yield from self._take(self._converter.finish())
        if self._tempo is not None:
            rest = self._tempo.finish()
            self._tempo = None
            yield from self._append(rest)
        self._source = None

    def finish(self) -> Iterator[AudioFrame]:
        """Flush the resampler, and pad the last frame with silence."""
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
    """Strictly increasing timestamps of video frames, in 1/90000 s."""

    def __init__(self) -> None:
        self._last = -1
        self.end: Fraction = Fraction(0)
        """Playback time of the end of the last frame, in seconds."""

    def restart(self, at: Fraction) -> None:
        """Continue at ``at`` seconds, even if previous frames, now dropped, were later."""
        self.end = at
        self._last = round(at * VIDEO_CLOCK_RATE) - 1

    def push(self, frame: VideoFrame, at: Fraction | None, duration: Fraction) -> VideoFrame:
        """Set the timestamp of a decoded frame and return the frame.

        Args:
            frame: The frame, which is changed.
            at: Playback time, in seconds; the end of the previous frame if ``None``.
            duration: Length of the frame, in seconds.
        """
        start = self.end if at is None else at
        self._last = max(self._last + 1, round(start * VIDEO_CLOCK_RATE))
        frame.pts = self._last
        frame.time_base = VIDEO_TIME_BASE
        # An encoder would reproduce the picture types, with the key frames of the file.
        frame.pict_type = PictureType.NONE
        self.end = max(self.end, start + duration)
        return frame


class Decoder:
    """Decoder of the first video and audio streams of a container, in one or more passes.

    Args:
        wanted: Returns whether a kind, ``audio`` or ``video``, has a reader. A kind without one is
            not decoded.
    """

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self._audio = AudioTimeline()
        self._video = VideoTimeline()
        self._start = Fraction(0)
        self._media_start = Fraction(0)
        self._rate = Fraction(1)
        self._origin = Fraction(0)
        self._splices = Splices(Fraction(0))
        self._damaged = False
        self._converter = PictureConverter()

    def pick(self, container: InputContainer) -> "dict[str, AudioStream | VideoStream]":
        """Return the streams that are decoded, by kind."""
        return pick_streams(container)

    def restart(self, at: Fraction, rate: Fraction) -> None:
        """Drop pending media, and set the playback time and speed of the next pass.

        Args:
            at: Playback time at which the next pass starts, in seconds.
            rate: Playback speed: seconds of media per second.
        """
        self._audio.restart(at, rate)
        self._video.restart(at)
        self._start = at
        self._rate = rate

    @property
    def reached(self) -> Fraction:
        """Media time up to which the current pass was decoded, in seconds."""
        return self._media_time(max(self._audio.end, self._video.end))

    def play(
        self,
        container: InputContainer,
        *,
        start: Fraction = Fraction(0),
        origin: Fraction | None = None,
    ) -> Iterator[Timed]:
        """Decode from the current position of the container to its end, and flush the decoders.

        Damaged media is left out, and logged once.

        Args:
            container: The container, positioned at ``start`` or a little before.
            start: Media time to start at, in seconds; media before it is left out.
            origin: Timestamp of the start of the media, in seconds; that of the container if
                ``None``.

        Raises:
            FFmpegError: The container cannot be read any further.
        """
        streams = self.pick(container)
        if origin is None:
            origin = Fraction(container.start_time or 0, av.time_base)
        self._origin, self._media_start = origin, start
        self._splices = Splices(start)
        for packet in container.demux(*streams.values()):
            kind = packet.stream.type
            if self._wanted(kind):
                for frame in self._decode(packet, kind):
                    yield self._timed(frame)
        for frame in self._audio.flush():
            yield self._timed(frame)

    def next_pass(self) -> None:
        """Let the next pass follow the end of the previous one."""
        self._start = max(self._audio.end, self._video.end)

    def finish(self) -> Iterator[Timed]:
        """Return the remaining frames after the last pass."""
        for frame in self._audio.finish():
            yield self._timed(frame)

    def _timed(self, frame: AudioFrame | VideoFrame) -> Timed:
        assert frame.pts is not None
        assert frame.time_base is not None
        start = end = seconds(frame.pts, frame.time_base)
        if isinstance(frame, AudioFrame):
            end += Fraction(frame.samples, frame.sample_rate)
        else:
            end += _MIN_FRAME_INTERVAL
        kind = "video" if isinstance(frame, VideoFrame) else "audio"
        return Timed(
            frame, kind, max(0.0, float(self._media_time(start))), float(start), float(end)
        )

    def _media_time(self, playing: Fraction) -> Fraction:
        return self._media_start + (playing - self._start) * self._rate

    def _decode(self, packet: "Packet[Any]", kind: str) -> Iterator[AudioFrame | VideoFrame]:
        try:
            frames = packet.decode()
        except FFmpegError as exc:
            if not self._damaged:
                self._damaged = True
                logger.warning(
                    "%s of %s is damaged and left out: %s", kind, packet.stream.container.name, exc
                )
            return
        for frame in frames:
            if isinstance(frame, VideoFrame):
                duration = _duration(frame, packet.stream)
                at = self._place(frame, kind, duration)
                early = self._seconds_before_start(at)
                if early < duration - _ROUNDING or not early:
                    upright = self._upright(frame)
                    yield self._video.push(upright, self._playback_time(at), duration / self._rate)
            elif isinstance(frame, AudioFrame):
                duration = Fraction(frame.samples, max(1, frame.sample_rate))
                at = self._place(frame, kind, duration)
                early = self._seconds_before_start(at)
                if early < duration:
                    yield from self._push_audio(frame, self._playback_time(at), early)

    def _push_audio(
        self, frame: AudioFrame, at: Fraction | None, early: Fraction
    ) -> Iterator[AudioFrame]:
        try:
            yield from self._audio.push(frame, at, early)
        except UnusableSound as exc:
            if not self._damaged:
                self._damaged = True
                logger.warning("some audio is left out: %s", exc)

    def _upright(self, frame: VideoFrame) -> VideoFrame:
        try:
            return self._converter.upright(frame)
        except UnusablePicture as exc:
            if not self._damaged:
                self._damaged = True
                logger.warning("a picture is not rotated: %s", exc)
            return frame

    def _place(
        self, frame: AudioFrame | VideoFrame, kind: str, duration: Fraction
    ) -> Fraction | None:
        """Return the media time of a frame, in seconds; ``None`` if it has no timestamp."""
        if frame.pts is None or frame.time_base is None:
            return None
        at = seconds(frame.pts, frame.time_base) - self._origin
        return self._splices.place(kind, at, duration)

    def _seconds_before_start(self, at: Fraction | None) -> Fraction:
        """Return the seconds by which a frame starts before the start of the pass."""
        if not self._media_start or at is None:
            return Fraction(0)
        return max(Fraction(0), self._media_start - at)

    def _playback_time(self, at: Fraction | None) -> Fraction | None:
        """Return the playback time of a media time, in seconds."""
        if at is None:
            return None
        return self._start + max(Fraction(0), at - self._media_start) / self._rate


def pick_streams(container: InputContainer) -> "dict[str, AudioStream | VideoStream]":
    """Return the first audio and the first video stream that can be decoded, by kind."""
    picked: dict[str, AudioStream | VideoStream] = {}
    for stream in container.streams:
        # Cover art is a video stream of a single picture.
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

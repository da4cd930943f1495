"""Muxer: writes encoded audio and video to an MP4, Matroska, WebM, WAV or HLS file; for a thread.

Every format stays playable if the writing program is killed; then only the last second or two are
missing.
"""

import datetime
import os
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av import AudioFrame, VideoFrame
from av.audio.stream import AudioStream
from av.video.frame import PictureType
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream
from numpy.typing import NDArray

from icefloe.encoding.pictures import BT601

from .audio_mixer import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Mapping

VIDEO_CLOCK = 90000

_KEY_FRAME_SECONDS = 2.0
"""Seconds between key frames, at which players can seek and HLS segments begin."""

_BITS_PER_PIXEL = 0.08
"""Default bitrate of encoders without a constant-quality mode: 2.2 Mbit/s at 720p30."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """Container, encoders and options of a file format.

    Attributes:
        muxer: FFmpeg's name of the container.
        audio: FFmpeg's name of the audio encoder.
        video: FFmpeg's name of the video encoder; ``None`` if the format has audio only.
        options: Options of the container.
        is_one_file: Whether the recording is a single file; HLS has segment files beside it.
    """

    muxer: str
    audio: str
    video: str | None
    options: "Mapping[str, str]" = field(default_factory=dict)
    is_one_file: bool = True


_CLUSTERS = {"cluster_time_limit": "1000", "flush_packets": "1"}

FORMATS: "Mapping[str, FileFormat]" = MappingProxyType(
    {
        "mp4": FileFormat(
            "mp4",
            "aac",
            "libx264",
            {
                "movflags": "frag_keyframe+delay_moov+default_base_moof",
                "frag_duration": "1000000",
                "flush_packets": "1",
            },
        ),
        "mkv": FileFormat("matroska", "libopus", "libx264", _CLUSTERS),
        "webm": FileFormat("webm", "libopus", "libvpx", _CLUSTERS),
        "wav": FileFormat("wav", "pcm_s16le", None, {"flush_packets": "1"}),
        "hls": FileFormat(
            "hls",
            "aac",
            "libx264",
            {
                "hls_time": f"{_KEY_FRAME_SECONDS:g}",
                "hls_list_size": "0",
                "hls_playlist_type": "event",
                "hls_flags": "independent_segments+temp_file",
            },
            is_one_file=False,
        ),
    }
)

SUFFIXES = MappingProxyType(
    {".mp4": "mp4", ".m4v": "mp4", ".mkv": "mkv", ".webm": "webm", ".wav": "wav", ".m3u8": "hls"}
)

_ENCODER_OPTIONS = {
    "libx264": {"preset": "veryfast", "tune": "zerolatency", "forced-idr": "1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
}


class _RawFile:
    """An output file for FFmpeg; its writes release the interpreter lock and are complete."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - close() is called by MediaFile

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        return len(data)

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


class MediaFile:
    """An output file with at most one audio and one video stream.

    Args:
        path: Path of the file.
        file_format: One of ``FORMATS``.
        audio: Audio bitrate, in bits per second; ``None`` for a file without audio.
        size: Width and height of the video, even; ``None`` for a file without video.
        rate: Nominal frame rate for rate control; frames may have any timestamps.
        video_bitrate: Bits per second; ``None`` for the default of the encoder.

    Raises:
        OSError: The file cannot be opened or written; FFmpeg's errors are of this type too.
    """

    def __init__(
        self,
        path: str,
        file_format: FileFormat,
        *,
        audio: int | None,
        size: tuple[int, int] | None,
        rate: int,
        video_bitrate: int | None,
    ) -> None:
        options = dict(file_format.options)
        self._file: _RawFile | None = None
        if file_format.is_one_file:
            self._file = _RawFile(path)
        else:
            options["hls_segment_filename"] = f"{os.path.splitext(path)[0]}-%05d.ts"
        try:
            # An absolute path cannot be mistaken for a URL, such as "a:b.mp4" could.
            self._container = av.open(
                self._file or os.path.abspath(path),
                "w",
                format=file_format.muxer,
                container_options=options,
            )
            self._container.metadata["creation_time"] = datetime.datetime.now(
                datetime.UTC
            ).isoformat()
            self._audio = self._add_audio(file_format, audio) if audio is not None else None
            self._video: VideoStream | None = None
            if size is not None and file_format.video is not None:
                self._video = self._add_video(file_format.video, size, rate, video_bitrate)
            self._container.start_encoding()
        except BaseException:
            if self._file is not None:
                self._file.close()
            raise
        self._next_key = 0.0

    def _add_audio(self, file_format: FileFormat, bitrate: int) -> AudioStream:
        stream = self._container.add_stream(file_format.audio, SAMPLE_RATE)
        assert isinstance(stream, AudioStream)
        stream.layout = "stereo"
        if file_format.video is not None:
            stream.bit_rate = bitrate
        return stream

    def _add_video(
        self, codec: str, size: tuple[int, int], rate: int, bitrate: int | None
    ) -> VideoStream:
        stream = self._container.add_stream(codec, rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.color_range, stream.codec_context.colorspace = ColorRange.MPEG, BT601
        stream.codec_context.time_base = Fraction(1, VIDEO_CLOCK)
        stream.time_base = Fraction(1, VIDEO_CLOCK)
        stream.options = dict(_ENCODER_OPTIONS[codec])
        # Key frames are forced by time instead, since frames may be a second apart.
        stream.codec_context.gop_size = 10_000
        if codec == "libvpx":
            stream.thread_count = 1  # libvpx threads spin while they wait
            bitrate = bitrate or round(size[0] * size[1] * rate * _BITS_PER_PIXEL)
        if bitrate:
            stream.bit_rate = bitrate
        return stream

    def write_audio(self, position: int, samples: NDArray[np.int16]) -> None:
        """Write audio of shape ``(n, 2)`` at a sample position, contiguous to the last write."""
        if self._audio is None or not len(samples):
            return
        frame = AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "stereo")
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frame.pts = position
        self._container.mux(self._audio.encode(frame))

    def write_video(self, at: float, frame: VideoFrame) -> None:
        """Write a picture of the file's size at ``at`` seconds, which must increase."""
        if self._video is None:
            return
        frame.pts = round(at * VIDEO_CLOCK)
        frame.time_base = Fraction(1, VIDEO_CLOCK)
        frame.pict_type = PictureType.NONE
        if at >= self._next_key:
            frame.pict_type = PictureType.I
            self._next_key = at + _KEY_FRAME_SECONDS
        self._container.mux(self._video.encode(frame))

    def close(self) -> None:
        """Flush the encoders, write the trailer and close the file."""
        streams: list[Any] = [s for s in (self._audio, self._video) if s is not None]
        try:
            for stream in streams:
                self._container.mux(stream.encode(None))
            self._container.close()
        finally:
            if self._file is not None:
                self._file.close()

    def abandon(self) -> None:
        """Close the file without a trailer, after an error."""
        if self._file is not None:
            self._file.close()

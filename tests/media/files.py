"""Real media files, made by PyAV: each video frame's brightness tells its number."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, AudioResampler, Packet, VideoFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from icefloe.media.sources.playback_tracks import PlayedTrack

LOUDNESS = 8000


def played(track: MediaStreamTrack | None) -> PlayedTrack:
    """Return a track of a source as what it is, to look at its queue."""
    assert isinstance(track, PlayedTrack)
    return track


def gray(number: int) -> int:
    """Return the brightness of a frame, far enough from the next one to survive an encoder."""
    return 32 + number % 16 * 12


def pictures(count: int, width: int, height: int, rate: int) -> Iterator[VideoFrame]:
    for number in range(count):
        frame = VideoFrame(width, height, "yuv420p")
        frame.planes[0].update(bytes([gray(number)]) * frame.planes[0].buffer_size)
        for plane in frame.planes[1:]:
            plane.update(bytes([128]) * plane.buffer_size)
        frame.pts = number
        frame.time_base = Fraction(1, rate)
        yield frame


def sound(seconds: Fraction, rate: int, shift: int, samples: int = 1024) -> Iterator[AudioFrame]:
    """Give frames of a constant, so that any sample tells sound from silence."""
    total = int(seconds * rate)
    for start in range(0, total, samples):
        length = min(samples, total - start)
        frame = AudioFrame("s16", "stereo", length)
        frame.planes[0].update(LOUDNESS.to_bytes(2, "little") * 2 * length)
        frame.sample_rate = rate
        frame.pts = shift + start
        frame.time_base = Fraction(1, rate)
        yield frame


def make(
    path: Path,
    *,
    frames: int = 0,
    audio: Fraction = Fraction(0),
    codec: str = "libvpx",
    size: tuple[int, int] = (160, 120),
    rate: int = 30,
    b_frames: int = 0,
    audio_codec: str = "libopus",
    audio_rate: int = 48000,
    audio_start: Fraction = Fraction(0),
    keys: int = 250,
) -> Path:
    """Write a file with so many frames of video and so many seconds of audio."""
    with av.open(str(path), "w") as container:
        encoders: dict[str, _VideoEncoder | _AudioEncoder] = {}
        media: list[tuple[float, str, VideoFrame | AudioFrame]] = []
        if frames:
            encoders["video"] = _VideoEncoder(container, codec, size, rate, b_frames, keys)
            media += [(f.time, "video", f) for f in pictures(frames, *size, rate)]
        if audio:
            encoders["audio"] = _AudioEncoder(container, audio_codec, audio_rate)
            shift = int(audio_start * audio_rate)
            media += [(f.time or 0.0, "audio", f) for f in sound(audio, audio_rate, shift)]
        for _, kind, frame in sorted(media, key=lambda item: item[0]):
            container.mux(encoders[kind].encode(frame))
        for encoder in encoders.values():
            container.mux(encoder.encode(None))
    return path


class _VideoEncoder:
    def __init__(
        self,
        container: OutputContainer,
        codec: str,
        size: tuple[int, int],
        rate: int,
        b_frames: int,
        keys: int,
    ) -> None:
        stream = container.add_stream(codec, rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        # The threads of libvpx wait by spinning, which takes seconds on a busy machine.
        stream.thread_count = 1
        stream.codec_context.gop_size = keys
        if codec == "libx264":
            stream.options = {"bf": str(b_frames), "b_strategy": "0", "preset": "ultrafast"}
        else:
            stream.options = {"deadline": "realtime", "cpu-used": "8"}
        self._stream = stream

    def encode(self, frame: VideoFrame | AudioFrame | None) -> list[Packet[Any]]:
        assert not isinstance(frame, AudioFrame)
        return list(self._stream.encode(frame))


class _AudioEncoder:
    def __init__(self, container: OutputContainer, codec: str, rate: int) -> None:
        stream = container.add_stream(codec, rate)
        assert isinstance(stream, AudioStream)
        stream.layout = "stereo"
        self._stream = stream
        self._resampler = AudioResampler(stream.format, "stereo", rate, stream.frame_size or 0)

    def encode(self, frame: VideoFrame | AudioFrame | None) -> list[Packet[Any]]:
        assert not isinstance(frame, VideoFrame)
        packets = [p for f in self._resampler.resample(frame) for p in self._stream.encode(f)]
        return packets if frame else [*packets, *self._stream.encode(None)]


async def read_video(track: MediaStreamTrack | None, limit: int = 10_000) -> list[VideoFrame]:
    """Read up to ``limit`` frames, or to the end."""
    return [f for f in await _read(track, limit) if isinstance(f, VideoFrame)]


async def read_audio(track: MediaStreamTrack | None, limit: int = 10_000) -> list[AudioFrame]:
    """Read up to ``limit`` frames, or to the end."""
    return [f for f in await _read(track, limit) if isinstance(f, AudioFrame)]


async def _read(track: MediaStreamTrack | None, limit: int) -> list[object]:
    assert track is not None
    frames: list[object] = []
    try:
        while len(frames) < limit:
            frames.append(await track.recv())
    except MediaStreamError:
        pass
    return frames


async def read_both(
    audio: MediaStreamTrack | None, video: MediaStreamTrack | None
) -> tuple[list[AudioFrame], list[VideoFrame]]:
    """Read two tracks in the order of their time, so that a jumping clock makes neither late."""
    assert audio is not None
    assert video is not None
    heard: list[AudioFrame] = []
    seen: list[VideoFrame] = []
    live = {"audio": audio, "video": video}
    while live:
        at = {
            "audio": (heard[-1].time or 0.0) + 0.02 if heard else 0.0,
            "video": (seen[-1].time or 0.0) + 0.03 if seen else 0.0,
        }
        kind = min(live, key=at.__getitem__)
        try:
            frame = await live[kind].recv()
        except MediaStreamError:
            del live[kind]
            continue
        if isinstance(frame, AudioFrame):
            heard.append(frame)
        elif isinstance(frame, VideoFrame):
            seen.append(frame)
    return heard, seen


def brightness(frame: VideoFrame) -> int:
    """Return the brightness in the middle of a frame."""
    plane = frame.planes[0]
    return bytes(plane)[plane.height // 2 * plane.line_size + plane.width // 2]

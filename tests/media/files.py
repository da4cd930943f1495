"""Real media files, made by PyAV: each video frame's brightness tells its number."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

LOUDNESS = 8000


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


def sound(seconds: Fraction, rate: int, samples: int = 1024) -> Iterator[AudioFrame]:
    """Give frames of a constant, so that any sample tells sound from silence."""
    total = int(seconds * rate)
    for start in range(0, total, samples):
        length = min(samples, total - start)
        frame = AudioFrame("s16", "stereo", length)
        frame.planes[0].update(LOUDNESS.to_bytes(2, "little") * 2 * length)
        frame.sample_rate = rate
        frame.pts = start
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
) -> Path:
    """Write a file with so many frames of video and so many seconds of audio."""
    with av.open(str(path), "w") as container:
        if frames:
            video = container.add_stream(codec, rate)
            assert isinstance(video, av.video.stream.VideoStream)
            video.width, video.height = size
            video.pix_fmt = "yuv420p"
            if codec == "libx264":
                video.options = {"bf": str(b_frames), "b_strategy": "0", "preset": "ultrafast"}
            else:
                video.options = {"deadline": "realtime", "cpu-used": "8"}
        if audio:
            stream = container.add_stream(audio_codec, audio_rate)
            assert isinstance(stream, av.audio.stream.AudioStream)
            stream.layout = "stereo"
            resampler = av.AudioResampler(
                stream.format, "stereo", audio_rate, stream.frame_size or 0
            )
        media = [(f.time or 0.0, f) for f in (pictures(frames, *size, rate) if frames else ())]
        if audio:
            media += [(f.time or 0.0, f) for f in sound(audio, audio_rate)]
        for _, frame in sorted(media, key=lambda item: item[0]):
            if isinstance(frame, VideoFrame):
                container.mux(video.encode(frame))
            else:
                assert frame.pts is not None
                frame.pts += int(audio_start * audio_rate)
                for part in resampler.resample(frame):
                    container.mux(stream.encode(part))
        if frames:
            container.mux(video.encode(None))
        if audio:
            for part in resampler.resample(None):
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
    return path


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

"""Audio and video of a file or a URL, decoded in a thread, played at its own pace."""

import asyncio
import logging
import os
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame
from av.container import InputContainer
from av.error import ExitError

from ._bridge import Bridge, Lane, Worker
from ._decoding import Decoder, pick_streams
from .clock import Clock, MonotonicClock, Playback
from .errors import SourceError, SourceNotFound, SourceTimeout, SourceUnreadable

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.video.stream import VideoStream

_AUDIO_FRAMES = 100
_VIDEO_FRAMES = 48
_VIDEO_FRAMES_AT_LEAST = 8
_VIDEO_BYTES = 64 * 1024 * 1024
"""What is decoded ahead: 2 s of audio; of video 48 frames, or fewer if they are over 64 MiB."""

_PATIENCE = 0.5
"""Seconds by which media may be late and still be caught up with; beyond that it had paused."""

_CLOSE_TIMEOUT = 2.0

# Titles in another encoding must not keep a file from playing; PyAV 19 has no such option any more.
_METADATA: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)

logger = logging.getLogger(__name__)

MediaFrame = AudioFrame | VideoFrame


class FileSource:
    """The first audio and the first video stream of a file or URL, as tracks.

    Made by ``await FileSource.open(...)``. Playing starts when the first frame of either track is
    asked for; both follow one monotonic clock. Video skips frames for which its reader is late.
    Audio catches up by up to 0.5 s. When the reading of the file, or all its readers, paused for
    longer than that, playing goes on where it was.

    Up to 2 s are decoded ahead. A track that is not read neither stalls the other nor grows: it
    loses its oldest frames. When both are stopped, or at the end of the file, the thread ends by
    itself, ``close()`` or not.

    Attributes:
        path: The path or URL as it was given.
        audio: 20 ms frames of 48 kHz stereo in ``s16``; None if the file has no audio.
        video: Frames in the size and pixel format of the file; None if the file has no video.
        error: What ended the tracks before the end of the file; None if nothing did.
    """

    def __init__(self, path: str, *, loop: bool, timeout: float, clock: Clock | None) -> None:
        """Use ``open()`` instead."""
        self.path = path
        self.audio: MediaStreamTrack | None = None
        self.video: MediaStreamTrack | None = None
        self.error: SourceError | None = None
        self._loop = loop
        self._timeout = timeout
        self._clock = clock or MonotonicClock()
        self._playback = Playback()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._bridge: Bridge[MediaFrame] = Bridge()
        self._lanes = {
            "audio": self._bridge.lane(_AUDIO_FRAMES),
            "video": self._bridge.lane(_VIDEO_FRAMES),
        }
        self._worker = Worker(self._bridge, self._run, f"icefloe-file {Path(path).name}")

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str],
        *,
        loop: bool = False,
        timeout: float = 10.0,
        clock: Clock | None = None,
    ) -> Self:
        """Open a file or URL and decode its first frame.

        Args:
            path: A path, or a URL of a protocol that FFmpeg knows. A name is taken for a path if
                there is such a file.
            loop: Start again at the end, for ever. Timestamps go on growing. The file is opened
                anew each time.
            timeout: Seconds that opening, and later each read of a URL, may take.
            clock: Paces the frames; the monotonic clock of the machine if None.

        Raises:
            SourceNotFound: There is no such file.
            SourceUnreadable: Nothing in it can be decoded.
            SourceTimeout: The first frame did not come in time.

        Cancellation: safe; the thread ends as soon as the system returns from its read.
        """
        source = cls(os.fspath(path), loop=loop, timeout=timeout, clock=clock)
        try:
            async with asyncio.timeout(timeout):
                await source._opened
        except TimeoutError as exc:
            source._stop()
            if isinstance(exc, SourceError):
                raise
            raise SourceTimeout(source.path, timeout) from exc
        except BaseException:
            source._stop()
            raise
        return source

    async def close(self) -> None:
        """End both tracks and wait for the thread, at most 2 s.

        A thread that hangs in a read of the system, such as of a pipe that nobody writes to, is
        left to itself then, with a warning; it ends when the read does.

        It can be called again. Cancellation: safe; the thread ends all the same.
        """
        self._stop()
        if not await self._worker.join(_CLOSE_TIMEOUT):
            logger.warning("%r is stuck in a read; its thread ends when the read does", self.path)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _stop(self) -> None:
        self._bridge.close()
        for track in (self.audio, self.video):
            if track is not None:
                track.stop()

    def _run(self) -> None:
        """What the thread does, from opening the file to the end."""
        error: SourceError | None = None
        try:
            decoder = Decoder(lambda kind: self._lanes[kind].is_open)
            while self._play(decoder) and self._loop:
                pass
            for frame in decoder.finish():
                self._lanes["audio"].put(frame)
        except Exception as exc:
            error = self._explain(exc)
        finally:
            self._bridge.call(partial(self._report, error))
            self._bridge.end()

    def _play(self, decoder: Decoder) -> bool:
        """Play the file once; return whether it can be played again."""
        with self._open_container() as container:
            streams = pick_streams(container)
            if "video" in streams:
                self._lanes["video"].capacity = _video_capacity(streams["video"])
            played = False
            for frame in decoder.play(container):
                if not played:
                    played = True
                    self._bridge.call(partial(self._report_opened, frozenset(streams)))
                self._lanes["video" if isinstance(frame, VideoFrame) else "audio"].put(frame)
                if not self._bridge.is_open:
                    return False
        if not played and self._bridge.is_open:
            raise SourceUnreadable(self.path, "there is no frame of audio or video in it")
        return self._bridge.is_open

    def _open_container(self) -> InputContainer:
        # FFmpeg would take what is before a colon in a file's name for a protocol.
        is_file = os.path.exists(self.path)
        url = f"file:{os.path.abspath(self.path)}" if is_file else self.path
        container: InputContainer = av.open(url, mode="r", timeout=self._timeout, **_METADATA)
        return container

    def _explain(self, exc: Exception) -> SourceError:
        """Turn whatever came from FFmpeg or the system into an error of ours."""
        if isinstance(exc, SourceError):
            return exc
        error: SourceError
        if isinstance(exc, FileNotFoundError):
            error = SourceNotFound(self.path)
        elif isinstance(exc, TimeoutError | ExitError):
            error = SourceTimeout(self.path, self._timeout)
        else:
            error = SourceUnreadable(self.path, str(exc) or type(exc).__name__)
        error.__cause__ = exc
        return error

    def _report_opened(self, kinds: frozenset[str]) -> None:
        if self._opened.done():
            return
        for kind, lane in self._lanes.items():
            if kind not in kinds:
                lane.close()
        if "audio" in kinds:
            self.audio = FileTrack("audio", self._lanes["audio"], self._playback, self._clock)
        if "video" in kinds:
            self.video = FileTrack("video", self._lanes["video"], self._playback, self._clock)
        self._opened.set_result(None)

    def _report(self, error: SourceError | None) -> None:
        """Take note of how the thread ended, in the event loop."""
        if error is None:
            return
        self.error = error
        if not self._opened.done():
            self._opened.set_exception(error)
        elif not self._opened.cancelled():
            logger.warning("the tracks end early: %s", error)


class FileTrack(MediaStreamTrack):
    """One track of a ``FileSource``."""

    def __init__(self, kind: str, lane: Lane[MediaFrame], playback: Playback, clock: Clock) -> None:
        super().__init__()
        self.kind = kind
        self._lane = lane
        self._playback = playback
        self._clock = clock

    async def recv(self) -> MediaFrame:
        """Return the next frame when it is due.

        Raises:
            MediaStreamError: The file is at its end or cannot be read further, or the track or its
                source was stopped.

        Cancellation: safe; no frame is lost.
        """
        waited = False
        while True:
            frame = self._lane.peek()
            if frame is None:
                if self._lane.ended:
                    self.stop()
                    raise MediaStreamError("the track has ended")
                waited = True
                await self._lane.wait()
                continue
            now = self._clock.now()
            media_time = _time(frame)
            due = self._playback.due(media_time, now)
            if now < due:
                await self._lane.changed.wait_until(self._clock, due)
                waited = False
                continue
            skip = self._may_skip(now)
            if not self._lane.take(frame) or skip:
                continue
            if now - due > _PATIENCE and (waited or self.kind == "audio"):
                self._playback.resume(media_time, now)
            return frame

    def _may_skip(self, now: float) -> bool:
        """Whether the oldest frame is of no use because the one after it is due too."""
        if self.kind == "audio":
            return False
        after = self._lane.peek(1)
        return after is not None and self._playback.due(_time(after), now) <= now

    def stop(self) -> None:
        """End this track; its frames are not decoded any more."""
        super().stop()
        self._lane.close()


def _time(frame: MediaFrame) -> float:
    time = frame.time
    assert time is not None  # every frame of a Decoder has its timestamp
    return time


def _video_capacity(stream: "AudioStream | VideoStream") -> int:
    context = stream.codec_context
    size = int(getattr(context, "width", 0) * getattr(context, "height", 0) * 1.5)
    fitting = _VIDEO_BYTES // max(1, size)
    return min(_VIDEO_FRAMES, max(_VIDEO_FRAMES_AT_LEAST, fitting))

"""Recorder: writes the tracks of a call to a file or to one file for each participant.

::

    async with Recorder("call.mkv") as recorder:
        recorder.add_track(peer_audio, participant="alice")
        recorder.add_track(peer_video, participant="alice")
        await recorder.wait()

The event loop only queues frames. A thread synchronizes, mixes, scales, encodes and writes them.
"""

import asyncio
import os
from functools import partial
from logging import Logger
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from aiortc import MediaStreamTrack
from av import VideoFrame
from av.packet import Packet

from icefloe.encoding import UnusableSound, duration_of
from icefloe.logs import get_logger

from .._util.capture_time import Timed, capture_time
from .._util.clock import Clock, MonotonicClock, Timer
from .._util.loop_queue import LOOP_CHECK, Bridge, Worker
from .._util.shared_reader import MediaData, pump
from .._util.thread_queue import ThreadQueue
from ..errors import InvalidParameter, RecordingFailed
from .recording_path import RecordedFile, check_writable
from .track_failures import TrackFailures

RecordingFormat: TypeAlias = Literal["mp4", "mkv", "webm", "wav", "hls"]

_MIN_FRAME_SECONDS = 0.0025
"""Minimum of seconds that a queued audio frame counts, so that the number of frames is bounded."""

_TICK_INTERVAL = 0.25
"""Seconds between updates of the thread's time, which it needs when no frames arrive."""

logger: Logger = get_logger(__name__)


class Recorder:
    """A recorder of tracks to one file, or to one file for each participant.

    Contents of a file:

    - **Audio**: the sum of all audio tracks, in 48 kHz stereo. Gaps of a track, by loss or muting,
      are silence.
    - **Video**: the pictures of a single track, with their own timestamps; those of several tracks
      in a grid, at most ``rate`` per second. The video has the size of the first picture, or
      ``size``. Pictures of another size, such as after a change in mid-call, are scaled to fit,
      with black bars.
    - **Synchronization**: tracks of one participant are aligned by the clock of their sender, if
      they have ``capture_time(frame)``, as remote tracks of ``icefloe.peer`` do from RTCP sender
      reports. Other tracks are aligned by the arrival of their frames. Drift between clocks is
      compensated.

    A path with ``{participant}`` in it gives each participant a separate file. The name of the
    participant replaces the placeholder; characters that are not allowed in file names become
    ``_``. The file starts with the first frame of the participant, and ``files`` has that time. A
    participant who comes back 10 s after leaving, or later, gets another file, with ``-2`` and so
    on appended.

    The file can be played at any time, also if the program was killed; then about the last 2 s may
    be missing. An existing file is replaced.

    Up to 64 MiB of pictures and, for each track, up to a minute of audio are queued for the thread.
    When a slow disk or processor fills a queue, further pictures or audio are dropped and counted.

    Args:
        path: Path of the file. The suffix selects the format: ``.mp4`` (H.264, AAC, fragmented),
            ``.mkv`` (H.264, Opus), ``.webm`` (VP8, Opus), ``.wav`` (16 bits, audio only), ``.m3u8``
            (HLS: H.264, AAC, with segments of 2 s beside it).
        format: The format, if the suffix does not select it.
        audio: Whether the file has audio. If ``None``, it has if there is an audio track when the
            file is started: when each added track has given a frame, or after 0.5 s.
        video: Likewise for video; without a video track the video is black.
        size: Width and height of the video, in pixels, even.
        rate: Maximum frame rate of a grid; for a single track only the nominal rate of the encoder.
        audio_bitrate: Bits per second.
        video_bitrate: Bits per second; if ``None``, constant quality for H.264.
        clock: Gives the arrival times of frames; the monotonic clock of the machine if ``None``.

    Attributes:
        error: The error that ended the recording early, or that of a track without a usable frame;
            ``None`` if there was none. Media recorded before is in the file.
        track_errors: For each track that broke, or gave frames that cannot be recorded, such as
            audio without a sample rate, the latest error. The recording continues without those
            frames. A track without a usable frame is given up after 50 frames.
        refused: Number of frames that could not be recorded.

    Raises:
        InvalidParameter: A parameter is out of range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        format: RecordingFormat | None = None,
        audio: bool | None = None,
        video: bool | None = None,
        size: tuple[int, int] | None = None,
        rate: int = 30,
        audio_bitrate: int = 128_000,
        video_bitrate: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        from .muxer import FORMATS, SUFFIXES
        from .recording_files import RecordingFiles
        from .recording_writer import FileSettings

        self.path: str = os.fspath(path)
        name = format or SUFFIXES.get(os.path.splitext(self.path)[1].lower(), "")
        if name not in FORMATS:
            raise InvalidParameter("format", name, f"give one of {', '.join(FORMATS)}")
        file_format = FORMATS[name]
        if video and file_format.video is None:
            raise InvalidParameter("video", video, f"{name} files have no video")
        if size is not None and (min(size) < 2 or size[0] % 2 or size[1] % 2):
            raise InvalidParameter("size", size, "give an even width and height in pixels")
        if not 1 <= rate <= 240:
            raise InvalidParameter("rate", rate, "give 1 to 240 frames per second")
        self.error: RecordingFailed | None = None
        self._failures = TrackFailures(self.path)
        self.track_errors: dict[MediaStreamTrack, Exception] = self._failures.errors
        self._settings = FileSettings(
            file_format=file_format,
            audio=True if file_format.video is None else audio,
            video=False if file_format.video is None else video,
            size=size,
            rate=rate,
            audio_bitrate=audio_bitrate,
            video_bitrate=video_bitrate,
        )
        self._clock = clock or MonotonicClock()
        self._inbox = ThreadQueue()
        self._recording = RecordingFiles(self.path, self._settings)
        self._pumps: dict[MediaStreamTrack, asyncio.Task[Exception | None]] = {}
        self._dropped = 0
        self._lost_audio = 0.0
        self._worker: Worker | None = None
        self._bridge: Bridge[Any] | None = None
        self._timer: Timer | None = None
        self._stopped = False
        self._failed = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    @property
    def refused(self) -> int:
        """Number of frames that could not be recorded; see ``track_errors``."""
        return self._failures.count

    @property
    def dropped(self) -> int:
        """Number of pictures that were dropped: the thread was too slow, or they were too late."""
        return self._dropped + self._recording.dropped

    @property
    def lost_audio(self) -> float:
        """Seconds of audio that were dropped: the thread was too slow, or it was too late."""
        return self._lost_audio + self._recording.lost_audio

    @property
    def files(self) -> tuple[RecordedFile, ...]:
        """The files that were started."""
        return tuple(self._recording.files)

    async def start(self) -> None:
        """Check that the path can be written, and start the thread.

        Raises:
            RecordingFailed: The path cannot be written.
            RuntimeError: The recorder was stopped.

        Cancellation: safe.
        """
        if self._stopped:
            raise RuntimeError("the recorder was stopped and cannot restart; make another one")
        if self._worker is not None:
            return
        try:
            await asyncio.to_thread(check_writable, self.path)
        except OSError as exc:
            raise RecordingFailed(self.path, exc.strerror or str(exc)) from exc
        if self._worker is None and not self._stopped:
            self._bridge = Bridge()
            self._bridge.lane(1)  # lets the thread detect that the event loop is closed
            self._worker = Worker(self._bridge, self._run, "icefloe-recorder")
            self._tick()

    def add_track(self, track: MediaStreamTrack, *, participant: str = "") -> None:
        """Record a track from now on, to its end.

        A track gives each frame to one reader only: share a track that is also sent or shown with
        ``Fanout``.

        Args:
            track: An audio or video track of raw frames.
            participant: Name of the participant; tracks with the same name are synchronized. Tracks
                without a name are taken for those of different senders, and aligned by the arrival
                of their frames.

        Raises:
            InvalidParameter: The format has no media of this kind, or the track is recorded
                already.
            RecordingFailed: The recording has ended early.
            RuntimeError: The recorder is not running.
        """
        if self._worker is None or self._stopped:
            raise RuntimeError("start the recorder first, with `async with` or `await start()`")
        if self.error is not None:
            raise self.error
        wanted = self._settings.audio if track.kind == "audio" else self._settings.video
        if wanted is False:
            raise InvalidParameter("track", track, f"this recording has no {track.kind}")
        if track in self._pumps:
            raise InvalidParameter("track", track, "it is being recorded already")
        key = object()
        frame_capture_time = track.capture_time if isinstance(track, Timed) else None
        self._inbox.put(
            partial(self._recording.add, key, track.kind, participant, frame_capture_time)
        )
        task = asyncio.get_running_loop().create_task(
            pump(track, partial(self._put, track, key)), name=f"record {track.id}"
        )
        self._pumps[track] = task
        # A `finally` does not run in a task that is cancelled before its first step.
        task.add_done_callback(lambda done: self._finish_track(track, key, done))

    async def remove_track(self, track: MediaStreamTrack) -> None:
        """Stop recording a track; do nothing if it is not being recorded.

        The track is not stopped. Cancellation: safe.
        """
        if task := self._pumps.get(track):
            task.cancel()
            await asyncio.wait([task])

    def _finish_track(
        self, track: MediaStreamTrack, key: object, task: "asyncio.Task[Exception | None]"
    ) -> None:
        self._pumps.pop(track, None)
        error = None if task.cancelled() else task.exception() or task.result()
        assert error is None or isinstance(error, Exception)
        self._failures.end(track, error)
        self._inbox.put(partial(self._recording.remove, key, self._clock.now()))

    def _put(self, track: MediaStreamTrack, key: object, frame: MediaData) -> None:
        if self.error is not None:
            return
        if isinstance(frame, Packet):
            reason = "a track gives encoded packets; record the raw frames of its source"
            self._fail(RecordingFailed(self.path, reason))
            return
        try:
            frame = self._failures.check(track, frame)
        except (InvalidParameter, UnusableSound) as error:
            if self._failures.refuse(track, error):
                self._pumps[track].cancel()
            return
        captured = capture_time(track, frame)
        work = partial(self._recording.push, key, frame, captured, self._clock.now())
        if isinstance(frame, VideoFrame):
            if not self._inbox.put_video(_picture_bytes(frame), work):
                self._dropped += 1
        else:
            seconds = duration_of(frame)
            if not self._inbox.put_audio(key, max(_MIN_FRAME_SECONDS, seconds), work):
                self._lost_audio += seconds

    def _tick(self) -> None:
        if self._stopped or self.error is not None:
            return
        now = self._clock.now()
        self._inbox.put_tick(partial(self._recording.advance, now))
        self._timer = self._clock.call_at(now + _TICK_INTERVAL, self._tick)

    def _run(self) -> None:
        """Do the queued work until the recording is complete; the body of the thread."""
        assert self._bridge is not None
        try:
            while not self._recording.finished:
                if work := self._inbox.take(LOOP_CHECK):
                    work()
                elif not self._bridge.is_open:
                    self._recording.finish()  # the event loop was closed without stop()
        except Exception as exc:
            reason = exc.strerror if isinstance(exc, OSError) else None
            path = self._recording.current or self.path
            error = RecordingFailed(path, reason or str(exc) or type(exc).__name__)
            error.__cause__ = exc
            self._recording.abandon()
            self._bridge.call(partial(self._fail, error))
        finally:
            self._inbox.close()

    def _fail(self, error: RecordingFailed) -> None:
        if self.error is None:
            self.error = error
            logger.error("the recording ends early: %s", error)
        self._failed.set()
        if self._timer is not None:
            self._timer.cancel()
        for task in tuple(self._pumps.values()):
            task.cancel()

    async def wait(self) -> None:
        """Return when every added track has ended.

        Raises:
            RecordingFailed: The recording ended early, or a track ended without a usable frame; in
                that case the other tracks are still recorded.

        Cancellation: safe; the recording continues.
        """
        failed = asyncio.ensure_future(self._failed.wait())
        try:
            while self._pumps and self.error is None and self._failures.unrecorded is None:
                await asyncio.wait(
                    [failed, *self._pumps.values()], return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            failed.cancel()
        if (error := self.error or self._failures.unrecorded) is not None:
            raise error

    async def stop(self, *, timeout: float = 5.0) -> None:
        """End the recording: write the queued frames and the trailer of the file.

        The tracks are not stopped. Idempotent.

        Args:
            timeout: Seconds that this may take. If the disk hangs for longer, the thread is
                abandoned and ends when the disk responds.

        Raises:
            RecordingFailed: The recording ended early, could not be completed in time, or has no
                usable frame of a track.

        Cancellation: safe; the file is completed nevertheless.
        """
        await self.aclose(timeout=timeout)
        if self.error is not None:
            raise self.error

    async def aclose(self, *, timeout: float = 5.0) -> None:
        """End the recording like ``stop()``, but store and log an error instead of raising it.

        Cancellation: safe; the file is completed nevertheless.
        """
        self._stopped = True
        if self._worker is None:
            return
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(
                self._close(self._worker, timeout), name="recorder stop"
            )
        await asyncio.shield(self._closing)

    async def _close(self, worker: Worker, timeout: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        tasks = tuple(self._pumps.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._inbox.put(self._recording.finish)
        if not await worker.join(timeout):
            reason = f"the file could not be completed in {timeout:g} s"
            self._fail(RecordingFailed(self._recording.current or self.path, reason))
        self.error = self.error or self._failures.unrecorded

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if exc is None:
            await self.stop()
        else:
            await self.aclose()


def _picture_bytes(frame: VideoFrame) -> int:
    return sum(plane.buffer_size for plane in frame.planes)

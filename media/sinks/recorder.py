"""Records the tracks of a call into a file, in a thread of its own.

::

    async with Recorder("call.mkv") as recorder:
        recorder.add_track(peer_audio, participant="alice")
        recorder.add_track(peer_video, participant="alice")
        await recorder.wait()

The event loop hands frames over and does nothing else: decoding into the timeline, mixing, scaling,
encoding and writing are done by the thread.
"""

import asyncio
import errno
import os
import stat
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from aiortc import MediaStreamTrack
from av import AudioFrame, VideoFrame
from av.packet import Packet

from icefloe.encoding import Refusals, UnusableSound, check_sound, duration_of
from icefloe.logs import get_logger

from .._util.capture_time import Timed, capture_time
from .._util.clock import Clock, MonotonicClock, Timer
from .._util.loop_queue import LOOP_CHECK, Bridge, Worker
from .._util.numpy_extra import require_numpy
from .._util.shared_reader import MediaData, pump
from .._util.thread_queue import ThreadQueue
from ..errors import InvalidParameter, RecordingFailed

RecordingFormat: TypeAlias = Literal["mp4", "mkv", "webm", "wav", "hls"]

PARTICIPANT = "{participant}"
"""Stands in a path for the name of a participant."""

_GIVEN_UP_AFTER = 50
"""Frames of a track, without a single one that can be used, after which it is given up."""

_SHORTEST = 0.0025
"""Seconds that a frame of sound counts at least, for there not to be any number of them."""

_TICK = 0.25
"""Seconds after which the thread is told the time, for what nothing arrives for."""

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A file of a recording.

    Attributes:
        path: Where it is.
        participant: Who is in it; None if everybody is.
        start: Where it begins, in seconds since the first frame of the recording.
    """

    path: str
    participant: str | None
    start: float


class Recorder:
    """Records tracks into one file, or into one for each participant.

    What goes into a file:

    - **Sound**: all of it, added up to 48 kHz stereo. Where a track has none, because it was lost
      or is muted, there is silence.
    - **Pictures**: those of one track as they come, with their own times; those of several side by
      side, in a grid, at most ``rate`` a second. The file has the size of the first picture, or
      ``size``, and pictures of another size, such as after a change in mid-call, are scaled into it
      with black bars.
    - **In step**: tracks of one participant are aligned by the clock of their sender, if they tell
      it (``capture_time(frame)``, as remote tracks of ``icefloe.peer`` do from their RTCP sender
      reports), else by when their frames arrive. Drift between clocks is made up for.

    A path with ``{participant}`` in it gives each participant a file of its own, with the name in
    that place; what cannot be in a file's name becomes ``_``. It begins with the first frame of the
    participant, and ``files`` tells when that was. Who comes back 10 s after leaving, or later,
    gets another one, with ``-2`` and so on.

    The file can be played at any time, also when the program was killed: the last 2 s or so may be
    missing then. An existing file is replaced.

    Up to 64 MiB of pictures wait for the thread. When it is slower than that, because of a slow
    disk or processor, pictures are dropped and counted, and sound is not: up to a minute of it
    waits for each track, and only what is beyond that is lost.

    Args:
        path: Where to. The suffix tells the format: ``.mp4`` (H.264, AAC, fragmented), ``.mkv``
            (H.264, Opus), ``.webm`` (VP8, Opus), ``.wav`` (16 bits, sound only), ``.m3u8`` (HLS:
            H.264, AAC, with segments of 2 s beside it).
        format: The format if the suffix does not tell it.
        audio: Whether the file has sound; if None it has if there is such a track when the file
            begins, which is when each track that was added has given a frame, or after 0.5 s.
        video: Likewise for pictures; without one the file is black.
        size: Width and height of the pictures, in pixels, even.
        rate: Frames a second of pictures side by side; for one track what the encoder reckons with.
        audio_bitrate: Bits a second of the sound.
        video_bitrate: Bits a second of the pictures; if None a constant quality for H.264.
        clock: Tells when frames arrive; the monotonic clock of the machine if None.

    Attributes:
        error: What ended the recording early, or that nothing of a track was recorded; None if
            nothing did. What was recorded is in the file in either case.
        track_errors: For each track that broke, or gave something that cannot be recorded, such as
            sound without a sample rate: why, the latest. That is left out, and the recording goes
            on. A track of which nothing could be used is given up after 50 frames.
        refused: How many frames could not be recorded.

    Raises:
        InvalidParameter: A parameter makes no sense.
        MissingDependency: NumPy is not installed.
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
        require_numpy("Recorder")
        from .muxer import FORMATS, SUFFIXES
        from .recording_files import Reel
        from .recording_writer import TapeSettings

        self.path = os.fspath(path)
        name = format or SUFFIXES.get(os.path.splitext(self.path)[1].lower(), "")
        if name not in FORMATS:
            raise InvalidParameter("format", name, f"give one of {', '.join(FORMATS)}")
        file_format = FORMATS[name]
        if video and file_format.video is None:
            raise InvalidParameter("video", video, f"there are no pictures in {name}")
        if size is not None and (min(size) < 2 or size[0] % 2 or size[1] % 2):
            raise InvalidParameter("size", size, "give an even width and height in pixels")
        if not 1 <= rate <= 240:
            raise InvalidParameter("rate", rate, "give 1 to 240 frames a second")
        self.error: RecordingFailed | None = None
        self.track_errors: dict[MediaStreamTrack, Exception] = {}
        self._refusals = Refusals(f"recording to {self.path!r}")
        self._recorded: set[MediaStreamTrack] = set()
        self._refused_of: dict[MediaStreamTrack, int] = {}
        self._useless: RecordingFailed | None = None
        self._settings = TapeSettings(
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
        self._reel = Reel(self.path, self._settings)
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
        """How many frames could not be recorded; see ``track_errors``."""
        return self._refusals.count

    @property
    def dropped(self) -> int:
        """How many pictures are not in the file: the thread was too slow, or they came too late."""
        return self._dropped + self._reel.dropped

    @property
    def lost_audio(self) -> float:
        """How many seconds of sound are not in the file: the thread stood, or it came too late."""
        return self._lost_audio + self._reel.lost_audio

    @property
    def files(self) -> tuple[RecordedFile, ...]:
        """The files that were begun."""
        return tuple(self._reel.files)

    async def start(self) -> None:
        """Make sure that the path can be written to, and start the thread.

        Raises:
            RecordingFailed: It cannot be written to.
            RuntimeError: The recorder was stopped.

        Cancellation: safe.
        """
        if self._stopped:
            raise RuntimeError("a recorder that was stopped does not start again; make another")
        if self._worker is not None:
            return
        try:
            await asyncio.to_thread(_check, self.path)
        except OSError as exc:
            raise RecordingFailed(self.path, exc.strerror or str(exc)) from exc
        if self._worker is None and not self._stopped:
            self._bridge = Bridge()
            self._bridge.lane(1)  # by which the thread sees that the event loop is gone
            self._worker = Worker(self._bridge, self._run, "icefloe-recorder")
            self._tick()

    def add_track(self, track: MediaStreamTrack, *, participant: str = "") -> None:
        """Record a track from now on, to its end.

        It is read as it comes. A track gives each frame to one reader: what is sent or shown too
        is shared with ``Fanout``.

        Args:
            track: Of audio or video, with frames that are not encoded.
            participant: Whose it is; the tracks of one are kept in step. Tracks without a name are
                taken for those of different senders, and placed by when their frames arrive.

        Raises:
            InvalidParameter: The format has no such media, or the track is recorded already.
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
            raise InvalidParameter("track", track, "it is being recorded")
        key = object()
        tell = track.capture_time if isinstance(track, Timed) else None
        self._inbox.put(partial(self._reel.add, key, track.kind, participant, tell))
        task = asyncio.get_running_loop().create_task(
            pump(track, partial(self._put, track, key)), name=f"record {track.id}"
        )
        self._pumps[track] = task
        # A task that is cancelled before it ran has no `finally`.
        task.add_done_callback(lambda done: self._leave(track, key, done))

    async def remove_track(self, track: MediaStreamTrack) -> None:
        """Stop recording a track, which goes on; nothing happens if it is not recorded.

        Cancellation: safe.
        """
        if task := self._pumps.get(track):
            task.cancel()
            await asyncio.wait([task])

    def _leave(
        self, track: MediaStreamTrack, key: object, task: "asyncio.Task[Exception | None]"
    ) -> None:
        self._pumps.pop(track, None)
        if not task.cancelled() and (broke := task.exception() or task.result()) is not None:
            assert isinstance(broke, Exception)
            self.track_errors[track] = broke
        self._look_at(track)
        self._recorded.discard(track)
        self._inbox.put(partial(self._reel.remove, key, self._clock.now()))

    def _put(self, track: MediaStreamTrack, key: object, frame: MediaData) -> None:
        if self.error is not None:
            return
        if isinstance(frame, Packet):
            self._fail(RecordingFailed(self.path, "a track gives encoded packets"))
            return
        try:
            frame = _checked(track, frame)
        except (InvalidParameter, UnusableSound) as error:
            self._refuse(track, error)
            return
        self._recorded.add(track)
        work = partial(self._reel.push, key, frame, capture_time(track, frame), self._clock.now())
        if isinstance(frame, VideoFrame):
            if not self._inbox.put_video(_weight(frame), work):
                self._dropped += 1
        else:
            seconds = duration_of(frame)
            if not self._inbox.put_audio(key, max(_SHORTEST, seconds), work):
                self._lost_audio += seconds

    def _refuse(self, track: MediaStreamTrack, error: Exception) -> None:
        self._refusals.note(error)
        self.track_errors[track] = error
        self._refused_of[track] = count = self._refused_of.get(track, 0) + 1
        if count >= _GIVEN_UP_AFTER and track not in self._recorded:
            self._pumps[track].cancel()

    def _look_at(self, track: MediaStreamTrack) -> None:
        """Note that nothing of a track was recorded, if so."""
        cause = self.track_errors.get(track)
        self._refused_of.pop(track, None)
        if cause is None or track in self._recorded or self._useless is not None:
            return
        reason = f"nothing of {track.kind} track {track.id} could be recorded: {cause}"
        self._useless = RecordingFailed(self.path, reason)
        self._useless.__cause__ = cause

    def _tick(self) -> None:
        if self._stopped or self.error is not None:
            return
        now = self._clock.now()
        self._inbox.put_tick(partial(self._reel.advance, now))
        self._timer = self._clock.call_at(now + _TICK, self._tick)

    def _run(self) -> None:
        """What the thread does, from the start to the end."""
        assert self._bridge is not None
        try:
            while not self._reel.finished:
                if work := self._inbox.take(LOOP_CHECK):
                    work()
                elif not self._bridge.is_open:
                    self._reel.finish()  # the program ends and has forgotten to stop
        except Exception as exc:
            reason = exc.strerror if isinstance(exc, OSError) else None
            path = self._reel.current or self.path
            error = RecordingFailed(path, reason or str(exc) or type(exc).__name__)
            error.__cause__ = exc
            self._reel.abandon()
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
        """Return when every track that was added has ended.

        Raises:
            RecordingFailed: The recording ended early, or a track has ended of which nothing could
                be recorded; the others go on then.

        Cancellation: safe; the recording goes on.
        """
        failed = asyncio.ensure_future(self._failed.wait())
        try:
            while self._pumps and self.error is None and self._useless is None:
                await asyncio.wait(
                    [failed, *self._pumps.values()], return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            failed.cancel()
        if (error := self.error or self._useless) is not None:
            raise error

    async def stop(self, *, timeout: float = 5.0) -> None:
        """End the recording: write what is waiting and the end of the file.

        The tracks go on. It can be called again.

        Args:
            timeout: Seconds that this may take. The thread of a disk that hangs is left to itself
                then, and ends when the disk answers.

        Raises:
            RecordingFailed: The recording ended early, could not be ended in time, or has nothing
                of a track.

        Cancellation: safe; the file is ended all the same.
        """
        await self.aclose(timeout=timeout)
        if self.error is not None:
            raise self.error

    async def aclose(self, *, timeout: float = 5.0) -> None:
        """Do what ``stop()`` does, and leave the error, if any, in ``error``; it is logged."""
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
        self._inbox.put(self._reel.finish)
        if not await worker.join(timeout):
            reason = f"the disk did not take the end of it in {timeout:g} s"
            self._fail(RecordingFailed(self._reel.current or self.path, reason))
        self.error = self.error or self._useless

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


def _checked(track: MediaStreamTrack, frame: object) -> AudioFrame | VideoFrame:
    """Return what a track gave, if it is a frame of its kind.

    Raises:
        InvalidParameter: It is something else.
        UnusableSound: It is sound that cannot be used, or no sound.
    """
    if track.kind == "audio":
        return check_sound(frame)
    if isinstance(frame, VideoFrame):
        return frame
    reason = f"it gives {type(frame).__name__}; a track of video gives av.VideoFrame"
    raise InvalidParameter("track", track, reason)


def _weight(frame: VideoFrame) -> int:
    return sum(plane.buffer_size for plane in frame.planes)


def _check(path: str) -> None:
    """Make sure that a file can be written, and leave everything as it was."""
    if PARTICIPANT in path:
        folder = os.path.dirname(path.split(PARTICIPANT)[0]) or "."
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
        return
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        with open(path, "xb"):
            os.unlink(path)
        return
    if stat.S_ISFIFO(mode):
        return  # to open it would be to wait for its reader
    with open(path, "ab"):
        pass

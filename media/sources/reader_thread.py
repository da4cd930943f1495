"""Reader thread of a source: opens it, decodes or reads it, seeks, loops and reconnects."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from logging import Logger
from typing import TYPE_CHECKING, Protocol

from av.container import InputContainer
from av.error import ExitError

from icefloe.logs import get_logger

from .._util.loop_queue import Bridge, Lane
from ..errors import SourceError, SourceNotFound, SourceTimeout, SourceUnreadable
from .demuxer_process import Remote
from .local_file import Local
from .location import Place
from .timed_media import Timed

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.video.stream import VideoStream

AUDIO_FRAMES = 100
VIDEO_FRAMES = 48
_MIN_VIDEO_FRAMES = 8
_VIDEO_BYTES = 64 * 1024 * 1024
"""Frames decoded ahead: 2 s of audio, and 48 pictures, or down to 8 if they exceed 64 MiB."""

_BACK_OFF, _MAX_BACK_OFF = 0.5, 8.0
_END_TOLERANCE = Fraction(1)
"""Seconds before the reported duration from which an end counts as the regular end."""

logger: Logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SourceProperties:
    """Properties of a source that are known with its first frame.

    Attributes:
        kinds: ``audio``, ``video`` or both.
        duration: Seconds; ``None`` if not known.
        live: Whether it continues while it is not read.
    """

    kinds: frozenset[str]
    duration: float | None
    live: bool


@dataclass(frozen=True, slots=True)
class SeekRequest:
    """A requested seek or change of speed.

    Attributes:
        start: Media time to play from, in seconds.
        at: Playback time at which this takes effect, in seconds.
        rate: Playback speed: seconds of media per second.
    """

    start: Fraction
    at: Fraction
    rate: Fraction


class Passes(Protocol):
    """A reader of the media of containers in one or more passes, such as a ``Decoder``."""

    def pick(self, container: InputContainer) -> "dict[str, AudioStream | VideoStream]":
        """Return the streams that are used, by kind."""
        ...

    def restart(self, at: Fraction, rate: Fraction) -> None:
        """Drop pending media, and set the playback time and speed of the next pass."""
        ...

    @property
    def reached(self) -> Fraction:
        """Media time up to which the current pass was read, in seconds."""
        ...

    def play(
        self, container: InputContainer, *, start: Fraction, origin: Fraction | None
    ) -> Iterator[Timed]:
        """Read from the current position of the container to its end."""
        ...

    def next_pass(self) -> None:
        """Let the next pass follow the end of the previous one."""
        ...

    def finish(self) -> Iterator[Timed]:
        """Return the remaining media after the last pass."""
        ...


class Reader:
    """A reader of a source into the lanes of a bridge; ``run()`` is the body of the thread.

    The other methods are for the event loop.

    Args:
        name: Name of the source, for errors.
        find: Returns the location; called in the thread, since it looks at the disk.
        passes: Reads or decodes the containers.
        bridge: Bridge to the event loop.
        lanes: The lane of each kind, ``audio`` and ``video``.
        loop: Whether to restart at the end.
        timeout: Maximum seconds for opening, and later for each read.
        reconnect: Maximum number of consecutive failed attempts to reconnect.
        opened: Called in the event loop at the first frame.
        reconnecting: Called in the event loop at each attempt to reconnect.
        failed: Called in the event loop with an error before it ends the lanes.
    """

    def __init__(
        self,
        name: str,
        find: Callable[[], Place],
        passes: Passes,
        bridge: Bridge[Timed],
        lanes: dict[str, Lane[Timed]],
        *,
        loop: bool,
        timeout: float,
        reconnect: int,
        opened: Callable[[SourceProperties], None],
        reconnecting: Callable[[SourceError | None], None],
        failed: Callable[[SourceError], None],
    ) -> None:
        self._name = name
        self._find = find
        # A placeholder until `find` has returned.
        self._place = Place(name, name, remote=False, lasting=False)
        self._found = False
        self._bridge = bridge
        self._lanes = lanes
        self._loop = loop
        self._timeout = timeout
        self._reconnect = reconnect
        self._report_opened = opened
        self._report_reconnecting = reconnecting
        self._report_failed = failed
        self._passes = passes
        self._seek_request = SeekRequest(Fraction(0), Fraction(0), Fraction(1))
        self._current: Local | Remote | None = None
        self._opened = False
        self._start = Fraction(0)
        self._resumes = False

    def jump(self, request: SeekRequest) -> bool:
        """Seek or change the speed; frames that were decoded and not read are dropped.

        Returns:
            Whether the thread is running; if not, run ``run()`` in a new one.
        """
        self._seek_request = request
        running = self._bridge.redirect()
        self.kill()
        return running

    def kill(self) -> None:
        """Abort a blocked read, after the bridge was closed or redirected."""
        if (current := self._current) is not None:
            current.kill()

    def run(self) -> None:
        """Read to the end, or until the bridge is closed."""
        while True:
            try:
                self._play()
            except Exception as exc:
                error = self._as_source_error(exc)
                if not self._interrupted:
                    self._bridge.call(partial(self._report_failed, error))
            if self._bridge.end():
                return

    @property
    def _interrupted(self) -> bool:
        return self._bridge.redirected or not self._bridge.is_open

    def _play(self) -> None:
        if not self._found:
            self._place = self._find()
            self._found = True
        while self._bridge.is_open:
            if self._bridge.redirected:
                self._bridge.accept()
                request = self._seek_request
                self._passes.restart(request.at, request.rate)
                self._start = request.start
            self._play_pass()
            if self._interrupted:
                continue
            if not self._loop:
                break
            self._passes.next_pass()
            self._start = Fraction(0)
        for timed in self._passes.finish():
            self._lanes[timed.kind].put(timed)

    def _play_pass(self) -> None:
        """Read the media once to its end, reconnecting if needed.

        Raises:
            SourceError: It failed, and reconnecting did too.
        """
        failures = 0
        while True:
            error: SourceError | None = None
            frames, complete = 0, False
            before = self._passes.reached
            try:
                frames, complete = self._play_connection()
            except Exception as exc:
                error = self._as_source_error(exc)
                if not self._place.lasting or not self._opened:
                    raise error from exc
                frames = int(self._passes.reached > before)
            if complete or self._interrupted:
                return
            failures = 1 if frames else failures + 1
            if failures > self._reconnect:
                raise error or SourceUnreadable(self._name, "the server closed the connection")
            self._bridge.call(partial(self._report_reconnecting, error))
            self._bridge.sleep(min(_BACK_OFF * 2 ** (failures - 1), _MAX_BACK_OFF))
            if self._interrupted:
                return
            if self._resumes:
                self._start = self._passes.reached
            self._passes.next_pass()

    def _play_connection(self) -> tuple[int, bool]:
        """Read the media of one connection, or of the file.

        Returns:
            The number of frames, and whether they reached the end of the media.
        """
        with self._connect() as source:
            self._current = source
            if self._interrupted:
                source.kill()
            with source.open() as container:
                streams = self._passes.pick(container)
                if "video" in streams:
                    self._lanes["video"].capacity = _video_capacity(streams["video"])
                live = source.live and not self._place.waits
                for lane in self._lanes.values():
                    lane.live = live
                properties = SourceProperties(frozenset(streams), source.duration, live)
                self._resumes = source.duration is not None
                frames = 0
                for timed in self._passes.play(container, start=self._start, origin=source.origin):
                    if not self._opened:
                        self._opened = True
                        self._bridge.call(partial(self._report_opened, properties))
                    frames += 1
                    self._lanes[timed.kind].put(timed)
                    if self._interrupted:
                        return frames, False
            if self._interrupted:
                return frames, False
            if error := source.failure():
                raise error
        if not self._opened or (not frames and not self._start):
            raise SourceUnreadable(self._name, "it has no frame of audio or video")
        return frames, self._is_end(source, frames)

    def _connect(self) -> Local | Remote:
        start = float(self._start)
        if not self._place.remote:
            return Local(self._place, self._timeout, start=start)
        bridge = self._bridge
        return Remote(self._place, self._timeout, start=start, is_wanted=lambda: bridge.is_open)

    def _is_end(self, source: Local | Remote, frames: int) -> bool:
        if not self._place.lasting:
            return True
        if source.duration is None:
            return not source.live
        # An end before the reported duration is a broken connection, unless no frame arrived: then
        # the rest of the media is damaged.
        return not frames or self._passes.reached > Fraction(source.duration) - _END_TOLERANCE

    def _as_source_error(self, exc: Exception) -> SourceError:
        """Return the ``SourceError`` for an exception of FFmpeg or the system."""
        if isinstance(exc, SourceError):
            return exc
        name = self._name
        error: SourceError
        if isinstance(exc, FileNotFoundError):
            error = SourceNotFound(name)
        elif isinstance(exc, TimeoutError | ExitError):
            error = SourceTimeout(name, self._timeout)
        else:
            error = SourceUnreadable(name, str(exc) or type(exc).__name__)
        error.__cause__ = exc
        return error


def _video_capacity(stream: "AudioStream | VideoStream") -> int:
    context = stream.codec_context
    size = int(getattr(context, "width", 0) * getattr(context, "height", 0) * 1.5)
    fitting = _VIDEO_BYTES // max(1, size)
    return min(VIDEO_FRAMES, max(_MIN_VIDEO_FRAMES, fitting))

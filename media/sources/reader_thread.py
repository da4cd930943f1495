"""What the thread of a source does: opens it, decodes it, jumps in it, connects again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
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
_VIDEO_FRAMES_AT_LEAST = 8
_VIDEO_BYTES = 64 * 1024 * 1024
"""What is decoded ahead: 2 s of audio; of video 48 frames, or fewer if they are over 64 MiB."""

_BACK_OFF, _BACK_OFF_AT_MOST = 0.5, 8.0
_EARLY = Fraction(1)
"""Seconds by which media may be shorter than it said, and yet have come to its end."""

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a source once its first frame is there.

    Attributes:
        kinds: ``audio``, ``video`` or both.
        duration: Seconds; None if it is not known.
        live: Whether it goes on while nobody reads.
    """

    kinds: frozenset[str]
    duration: float | None
    live: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """From where, when and how fast to play.

    Attributes:
        start: Seconds from the start of the media.
        at: Seconds on the time of playing.
        rate: How many seconds of the media are played in a second.
    """

    start: Fraction
    at: Fraction
    rate: Fraction


class Passes(Protocol):
    """What turns a container into media, pass after pass, such as a ``Decoder``."""

    def pick(self, container: InputContainer) -> "dict[str, AudioStream | VideoStream]":
        """Return the streams that are used."""
        ...

    def restart(self, at: Fraction, rate: Fraction) -> None:
        """Drop what is held back, and have the next pass played at another time and rate."""
        ...

    @property
    def reached(self) -> Fraction:
        """How far the media was read in the pass that is being played, in seconds."""
        ...

    def play(
        self, container: InputContainer, *, start: Fraction, origin: Fraction | None
    ) -> Iterator[Timed]:
        """Read from some place in the container to its end."""
        ...

    def next_pass(self) -> None:
        """Have the next pass follow the one that was played."""
        ...

    def finish(self) -> Iterator[Timed]:
        """Get what is left after the last pass."""
        ...


class Reader:
    """Decodes into the lanes of a bridge; ``run()`` is for a thread, the rest for the event loop.

    Args:
        name: What to read, for errors.
        find: Finds out how; called in the thread, since it looks at the disk.
        passes: How to read it.
        bridge: How frames get into the event loop.
        lanes: One for each kind, ``audio`` and ``video``.
        loop: Whether to start again at the end.
        timeout: Seconds that opening, and later each read, may take.
        reconnect: How many times in a row to try to connect again.
        opened: Called in the event loop at the first frame.
        reconnecting: Called in the event loop at each try to connect again.
        failed: Called in the event loop before the lanes end for an error.
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
        opened: Callable[[Facts], None],
        reconnecting: Callable[[SourceError | None], None],
        failed: Callable[[SourceError], None],
    ) -> None:
        self._name = name
        self._find = find
        # Until it is found nothing can break off.
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
        self._wish = Wish(Fraction(0), Fraction(0), Fraction(1))
        self._current: Local | Remote | None = None
        self._opened = False
        self._start = Fraction(0)
        self._resumes = False

    def jump(self, wish: Wish) -> bool:
        """Play from somewhere else; what was decoded and not read is dropped.

        Returns:
            Whether a thread does so; if not, ``run()`` must be run in a new one.
        """
        self._wish = wish
        running = self._bridge.redirect()
        self.kill()
        return running

    def kill(self) -> None:
        """End a read that hangs, once the bridge is closed or redirected."""
        if (current := self._current) is not None:
            current.kill()

    def run(self) -> None:
        """Decode to the end, or until the bridge is closed."""
        while True:
            try:
                self._play()
            except Exception as exc:
                error = self._explain(exc)
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
                wish = self._wish
                self._passes.restart(wish.at, wish.rate)
                self._start = wish.start
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
        """Play once to the end, over all connections that it takes."""
        failures = 0
        while True:
            error: SourceError | None = None
            frames, complete = 0, False
            before = self._passes.reached
            try:
                frames, complete = self._play_connection()
            except Exception as exc:
                error = self._explain(exc)
                if not self._place.lasting or not self._opened:
                    raise error from exc
                frames = int(self._passes.reached > before)
            if complete or self._interrupted:
                return
            failures = 1 if frames else failures + 1
            if failures > self._reconnect:
                raise error or SourceUnreadable(self._name, "its other side ended it")
            self._bridge.call(partial(self._report_reconnecting, error))
            self._bridge.sleep(min(_BACK_OFF * 2 ** (failures - 1), _BACK_OFF_AT_MOST))
            if self._interrupted:
                return
            if self._resumes:
                self._start = self._passes.reached
            self._passes.next_pass()

    def _play_connection(self) -> tuple[int, bool]:
        """Play what one connection, or the file, gives.

        Returns:
            How many frames came, and whether they reached the end.
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
                facts = Facts(frozenset(streams), source.duration, live)
                self._resumes = source.duration is not None
                frames = 0
                for timed in self._passes.play(container, start=self._start, origin=source.origin):
                    if not self._opened:
                        self._opened = True
                        self._bridge.call(partial(self._report_opened, facts))
                    frames += 1
                    self._lanes[timed.kind].put(timed)
                    if self._interrupted:
                        return frames, False
            if self._interrupted:
                return frames, False
            if error := source.failure():
                raise error
        if not self._opened or (not frames and not self._start):
            raise SourceUnreadable(self._name, "there is no frame of audio or video in it")
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
        # A server that breaks off in the middle is to be told from a file that is damaged there.
        return not frames or self._passes.reached > Fraction(source.duration) - _EARLY

    def _explain(self, exc: Exception) -> SourceError:
        """Turn whatever came from FFmpeg or the system into an error of ours."""
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
    return min(VIDEO_FRAMES, max(_VIDEO_FRAMES_AT_LEAST, fitting))

"""Base of sources that a thread reads: opening, seeking, pausing and closing."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from logging import Logger
from pathlib import PurePath
from typing import Self

from aiortc import MediaStreamTrack

from icefloe.logs import get_logger
from icefloe.text import public_url

from .._util.clock import Clock, MonotonicClock
from .._util.closing import Closing
from .._util.loop_queue import Bridge, Worker
from ..errors import InvalidParameter, NotSeekable, SourceError, SourceTimeout, TrackEnded
from .location import Place
from .playback_tracks import PlayedTrack, Transport
from .reader_thread import AUDIO_FRAMES, VIDEO_FRAMES, Passes, Reader, SeekRequest, SourceProperties
from .timed_media import Timed

_CLOSE_TIMEOUT = 0.9
_SEEK_GRID = Fraction(1, 50)
"""After a seek both tracks continue at a multiple of this many seconds, where an audio frame
starts."""

logger: Logger = get_logger(__name__)


class PlayedSource(Closing, ABC):
    """Base of sources that a thread reads, such as ``FileSource``.

    Attributes:
        path: The path, URL or device as it was given.
        audio: The audio track; ``None`` if there is no audio.
        video: The video track; ``None`` if there is no video.
        error: The error that ended the tracks before the end of the source; ``None`` if there was
            none.
        duration: Seconds; ``None`` if not known, as with live sources.
        reconnections: Number of attempts to reconnect.
    """

    _skips = True
    """True if pictures may be skipped when their reader is late."""

    def __init__(
        self,
        path: str,
        find: Callable[[], Place],
        *,
        loop: bool,
        timeout: float,
        reconnect: int,
        clock: Clock | None,
    ) -> None:
        """Start the thread; ``_open()`` waits for the first frame."""
        self.path = path
        self.audio: MediaStreamTrack | None = None
        self.video: MediaStreamTrack | None = None
        self.error: SourceError | None = None
        self.duration: float | None = None
        self.reconnections: int = 0
        self._rate = 1.0
        self._transport = Transport(
            clock or MonotonicClock(), self._note_stopped, skips=self._skips
        )
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._bridge: Bridge[Timed] = Bridge()
        self._lanes = {
            "audio": self._bridge.lane(AUDIO_FRAMES),
            "video": self._bridge.lane(VIDEO_FRAMES),
        }
        self._reader = Reader(
            path,
            find,
            self._passes(lambda kind: self._lanes[kind].is_open),
            self._bridge,
            self._lanes,
            loop=loop,
            timeout=timeout,
            reconnect=reconnect,
            opened=self._note_opened,
            reconnecting=self._note_reconnecting,
            failed=self._note_failed,
        )
        self._worker = self._start()

    @abstractmethod
    def _passes(self, wanted: Callable[[str], bool]) -> Passes:
        """Return the object that reads containers; ``wanted(kind)`` is true if a kind is read."""

    @classmethod
    async def _open(
        cls,
        path: str,
        find: Callable[[], Place],
        *,
        loop: bool,
        timeout: float,
        reconnect: int,
        clock: Clock | None,
    ) -> Self:
        source = cls(path, find, loop=loop, timeout=timeout, reconnect=reconnect, clock=clock)
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

    @property
    def position(self) -> float:
        """Media time of the latest delivered frame, or of the target of a seek, in seconds."""
        return self._transport.position

    @property
    def seekable(self) -> bool:
        """True if ``seek()`` is possible: the media has a known length."""
        return self.duration is not None

    def seek(self, seconds: float) -> None:
        """Continue playback at another media time, exact to the frame.

        It is not possible after both tracks have ended, for example at the end of a file.

        Args:
            seconds: Media time, in seconds; a value beyond the end goes to the end.

        Raises:
            InvalidParameter: ``seconds`` is negative.
            NotSeekable: The source has no known length.
            TrackEnded: Both tracks have ended.
        """
        if not seconds >= 0:
            raise InvalidParameter("seconds", seconds, "give a time from the start of the media")
        self._seek(seconds, self._rate)

    @property
    def paused(self) -> bool:
        """True between ``pause()`` and ``resume()``: ``recv()`` of both tracks waits."""
        return self._transport.playback.paused

    def pause(self) -> None:
        """Pause playback until ``resume()``. Frames of a live source are dropped meanwhile."""
        self._transport.playback.pause(self._transport.clock.now())

    def resume(self) -> None:
        """Continue after ``pause()``; timestamps advance by the length of the pause."""
        self._transport.playback.go_on(self._transport.clock.now())
        self._wake()

    async def aclose(self) -> None:
        """End both tracks and wait for the thread, at most 1 s.

        A thread that hangs in a system call, such as a read from an unresponsive disk, is abandoned
        with a warning; it ends when the call returns.

        Idempotent. Cancellation: safe; the thread ends nevertheless.
        """
        self._stop()
        if not await self._worker.join(_CLOSE_TIMEOUT):
            logger.warning(
                "%r is stuck in a read; its thread ends when the read does", public_url(self.path)
            )

    close = aclose

    def _start(self) -> Worker:
        return Worker(
            self._bridge, self._reader.run, f"icefloe-file {PurePath(public_url(self.path)).name}"
        )

    def _stop(self) -> None:
        for track in (self.audio, self.video):
            if track is not None:
                track.stop()
        self._bridge.close()
        self._reader.kill()

    def _seek(self, seconds: float, rate: float) -> None:
        if not self._bridge.is_open:
            raise TrackEnded(f"both tracks of {public_url(self.path)!r} have ended")
        if self.duration is None:
            raise NotSeekable(self.path)
        transport = self._transport
        now = transport.clock.now()
        played = max(transport.played, transport.playback.media_time(now))
        at = -(-Fraction(played).limit_denominator(90_000) // _SEEK_GRID) * _SEEK_GRID
        start = Fraction(min(seconds, self.duration)).limit_denominator(90_000)
        self._rate = rate
        transport.position = float(start)
        if not self._reader.jump(SeekRequest(start, at, Fraction(rate).limit_denominator(1000))):
            self._worker = self._start()

    def _wake(self) -> None:
        for lane in self._lanes.values():
            lane.changed.wake()

    def _note_opened(self, properties: SourceProperties) -> None:
        if self._opened.done():
            return
        for kind, lane in self._lanes.items():
            if kind not in properties.kinds:
                lane.close()
        if "audio" in properties.kinds:
            self.audio = PlayedTrack("audio", self._lanes["audio"], self._transport)
        if "video" in properties.kinds:
            self.video = PlayedTrack("video", self._lanes["video"], self._transport)
        self.duration = properties.duration
        self._transport.live = properties.live
        self._opened.set_result(None)

    def _note_stopped(self) -> None:
        if not self._bridge.is_open:
            self._reader.kill()

    def _note_reconnecting(self, error: SourceError | None) -> None:
        self.reconnections += 1
        logger.info(
            "reconnecting to %r: %s",
            public_url(self.path),
            error or "the server closed the connection",
        )

    def _note_failed(self, error: SourceError) -> None:
        self.error = error
        if not self._opened.done():
            self._opened.set_exception(error)
        elif not self._opened.cancelled():
            logger.warning("the tracks end early: %s", error)

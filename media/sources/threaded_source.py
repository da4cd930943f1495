"""What all sources have in common that a thread reads: opening, jumping, pausing, closing."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
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
from .reader_thread import AUDIO_FRAMES, VIDEO_FRAMES, Facts, Passes, Reader, Wish
from .timed_media import Timed

_CLOSE_TIMEOUT = 0.9
_STEP = Fraction(1, 50)
"""Both tracks go on at a multiple of 20 ms after a jump, where a frame of audio starts."""

logger = get_logger(__name__)


class PlayedSource(Closing, ABC):
    """The tracks of something that a thread reads: what ``FileSource`` and its like have in common.

    Attributes:
        path: What was opened, as it was given.
        audio: None if there is no sound.
        video: None if there are no pictures.
        error: What ended the tracks before the end of the source; None if nothing did.
        duration: Seconds; None if it is not known, as with live sources.
        reconnections: How many times it was tried to connect again.
    """

    _skips = True
    """Whether pictures may be left out when their reader is late."""

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
        self.reconnections = 0
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
        """Return what turns a container into media; ``wanted`` tells which kind is read."""

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
        """Seconds from the start of the media of what was given out last, or was jumped to."""
        return self._transport.position

    @property
    def seekable(self) -> bool:
        """Whether ``seek()`` is possible: the media has a known length."""
        return self.duration is not None

    def seek(self, seconds: float) -> None:
        """Play from somewhere else, to the frame; what is there is due now.

        The tracks must not have ended: their readers are to be stopped by the end of a file only
        once it is over.

        Args:
            seconds: From the start of the media; more than there are go to its end.

        Raises:
            InvalidParameter: ``seconds`` is negative.
            NotSeekable: The source is live.
            TrackEnded: Both tracks have ended.
        """
        if not seconds >= 0:
            raise InvalidParameter("seconds", seconds, "give a time from the start of the media")
        self._jump(seconds, self._rate)

    @property
    def paused(self) -> bool:
        """Whether ``recv()`` of both tracks waits for ``resume()``."""
        return self._transport.playback.paused

    def pause(self) -> None:
        """Give out no frames until ``resume()``. A live source loses what comes meanwhile."""
        self._transport.playback.pause(self._transport.clock.now())

    def resume(self) -> None:
        """Go on after ``pause()``; timestamps go on by the length of the pause."""
        self._transport.playback.go_on(self._transport.clock.now())
        self._wake()

    async def aclose(self) -> None:
        """End both tracks and wait for the thread, at most 1 s.

        A thread that hangs in a read of the system, such as from a disk that does not answer, is
        left to itself then, with a warning; it ends when the read does.

        It can be called again. Cancellation: safe; the thread ends all the same.
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

    def _jump(self, seconds: float, rate: float) -> None:
        if not self._bridge.is_open:
            raise TrackEnded(f"both tracks of {public_url(self.path)!r} have ended")
        if self.duration is None:
            raise NotSeekable(self.path)
        transport = self._transport
        now = transport.clock.now()
        played = max(transport.played, transport.playback.media_time(now))
        at = -(-Fraction(played).limit_denominator(90_000) // _STEP) * _STEP
        start = Fraction(min(seconds, self.duration)).limit_denominator(90_000)
        self._rate = rate
        transport.position = float(start)
        if not self._reader.jump(Wish(start, at, Fraction(rate).limit_denominator(1000))):
            self._worker = self._start()

    def _wake(self) -> None:
        for lane in self._lanes.values():
            lane.changed.wake()

    def _note_opened(self, facts: Facts) -> None:
        if self._opened.done():
            return
        for kind, lane in self._lanes.items():
            if kind not in facts.kinds:
                lane.close()
        if "audio" in facts.kinds:
            self.audio = PlayedTrack("audio", self._lanes["audio"], self._transport)
        if "video" in facts.kinds:
            self.video = PlayedTrack("video", self._lanes["video"], self._transport)
        self.duration = facts.duration
        self._transport.live = facts.live
        self._opened.set_result(None)

    def _note_stopped(self) -> None:
        if not self._bridge.is_open:
            self._reader.kill()

    def _note_reconnecting(self, error: SourceError | None) -> None:
        self.reconnections += 1
        logger.info(
            "connects again with %r: %s", public_url(self.path), error or "its other side ended it"
        )

    def _note_failed(self, error: SourceError) -> None:
        self.error = error
        if not self._opened.done():
            self._opened.set_exception(error)
        elif not self._opened.cancelled():
            logger.warning("the tracks end early: %s", error)

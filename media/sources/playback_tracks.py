"""Tracks that give out what a thread decodes, when it is due."""

from collections.abc import Callable

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from .._util.clock import Clock, Playback
from .._util.loop_queue import Lane
from .._util.shared_reader import MediaData
from .timed_media import Timed

_PATIENCE = 0.5
"""Seconds by which media may be late and still be caught up with; beyond that it had paused."""

_KEPT = {"audio": 5, "video": 1}
"""How much of a live source the first reader gets that came before it."""


class Transport:
    """What the tracks of one source share: the clock, and where they are.

    Attributes:
        playback: Places the media on the clock.
        clock: Where the time comes from.
        position: Seconds from the start of the media of what was given out last.
        played: Seconds of playing that were given out.
        stopped: Called when a track was stopped.
        skips: Whether pictures may be left out when their reader is late.
        paced: Whether the media comes faster than it is to be played.
        live: Whether what came before the first reader is of no use.
    """

    def __init__(self, clock: Clock, stopped: Callable[[], None], *, skips: bool) -> None:
        self.playback = Playback()
        self.clock = clock
        self.position = 0.0
        self.played = 0.0
        self.stopped = stopped
        self.skips = skips
        self.paced = True
        self.live = False
        self._lanes: list[tuple[Lane[Timed], int]] = []

    def begin(self) -> None:
        """Forget what a live source gave while nobody read it; the first reader calls this."""
        if self.live and self.skips:
            for lane, keep in self._lanes:
                lane.trim(keep)
        self.live = False


class PlayedTrack(MediaStreamTrack):
    """One track of a source that a thread reads."""

    def __init__(self, kind: str, lane: Lane[Timed], transport: Transport) -> None:
        super().__init__()
        self.kind = kind
        self._lane = lane
        self._transport = transport
        transport._lanes.append((lane, _KEPT[kind]))

    async def recv(self) -> MediaData:
        """Return the next frame when it is due.

        Raises:
            MediaStreamError: The source is at its end or cannot be read further, or the track or
                its source was stopped.

        Cancellation: safe; no frame is lost.
        """
        playback, clock = self._transport.playback, self._transport.clock
        self._transport.begin()
        waited = False
        while True:
            timed = self._lane.peek()
            if timed is None:
                if self._lane.ended:
                    self.stop()
                    raise MediaStreamError("the track has ended")
                waited = True
                await self._lane.wait()
                continue
            if playback.paused:
                await self._lane.changed.wait()
                continue
            now = clock.now()
            due = playback.due(timed.time, now)
            if now < due and self._transport.paced:
                await self._lane.changed.wait_until(clock, due)
                waited = False
                continue
            skip = self._may_skip(now)
            if not self._lane.take(timed) or skip:
                continue
            if now - due > _PATIENCE and (waited or not self._skips):
                playback.resume(timed.time, now)
            return self._give(timed)

    def _give(self, timed: Timed) -> MediaData:
        data = timed.data
        transport = self._transport
        transport.position = timed.position
        transport.played = max(transport.played, timed.end)
        if shift := transport.playback.shift:
            assert data.pts is not None
            assert data.time_base is not None
            data.pts += round(shift / data.time_base)
        return data

    @property
    def _skips(self) -> bool:
        return self.kind == "video" and self._transport.skips

    def _may_skip(self, now: float) -> bool:
        """Whether the oldest frame is of no use because the one after it is due too."""
        if not self._skips:
            return False
        after = self._lane.peek(1)
        return after is not None and self._transport.playback.due(after.time, now) <= now

    def stop(self) -> None:
        """End this track; its frames are not decoded any more."""
        super().stop()
        self._lane.close()
        self._transport.stopped()

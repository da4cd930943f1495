"""Playback tracks: deliver the frames that a thread decodes when they are due."""

from collections.abc import Callable

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from .._util.clock import Clock, Playback
from .._util.loop_queue import Lane
from .._util.shared_reader import MediaData
from .timed_media import Timed

_STALL_THRESHOLD = 0.5
"""Maximum lateness, in seconds, that is caught up. Beyond it playback had stalled and is moved."""

_LIVE_START_FRAMES = {"audio": 5, "video": 1}
"""Frames of a live source from before the first read that are kept."""


class Transport:
    """Playback state shared by the tracks of one source.

    Attributes:
        playback: Maps media time to the clock.
        clock: The clock.
        position: Media time of the latest delivered frame, in seconds.
        played: Playback time up to which frames were delivered, in seconds.
        stopped: Called when a track was stopped.
        skips: Whether pictures may be skipped when their reader is late.
        paced: Whether frames are held until they are due; false for devices, which pace themselves.
        live: Whether frames from before the first read are to be dropped.
    """

    def __init__(self, clock: Clock, stopped: Callable[[], None], *, skips: bool) -> None:
        self.playback: Playback = Playback()
        self.clock = clock
        self.position: float = 0.0
        self.played: float = 0.0
        self.stopped = stopped
        self.skips = skips
        self.paced = True
        self.live: bool = False
        self._lanes: list[tuple[Lane[Timed], int]] = []

    def begin(self) -> None:
        """Drop old frames of a live source at the first read."""
        if self.live and self.skips:
            for lane, keep in self._lanes:
                lane.trim(keep)
        self.live = False


class PlayedTrack(MediaStreamTrack):
    """One track of a source that a thread reads.

    Attributes:
        lane: The queue of frames that the thread has read and that are not due yet.
    """

    def __init__(self, kind: str, lane: Lane[Timed], transport: Transport) -> None:
        super().__init__()
        self.kind = kind
        self.lane = lane
        self._transport = transport
        transport._lanes.append((lane, _LIVE_START_FRAMES[kind]))

    async def recv(self) -> MediaData:
        """Return the next frame when it is due.

        Raises:
            MediaStreamError: The source is at its end or cannot be read further, or the track or
                its source was stopped.

        Cancellation: safe; no frame is lost.
        """
        playback, clock = self._transport.playback, self._transport.clock
        self._transport.begin()
        had_waited = False
        while True:
            timed = self.lane.peek()
            if timed is None:
                if self.lane.ended:
                    self.stop()
                    raise MediaStreamError("the track has ended")
                had_waited = True
                await self.lane.wait()
                continue
            if playback.paused:
                await self.lane.changed.wait()
                continue
            now = clock.now()
            due = playback.due(timed.time, now)
            if now < due and self._transport.paced:
                await self.lane.changed.wait_until(clock, due)
                had_waited = False
                continue
            skip = self._may_skip(now)
            if not self.lane.take(timed) or skip:
                continue
            if now - due > _STALL_THRESHOLD and (had_waited or not self._skips):
                playback.resume(timed.time, now)
            return self._deliver(timed)

    def _deliver(self, timed: Timed) -> MediaData:
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
        """Return whether to skip the oldest frame because the next one is due too."""
        if not self._skips:
            return False
        after = self.lane.peek(1)
        return after is not None and self._transport.playback.due(after.time, now) <= now

    def stop(self) -> None:
        """End the track; its frames are no longer decoded."""
        super().stop()
        self.lane.close()
        self._transport.stopped()

"""Track of media received from the remote peer, and the queue of its decoded frames."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from av import AudioFrame, VideoFrame

from .capture_time import CaptureTimes
from .muting import Muting

_AUDIO_QUEUE = 50, 5, 100
"""Sizes of the queue of 20 ms audio frames: capacity, frames kept after an overflow, and unread
frames after which decoding stops."""
_VIDEO_QUEUE = 3, 3, 90
"""The same for video frames, which are large."""

AnyFrame: TypeAlias = AudioFrame | VideoFrame
"""A decoded frame."""

T = TypeVar("T")


class FrameQueue(Generic[T]):
    """A queue from one thread to readers in the event loop in which it is created.

    On overflow the oldest frame is dropped, and the next reader gets only the newest ``keep``
    frames, so that it does not stay late. While the queue :attr:`is_forsaken`, it stores nothing,
    and no frame needs to be decoded for it.

    Args:
        capacity: Maximum number of frames.
        keep: Number of frames kept for the next reader after an overflow.
        patience: Number of consecutive unread frames after which the queue counts as abandoned.

    Attributes:
        dropped: Number of frames dropped unread.
        on_return: Called in the event loop when reading resumes.
    """

    def __init__(self, capacity: int, keep: int, patience: int) -> None:
        self.dropped: int = 0
        self.on_return: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._frames: deque[T] = deque()
        self._capacity, self._keep, self._patience = capacity, keep, patience
        self._unread = 0
        """Frames added since the last read."""
        self._overflowed = self._ended = False
        self._readers: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_abandoned(self) -> bool:
        """True if nobody has read for so long that frames are not wanted."""
        return self._unread > self._patience

    def put(self, frame: T) -> None:
        """Add a frame and wake its reader; from any thread. No-op once the queue has ended."""
        if self.add(frame):
            self._schedule_wake()

    def add(self, frame: T) -> bool:
        """Add a frame; from any thread. No-op once the queue has ended.

        Returns:
            Whether somebody waits for it, and is to be woken by :meth:`wake`.
        """
        with self._lock:
            if self._ended:
                return False
            self._unread = 0 if self._readers else self._unread + 1
            if self.is_abandoned:
                self.dropped += len(self._frames) + 1
                self._frames.clear()
                return False
            if len(self._frames) >= self._capacity:
                self._frames.popleft()
                self.dropped += 1
                self._overflowed = True
            self._frames.append(frame)
            return bool(self._readers)

    def end(self) -> None:
        """Accept no more frames; those in the queue can still be read. From any thread."""
        with self._lock:
            self._ended = True
        self._schedule_wake()

    async def get(self) -> T | None:
        """Return the next frame; ``None`` at the end.

        Cancellation: safe; no frame is lost.
        """
        while True:
            with self._lock:
                resumes, self._unread = self.is_abandoned, 0
                if self._overflowed:
                    self._overflowed = False
                    while len(self._frames) > self._keep:
                        self._frames.popleft()
                        self.dropped += 1
                if self._frames:
                    return self._frames.popleft()
                if self._ended:
                    return None
                wakeup: asyncio.Future[None] = self._loop.create_future()
                self._readers.add(wakeup)
            if resumes and self.on_return is not None:
                self.on_return()
            try:
                await wakeup
            finally:
                with self._lock:
                    self._readers.discard(wakeup)

    def take(self) -> T | None:
        """Return the oldest frame without waiting; ``None`` if there is none. From any thread."""
        with self._lock:
            return self._frames.popleft() if self._frames else None

    def drop(self) -> None:
        """Drop the oldest frame, if there is one. From any thread."""
        with self._lock:
            if self._frames:
                self._frames.popleft()
                self.dropped += 1

    def clear(self) -> None:
        """Drop all frames. From any thread."""
        with self._lock:
            self.dropped += len(self._frames)
            self._frames.clear()
            self._overflowed = False

    def _schedule_wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self.wake)
        except RuntimeError:  # the loop is closed, so there are no readers
            with self._lock:
                self._frames.clear()

    def wake(self) -> None:
        """Wake whoever waits for a frame. Call it in the event loop of the queue."""
        with self._lock:
            for wakeup in self._readers:
                if not wakeup.done():
                    wakeup.set_result(None)


class RemoteTrack(RemoteStreamTrack):
    """A track of received media, as in the ``track`` event and ``peer.tracks()``.

    ``recv()`` returns an ``av.AudioFrame`` of 20 ms every 20 ms, or each ``av.VideoFrame``. Audio
    continues through packet loss, which is concealed, and through silence. It pauses a few seconds
    after the sender stops, and ``pts`` then skips that time. ``pts`` starts at 0, in units of
    ``time_base``, and continues when the sender's timestamps wrap or restart.

    The queue of an unread track is bounded. After 100 unread audio frames or 90 unread video
    frames, decoding stops. A reader that is late by less than a second of audio loses nothing;
    after a longer time it continues with the latest 100 ms. If video was not decoded meanwhile, it
    continues with a key frame, which is requested.

    It emits ``mute`` and ``unmute``, without arguments, when :attr:`muted` changes.
    """

    frames: FrameQueue[AnyFrame]
    times: CaptureTimes
    muting: Muting

    def begin(self) -> None:
        """Initialize the members added to aiortc's track. Call it within an event loop."""
        self.frames = FrameQueue(*(_AUDIO_QUEUE if self.kind == "audio" else _VIDEO_QUEUE))
        self.times = CaptureTimes()
        self.muting = Muting()

    @property
    def muted(self) -> bool:
        """True while no media arrives (W3C mediacapture-main 4.3.1).

        That is before the first packet, while the negotiated direction does not include receiving,
        and after 3 s without a packet. The silence and the black frames of a disabled track count
        as media.
        """
        return self.muting.muted

    @property
    def dropped(self) -> int:
        """Number of decoded frames that were dropped unread."""
        return self.frames.dropped

    def capture_time(self, frame: AnyFrame) -> float | None:
        """Return the capture time of a frame of this track, on the sender's clock.

        The times of audio and video from one sender use the same clock, that of its RTCP sender
        reports (RFC 3550 section 6.4.1), so they can be synchronized. The clock may differ from
        that of this machine. Between two audio frames, slightly more or less than their duration
        may pass where the jitter buffer adjusts its delay.

        Args:
            frame: A frame with its original ``pts``, or one derived from it.

        Returns:
            Seconds since 1970 (Unix time); ``None`` before the first sender report, which arrives
            within the first seconds, and for very old frames.
        """
        return None if frame.pts is None else self.times.capture_time(frame.pts)

    async def recv(self) -> AnyFrame:
        """Return the next frame.

        Raises:
            MediaStreamError: The track has ended.

        Cancellation: safe; no frame is lost.
        """
        if self.readyState != "live":
            raise MediaStreamError
        frame = await self.frames.get()
        if frame is None or self.readyState != "live":
            self.stop()
            raise MediaStreamError
        return frame

    def stop(self) -> None:
        """End the track; a pending :meth:`recv` raises ``MediaStreamError``."""
        super().stop()
        self.frames.end()

"""From one track to many readers, and from a fast track to a slow reader, without growing.

``LatestFrame`` gives a reader the newest frame however slowly it reads. ``Fanout`` gives each of
several readers a track of its own. A frame is shared by all who get it: whoever wants to draw into
one makes a copy.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.frame import Frame
from av.packet import Packet

from ._capture import pass_on
from ._signal import Signal
from .errors import InvalidParameter

KEPT_FRAMES = {"video": 1, "audio": 10}
"""How many unread frames are kept unless told otherwise; ten of audio are 200 ms."""

MediaData: TypeAlias = "Frame | Packet[Any]"
"""What aiortc takes from a track: raw frames, or packets that are encoded already."""

logger = logging.getLogger(__name__)


class QueuedTrack(MediaStreamTrack):
    """A track that gives out what is put into it; when it is full it drops the oldest frame."""

    def __init__(self, kind: str, keep: int | None) -> None:
        if keep is not None and keep < 1:
            raise InvalidParameter("keep", keep, "keep at least one frame")
        super().__init__()
        self.kind = kind
        self._frames: deque[MediaData] = deque(maxlen=keep or KEPT_FRAMES.get(kind, 1))
        self._changed = Signal()
        self._complete = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many frames the reader did not get because newer ones came before it read them."""
        return self._dropped

    def _begin(self) -> None:
        """Start what puts frames in, when the first one is asked for."""

    def _put(self, frame: MediaData) -> None:
        if self.readyState != "live":
            return
        if len(self._frames) == self._frames.maxlen:
            self._dropped += 1
        self._frames.append(frame)
        self._changed.wake()

    def _finish(self) -> None:
        """End the track once its reader has got what is left."""
        self._complete = True
        self._changed.wake()

    async def recv(self) -> MediaData:
        """Return the oldest frame that is kept and was not given out, waiting for one if need be.

        Raises:
            MediaStreamError: The source has ended, or this track was stopped.

        Cancellation: safe; no frame is lost.
        """
        while not self._frames:
            if self._complete:
                self.stop()
            if self.readyState != "live":
                raise MediaStreamError("the track has ended")
            self._begin()
            await self._changed.wait()
        return self._frames.popleft()

    def stop(self) -> None:
        """End the track; whoever waits in ``recv()`` gets ``MediaStreamError``."""
        super().stop()
        self._frames.clear()
        self._changed.wake()


async def pump(track: MediaStreamTrack, put: Callable[[MediaData], None]) -> None:
    """Read a track to its end, as fast as it gives. Cancellation: safe."""
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        except Exception:
            logger.exception("track %s broke and is taken as ended", track.id)
            return
        put(frame)
        # A track that always has a frame ready would not let anything else run.
        await asyncio.sleep(0)


class LatestFrame(QueuedTrack):
    """Reads a track as it comes and gives its reader what is newest.

    It starts at once, so that a source which does not bound its own queue, such as a remote track
    of aiortc, cannot grow. Stopping it stops the source; to keep the source, subscribe to it with
    ``Fanout`` and wrap the subscription. A remote track goes on queueing what it receives even when
    it is stopped, so for such a source keep this until the connection is closed.

    Args:
        track: The source.
        keep: How many unread frames to keep, the oldest being dropped: 1 for video and 10 for
            audio if None.

    Raises:
        InvalidParameter: ``keep`` is less than one.
        RuntimeError: No event loop runs.
    """

    def __init__(self, track: MediaStreamTrack, *, keep: int | None = None) -> None:
        super().__init__(track.kind, keep)
        pass_on(track, self)
        self._source = track
        self._pump = asyncio.get_running_loop().create_task(
            self._run(), name=f"latest-frame {track.id}"
        )

    async def _run(self) -> None:
        await pump(self._source, self._put)
        self._finish()

    def stop(self) -> None:
        """End this track and its source."""
        super().stop()
        self._pump.cancel()
        self._source.stop()


class Fanout:
    """Shares one track among several readers, each with a bounded queue of its own.

    The source is first read when a subscriber first asks for a frame. A slow subscriber loses its
    own oldest frames and delays no other. aiortc stops the track of a sender that ends; stopping a
    subscription leaves the other ones alone.

    Args:
        track: The source.
        stop_source: Whether the source is stopped when the last subscriber leaves. If not, it is
            not read until somebody subscribes again.
    """

    def __init__(self, track: MediaStreamTrack, *, stop_source: bool = True) -> None:
        self._source = track
        self._stop_source = stop_source
        self._subscribers: set[Subscription] = set()
        self._pump: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are that have not ended."""
        return len(self._subscribers)

    def subscribe(self, *, keep: int | None = None) -> "Subscription":
        """Return a new track that gives the frames of the source from now on.

        If the source has ended, so has the new track.

        Args:
            keep: How many unread frames to keep, the oldest being dropped: 1 for video and 10 for
                audio if None.

        Raises:
            InvalidParameter: ``keep`` is less than one.
        """
        subscription = Subscription(self, self._source.kind, keep)
        if self._ended:
            subscription.stop()
        else:
            self._subscribers.add(subscription)
        return subscription

    def close(self) -> None:
        """End every subscription, and the source too unless it is to be kept."""
        for subscription in tuple(self._subscribers):
            subscription.stop()
        self._leave_source()
        self._ended = True

    def _start(self) -> None:
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(
                self._run(), name=f"fanout {self._source.id}"
            )

    async def _run(self) -> None:
        await pump(self._source, self._put)
        self._ended = True
        for subscription in tuple(self._subscribers):
            subscription._finish()

    def _put(self, frame: MediaData) -> None:
        for subscription in tuple(self._subscribers):
            subscription._put(frame)

    def _leave(self, subscription: "Subscription") -> None:
        if subscription in self._subscribers:
            self._subscribers.discard(subscription)
            if not self._subscribers:
                self._leave_source()

    def _leave_source(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None
        if self._stop_source:
            self._ended = True
            self._source.stop()


class Subscription(QueuedTrack):
    """One reader's track of a ``Fanout``; made by its ``subscribe()``."""

    ends_with_sender = True
    """Made for one peer: icefloe's sender stops it too when it ends."""

    def __init__(self, fanout: Fanout, kind: str, keep: int | None) -> None:
        super().__init__(kind, keep)
        pass_on(fanout._source, self)
        self._fanout = fanout

    def _begin(self) -> None:
        self._fanout._start()

    def stop(self) -> None:
        """End this subscription; the other ones go on."""
        super().stop()
        self._fanout._leave(self)

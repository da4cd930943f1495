"""From one track to many readers, and from a fast track to a slow reader, without growing.

``LatestFrame`` gives a reader the newest frame however slowly it reads. ``Fanout`` gives each of
several readers a track of its own. A frame is shared by all who get it: whoever wants to draw into
one makes a copy.
"""

import asyncio
from collections import deque

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from .._util.capture_time import pass_on
from .._util.shared_reader import DerivedTrack, MediaData, SharedSource, pump
from .._util.wakeup import Signal
from ..errors import InvalidParameter

KEPT_FRAMES = {"video": 1, "audio": 10}
"""How many unread frames are kept unless told otherwise; ten of audio are 200 ms."""


class QueuedTrack(DerivedTrack):
    """A track that gives out what is put into it; when it is full it drops the oldest frame."""

    def __init__(self, source: MediaStreamTrack, keep: int | None) -> None:
        if keep is not None and keep < 1:
            raise InvalidParameter("keep", keep, "keep at least one frame")
        super().__init__(source)
        self.kind = source.kind
        pass_on(source, self)
        self._frames: deque[MediaData] = deque(maxlen=keep or KEPT_FRAMES.get(self.kind, 1))
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
        super().__init__(track, keep)
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


class Fanout(SharedSource["Subscription"]):
    """Shares one track among several readers, each with a bounded queue of its own.

    The source is first read when a subscriber first asks for a frame. A slow subscriber loses its
    own oldest frames and delays no other. aiortc stops the track of a sender that ends; stopping a
    subscription leaves the other ones alone.

    Args:
        track: The source.
        stop_source: Whether the source is stopped when the last subscriber leaves. If not, it is
            not read until somebody subscribes again.
    """

    _name = "fanout"

    def __init__(self, track: MediaStreamTrack, *, stop_source: bool = True) -> None:
        super().__init__(track, stop_source=stop_source)

    def subscribe(self, *, keep: int | None = None) -> "Subscription":
        """Return a new track that gives the frames of the source from now on.

        If the source has ended, so has the new track.

        Args:
            keep: How many unread frames to keep, the oldest being dropped: 1 for video and 10 for
                audio if None.

        Raises:
            InvalidParameter: ``keep`` is less than one.
        """
        subscription = Subscription(self, keep)
        if self._ended:
            subscription.stop()
        else:
            self._readers.add(subscription)
        return subscription

    def _put(self, frame: MediaData) -> None:
        for subscription in tuple(self._readers):
            subscription._put(frame)


class Subscription(QueuedTrack):
    """One reader's track of a ``Fanout``; made by its ``subscribe()``."""

    ends_with_sender = True
    """Made for one peer: icefloe's sender stops it too when it ends."""

    def __init__(self, fanout: Fanout, keep: int | None) -> None:
        super().__init__(fanout._source, keep)
        self._fanout = fanout

    def _begin(self) -> None:
        self._fanout._start()

    def stop(self) -> None:
        """End this subscription; the other ones go on."""
        super().stop()
        self._fanout._leave(self)

"""Fan-out of one track to several readers, and a bounded queue between a track and a slow reader.

``LatestFrame`` gives a slow reader the newest frame. ``Fanout`` gives each of several readers a
track of its own. The readers share each frame: copy a frame before you change it.
"""

import asyncio
from collections import deque

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from .._util.capture_time import pass_on
from .._util.shared_reader import DerivedTrack, MediaData, SharedSource, pump
from .._util.wakeup import Signal
from ..errors import InvalidParameter

DEFAULT_QUEUED_FRAMES = {"video": 1, "audio": 10}
"""Default queue length in frames; ten of audio are usually 200 ms."""


class QueuedTrack(DerivedTrack):
    """A track with a bounded queue of frames; when it is full it drops the oldest frame."""

    def __init__(self, source: MediaStreamTrack, keep: int | None) -> None:
        if keep is not None and keep < 1:
            raise InvalidParameter("keep", keep, "keep at least one frame")
        super().__init__(source)
        self.kind: str = source.kind
        pass_on(source, self)
        self._frames: deque[MediaData] = deque(
            maxlen=keep or DEFAULT_QUEUED_FRAMES.get(self.kind, 1)
        )
        self._changed = Signal()
        self._complete = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Number of frames that were dropped because the reader was too slow."""
        return self._dropped

    def _begin(self) -> None:
        """Start the source of the frames; called by ``recv()`` while the queue is empty."""

    def _put(self, frame: MediaData) -> None:
        if self.readyState != "live":
            return
        if len(self._frames) == self._frames.maxlen:
            self._dropped += 1
        self._frames.append(frame)
        self._changed.wake()

    def _finish(self) -> None:
        """End the track once its queue has been read."""
        self._complete = True
        self._changed.wake()

    async def recv(self) -> MediaData:
        """Take and return the oldest frame of the queue; wait for one if it is empty.

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
        """End the track; a pending ``recv()`` raises ``MediaStreamError``."""
        super().stop()
        self._frames.clear()
        self._changed.wake()


class LatestFrame(QueuedTrack):
    """A track that reads another one continuously and keeps only the newest frames.

    It starts at once, so that a source with an unbounded queue, such as a remote track of aiortc,
    cannot grow. Stopping it stops the source; to keep the source, subscribe to it with ``Fanout``
    and wrap the subscription. A remote track of aiortc queues received frames even after it was
    stopped, so do not stop this object before the connection is closed.

    Args:
        track: The source.
        keep: Maximum number of queued frames; if ``None`` 1 for video and 10 for audio.

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
    """A fan-out of one track to several readers, each with a bounded queue of its own.

    The source is read from the first ``recv()`` of a subscription on. A slow subscriber loses its
    own oldest frames and delays no other. aiortc stops the track of a sender that ends; stopping a
    subscription does not affect the others.

    Args:
        track: The source.
        stop_source: Whether to stop the source when the last subscription ends. If not, the source
            is not read until the next subscription.
    """

    _name = "fanout"

    def __init__(self, track: MediaStreamTrack, *, stop_source: bool = True) -> None:
        super().__init__(track, stop_source=stop_source)

    def subscribe(self, *, keep: int | None = None) -> "Subscription":
        """Return a new track with the frames of the source from now on.

        If the source has ended, the new track has ended too.

        Args:
            keep: Maximum number of queued frames, of which the oldest is dropped; if ``None`` 1 for
                video and 10 for audio.

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
    """Tells a sender of icefloe to stop this track when the sender ends."""

    def __init__(self, fanout: Fanout, keep: int | None) -> None:
        super().__init__(fanout._source, keep)
        self._fanout = fanout

    def _begin(self) -> None:
        self._fanout._start()

    def stop(self) -> None:
        """End this subscription; the others are not affected."""
        super().stop()
        self._fanout._leave(self)

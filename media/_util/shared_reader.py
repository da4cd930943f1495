"""Reading of one source track on behalf of several derived tracks, from the first to the last."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.frame import Frame
from av.packet import Packet

from icefloe._util.cancellation import is_cancelled
from icefloe.logs import get_logger

MediaData: TypeAlias = "Frame | Packet[Any]"
"""The objects that ``recv()`` of a track may return: raw frames or encoded packets."""

logger = get_logger(__name__)


async def pump(track: MediaStreamTrack, put: Callable[[MediaData], None]) -> Exception | None:
    """Read a track to its end, without pacing, and call ``put`` with each frame.

    Returns:
        The exception of the track if it broke, which is logged too; ``None`` at a regular end.

    Cancellation: safe.
    """
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return None
        except asyncio.CancelledError as cancelled:
            if is_cancelled():
                raise
            logger.exception("track %s failed and counts as ended", track.id)
            error = RuntimeError("recv() was cancelled within the track")
            error.__cause__ = cancelled
            return error
        except Exception as error:
            logger.exception("track %s failed and counts as ended", track.id)
            return error
        put(frame)
        # A track that always has a frame ready would block the event loop.
        await asyncio.sleep(0)


class DerivedTrack(MediaStreamTrack):
    """A track with the frames of another track."""

    def __init__(self, source: MediaStreamTrack) -> None:
        super().__init__()
        self._derived_from = source
        self._enabled = True

    @property
    def enabled(self) -> bool:
        """False if the track is muted (W3C mediacapture-main section 4.3.1).

        Black pictures and silence are sent then. It is also false if the source has ``enabled`` set
        to false.
        """
        return self._enabled and bool(getattr(self._derived_from, "enabled", True))

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        self._enabled = enabled


class Reader(Protocol):
    """A track derived from a shared source."""

    def stop(self) -> None:
        """End the track."""

    def _finish(self) -> None: ...


R = TypeVar("R", bound=Reader)


class SharedSource(Generic[R]):
    """A source track that several readers share.

    It is read from the first request of a reader until the last reader has left.
    """

    _name: str
    """Name of the reading task."""

    def __init__(self, track: MediaStreamTrack, *, stop_source: bool) -> None:
        self._source = track
        self._stop_source = stop_source
        self._readers: set[R] = set()
        self._pump: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def subscribers(self) -> int:
        """Number of subscriptions that have not ended."""
        return len(self._readers)

    def close(self) -> None:
        """End every subscription, and the source too if ``stop_source`` is set. Idempotent."""
        for reader in tuple(self._readers):
            reader.stop()
        self._leave_source()
        self._ended = True

    def _put(self, frame: MediaData) -> None:
        """Process a frame of the source."""
        raise NotImplementedError

    def _start(self) -> None:
        if self._pump is None and not self._ended:
            self._pump = asyncio.get_running_loop().create_task(
                self._run(), name=f"{self._name} {self._source.id}"
            )

    async def _run(self) -> None:
        await pump(self._source, self._put)
        self._ended = True
        for reader in tuple(self._readers):
            reader._finish()

    def _leave(self, reader: R) -> None:
        if reader in self._readers:
            self._readers.discard(reader)
            if not self._readers:
                self._leave_source()

    def _leave_source(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None
        if self._stop_source:
            self._ended = True
            self._source.stop()
        elif (left := getattr(self._source, "reader_left", None)) is not None:
            left()

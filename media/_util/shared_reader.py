"""One track, and the readers of tracks that are made of it: who begins, who leaves, who ends."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.frame import Frame
from av.packet import Packet

from icefloe.logs import get_logger

MediaData: TypeAlias = "Frame | Packet[Any]"
"""What aiortc takes from a track: raw frames, or packets that are encoded already."""

logger = get_logger(__name__)


async def pump(track: MediaStreamTrack, put: Callable[[MediaData], None]) -> Exception | None:
    """Read a track to its end, as fast as it gives.

    Returns:
        What the track raised, if it broke; that is logged too.

    Cancellation: safe.
    """
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return None
        except Exception as error:
            logger.exception("track %s broke and is taken as ended", track.id)
            return error
        put(frame)
        # A track that always has a frame ready would not let anything else run.
        await asyncio.sleep(0)


class DerivedTrack(MediaStreamTrack):
    """A track that gives what another one does."""

    def __init__(self, source: MediaStreamTrack) -> None:
        super().__init__()
        self._derived_from = source
        self._enabled = True

    @property
    def enabled(self) -> bool:
        """Whether it is sent, and not black pictures and silence instead (W3C mediacapture-main
        4.3.1). It is not where its source has ``enabled`` and is not."""
        return self._enabled and bool(getattr(self._derived_from, "enabled", True))

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        self._enabled = enabled


class Reader(Protocol):
    """A track that is made of the shared one."""

    def stop(self) -> None:
        """End it."""

    def _finish(self) -> None: ...


R = TypeVar("R", bound=Reader)


class SharedSource(Generic[R]):
    """A track that several readers share.

    It is first read when one of them asks, and no longer when the last one has left.
    """

    _name: str
    """What it is called in a list of tasks."""

    def __init__(self, track: MediaStreamTrack, *, stop_source: bool) -> None:
        self._source = track
        self._stop_source = stop_source
        self._readers: set[R] = set()
        self._pump: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are that have not ended."""
        return len(self._readers)

    def close(self) -> None:
        """End every subscription, and the source too unless it is to be kept."""
        for reader in tuple(self._readers):
            reader.stop()
        self._leave_source()
        self._ended = True

    def _put(self, frame: MediaData) -> None:
        """Take a frame of the source."""
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

"""Tracks that a test feeds by hand."""

import asyncio
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame


class FedTrack(MediaStreamTrack):
    """Gives the frames that it is fed, and then ends if told to."""

    def __init__(self, kind: str = "video") -> None:
        super().__init__()
        self.kind = kind
        self._queue: asyncio.Queue[VideoFrame | AudioFrame | None] = asyncio.Queue()
        self.read = 0

    def feed(self, *frames: VideoFrame | AudioFrame) -> None:
        for frame in frames:
            self._queue.put_nowait(frame)

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def recv(self) -> VideoFrame | AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        frame = await self._queue.get()
        if frame is None:
            self.stop()
            raise MediaStreamError
        self.read += 1
        return frame


class Counted(MediaStreamTrack):
    """Passes on what another track gives, and counts it.

    Attributes:
        seconds: How much time passed between the first frame and the latest, as they tell it.
    """

    def __init__(self, track: MediaStreamTrack) -> None:
        super().__init__()
        self.kind = track.kind
        self.seconds = 0.0
        self._track = track
        self._first: float | None = None

    async def recv(self) -> Any:
        frame = await self._track.recv()
        assert isinstance(frame, VideoFrame | AudioFrame) and frame.time is not None
        self._first = frame.time if self._first is None else self._first
        self.seconds = frame.time - self._first
        return frame


def picture(number: int, size: tuple[int, int] = (16, 16)) -> VideoFrame:
    frame = VideoFrame(*size, "yuv420p")
    frame.pts = number
    frame.time_base = Fraction(1, 30)
    return frame


def tone(number: int) -> AudioFrame:
    frame = AudioFrame("s16", "mono", 960)
    frame.sample_rate = 48000
    frame.pts = number * 960
    frame.time_base = Fraction(1, 48000)
    return frame


async def numbers(track: MediaStreamTrack) -> list[int | None]:
    """Read a track to its end."""
    got = []
    try:
        while True:
            got.append((await track.recv()).pts)
    except MediaStreamError:
        return got


async def turns(count: int = 20) -> None:
    """Let everything in the loop that is ready run, and what follows from that."""
    for _ in range(count):
        await asyncio.sleep(0)


def threads(prefix: str = "icefloe-") -> list[threading.Thread]:
    """Return the threads that run whose name begins so."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(prefix)]


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so; the test's own time limit ends a vain wait."""
    while not condition():
        await asyncio.sleep(0.001)


async def until_idle(thread: threading.Thread) -> None:
    """Let the loop run until a thread uses no processor any more, because it waits."""
    assert thread.ident is not None
    clock = time.pthread_getcpuclockid(thread.ident)
    before = -1.0
    while (spent := time.clock_gettime(clock)) != before:
        before = spent
        await asyncio.sleep(0.05)

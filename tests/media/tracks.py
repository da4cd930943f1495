"""Tracks that a test feeds by hand."""

import asyncio
import threading
import time
from collections.abc import Callable
from fractions import Fraction

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

"""Audio encoder thread: encodes at the rate of playout, with a bounded input queue."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import av
from av.packet import Packet

from icefloe.encoding import AudioEncoder, KeyFrameRequests, UnusableSound, duration_of
from icefloe.logs import get_logger

from .loop_queue import LOOP_CHECK

_MAX_QUEUED_SECONDS = 0.5
"""Maximum seconds of audio queued before the newest frame."""

_MAX_QUEUED_FRAMES = 1000
"""Maximum number of queued frames, for frames that are very short or have no length."""

logger = get_logger(__name__)


class AudioEncoderThread:
    """A thread that encodes the audio of one track, once for all its viewers.

    Use it in the event loop in which it is made. Packets have 20 ms; those of a long frame are
    delivered one after the other, each at its send time.

    Args:
        codec: ``"opus"``.
        deliver: Called in the event loop with encoded packets.
        fail: Called in the event loop with the error that ended the encoder.
        refuse: Called in the event loop with the error of a frame that cannot be used.

    Attributes:
        key_frames: Key frame requests, for the same interface as video; audio has no key frames.
        dropped: Number of frames that were not encoded: the thread was too slow, or they cannot be
            used.
        frames: Number of frames that were encoded.
    """

    def __init__(
        self,
        codec: str,
        *,
        deliver: Callable[[list["Packet[Any]"]], None],
        fail: Callable[[Exception], None],
        refuse: Callable[[Exception], None],
    ) -> None:
        self.key_frames: KeyFrameRequests = KeyFrameRequests()
        self.dropped: int = 0
        self.frames: int = 0
        self._encoder: AudioEncoder | None = AudioEncoder(codec)
        self._deliver, self._fail, self._refuse = deliver, fail, refuse
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._queued: deque[tuple[object, float]] = deque()
        self._seconds = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"encode {codec}", daemon=False)
        self._thread.start()

    @property
    def implementation(self) -> str:
        """FFmpeg's name of the encoder in use; empty after the end."""
        encoder = self._encoder
        return "" if encoder is None else encoder.implementation

    def offer(self, frame: object) -> None:
        """Queue a frame for encoding; drop the oldest frames if the queue is full."""
        with self._changed:
            self._queued.append((frame, time.monotonic()))
            self._seconds += duration_of(frame)
            while len(self._queued) > 1 and (
                self._seconds - duration_of(frame) > _MAX_QUEUED_SECONDS
                or len(self._queued) > _MAX_QUEUED_FRAMES
            ):
                self._seconds -= duration_of(self._queued.popleft()[0])
                self.dropped += 1
            self._changed.notify()

    def close(self) -> None:
        """End the thread after the packet in progress; nothing is delivered any more."""
        with self._changed:
            self._closed = True
            self._queued.clear()
            self._changed.notify()

    def _run(self) -> None:
        encoder = self._encoder
        assert encoder is not None
        try:
            while self._is_next(encoder):
                self._encode(encoder)
        except (av.FFmpegError, ValueError, OSError) as error:
            logger.exception("the %s encoder failed, and its tracks end", encoder.codec)
            self._call(self._fail, error)
        finally:
            # Free FFmpeg's encoder even if this object is still referenced.
            self._encoder = None

    def _is_next(self, encoder: AudioEncoder) -> bool:
        """Wait until there is a frame to queue or to encode; return False at the end."""
        with self._changed:
            while not self._closed and not self._loop.is_closed():
                now, due = time.monotonic(), encoder.queue.due()
                if (self._queued and encoder.queue.has_room(now)) or (due or now + 1) <= now:
                    return True
                self._changed.wait(min(LOOP_CHECK, due - now) if due else LOOP_CHECK)
        return False

    def _encode(self, encoder: AudioEncoder) -> None:
        """Pass a frame to the encoder if it has room, and encode the packets that are due."""
        frame, arrived = None, 0.0
        with self._changed:
            if self._queued and encoder.queue.has_room(time.monotonic()):
                frame, arrived = self._queued.popleft()
                self._seconds -= duration_of(frame)
        if arrived:
            try:
                encoder.put(frame, arrived)
                self.frames += 1
            except UnusableSound as error:
                self.dropped += 1
                self._call(self._refuse, error)
        if made := encoder.take(time.monotonic()):
            self._call(self._deliver_unless_closed, made)

    def _deliver_unless_closed(self, made: list["Packet[Any]"]) -> None:
        if not self._closed:
            self._deliver(made)

    def _call(self, callback: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed, so nobody waits for the result
            self._closed = True

"""A thread that encodes sound as it is to be heard, and never delays who gives it."""

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

_WAITING = 0.5
"""Seconds of sound that may wait to be taken, beside the newest frame."""

_MOST = 1000
"""Frames that wait at most, however short, and also those that are no sound."""

logger = get_logger(__name__)


class SoundThread:
    """Encodes the sound of one track for all who want it in one way.

    To be used in the event loop in which it is made. Packets are of 20 ms, and those of a long
    frame come one after the other, when each is to leave.

    Args:
        codec: ``"opus"``.
        deliver: Called in the event loop with what was encoded.
        fail: Called there, with the reason, when nothing can be encoded any more.
        refuse: Called there, with the reason, when a frame is of no use.

    Attributes:
        key_frames: Who asks for key frames, of which sound has none: it begins anywhere.
        dropped: How many frames were not encoded: the next came too soon, or they are of no use.
        frames: How many were.
    """

    def __init__(
        self,
        codec: str,
        *,
        deliver: Callable[[list["Packet[Any]"]], None],
        fail: Callable[[Exception], None],
        refuse: Callable[[Exception], None],
    ) -> None:
        self.key_frames = KeyFrameRequests()
        self.dropped = self.frames = 0
        self._encoder: AudioEncoder | None = AudioEncoder(codec)
        self._deliver, self._fail, self._refuse = deliver, fail, refuse
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._waiting: deque[tuple[object, float]] = deque()
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
        """Have sound encoded, unless newer sound comes before its turn."""
        with self._changed:
            self._waiting.append((frame, time.monotonic()))
            self._seconds += duration_of(frame)
            while len(self._waiting) > 1 and (
                self._seconds - duration_of(frame) > _WAITING or len(self._waiting) > _MOST
            ):
                self._seconds -= duration_of(self._waiting.popleft()[0])
                self.dropped += 1
            self._changed.notify()

    def close(self) -> None:
        """Have the thread end after the piece it is at; nothing is delivered any more."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify()

    def _run(self) -> None:
        encoder = self._encoder
        assert encoder is not None
        try:
            while self._is_next(encoder):
                self._encode(encoder)
        except (av.FFmpegError, ValueError, OSError) as error:
            logger.exception("encoding to %s broke, and its tracks end", encoder.codec)
            self._call(self._fail, error)
        finally:
            # FFmpeg's encoder ends with it, though somebody may hold on to what is closed.
            self._encoder = None

    def _is_next(self, encoder: AudioEncoder) -> bool:
        """Wait until there is something to do; return False at the end."""
        with self._changed:
            while not self._closed and not self._loop.is_closed():
                now, due = time.monotonic(), encoder.queue.due()
                if (self._waiting and encoder.queue.has_room(now)) or (due or now + 1) <= now:
                    return True
                self._changed.wait(min(LOOP_CHECK, due - now) if due else LOOP_CHECK)
        return False

    def _encode(self, encoder: AudioEncoder) -> None:
        """Take a frame if there is room for it, and encode what leaves by now."""
        frame, came = None, 0.0
        with self._changed:
            if self._waiting and encoder.queue.has_room(time.monotonic()):
                frame, came = self._waiting.popleft()
                self._seconds -= duration_of(frame)
        if came:
            try:
                encoder.put(frame, came)
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
        except RuntimeError:  # the loop is closed, and with it everyone who could care
            self._closed = True

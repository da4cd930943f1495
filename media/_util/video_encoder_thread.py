"""A thread that encodes the newest picture there is, and never delays who gives it."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import av
from av import VideoFrame
from av.packet import Packet

from icefloe.encoding import KeyFrameRequests, Refusals, UnusablePicture, VideoEncoder
from icefloe.logs import get_logger

from .loop_queue import LOOP_CHECK

logger = get_logger(__name__)


class EncoderThread:
    """Encodes the pictures of one track for all who want them in one way.

    To be used in the event loop in which it is made.

    Args:
        codec: ``"H264"`` or ``"VP8"``.
        scale_down_by: By how much width and height are divided.
        bitrate: Bits a second; by the size of the picture if ``None``.
        content_hint: Of the track.
        deliver: Called in the event loop with what was encoded.
        fail: Called there, with the reason, when nothing can be encoded any more.

    Attributes:
        key_frames: Who asks for key frames.
        dropped: How many frames were not encoded: the next came too soon, or they are of no use.
        frames: How many were.
    """

    def __init__(
        self,
        codec: str,
        *,
        scale_down_by: float = 1.0,
        bitrate: int | None = None,
        content_hint: str = "",
        deliver: Callable[[list["Packet[Any]"]], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self.key_frames = KeyFrameRequests()
        self.dropped = self.frames = 0
        self._refused = Refusals(f"encoding to {codec}")
        self._codec = codec
        self._scale = scale_down_by
        self._encoder: VideoEncoder | None
        self._encoder = VideoEncoder(codec, bitrate=bitrate, content_hint=content_hint)
        self._deliver, self._fail = deliver, fail
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._waiting: tuple[VideoFrame, int | None] | None = None
        self._wants_key_frame = False
        self._closed = False
        name = f"encode {codec} 1/{scale_down_by:g}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=False)
        self._thread.start()

    @property
    def implementation(self) -> str:
        """FFmpeg's name of the encoder in use; empty before the first frame, and after the end."""
        return "" if self._encoder is None else self._encoder.implementation

    def offer(self, frame: VideoFrame, *, at: int | None = None, key_frame: bool) -> None:
        """Have a picture encoded, unless a newer one comes before its turn.

        Args:
            frame: It is not changed.
            at: When it is, in 1/90000 s on a clock that grows.
            key_frame: Whether it is to be a key frame.
        """
        with self._changed:
            if self._waiting is not None:
                self.dropped += 1
            self._waiting = (frame, at)
            self._wants_key_frame |= key_frame
            self._changed.notify()

    def close(self) -> None:
        """Have the thread end after the frame it is at; nothing is delivered any more."""
        with self._changed:
            self._closed = True
            self._waiting = None
            self._changed.notify()

    def _run(self) -> None:
        try:
            self._encode()
        finally:
            # FFmpeg's own threads end with it, though somebody may hold on to what is closed.
            self._encoder = None

    def _encode(self) -> None:
        while (task := self._next()) is not None:
            frame, at, key_frame = task
            assert self._encoder is not None
            try:
                made = self._encoder.encode(
                    frame, at=at, key_frame=key_frame, scale_down_by=self._scale
                )
            except UnusablePicture as error:
                self.dropped += 1
                self._refused.note(error)
                continue
            except (av.FFmpegError, ValueError, OSError) as error:
                logger.exception("encoding to %s broke, and its tracks end", self._codec)
                self._call(self._fail, error)
                return
            self.frames += 1
            if made and not self._call(self._deliver_unless_closed, made):
                return

    def _next(self) -> tuple[VideoFrame, int | None, bool] | None:
        with self._changed:
            while self._waiting is None:
                if self._closed or self._loop.is_closed():
                    return None
                self._changed.wait(LOOP_CHECK)
            key_frame, self._wants_key_frame = self._wants_key_frame, False
            (frame, at), self._waiting = self._waiting, None
            return frame, at, key_frame

    def _deliver_unless_closed(self, made: list["Packet[Any]"]) -> None:
        if not self._closed:
            self._deliver(made)

    def _call(self, callback: Callable[..., None], *args: Any) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed, and with it everyone who could care
            return False
        return True

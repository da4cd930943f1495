"""Video encoder thread: encodes the newest picture and drops older ones that still wait."""

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


class VideoEncoderThread:
    """A thread that encodes the pictures of a track for all viewers with the same codec and size.

    Use it in the event loop in which it is made.

    Args:
        codec: ``"H264"`` or ``"VP8"``.
        scale_down_by: Divisor of width and height.
        bitrate: Bits per second; chosen by the picture size if ``None``.
        content_hint: ``contentHint`` of the track (W3C mst-content-hint).
        deliver: Called in the event loop with encoded frames.
        fail: Called in the event loop with the error that ended the encoder.

    Attributes:
        key_frames: Key frame requests of the viewers.
        dropped: Number of frames that were not encoded: the thread was too slow, or they cannot be
            used.
        frames: Number of frames that were encoded.
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
        self.key_frames: KeyFrameRequests = KeyFrameRequests()
        self.dropped: int = 0
        self.frames: int = 0
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
        """Encode a picture unless a newer one replaces it before the thread is ready.

        Args:
            frame: The picture, which is not changed.
            at: Timestamp in 1/90000 s, strictly increasing; see ``VideoEncoder.encode``.
            key_frame: Whether to encode a key frame.
        """
        with self._changed:
            if self._waiting is not None:
                self.dropped += 1
            self._waiting = (frame, at)
            self._wants_key_frame |= key_frame
            self._changed.notify()

    def close(self) -> None:
        """End the thread after the frame in progress; nothing is delivered any more."""
        with self._changed:
            self._closed = True
            self._waiting = None
            self._changed.notify()

    def _run(self) -> None:
        try:
            self._encode()
        finally:
            # End FFmpeg's own threads even if this object is still referenced.
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
                logger.exception("the %s encoder failed, and its tracks end", self._codec)
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
        except RuntimeError:  # the loop is closed, so nobody waits for the result
            return False
        return True

"""Decoder threads for received video, and their shutdown.

The event loop never blocks on them: a decoder may finish its current frame after ``close()``. They
are daemon threads, so they do not keep the program alive.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from logging import Logger

import av
from aiortc import RTCRtpCodecParameters
from aiortc.codecs import get_decoder
from aiortc.codecs.base import Decoder
from aiortc.jitterbuffer import JitterFrame
from av import VideoFrame
from av.video.reformatter import ColorRange

from icefloe.encoding import Refusals, is_key_frame
from icefloe.encoding.pictures import BT601
from icefloe.logs import get_logger

from .bitstream_size import MOST_PIXELS, FrameSizeLimit, announced_size
from .decode_queue import DecodeQueue
from .decoder_pool import DecoderPool
from .remote_track import AnyFrame, FrameQueue

_MATRIX_UNSPECIFIED = 2
"""Matrix coefficients of a stream that does not specify them (ITU-T H.273 section 8.3)."""

IDLE_TIMEOUT = 30.0
"""Seconds without input after which a thread ends. The next packet starts another one."""

_LARGE_FRAME = MOST_PIXELS // 4
"""Pixels above which the queue of decoded frames holds at most two frames: a frame of the maximum
size takes 14 MB."""

_KEY_FRAME_INTERVAL = 5.0
"""Seconds between key-frame requests while frames are refused."""

logger: Logger = get_logger(__name__)


class _DecoderThread:
    """A thread that decodes one track, running only while there is input.

    Args:
        frames: Queue for the decoded frames.
        name: Name of the thread, shown by debuggers.
        pool: Resources shared with the other tracks of the connection.

    Attributes:
        not_admitted: Number of packets or frames refused because the pool is full.
    """

    def __init__(self, frames: FrameQueue[AnyFrame], name: str, pool: DecoderPool | None) -> None:
        self.not_admitted = 0
        self._frames = frames
        self._pool = pool or DecoderPool()
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._closing = False
        self._ended = asyncio.Event()
        self._name = name
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        """Request the end of the thread. Returns at once; idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            runs = self._thread is not None
        if not runs:
            self._frames.end()
            self._ended.set()

    def _ensure_thread(self) -> bool:
        """Ensure that the thread runs; return whether it does. The lock must be held."""
        if self._thread is not None:
            return True
        if self._closing or not self._pool.enter():
            return False
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system allows no more threads
            self._pool.leave(thread)
            logger.warning("a track is not decoded: %s", error)
            return False
        self._thread = thread
        return True

    async def closed(self, timeout: float) -> bool:
        """Wait until the thread has ended.

        Args:
            timeout: Maximum seconds to wait.

        Returns:
            Whether it has ended.

        Cancellation: safe.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._ended.wait()
        except TimeoutError:
            logger.warning("a decoder thread did not end within %g s", timeout)
            return False
        # The thread sets the event as its last action, so joining takes microseconds.
        if self._thread is not None:
            self._thread.join()
        return True

    def _run(self) -> None:
        thread = threading.current_thread()
        try:
            self._decode()
        except Exception:
            logger.exception("a decoder thread failed; its track ends")
        finally:
            self._pool.leave(thread)
            with self._changed:
                idled_out = self._thread is not thread
                self._closing = self._closing or not idled_out
            if not idled_out:
                self._frames.end()
                try:
                    self._loop.call_soon_threadsafe(self._ended.set)
                except RuntimeError:
                    logger.debug("decoding.ended reason=loop-closed")

    def _decode(self) -> None:
        raise NotImplementedError


class VideoDecoderThread(_DecoderThread):
    """Decodes video frames as they arrive.

    Args:
        frames: Queue for the decoded frames.
        request_key_frame: Called from any thread when the decoder needs a key frame.
        pool: Resources shared with the other tracks of the connection; it also limits the frame
            size.
    """

    def __init__(
        self,
        frames: FrameQueue[AnyFrame],
        request_key_frame: Callable[[], None],
        pool: DecoderPool | None = None,
    ) -> None:
        self._request_key_frame = request_key_frame
        self._refused = Refusals("decoding")
        self._undecodable = Refusals("decoding")
        self._latest_pts: int | None = None
        self.decoded: int = 0
        """Number of frames decoded."""
        self.key_frames: int = 0
        """Number of key frames that came."""
        self._queue: DecodeQueue[tuple[RTCRtpCodecParameters, JitterFrame]] = DecodeQueue()
        self._needs_key_frame = False
        self._requested_at = float("-inf")
        super().__init__(frames, "video-decoder", pool)
        self._size_limit = FrameSizeLimit(self._pool.max_pixels)

    @property
    def dropped(self) -> int:
        """Number of frames not decoded: too late, too large or damaged."""
        return (
            self._queue.dropped + self._refused.count + self._undecodable.count + self.not_admitted
        )

    def put(self, task: tuple[RTCRtpCodecParameters, JitterFrame]) -> None:
        """Add an encoded frame with its codec."""
        codec, picture = task
        key_frame = is_key_frame(codec.name, picture.data)
        self.key_frames += key_frame
        with self._changed:
            if not self._ensure_thread():
                self.not_admitted += 1
                self._queue.restart()
                return
            ask = self._queue.put(
                time.monotonic(), task, is_key_frame=key_frame, size=len(picture.data)
            )
            self._changed.notify()
        if ask:
            self._request_key_frame()

    def _decode(self) -> None:
        decoder: Decoder | None = None
        name = ""
        while (task := self._take()) is not None:
            codec, picture = task
            if decoder is None or codec.name != name:
                decoder, name = get_decoder(codec), codec.name
                context = getattr(decoder, "codec", None)
                if isinstance(context, av.VideoCodecContext):
                    # Twice the limit, because FFmpeg counts whole macroblocks.
                    context.options = {"max_pixels": str(2 * self._size_limit.most)}
            if not self._may_decode(name, picture.data):
                continue
            try:
                frames = decoder.decode(picture)
            except av.FFmpegError as error:
                # Keep the decoder: a new one could not decode before the next key frame either.
                self._undecodable.note(error)
                self._request_key_frame()
                continue
            for frame in frames:
                if isinstance(frame, VideoFrame):
                    self.decoded += 1
                    _set_default_colors(frame)
                    self._order(frame)
                    if frame.width * frame.height > _LARGE_FRAME and len(self._frames) > 1:
                        self._frames.drop()
                    self._frames.put(frame)

    def _order(self, frame: VideoFrame) -> None:
        """Make the times of frames grow: they come as they are to be shown, whatever they tell."""
        if frame.pts is not None and self._latest_pts is not None:
            frame.pts = max(frame.pts, self._latest_pts + 1)
        self._latest_pts = frame.pts

    def _take(self) -> tuple[RTCRtpCodecParameters, JitterFrame] | None:
        with self._changed:
            while not self._closing:
                if (task := self._queue.take()) is not None:
                    return task
                if not self._changed.wait(IDLE_TIMEOUT) and not len(self._queue):
                    # The decoder ends with its thread.
                    self._queue.restart()
                    self._thread = None
                    return None
            return None

    def _may_decode(self, codec: str, data: bytes) -> bool:
        """Return whether a frame may be decoded; after a refusal, wait for a key frame."""
        size = announced_size(codec, data)
        if size is not None:
            reason = self._size_limit.refusal(time.monotonic(), size)
            if reason is None and not self._pool.reserve(
                threading.current_thread(), self._size_limit.pixels
            ):
                reason = "the tracks of this connection exceed the pixel limit together"
            if reason is not None:
                self._refused.note(ValueError(reason))
                self._needs_key_frame = True
                self._request_after_refusal()
                return False
        if self._needs_key_frame:
            if is_key_frame(codec, data):
                self._needs_key_frame = False
            elif size is None:
                self._refused.count += 1
                self._request_after_refusal()
                return False
        return True

    def _request_after_refusal(self) -> None:
        """Request a key frame, until one is usable; not more often than refusals are likely."""
        now = time.monotonic()
        if now - self._requested_at >= _KEY_FRAME_INTERVAL:
            self._requested_at = now
            self._request_key_frame()


def _set_default_colors(frame: VideoFrame) -> None:
    """Set WebRTC's default color range and matrix where the stream specifies none."""
    if frame.color_range == ColorRange.UNSPECIFIED:
        frame.color_range = ColorRange.MPEG
    if frame.colorspace == _MATRIX_UNSPECIFIED:
        frame.colorspace = BT601

"""The threads in which what is received is decoded, and how they end.

They are never joined in the event loop, which goes on while a decoder finishes what it is at, and
they do not keep a program alive.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable

import av
from aiortc import RTCRtpCodecParameters
from aiortc.codecs import get_decoder
from aiortc.codecs.base import Decoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtpPacket
from av import AudioFrame, VideoFrame
from av.video.reformatter import ColorRange

from icefloe.encoding import Refusals, is_key_frame
from icefloe.encoding.pictures import BT601
from icefloe.logs import get_logger

from .audio_receiver import AudioStats, Hearing
from .bitstream_size import MOST_PIXELS, Sizes, announced
from .decode_queue import Backlog
from .decoder_pool import DecoderPool
from .frame_queue import FrameQueue
from .jitter_buffer import STEP

_UNSPECIFIED = 2
"""The matrix of a stream that does not tell it (ITU-T H.273 section 8.3)."""

IDLE = 30.0
"""Seconds without anything to decode after which a thread ends; the next packet starts another."""

_LARGE = MOST_PIXELS // 4
"""Pixels above which two pictures wait to be read at most: of the largest each takes 14 MB."""

_PLEA = 5.0
"""Seconds from one request for a key frame to the next, while pictures are refused."""

_BEHIND = 0.2
"""Seconds after which time that nobody heard is passed over, as after a machine has slept."""
_PACKETS = 500
"""Packets of audio that wait for the thread at most."""
_KEPT, _LATEST = 1.0, 0.1
"""Seconds of audio that wait while nobody listens, and how much of it is heard by who comes then:
the rest tells how unevenly packets come, and has the decoder in step."""

logger = get_logger(__name__)


class _Decoding:
    """A thread that decodes for one track, while there is something to decode.

    Args:
        frames: Where the frames go.
        name: The name of the thread, for a debugger's list.
        pool: What it shares with the other tracks of its connection.

    Attributes:
        turned_away: How much was not taken, because the pool has no place.
    """

    def __init__(
        self, frames: FrameQueue[AudioFrame | VideoFrame], name: str, pool: DecoderPool | None
    ) -> None:
        self.turned_away = 0
        self._frames = frames
        self._pool = pool or DecoderPool()
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._closing = False
        self._ended = asyncio.Event()
        self._name = name
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        """Have the thread end soon. Returns at once; may be called again."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            runs = self._thread is not None
        if not runs:
            self._frames.end()
            self._ended.set()

    def _runs(self) -> bool:
        """Start the thread unless there is one; return whether there is. With the lock held."""
        if self._thread is not None:
            return True
        if self._closing or not self._pool.enter():
            return False
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more of them
            self._pool.leave(thread)
            logger.warning("a track is not decoded: %s", error)
            return False
        self._thread = thread
        return True

    async def closed(self, timeout: float) -> bool:
        """Wait until the thread has ended.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it has.

        Cancellation: safe.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._ended.wait()
        except TimeoutError:
            logger.warning("a decoder has not ended within %g s", timeout)
            return False
        # The report was the thread's last act, so this is a matter of microseconds.
        if self._thread is not None:
            self._thread.join()
        return True

    def _run(self) -> None:
        this = threading.current_thread()
        try:
            self._decode()
        except Exception:
            logger.exception("a decoder failed, and its track ends")
        finally:
            self._pool.leave(this)
            with self._changed:
                was_idle = self._thread is not this
                self._closing = self._closing or not was_idle
            if not was_idle:
                self._frames.end()
                try:
                    self._loop.call_soon_threadsafe(self._ended.set)
                except RuntimeError:
                    logger.debug("decoding.ended reason=loop-closed")

    def _decode(self) -> None:
        raise NotImplementedError


class AudioDecoding(_Decoding):
    """Plays what is received: a frame each 20 ms, by the clock, while somebody listens.

    While nobody does, packets wait: those of the last second. They are played at one go when
    somebody is back, so that the newest are heard as if nothing had happened.

    Args:
        frames: Where the frames go.
        hearing: What decides and decodes.
        pool: What it shares with the other tracks of its connection.
    """

    def __init__(
        self,
        frames: FrameQueue[AudioFrame | VideoFrame],
        hearing: Hearing,
        pool: DecoderPool | None = None,
    ) -> None:
        self._hearing = hearing
        self._packets: deque[tuple[float, RTCRtpCodecParameters, RtpPacket]] = deque(
            maxlen=_PACKETS
        )
        self._idle = self._asleep = False
        frames.on_return = self._wake
        super().__init__(frames, "audio-decoder", pool)

    @property
    def stats(self) -> AudioStats:
        """What was heard so far."""
        return self._hearing.stats

    @property
    def is_asleep(self) -> bool:
        """Whether nothing is decoded, for want of a reader."""
        return self._asleep

    def put(self, codec: RTCRtpCodecParameters, packet: RtpPacket) -> None:
        """Take a packet that has just come."""
        now = time.monotonic()
        with self._changed:
            self._packets.append((now, codec, packet))
            if self._asleep and self._frames.is_forsaken:
                self._forget(now - _KEPT)
            elif not self._runs():
                self.turned_away += len(self._packets)
                self._packets.clear()
            elif self._idle:
                self._changed.notify()

    def _wake(self) -> None:
        with self._changed:
            if self._asleep:
                self._runs()
            self._changed.notify()

    def _forget(self, before: float) -> None:
        while self._packets and self._packets[0][0] < before:
            self._packets.popleft()

    def _decode(self) -> None:
        due = time.monotonic()
        while self._wait(due):
            now = time.monotonic()
            if self._asleep:
                due = self._catch_up(now)
                continue
            if now - due > _BEHIND:
                due = now
            self._take(now)
            self._play(due)
            due += STEP

    def _wait(self, due: float) -> bool:
        """Wait until a frame is due, or somebody listens again; return whether to go on."""
        with self._changed:
            while not self._closing:
                if self._frames.is_forsaken:
                    if not self._asleep:
                        self._asleep = True
                        self._hearing.pause()
                    if not self._changed.wait(IDLE) and self._frames.is_forsaken:
                        break
                    continue
                if self._asleep:
                    return True
                self._idle = self._hearing.is_idle and not self._packets
                left = IDLE if self._idle else due - time.monotonic()
                if left <= 0:
                    return True
                if not self._changed.wait(left) and self._idle and not self._packets:
                    break
            if not self._closing:
                self._thread = None
            return False

    def _catch_up(self, now: float) -> float:
        """Play what waited, as it would have been; return when the next frame is due."""
        with self._changed:
            self._asleep = False
            self._forget(now - _KEPT)
        steps = round(_KEPT / STEP)
        for left in range(steps, 0, -1):
            due = now - left * STEP
            self._take(due)
            self._play(due, unheard=left * STEP > _LATEST)
        return now

    def _take(self, until: float) -> None:
        """Hand over what has come until a moment."""
        with self._changed:
            packets = []
            while self._packets and self._packets[0][0] <= until:
                packets.append(self._packets.popleft())
        for arrived, codec, packet in packets:
            self._hearing.put(
                arrived,
                codec,
                packet.ssrc,
                packet.sequence_number,
                packet.timestamp,
                packet.payload,
            )

    def _play(self, due: float, *, unheard: bool = False) -> None:
        frame = self._hearing.next(due)
        if frame is not None and not unheard:
            self._frames.put(frame)


class VideoDecoding(_Decoding):
    """Decodes pictures as they come.

    Args:
        frames: Where they go.
        ask_for_key_frame: Is called where the decoder cannot go on without one; from any thread.
        pool: What it shares with the other tracks of its connection, and how large pictures may be.
    """

    def __init__(
        self,
        frames: FrameQueue[AudioFrame | VideoFrame],
        ask_for_key_frame: Callable[[], None],
        pool: DecoderPool | None = None,
    ) -> None:
        self._ask_for_key_frame = ask_for_key_frame
        self._refused = Refusals("decoding")
        self._backlog: Backlog[tuple[RTCRtpCodecParameters, JitterFrame]] = Backlog()
        self._needs_key_frame = False
        self._asked_at = float("-inf")
        super().__init__(frames, "video-decoder", pool)
        self._sizes = Sizes(self._pool.most_pixels)

    @property
    def dropped(self) -> int:
        """How many pictures were not decoded, for want of time or because they are too large."""
        return self._backlog.dropped + self._refused.count + self.turned_away

    def put(self, task: tuple[RTCRtpCodecParameters, JitterFrame]) -> None:
        """Take an encoded picture and its codec."""
        codec, picture = task
        key_frame = is_key_frame(codec.name, picture.data)
        with self._changed:
            if not self._runs():
                self.turned_away += 1
                self._backlog.begin_anew()
                return
            ask = self._backlog.put(
                time.monotonic(), task, is_key_frame=key_frame, size=len(picture.data)
            )
            self._changed.notify()
        if ask:
            self._ask_for_key_frame()

    def _decode(self) -> None:
        decoder: Decoder | None = None
        name = ""
        while (task := self._take()) is not None:
            codec, picture = task
            if decoder is None or codec.name != name:
                decoder, name = get_decoder(codec), codec.name
                context = getattr(decoder, "codec", None)
                if isinstance(context, av.VideoCodecContext):
                    # More than is let through, since it counts whole macroblocks.
                    context.options = {"max_pixels": str(2 * self._sizes.most)}
            if not self._takes(name, picture.data):
                continue
            try:
                frames = decoder.decode(picture)
            except av.FFmpegError as error:
                # The decoder stays: a new one could do nothing before the next key frame either.
                logger.warning("a picture in %s was not decoded: %s", name, error)
                self._ask_for_key_frame()
                continue
            for frame in frames:
                if isinstance(frame, VideoFrame):
                    _tell_colours(frame)
                    if frame.width * frame.height > _LARGE and len(self._frames) > 1:
                        self._frames.drop()
                    self._frames.put(frame)

    def _take(self) -> tuple[RTCRtpCodecParameters, JitterFrame] | None:
        with self._changed:
            while not self._closing:
                if (task := self._backlog.take()) is not None:
                    return task
                if not self._changed.wait(IDLE) and not len(self._backlog):
                    # Its decoder goes with it.
                    self._backlog.begin_anew()
                    self._thread = None
                    return None
            return None

    def _takes(self, codec: str, data: bytes) -> bool:
        """Return whether a picture may be decoded; where not, those that need it are not either."""
        size = announced(codec, data)
        if size is not None:
            now = time.monotonic()
            reason = self._sizes.refusal(now, size)
            if reason is None and not self._pool.reserve(
                threading.current_thread(), self._sizes.pixels
            ):
                reason = "the tracks of this connection have too many pixels together"
            if reason is not None:
                self._refused.note(ValueError(reason))
                self._needs_key_frame = True
                if now - self._asked_at >= _PLEA:
                    self._asked_at = now
                    self._ask_for_key_frame()
                return False
        if self._needs_key_frame:
            if is_key_frame(codec, data):
                self._needs_key_frame = False
            elif size is None:
                self._refused.count += 1
                return False
        return True


def _tell_colours(frame: VideoFrame) -> None:
    """Have a picture say how it is to be read, where its stream does not: as WebRTC has it."""
    if frame.color_range == ColorRange.UNSPECIFIED:
        frame.color_range = ColorRange.MPEG
    if frame.colorspace == _UNSPECIFIED:
        frame.colorspace = BT601

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

from icefloe.encoding import Refusals
from icefloe.encoding.pictures import BT601
from icefloe.logs import get_logger

from .backlog import Backlog, is_key_frame
from .frames import FrameQueue
from .hearing import AudioStats, Hearing
from .playout import STEP

_UNSPECIFIED = 2
"""The matrix of a stream that does not tell it (ITU-T H.273 section 8.3)."""

MOST_PIXELS = 36_000_000
"""Pixels of a picture at most: 8K has 33 million. A decoder keeps several, and ten bytes
can announce 268 million."""

_BEHIND = 0.2
"""Seconds after which time that nobody heard is passed over, as after a machine has slept."""
_PACKETS = 500
"""Packets of audio that wait for the thread at most."""
_KEPT, _LATEST = 1.0, 0.1
"""Seconds of audio that wait while nobody listens, and how much of it is heard by who comes then:
the rest tells how unevenly packets come, and has the decoder in step."""

logger = get_logger(__name__)


class _Decoding:
    """A thread that decodes for one track.

    Args:
        frames: Where the frames go.
        name: The name of the thread, for a debugger's list.
    """

    def __init__(self, frames: FrameQueue[AudioFrame | VideoFrame], name: str) -> None:
        self._frames = frames
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._closing = False
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Have the thread end soon. Returns at once; may be called again."""
        with self._changed:
            self._closing = True
            self._changed.notify()

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
        self._thread.join()
        return True

    def _run(self) -> None:
        try:
            self._decode()
        except Exception:
            logger.exception("a decoder failed, and its track ends")
        finally:
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
    """

    def __init__(self, frames: FrameQueue[AudioFrame | VideoFrame], hearing: Hearing) -> None:
        self._hearing = hearing
        self._packets: deque[tuple[float, RTCRtpCodecParameters, RtpPacket]] = deque(
            maxlen=_PACKETS
        )
        self._idle = self._asleep = False
        frames.on_return = self._wake
        super().__init__(frames, "audio-decoder")

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
            if self._asleep:
                self._forget(now - _KEPT)
            elif self._idle:
                self._changed.notify()

    def _wake(self) -> None:
        with self._changed:
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
                    self._changed.wait()
                    continue
                if self._asleep:
                    break
                self._idle = self._hearing.is_idle and not self._packets
                left = None if self._idle else due - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            return not self._closing

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
    """

    def __init__(
        self,
        frames: FrameQueue[AudioFrame | VideoFrame],
        ask_for_key_frame: Callable[[], None],
    ) -> None:
        self._ask_for_key_frame = ask_for_key_frame
        self._refused = Refusals("decoding")
        self._backlog: Backlog[tuple[RTCRtpCodecParameters, JitterFrame]] = Backlog()
        super().__init__(frames, "video-decoder")

    @property
    def dropped(self) -> int:
        """How many pictures were not decoded, for want of time or because they are too large."""
        return self._backlog.dropped + self._refused.count

    def put(self, task: tuple[RTCRtpCodecParameters, JitterFrame]) -> None:
        """Take an encoded picture and its codec."""
        codec, picture = task
        key_frame = is_key_frame(codec.name, picture.data)
        with self._changed:
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
                    context.options = {"max_pixels": str(MOST_PIXELS)}
            if (pixels := _announced(name, picture.data)) > MOST_PIXELS:
                self._refused.note(ValueError(f"{pixels} pixels are more than {MOST_PIXELS}"))
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
                    self._frames.put(frame)

    def _take(self) -> tuple[RTCRtpCodecParameters, JitterFrame] | None:
        with self._changed:
            while not self._closing:
                if (task := self._backlog.take()) is not None:
                    return task
                self._changed.wait()
            return None


def _tell_colours(frame: VideoFrame) -> None:
    """Have a picture say how it is to be read, where its stream does not: as WebRTC has it."""
    if frame.color_range == ColorRange.UNSPECIFIED:
        frame.color_range = ColorRange.MPEG
    if frame.colorspace == _UNSPECIFIED:
        frame.colorspace = BT601


def _announced(codec: str, data: bytes) -> int:
    """Return how many pixels a key frame of VP8 has (RFC 6386 section 9.1); 0 for what is none.

    libvpx does not look at what FFmpeg limits, as other decoders do.
    """
    if codec.upper() != "VP8" or len(data) < 10 or data[0] & 1:
        return 0
    width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    return width * height

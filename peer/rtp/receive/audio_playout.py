"""Playout of one received audio track: packets of the event loop in, frames of 20 ms out.

It is a player of the event loop's :class:`~icefloe.peer.rtp.receive.playout_clock.PlayoutClock`.
"""

import asyncio
import time
from collections import deque
from logging import Logger

from aiortc import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket

from icefloe.logs import get_logger

from .audio_receiver import AudioReceiver, AudioStats
from .decoder_pool import DecoderPool
from .jitter_buffer import STEP
from .playout_clock import playout_clock
from .remote_track import AnyFrame, FrameQueue

_MAX_PACKETS = 500
"""Maximum audio packets queued for the decoder."""
_LATE = 0.03
"""Seconds of lateness of the clock from which nothing is made up: sound that has not come is waited
for, which costs delay and is cut off later by time stretching."""
_KEPT_SECONDS, _PLAYED_SECONDS = 1.0, 0.1
"""Seconds of audio packets that are kept while nobody reads the track, and seconds of them that are
played when reading resumes. The rest trains the jitter buffer and the decoder."""

logger: Logger = get_logger(__name__)


class AudioPlayout:
    """Plays received audio: one frame every 20 ms by the clock, while the track is read.

    While the track is not read, the packets of the last second are kept. When reading resumes, they
    are processed at once, so that the newest ones are played as if nothing had happened.

    Args:
        frames: Queue for the decoded frames.
        audio: The audio receiver, with jitter buffer and decoder.
        pool: Resources shared with the other tracks of the connection.

    Attributes:
        frames: See above.
        not_admitted: Number of packets refused because the pool is full.
    """

    def __init__(
        self, frames: FrameQueue[AnyFrame], audio: AudioReceiver, pool: DecoderPool | None = None
    ) -> None:
        self.frames = frames
        self.not_admitted: int = 0
        self._audio = audio
        self._pool = pool or DecoderPool()
        self._loop = asyncio.get_running_loop()
        self._clock = playout_clock()
        self._packets: deque[tuple[float, RTCRtpCodecParameters, RtpPacket]] = deque(
            maxlen=_MAX_PACKETS
        )
        self._has_place = self._is_playing = self._paused = self._closing = False
        self._ended = asyncio.Event()
        frames.on_return = self._resume

    @property
    def stats(self) -> AudioStats:
        """Counters of the audio receiver."""
        return self._audio.stats

    @property
    def is_paused(self) -> bool:
        """True if nothing is decoded because nobody reads the track."""
        return self._paused

    def put(self, codec: RTCRtpCodecParameters, packet: RtpPacket) -> None:
        """Add a packet that has just arrived."""
        now = time.monotonic()
        with self._clock.changed:
            self._packets.append((now, codec, packet))
            if self._is_playing:
                return
            if self._paused and self.frames.is_abandoned:
                self._forget(now - _KEPT_SECONDS)
            elif not self._start():
                self.not_admitted += len(self._packets)
                self._packets.clear()

    def close(self) -> None:
        """Request the end. Returns at once; idempotent."""
        with self._clock.changed:
            if not self._closing:
                self._closing = True
                self._clock.close(self)

    async def closed(self, timeout: float) -> bool:
        """Wait until it has ended, and the clock's thread if this was the last track.

        Args:
            timeout: Maximum seconds to wait.

        Returns:
            Whether it has ended.

        Cancellation: safe.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._ended.wait()
                await self._clock.wait_until_unused()
        except TimeoutError:
            logger.warning("a track's decoder did not end within %g s", timeout)
            return False
        return True

    # What follows is called by the clock, in its thread.

    def play(self, due: float) -> bool:
        if self.frames.is_abandoned:
            if not self._paused:
                self._paused = True
                self._audio.pause()
            return False
        if self._paused:
            self._catch_up(time.monotonic())
            return True
        now = time.monotonic()
        self._take(now)
        if now - due > _LATE and self._audio.lacks_audio:
            return False  # the event loop was as late, and has not read the socket yet
        return self._play(due)

    def wants_to_play(self) -> bool:
        self._is_playing = not (self._paused and self.frames.is_abandoned) and not (
            self._audio.is_idle and not self._packets
        )
        return self._is_playing

    def give_up_place(self) -> None:
        if self._has_place:
            self._has_place = False
            self._pool.leave(self)

    def end(self) -> None:
        self._closing, self._is_playing = True, False
        self.give_up_place()
        self._packets.clear()
        self.frames.end()
        try:
            self._loop.call_soon_threadsafe(self._ended.set)
        except RuntimeError:
            logger.debug("decoding.ended reason=loop-closed")

    def _start(self) -> bool:
        """Begin to play; return whether it is possible. The lock must be held."""
        if self._closing:
            return False
        if not self._has_place:
            self._has_place = self._pool.enter()
        self._is_playing = self._has_place and self._clock.start(self)
        if not self._is_playing:
            self.give_up_place()
        return self._is_playing

    def _resume(self) -> None:
        """Go on: the track is read again."""
        with self._clock.changed:
            if self._paused:
                self._start()

    def _forget(self, before: float) -> None:
        while self._packets and self._packets[0][0] < before:
            self._packets.popleft()

    def _catch_up(self, now: float) -> None:
        """Process the kept packets."""
        with self._clock.changed:
            self._paused = False
            self._forget(now - _KEPT_SECONDS)
        for left in range(round(_KEPT_SECONDS / STEP), 0, -1):
            due = now - left * STEP
            self._take(due)
            self._play(due, discard=left * STEP > _PLAYED_SECONDS)

    def _take(self, until: float) -> None:
        """Pass the packets that arrived until a time to the audio receiver."""
        with self._clock.changed:
            packets = []
            while self._packets and self._packets[0][0] <= until:
                packets.append(self._packets.popleft())
        for arrived, codec, packet in packets:
            self._audio.put(
                arrived,
                codec,
                packet.ssrc,
                packet.sequence_number,
                packet.timestamp,
                packet.payload,
            )

    def _play(self, due: float, *, discard: bool = False) -> bool:
        frame = self._audio.next(due)
        return frame is not None and not discard and self.frames.add(frame)

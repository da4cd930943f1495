"""Audio track with a queue that a program pushes audio into, such as synthesized speech."""

import asyncio
from collections import deque
from fractions import Fraction
from typing import Literal

from av import AudioFrame

from icefloe.encoding.sound import LAYOUTS

from .._util.buffer import ArrayData
from .._util.clock import Clock
from .._util.wakeup import Signal
from ..errors import InvalidParameter, NobodyListens, TrackEnded
from .paced_track import PacedTrack
from .pcm import FRAME_SAMPLES, SAMPLE_RATE, PcmConverter, PcmFormat, read_pcm
from .reader_presence import READER_GRACE, ReaderPresence

_CATCH_UP = 0.2
_CHUNK = 1.0
"""Seconds of audio that are converted at a time, so that long audio starts without delay."""

_INLINE_CONVERSION = 128 * 1024
"""Bytes up to which conversion takes about 0.2 ms, less than the hand-over to a thread."""

_MIN_CAPACITY = 0.1


class QueuedAudio:
    """Audio that ``push()`` has added to an ``AudioQueue``."""

    __slots__ = ("_changed", "_cleared", "_complete", "_enqueued", "_played", "_presence")

    def __init__(self, presence: ReaderPresence) -> None:
        self._presence = presence
        self._enqueued = self._played = 0
        self._complete = self._cleared = False
        self._changed = Signal()

    @property
    def played(self) -> float:
        """Seconds of it that were delivered to the reader of the track."""
        return self._played / SAMPLE_RATE

    @property
    def cleared(self) -> bool:
        """True if a part of it will never be played.

        The queue was cleared, the track has ended, or its reader has left.
        """
        return self._cleared

    @property
    def finished(self) -> bool:
        """True if nothing of it is left to play."""
        return self._cleared or (self._complete and self._played == self._enqueued)

    async def wait(self) -> bool:
        """Wait until nothing of it is left to play.

        Returns:
            True if all of it was played; false if the queue was cleared before, also because its
            reader has left: its connection was closed, or the queue was not read for 5 s.

        Cancellation: safe.
        """
        began = self._presence.now()
        while not self.finished:
            if await self._presence.wait(self._changed, began):
                self._clear()
        return not self._cleared

    def _take(self, samples: int) -> None:
        self._played += samples
        if self.finished:
            self._changed.wake()

    def _finish(self) -> None:
        self._complete = True
        self._changed.wake()

    def _clear(self) -> None:
        if not self.finished:
            self._cleared = True
            self._changed.wake()


class AudioQueue(PacedTrack):
    """An audio track that plays pushed audio, and silence while its queue is empty.

    Audio of any sample rate and length becomes frames of 20 ms in 48 kHz ``s16``, paced by the
    clock. Consecutive pushes of the same format are joined without clicks. Timestamps advance by
    the clock, also during silence, so the audio stays synchronized with video that is paced by the
    same clock.

    A reader that is late by up to 0.2 s gets the frames that it missed without waiting; if it is
    later, timestamps skip the time, and no audio is lost.

    Audio that is pushed before there is a reader waits for it. A reader has left when its peer
    connection is closed, or when it has not read for 5 s while a call of ``push()``, ``drain()`` or
    ``wait()`` is pending. Then the queue is cleared and these calls return or raise. The queue
    itself stays usable: another connection may read it.

    Args:
        capacity: Maximum seconds of audio in the queue, 0.1 to 3600.
        channels: Output channels, 1 or 2.
        clock: Paces the frames; the monotonic clock of the machine if ``None``.

    Raises:
        InvalidParameter: ``capacity`` or ``channels`` is out of range.
    """

    kind = "audio"

    def __init__(
        self, *, capacity: float = 30.0, channels: Literal[1, 2] = 1, clock: Clock | None = None
    ) -> None:
        if not _MIN_CAPACITY <= capacity <= 3600:
            raise InvalidParameter("capacity", capacity, "give 0.1 to 3600 seconds")
        if channels not in (1, 2):
            raise InvalidParameter("channels", channels, "give 1 or 2")
        super().__init__(Fraction(50), _CATCH_UP, clock)
        self._capacity = int(capacity * SAMPLE_RATE)
        self._channels = channels
        self._sample_bytes = channels * 2
        self._pieces: deque[tuple[bytes, QueuedAudio]] = deque()
        self._offset = 0
        self._samples = 0
        self._layout: PcmFormat | None = None
        self._converter: PcmConverter | None = None
        self._presence = ReaderPresence(self._clock, self._clear_unread)
        self._last_pushed = QueuedAudio(self._presence)
        self._push_lock = asyncio.Lock()
        self._room = Signal()
        self._epoch = 0

    @property
    def buffered(self) -> float:
        """Seconds of audio in the queue."""
        return self._samples / SAMPLE_RATE

    async def push(
        self,
        pcm: ArrayData,
        rate: int,
        *,
        channels: int | None = None,
        dtype: Literal["int16", "float32"] | None = None,
    ) -> QueuedAudio:
        """Add audio; wait while the queue is full.

        Args:
            pcm: ``bytes``, or an array of ``int16`` or ``float32`` (-1 to 1) in native byte order,
                of the shape ``(samples,)`` or ``(samples, channels)``; interleaved. It must not
                change before ``push()`` returns.
            rate: Sample rate, in hertz, 4000 to 384000.
            channels: 1 to 8; that of the array, or 1, if ``None``.
            dtype: Sample type of ``bytes``; ``int16`` if ``None``.

        Returns:
            The added audio. All of it is in the queue, or was cleared in the meantime.

        Raises:
            InvalidParameter: The audio has another format.
            TrackEnded: The track was stopped.
            NobodyListens: The reader has left; a part of the audio may have been played.

        Cancellation: safe; audio that is in the queue by then is played.
        """
        data, layout = read_pcm(pcm, rate, channels, dtype)
        piece, epoch = QueuedAudio(self._presence), self._epoch
        chunk = int(_CHUNK * rate) * layout.sample_bytes
        try:
            # Concurrent pushes are played in the order of the calls.
            async with self._push_lock:
                for start in range(0, len(data), chunk):
                    part = data[start : start + chunk]
                    await self._wait_for_room(epoch, round(_duration(part, layout) * SAMPLE_RATE))
                    if epoch == self._epoch:
                        await self._convert(part, layout, piece, epoch)
                        await asyncio.sleep(0)
                if epoch == self._epoch:
                    self._last_pushed = piece
        finally:
            if epoch != self._epoch:
                piece._clear()
            piece._finish()
        if epoch != self._epoch and self._presence.has_left:
            raise NobodyListens(READER_GRACE)
        return piece

    def try_push(
        self,
        pcm: ArrayData,
        rate: int,
        *,
        channels: int | None = None,
        dtype: Literal["int16", "float32"] | None = None,
    ) -> QueuedAudio | None:
        """Add at most 1 s of audio like ``push()``, without waiting.

        Returns:
            The added audio; ``None`` if the queue has no room, or a ``push()`` is pending.

        Raises:
            InvalidParameter: The audio has another format, or is longer than 1 s.
            TrackEnded: The track was stopped.
        """
        data, layout = read_pcm(pcm, rate, channels, dtype)
        if (seconds := _duration(data, layout)) > _CHUNK:
            raise InvalidParameter("pcm", seconds, "give at most 1 s, or use push()")
        self._check_live()
        samples = round(seconds * SAMPLE_RATE)
        if self._push_lock.locked() or not self._fits(samples):
            return None
        piece = QueuedAudio(self._presence)
        before = self._use_layout(layout)
        self._append(before, self._last_pushed)
        assert self._converter is not None
        self._append(self._converter.convert(data), piece)
        self._last_pushed = piece
        piece._finish()
        return piece

    def clear(self) -> float:
        """Drop all unplayed audio, also that of a pending ``push()``.

        The next frame is silent unless audio is pushed before.

        Returns:
            Seconds of audio that were in the queue.
        """
        dropped = self.buffered
        self._epoch += 1
        for _, piece in self._pieces:
            piece._clear()
        self._pieces.clear()
        self._offset = self._samples = 0
        self._layout = self._converter = None
        self._room.wake()
        return dropped

    async def drain(self) -> None:
        """Wait until all pushed audio was played or cleared, or the reader has left.

        Cancellation: safe.
        """
        began = self._clock.now()
        while self.readyState == "live" and (self._samples or self._push_lock.locked()):
            if await self._presence.wait(self._room, began):
                return

    def reader_left(self) -> None:
        """Clear the queue because the reader has left; a sender calls this when it ends."""
        self._presence.leave()

    def _clear_unread(self) -> None:
        self.clear()

    async def recv(self) -> AudioFrame:
        """Return the next 20 ms when they are due, padded with silence.

        Raises:
            MediaStreamError: The track was stopped.

        Cancellation: safe; no audio is lost.
        """
        self._presence.read()
        number = await self._next_number()
        self._presence.read()
        frame = AudioFrame("s16", LAYOUTS[self._channels], FRAME_SAMPLES)
        data = self._take(FRAME_SAMPLES * self._sample_bytes)
        frame.planes[0].update(data.ljust(FRAME_SAMPLES * self._sample_bytes, b"\0"))
        frame.sample_rate = SAMPLE_RATE
        frame.pts = number * FRAME_SAMPLES
        frame.time_base = Fraction(1, SAMPLE_RATE)
        return frame

    def stop(self) -> None:
        """End the track and drop all unplayed audio."""
        super().stop()
        self.clear()

    def _check_live(self) -> None:
        if self.readyState != "live":
            raise TrackEnded("the audio queue was stopped; make another one")

    def _fits(self, samples: int) -> bool:
        # An empty queue accepts audio that is longer than its capacity.
        return not self._samples or self._samples + samples <= self._capacity

    async def _wait_for_room(self, epoch: int, samples: int) -> None:
        self._check_live()
        began = self._clock.now()
        while epoch == self._epoch and not self._fits(samples):
            await self._presence.wait(self._room, began)
        self._check_live()

    async def _convert(
        self, part: memoryview, layout: PcmFormat, piece: QueuedAudio, epoch: int
    ) -> None:
        before = self._use_layout(layout)
        converter = self._converter
        assert converter is not None
        if len(part) <= _INLINE_CONVERSION:
            after = converter.convert(part)
        else:
            try:
                after = await asyncio.to_thread(converter.convert, part)
            except asyncio.CancelledError:
                # The thread still uses the converter, so the next call needs another one.
                if self._converter is converter:
                    self._layout = self._converter = None
                raise
        if epoch == self._epoch:
            self._append(before, self._last_pushed)
            self._append(after, piece)

    def _use_layout(self, layout: PcmFormat) -> bytes:
        """Use a converter for ``layout``; flush the previous one and return its samples."""
        if layout == self._layout:
            return b""
        rest = self._converter.finish() if self._converter else b""
        self._layout = layout
        self._converter = PcmConverter(layout, self._channels)
        return rest

    def _append(self, data: bytes, piece: QueuedAudio) -> None:
        if data:
            self._pieces.append((data, piece))
            self._samples += len(data) // self._sample_bytes
            piece._enqueued += len(data) // self._sample_bytes

    def _take(self, size: int) -> bytes:
        taken = self._take_queued(size)
        if len(taken) < size and not self._push_lock.locked() and self._converter is not None:
            # No audio follows for now, so flush the converter.
            self._append(self._converter.finish(), self._last_pushed)
            self._layout = self._converter = None
            taken += self._take_queued(size - len(taken))
        self._room.wake()
        return bytes(taken)

    def _take_queued(self, size: int) -> bytearray:
        taken = bytearray()
        while self._pieces and len(taken) < size:
            data, piece = self._pieces[0]
            part = data[self._offset : self._offset + size - len(taken)]
            taken += part
            self._offset += len(part)
            self._samples -= len(part) // self._sample_bytes
            if self._offset == len(data):
                self._pieces.popleft()
                self._offset = 0
            piece._take(len(part) // self._sample_bytes)
        return taken


def _duration(data: memoryview, layout: PcmFormat) -> float:
    return len(data) / layout.sample_bytes / layout.rate

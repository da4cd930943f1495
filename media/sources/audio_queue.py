"""Sound that a program makes, such as synthesised speech, put into a track piece by piece."""

import asyncio
from collections import deque
from collections.abc import Callable
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

_CATCH_UP = 0.2
_CHUNK = 1.0
"""Seconds that are converted at a time, so that a long piece starts to sound at once."""

_SMALL = 128 * 1024
"""Bytes up to which converting, at some 0.2 ms, takes less time than handing it to a thread."""

_MIN_CAPACITY = 0.1

PATIENCE = 5.0
"""Seconds for which whoever waits for a queue waits for its reader to come back."""


class _Attendance:
    """Whether somebody reads a queue: somebody may yet come, is there, or has left.

    Args:
        clock: Tells the time.
        left: Called when the reader is taken to have left for good.
    """

    def __init__(self, clock: Clock, left: Callable[[], None]) -> None:
        self._clock = clock
        self._left = left
        self._since: float | None = None
        self.has_left = False

    def read(self) -> None:
        """Note that the queue was read."""
        self._since = self._clock.now()
        self.has_left = False

    def leave(self) -> None:
        """Note that the reader says that it leaves."""
        self._since = self._clock.now() - PATIENCE
        self._give_up()

    def now(self) -> float:
        """Return the time in seconds."""
        return self._clock.now()

    def _give_up(self) -> None:
        self.has_left = True
        self._left()

    async def wait(self, changed: Signal, began: float) -> bool:
        """Wait for a change; or, once the queue was read, for nobody to read it any more.

        Args:
            changed: Wakes when there may be a change.
            began: When the waiting began, in seconds; the reader has as long from then on too.

        Returns:
            Whether there is nothing to wait for any more.

        Cancellation: safe.
        """
        if self._since is None:
            await changed.wait()
            return False
        until = max(self._since, began) + PATIENCE
        if self._clock.now() < until:
            await changed.wait_until(self._clock, until)
            return False
        self._give_up()
        return True


class QueuedAudio:
    """One piece of sound in an ``AudioQueue``, as ``push()`` returns it."""

    __slots__ = ("_attendance", "_changed", "_cleared", "_complete", "_enqueued", "_played")

    def __init__(self, attendance: _Attendance) -> None:
        self._attendance = attendance
        self._enqueued = self._played = 0
        self._complete = self._cleared = False
        self._changed = Signal()

    @property
    def played(self) -> float:
        """How many seconds of it were handed out to the track's reader."""
        return self._played / SAMPLE_RATE

    @property
    def cleared(self) -> bool:
        """Whether some of it will never be played: the queue was cleared, the track has ended, or
        its reader has left."""
        return self._cleared

    @property
    def finished(self) -> bool:
        """Whether nothing of it is left to be played."""
        return self._cleared or (self._complete and self._played == self._enqueued)

    async def wait(self) -> bool:
        """Wait until it is finished.

        Returns:
            True if all of it was played, False if the queue was cleared before, also because its
            reader has left: the peer is gone, or nobody has read it for 5 s.

        Cancellation: safe.
        """
        began = self._attendance.now()
        while not self.finished:
            if await self._attendance.wait(self._changed, began):
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
    """Plays what is pushed into it, and silence when there is nothing.

    Sound of any rate and in pieces of any size becomes frames of 20 ms in 48 kHz ``s16``, paced by
    the clock. Pieces of the same layout follow each other without a seam. Timestamps grow by the
    clock, with silence as without: what is played is in step with a picture that is paced by the
    same clock.

    A reader that is late by up to 0.2 s gets the frames that it missed at once; for one that is
    later the track's time moves on, and no sound is lost.

    What is pushed before there is a reader waits for it. When the reader leaves, because its peer
    connection is closed or it has not read for 5 s while somebody waits here, what is in the queue
    is cleared and nobody waits any more. The queue itself goes on: another peer may read it.

    Args:
        capacity: Seconds of sound that wait at most.
        channels: 1 or 2, of what comes out.
        clock: Paces the frames; the monotonic clock of the machine if None.

    Raises:
        InvalidParameter: ``capacity`` is less than 0.1 s, or there are other ``channels``.
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
        self._attendance = _Attendance(self._clock, self._forget)
        self._last = QueuedAudio(self._attendance)
        self._turn = asyncio.Lock()
        self._room = Signal()
        self._epoch = 0

    @property
    def buffered(self) -> float:
        """Seconds of sound that wait to be played."""
        return self._samples / SAMPLE_RATE

    async def push(
        self,
        pcm: ArrayData,
        rate: int,
        *,
        channels: int | None = None,
        dtype: Literal["int16", "float32"] | None = None,
    ) -> QueuedAudio:
        """Add sound; wait while the queue is full.

        Args:
            pcm: ``bytes``, or an array of ``int16`` or ``float32`` (-1 to 1) in the machine's byte
                order, of the shape ``(samples,)`` or ``(samples, channels)``; interleaved. It must
                not change before ``push()`` returns.
            rate: Samples a second, 4000 to 384000.
            channels: 1 to 8; that of the array, or 1, if None.
            dtype: Of ``bytes``; ``int16`` if None.

        Returns:
            The piece, all of which is in the queue, or was cleared in the meantime.

        Raises:
            InvalidParameter: The sound has another layout.
            TrackEnded: The track was stopped.
            NobodyListens: The reader has left; a part of the sound may have been played.

        Cancellation: safe; what is in the queue by then is played.
        """
        data, layout = read_pcm(pcm, rate, channels, dtype)
        piece, epoch = QueuedAudio(self._attendance), self._epoch
        chunk = int(_CHUNK * rate) * layout.sample_bytes
        try:
            # One at a time: pieces are played in the order of the calls.
            async with self._turn:
                for start in range(0, len(data), chunk):
                    part = data[start : start + chunk]
                    await self._wait_for_room(epoch, round(_duration(part, layout) * SAMPLE_RATE))
                    if epoch == self._epoch:
                        await self._convert(part, layout, piece, epoch)
                        await asyncio.sleep(0)
                if epoch == self._epoch:
                    self._last = piece
        finally:
            if epoch != self._epoch:
                piece._clear()
            piece._finish()
        if epoch != self._epoch and self._attendance.has_left:
            raise NobodyListens(PATIENCE)
        return piece

    def try_push(
        self,
        pcm: ArrayData,
        rate: int,
        *,
        channels: int | None = None,
        dtype: Literal["int16", "float32"] | None = None,
    ) -> QueuedAudio | None:
        """Add sound like ``push()``, at most 1 s of it, or return None if there is no room now.

        There is none while a ``push()`` waits either.

        Raises:
            InvalidParameter: The sound has another layout, or is longer than 1 s.
            TrackEnded: The track was stopped.
        """
        data, layout = read_pcm(pcm, rate, channels, dtype)
        if (seconds := _duration(data, layout)) > _CHUNK:
            raise InvalidParameter("pcm", seconds, "longer than 1 s: use push()")
        self._check_live()
        samples = round(seconds * SAMPLE_RATE)
        if self._turn.locked() or not self._fits(samples):
            return None
        piece = QueuedAudio(self._attendance)
        before = self._use_layout(layout)
        self._append(before, self._last)
        assert self._converter is not None
        self._append(self._converter.convert(data), piece)
        self._last = piece
        piece._finish()
        return piece

    def clear(self) -> float:
        """Drop what was not played, also what a ``push()`` is about to add.

        The frame that is read next is silent, if nothing is pushed until then.

        Returns:
            How many seconds of sound were in the queue.
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
        """Wait until all that was pushed has been played or cleared, or the reader has left.

        Cancellation: safe.
        """
        began = self._clock.now()
        while self.readyState == "live" and (self._samples or self._turn.locked()):
            if await self._attendance.wait(self._room, began):
                return

    def reader_left(self) -> None:
        """Note that the one who read has left for good: a sender calls this when it ends."""
        self._attendance.leave()

    def _forget(self) -> None:
        self.clear()

    async def recv(self) -> AudioFrame:
        """Return the next 20 ms when they are due, filled up with silence.

        Raises:
            MediaStreamError: The track was stopped.

        Cancellation: safe; no sound is lost.
        """
        self._attendance.read()
        number = await self._next_number()
        self._attendance.read()
        frame = AudioFrame("s16", LAYOUTS[self._channels], FRAME_SAMPLES)
        data = self._take(FRAME_SAMPLES * self._sample_bytes)
        frame.planes[0].update(data.ljust(FRAME_SAMPLES * self._sample_bytes, b"\0"))
        frame.sample_rate = SAMPLE_RATE
        frame.pts = number * FRAME_SAMPLES
        frame.time_base = Fraction(1, SAMPLE_RATE)
        return frame

    def stop(self) -> None:
        """End the track; what was not played is dropped."""
        super().stop()
        self.clear()

    def _check_live(self) -> None:
        if self.readyState != "live":
            raise TrackEnded("the audio queue was stopped")

    def _fits(self, samples: int) -> bool:
        # What is larger than the queue has to fit into an empty one.
        return not self._samples or self._samples + samples <= self._capacity

    async def _wait_for_room(self, epoch: int, samples: int) -> None:
        self._check_live()
        began = self._clock.now()
        while epoch == self._epoch and not self._fits(samples):
            await self._attendance.wait(self._room, began)
        self._check_live()

    async def _convert(
        self, part: memoryview, layout: PcmFormat, piece: QueuedAudio, epoch: int
    ) -> None:
        before = self._use_layout(layout)
        converter = self._converter
        assert converter is not None
        if len(part) <= _SMALL:
            after = converter.convert(part)
        else:
            try:
                after = await asyncio.to_thread(converter.convert, part)
            except asyncio.CancelledError:
                # The thread is still at it, so nobody else may use the converter.
                if self._converter is converter:
                    self._layout = self._converter = None
                raise
        if epoch == self._epoch:
            self._append(before, self._last)
            self._append(after, piece)

    def _use_layout(self, layout: PcmFormat) -> bytes:
        """Have a converter for a layout; return what the one for another layout held back."""
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
        if len(taken) < size and not self._turn.locked() and self._converter is not None:
            # Nothing follows for now, so the last of it has no reason to wait.
            self._append(self._converter.finish(), self._last)
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

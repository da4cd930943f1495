"""Audio packetization: frames of any length are re-framed into 20 ms and paced. No I/O.

RFC 7587 section 4.2 recommends packets of 20 ms, and a jitter buffer expects packets at the rate at
which they are played. A track may deliver frames of a second or of 2.5 ms. Long frames are split,
short ones joined, and the pieces of a long frame become due one after the other.
"""

from collections import deque
from typing import NamedTuple

from av import AudioFrame

from .clock import SoundClock
from .sound import SoundConverter, SoundFormat, check_sound

PIECE_SECONDS = 0.02
"""Seconds of audio in a piece."""

TARGET_QUEUED_SECONDS = 1.0
"""Seconds of queued audio from which no more is requested, unless the last frame was longer."""

_EARLY_CREDIT = 0.25
"""Seconds of credit for audio that arrives ahead of schedule: it is sent at once while there is
credit. Audio that arrives faster than it is played waits."""
_CREDIT_RATE = 0.01
"""Seconds of credit regained per second: the clocks of sound cards differ by less."""
_PAUSE_LATENESS = 2.5
"""Seconds of lateness that restart the schedule. Audio that is less late may catch up."""
_WINDOW = 2.0
"""Seconds, up to twice as long, over which the minimum lateness is added to the schedule."""


class Piece(NamedTuple):
    """20 ms of audio.

    Attributes:
        data: Interleaved samples.
        position: Offset of its first sample from the start of the stream, in samples, including
            gaps.
        taken_at: Arrival time of the frame that contains its last sample, in seconds.
        is_mono: Whether its two channels are known to be the same.
    """

    data: bytes
    position: int
    taken_at: float
    is_mono: bool = False


class SendSchedule:
    """Send times of audio, computed from the arrival times of its frames.

    Audio that arrives at the rate of playout is sent at once, and late audio catches up. Within a
    long frame, each piece is due as much later as it begins later.
    """

    def __init__(self) -> None:
        self._offset: float | None = None
        self._credit = _EARLY_CREDIT
        self._last_arrival = 0.0
        self._min_lateness = self._previous_min_lateness = float("inf")
        self._window_start = 0.0

    def take(self, begin: float, now: float) -> None:
        """Update the schedule with the arrival of a frame.

        Args:
            begin: Offset of the frame from the start of the stream, in seconds.
            now: Arrival time, in seconds on a monotonic clock.
        """
        offset = now - begin
        late = offset - self._offset if self._offset is not None else _PAUSE_LATENESS
        self._credit = min(
            _EARLY_CREDIT, self._credit + max(0.0, now - self._last_arrival) * _CREDIT_RATE
        )
        self._last_arrival = now
        if self._offset is None or late >= _PAUSE_LATENESS:
            self._offset, self._credit = offset, _EARLY_CREDIT
            self._min_lateness = self._previous_min_lateness = float("inf")
            self._window_start = now
            return
        if late < 0:
            moved = -min(-late, self._credit)
            self._credit += moved
        else:
            if now - self._window_start > _WINDOW:
                self._previous_min_lateness, self._min_lateness, self._window_start = (
                    self._min_lateness,
                    late,
                    now,
                )
            self._min_lateness = min(self._min_lateness, late)
            moved = min(self._min_lateness, self._previous_min_lateness)
            if self._previous_min_lateness == float("inf"):
                moved = 0.0
        self._offset += moved
        self._min_lateness, self._previous_min_lateness = (
            self._min_lateness - moved,
            self._previous_min_lateness - moved,
        )

    def at(self, begin: float) -> float:
        """Return the send time of audio at offset ``begin``, on the clock of :meth:`take`."""
        return begin + (self._offset or 0.0)


class SoundQueue:
    """Queue of the audio of one track for an encoder; used by one thread at a time.

    Args:
        target: Format of the pieces.

    Attributes:
        clock: Computes the timestamps of the frames.
    """

    def __init__(self, target: SoundFormat) -> None:
        self.target = target
        self.clock: SoundClock = SoundClock(target.rate)
        self._samples = round(PIECE_SECONDS * target.rate)
        self._sample_bytes = target.sample_bytes
        self._piece_bytes = self._samples * self._sample_bytes
        self._converter = SoundConverter(target)
        self._schedule = SendSchedule()
        self._pending = bytearray()
        self._mono_bytes = 0
        """Bytes at the end of what is pending whose two channels are the same."""
        self._position = 0
        """Offset of the pending samples from the start of the stream, in samples."""
        self._pieces: deque[Piece] = deque()
        self._room = TARGET_QUEUED_SECONDS
        self._taken_at = 0.0
        self._rest = 0.0
        """Fraction of a sample that the clock has not counted yet."""

    def put(self, frame: object, now: float) -> None:
        """Add an audio frame.

        Args:
            frame: Audio of any format, with any timestamp or none.
            now: Arrival time, in seconds on a monotonic clock.

        Raises:
            UnusableSound: The frame cannot be used; the queue is unchanged.
        """
        usable = check_sound(frame)
        rate = self.target.rate
        held = round(self._converter.held * rate) * self._sample_bytes
        data = self._converter.convert(usable)
        exact = usable.samples * rate / usable.sample_rate + self._rest
        duration = round(exact)
        self._rest = exact - duration
        end = self.clock.end
        begin = self.clock.place(usable.pts, usable.time_base, duration, now)
        self._schedule.take(begin / rate, now)
        if begin > end:
            self._append(data[:held])
            self._skip(begin - end)
            data = data[held:]
        self._taken_at = now
        self._room = max(TARGET_QUEUED_SECONDS, duration / rate)
        self._append(data)

    def finish(self) -> None:
        """Flush the resampler at the end of the track, and pad the last piece with silence."""
        self._append(self._converter.finish())
        self._append(bytes(-len(self._pending) % self._piece_bytes))

    def take(self, now: float) -> Piece | None:
        """Take and return the next piece if it is due at ``now``, in seconds; else ``None``."""
        due = self.due()
        return self._pieces.popleft() if due is not None and due <= now else None

    def due(self) -> float | None:
        """Return the send time of the next piece, in seconds; ``None`` if the queue is empty."""
        return self._send_time(self._pieces[0]) if self._pieces else None

    def count_due(self, now: float) -> int:
        """Return how many pieces are due at ``now``, in seconds."""
        count = 0
        for piece in self._pieces:
            if self._send_time(piece) > now:
                break
            count += 1
        return count

    def is_prepared(self, frame: AudioFrame) -> bool:
        """Return whether a frame needs no new resampler; see :meth:`SoundConverter.is_prepared`."""
        return self._converter.is_prepared(frame)

    def has_room(self, now: float) -> bool:
        """Return whether to request more audio from the track: less than a second is queued."""
        return (
            not self._pieces
            or self._send_time(self._pieces[-1]) + PIECE_SECONDS - now <= self._room
        )

    def clear(self) -> None:
        """Drop the queued pieces."""
        self._pieces.clear()

    def _send_time(self, piece: Piece) -> float:
        return self._schedule.at(piece.position / self.target.rate)

    def _skip(self, samples: int) -> None:
        """Insert a gap. Pieces keep their 20 ms grid, and whole pieces of silence are left out."""
        silence = samples * self._sample_bytes
        first = min(silence, -len(self._pending) % self._piece_bytes)
        self._append(bytes(first))
        whole = (silence - first) // self._piece_bytes
        self._position += whole * self._samples
        self._append(bytes(silence - first - whole * self._piece_bytes))

    def _append(self, data: bytes) -> None:
        self._pending += data
        # What is pending may be of a frame before, which had two channels.
        self._mono_bytes = self._mono_bytes + len(data) if self._converter.is_doubled else 0
        size = self._piece_bytes
        whole = len(self._pending) // size * size
        for start in range(0, whole, size):
            piece = bytes(self._pending[start : start + size])
            is_mono = self._mono_bytes >= len(self._pending) - start
            self._pieces.append(Piece(piece, self._position, self._taken_at, is_mono))
            self._position += self._samples
        del self._pending[:whole]
        self._mono_bytes = min(self._mono_bytes, len(self._pending))

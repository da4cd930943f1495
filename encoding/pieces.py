"""Sound in pieces of 20 ms, each with its own time, which leave when it is their turn. No I/O.

RFC 7587 section 4.2 recommends packets of 20 ms, and a jitter buffer reckons with packets that come
as evenly as they are played. A track may give a second at once, or 2.5 ms: long frames are cut up,
short ones joined, and the pieces of a long one leave one after the other.
"""

from collections import deque
from dataclasses import dataclass

from .clock import SoundClock
from .sound import SoundConverter, SoundFormat, check_sound

PIECE = 0.02
"""Seconds of a piece."""

ROOM = 1.0
"""Seconds that wait before there is no room for more, unless the last frame was longer."""

_EARLY = 0.25
"""Seconds by which sound may come before its time, and leave at once all the same ..."""
_REGAINED = 0.01
"""... and how much of that is regained in a second: sound cards differ by less. What comes faster
than it can be played waits."""
_PAUSED = 2.5
"""Seconds of lateness after which the pieces are timed anew. What is less late may catch up."""
_WINDOW = 2.0
"""Seconds, up to twice as long, in which all frames were late before that is how it is."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of sound.

    Attributes:
        data: Samples, interleaved.
        position: Where it begins: samples since the beginning, silence included.
        taken_at: When the frame that its end is of came, in seconds.
    """

    data: bytes
    position: int
    taken_at: float


class Turns:
    """Says when sound leaves that came at some time. No I/O: the time is given.

    What comes as it is played leaves at once, and what comes late catches up. Of what comes in long
    frames each piece leaves as much later than the first as it begins later.
    """

    def __init__(self) -> None:
        self._offset: float | None = None
        self._credit = _EARLY
        self._at = 0.0
        self._least = self._least_before = float("inf")
        self._since = 0.0

    def take(self, begin: float, now: float) -> None:
        """Take note of a frame.

        Args:
            begin: Where it begins, in seconds of the sound.
            now: When it came, in seconds on a monotonic clock.
        """
        offset = now - begin
        late = offset - self._offset if self._offset is not None else _PAUSED
        self._credit = min(_EARLY, self._credit + max(0.0, now - self._at) * _REGAINED)
        self._at = now
        if self._offset is None or late >= _PAUSED:
            self._offset, self._credit = offset, _EARLY
            self._least = self._least_before = float("inf")
            self._since = now
            return
        if late < 0:
            moved = -min(-late, self._credit)
            self._credit += moved
        else:
            if now - self._since > _WINDOW:
                self._least_before, self._least, self._since = self._least, late, now
            self._least = min(self._least, late)
            moved = min(self._least, self._least_before)
            if self._least_before == float("inf"):
                moved = 0.0
        self._offset += moved
        self._least, self._least_before = self._least - moved, self._least_before - moved

    def at(self, begin: float) -> float:
        """Return when sound that begins there leaves, on the clock of :meth:`take`."""
        return begin + (self._offset or 0.0)


class SoundQueue:
    """The sound of one track on its way to an encoder; for one thread at a time.

    Args:
        target: What pieces are made of.

    Attributes:
        clock: Places the frames.
    """

    def __init__(self, target: SoundFormat) -> None:
        self.target = target
        self.clock = SoundClock(target.rate)
        self._samples = round(PIECE * target.rate)
        self._sample_bytes = target.sample_bytes
        self._piece_bytes = self._samples * self._sample_bytes
        self._converter = SoundConverter(target)
        self._turns = Turns()
        self._pending = bytearray()
        self._position = 0
        """Where what is pending begins."""
        self._pieces: deque[Piece] = deque()
        self._room = ROOM
        self._taken_at = 0.0
        self._rest = 0.0
        """The part of a sample by which the clock is behind what came."""

    def put(self, frame: object, now: float) -> None:
        """Add sound.

        Args:
            frame: Sound of any format, with any time or none.
            now: When it came, in seconds on a monotonic clock.

        Raises:
            UnusableSound: It cannot be used; it is as if it had not been given.
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
        self._turns.take(begin / rate, now)
        if begin > end:
            self._append(data[:held])
            self._leap(begin - end)
            data = data[held:]
        self._taken_at = now
        self._room = max(ROOM, duration / rate)
        self._append(data)

    def finish(self) -> None:
        """Add what is held back, filled up with silence: the track has ended."""
        self._append(self._converter.finish())
        self._append(bytes(-len(self._pending) % self._piece_bytes))

    def take(self, now: float) -> Piece | None:
        """Return the next piece if it leaves by now, in seconds."""
        due = self.due()
        return self._pieces.popleft() if due is not None and due <= now else None

    def due(self) -> float | None:
        """Return when the next piece leaves, in seconds; ``None`` if there is none."""
        return self._leaves(self._pieces[0]) if self._pieces else None

    def has_room(self, now: float) -> bool:
        """Whether the track may be asked for more: not much waits."""
        return not self._pieces or self._leaves(self._pieces[-1]) + PIECE - now <= self._room

    def clear(self) -> None:
        """Drop what waits: nobody is to hear it."""
        self._pieces.clear()

    def _leaves(self, piece: Piece) -> float:
        return self._turns.at(piece.position / self.target.rate)

    def _leap(self, samples: int) -> None:
        """Leave out so much; pieces stay on the grid, and there is none of nothing."""
        silence = samples * self._sample_bytes
        first = min(silence, -len(self._pending) % self._piece_bytes)
        self._append(bytes(first))
        whole = (silence - first) // self._piece_bytes
        self._position += whole * self._samples
        self._append(bytes(silence - first - whole * self._piece_bytes))

    def _append(self, data: bytes) -> None:
        self._pending += data
        size = self._piece_bytes
        whole = len(self._pending) // size * size
        for start in range(0, whole, size):
            piece = bytes(self._pending[start : start + size])
            self._pieces.append(Piece(piece, self._position, self._taken_at))
            self._position += self._samples
        del self._pending[:whole]

"""Packets of video put in order and together: whole pictures, as soon as they are whole. No I/O.

aiortc knows that a picture is whole once the next one begins, which is a picture's time too late:
33 ms at 30 a second. It also gives at most one picture for each packet that comes, so that what was
held up by a loss stays late for as long as pictures fit into one packet each.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

CAPACITY = 16384
"""Packets that are kept, from the first of the next picture on, those that are missing included. A
picture of 16 MB has as many; sequence numbers are told apart up to twice as far."""

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of payload that are kept, and so what a picture may have, with :data:`UNIT` for each of its
units. A key frame of 4K with grain has a third of that."""

UNIT = 1024
"""Bytes that a unit of H.264 counts beside its own: each is work for whoever reads a picture, and
16 MB could be millions, of a byte each."""

LEAP = 1024
"""Packets by which the number of one may be ahead of the newest: what is further has begun anew, or
comes after an outage of which nobody remembers enough to send it again."""

_STRAY = 1024
"""How far back a packet may be to be a late one, as SRTP has it; beyond it the numbers have begun
anew. What is sent again as such may be late by more."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Picture(Generic[T]):
    """An encoded picture.

    Attributes:
        codec: What :meth:`Assembly.put` was given with its first packet.
        timestamp: Of RTP.
        data: The payloads, one after the other.
    """

    codec: T
    timestamp: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Piece(Generic[T]):
    codec: T
    timestamp: int
    data: bytes
    cost: int
    is_last: bool
    is_malformed: bool


class Assembly(Generic[T]):
    """The packets of one stream of video."""

    def __init__(self) -> None:
        self._pieces: dict[int, _Piece[T]] = {}
        self._first = self._end = 0
        self._newest = -1
        self._begun = False
        self._trusts_marker = True
        self._gave: int | None = None
        self._spoiled: int | None = None
        self._held = 0
        """Bytes of payload that are kept, and what their units count."""

    @property
    def gap(self) -> int:
        """The number of the first packet that did not come, counted on beyond 16 bits."""
        return self._end

    @property
    def has_gap(self) -> bool:
        """Whether packets are missing between the first of the next picture and the newest one."""
        return len(self._pieces) <= self._newest - self._first

    def put(
        self,
        number: int,
        timestamp: int,
        data: bytes | None,
        codec: T,
        *,
        is_last: bool,
        is_again: bool = False,
        units: int = 0,
    ) -> bool:
        """Take a packet.

        Args:
            number: The sequence number, 16 bits.
            timestamp: Of RTP.
            data: The payload without what describes it; empty if it is padding, ``None`` if it is
                malformed, and the picture is to be given up.
            codec: Handed on with the picture.
            is_last: The marker bit: whether the picture ends with it.
            is_again: Whether it was sent again (RFC 4588).
            units: NAL units that begin in it.

        Returns:
            Whether pictures were given up, so that a key frame is needed.
        """
        given_up = is_malformed = data is None
        data = data or b""
        cost = len(data) + UNIT * units
        if not self._begun:
            self._begun = True
            self._begin_at(number)
        # The nearest number to the newest one that has these 16 bits.
        at = self._newest + ((number - self._newest + 0x8000) & 0xFFFF) - 0x8000
        if at < self._first:
            if is_again or self._first - at <= _STRAY:
                return False
            given_up = True
            self._begin_at(at)
        elif at - self._newest > LEAP:
            given_up = True
            self._begin_at(at)
        elif at in self._pieces:
            return False
        if at - self._first >= CAPACITY or self._held + cost > MOST_BYTES:
            given_up = True
            self._make_room(at, cost)
            if at < self._first:
                return True  # its place was given up
        self._pieces[at] = _Piece(codec, timestamp, data, cost, is_last, is_malformed)
        self._held += cost
        self._newest = max(self._newest, at)
        return given_up

    def take(self) -> Picture[T] | None:
        """Return the next picture if it is whole; to be called again until it is ``None``."""
        while (piece := self._pieces.get(self._end)) is not None:
            if piece.timestamp != self._pieces[self._first].timestamp:
                picture = self._cut()
            else:
                self._end += 1
                if not (piece.is_last and self._trusts_marker):
                    continue
                picture = self._cut()
            if picture is not None:
                return picture
        return None

    def skip(self) -> None:
        """Go on behind the gap, with the first picture that is whole at its beginning."""
        if not self.has_gap:
            return
        gap = self._newest
        while gap in self._pieces:
            gap -= 1
        self._go_on_behind(gap)

    def _cut(self) -> Picture[T] | None:
        pieces = [self._pop(at) for at in range(self._first, self._end)]
        self._first = self._end
        if any(piece.is_malformed for piece in pieces):
            self._spoiled = pieces[0].timestamp
            return None
        filled = [piece for piece in pieces if piece.data]
        if not filled:
            return None  # padding
        stamp = filled[0].timestamp
        if stamp == self._spoiled:
            return None
        # RFC 6184 section 5.1: the marker is an early indication, and not to be relied on.
        if stamp == self._gave:
            self._trusts_marker = False
        self._gave = stamp
        return Picture(filled[0].codec, stamp, b"".join(piece.data for piece in filled))

    def _pop(self, at: int) -> _Piece[T]:
        piece = self._pieces.pop(at)
        self._held -= piece.cost
        return piece

    def _begin_at(self, at: int) -> None:
        self._pieces.clear()
        self._held = 0
        self._first = self._end = at
        self._newest = at - 1

    def _go_on_behind(self, gap: int) -> None:
        """Give up what comes before the first picture after a packet that is missing."""
        at = gap + 1
        if (piece := self._pieces.get(at)) is not None:
            self._spoiled = piece.timestamp  # its beginning may be what is missing
            while (piece := self._pieces.get(at)) and piece.timestamp == self._spoiled:
                at += 1
        for old in range(self._first, at):
            if old in self._pieces:
                self._pop(old)
        self._first = self._end = at

    def _make_room(self, newest: int, size: int) -> None:
        """Give up the oldest pictures until a packet has its place."""

        def lacks_room() -> bool:
            return newest - self._first >= CAPACITY or self._held + size > MOST_BYTES

        while lacks_room() and self._first <= self._newest:
            gap = self._first
            while gap in self._pieces:
                gap += 1
            if gap > self._newest:  # a picture that is larger than all the room
                self._spoiled = self._pieces[self._newest].timestamp
                break
            while gap + 1 not in self._pieces:
                gap += 1
            self._go_on_behind(gap)
        if lacks_room():
            self._begin_at(newest)

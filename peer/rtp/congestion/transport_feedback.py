"""Transport-wide feedback: which packets arrived, and when.

RTCP transport-layer feedback with FMT 15, of draft-holmer-rmcat-transport-wide-cc-extensions-01.
A packet has statuses in chunks of two bytes (a run of equal ones, or a vector of single ones), then
a delta for each packet that was received. Does no I/O.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import Struct

from .errors import MalformedFeedback
from .rtcp_framing import MAX_SIZE, content_of, framed

FORMAT = 15
"""The feedback message type (FMT)."""

MAX_STATUSES = 1 << 15
"""Statuses of one packet, at most: half of all sequence numbers. With more of them it would be
unclear which packets are meant."""

TICKS_PER_SECOND = 4000
"""A delta counts 250 µs."""

REFERENCE_TICKS = 256
"""The reference time counts 64 ms."""

_PREFIX = Struct("!LLHHL")
_LOST, _SMALL, _LARGE = 0, 1, 2
"""Symbols of a status; their values are the bytes of the delta as well."""

_OVERHEAD = 4 + _PREFIX.size + 3
"""Bytes of a packet beside chunks and deltas, at most: both headers and the padding."""

_MAX_RUN = 0x1FFF
_MIN_DELTA, _MAX_DELTA = -(1 << 15), (1 << 15) - 1
_RUN = re.compile(rb"\x00{1,8191}|\x01{1,8191}|\x02{1,8191}")
_SINGLE_BITS = re.compile(rb"[\x00\x01]{1,14}")


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """One feedback packet.

    Only packets that were received are listed, since two bytes may say of 8,191 packets that they
    were not.

    Attributes:
        sender_ssrc: SSRC of the one who sends the feedback.
        media_ssrc: An SSRC of the media that it is about.
        base: Sequence number of the first packet that it covers, 16 bits.
        status_count: How many packets it covers, one after the other.
        reference_time: Multiple of 64 ms on the receiver's clock, 24 bits.
        feedback_count: Counts the feedback packets of the receiver, 8 bits.
        received: For each packet that arrived, in the order of the numbers, how many numbers it is
            after ``base``, and the seconds of its arrival since the reference time, possibly
            negative.
    """

    sender_ssrc: int
    media_ssrc: int
    base: int
    status_count: int
    reference_time: int
    feedback_count: int
    received: tuple[tuple[int, float], ...]

    @classmethod
    def parse(cls, packet: bytes) -> "TransportFeedback":
        """Parse an RTCP packet, header included. Its cost is bounded by its size.

        Raises:
            MalformedFeedback: It is not feedback of this kind, or invalid.
        """
        content = content_of(packet, FORMAT)
        if len(content) < _PREFIX.size:
            raise MalformedFeedback(len(packet), "it is truncated")
        sender_ssrc, media_ssrc, base, status_count, times = _PREFIX.unpack_from(content)
        if not 0 < status_count <= MAX_STATUSES:
            raise MalformedFeedback(len(packet), f"it covers {status_count} packets")
        symbols, at = _read_chunks(content, status_count, len(packet))
        received = []
        ticks = 0
        for offset, symbol in symbols:
            delta = content[at : at + symbol]
            if len(delta) < symbol:
                raise MalformedFeedback(len(packet), "deltas are missing")
            ticks += int.from_bytes(delta, "big", signed=symbol == _LARGE)
            received.append((offset, ticks / TICKS_PER_SECOND))
            at += symbol
        return cls(
            sender_ssrc, media_ssrc, base, status_count, times >> 8, times & 0xFF, tuple(received)
        )


def _read_chunks(content: bytes, status_count: int, size: int) -> tuple[list[tuple[int, int]], int]:
    """Return the offset and the symbol of each packet received, and where the deltas begin."""
    found: list[tuple[int, int]] = []
    at, offset = _PREFIX.size, 0
    while offset < status_count:
        if at + 2 > len(content):
            raise MalformedFeedback(size, "chunks are missing")
        chunk = content[at] << 8 | content[at + 1]
        at += 2
        left = status_count - offset
        if not chunk & 0x8000:
            symbol, run = chunk >> 13, min(chunk & _MAX_RUN, left)
            if not run:
                raise MalformedFeedback(size, "a run is empty")
            # Each needs a byte of those that are left, so that a short packet costs little.
            if symbol and run > len(content) - at:
                raise MalformedFeedback(size, "deltas are missing")
            if symbol:
                found += [(offset + index, symbol) for index in range(run)]
            offset += run
            continue
        width, total = (2, 7) if chunk & 0x4000 else (1, 14)
        mask = (1 << width) - 1
        for index in range(min(total, left)):
            symbol = chunk >> width * (total - 1 - index) & mask
            if symbol:
                found.append((offset + index, symbol))
        offset += min(total, left)
    if any(symbol > _LARGE for _, symbol in found):
        raise MalformedFeedback(size, "a status is reserved")
    return found, at


@dataclass(slots=True)
class FeedbackWriter:
    """Writer of feedback, which counts the packets it has written.

    Attributes:
        sender_ssrc: SSRC of the one who sends the feedback.
        media_ssrc: An SSRC of the media that it is about.
        max_size: Bytes of a packet, at most.
        count: The feedback packets written so far.
    """

    sender_ssrc: int = 0
    media_ssrc: int = 0
    max_size: int = MAX_SIZE
    count: int = 0

    def write(self, first: int, arrivals: Sequence[tuple[int, float]]) -> list[bytes]:
        """Return RTCP packets, header included, that tell about a range of packets.

        What does not fit into one of them, by its size, by a delta of more than 8 seconds or by
        its numbers, goes into the next.

        Args:
            first: Number of the first packet of the range, without wrap-around.
            arrivals: Number, likewise and ascending, and arrival of each packet that was received,
                in seconds on this machine's clock. The range ends with the last of them.
        """
        packets = []
        at = 0
        while at < len(arrivals):
            packet, first, at = self._write_one(first, arrivals, at)
            packets.append(packet)
        return packets

    def _write_one(
        self, first: int, arrivals: Sequence[tuple[int, float]], start: int
    ) -> tuple[bytes, int, int]:
        """Return a packet, the number after the last that it covers, and the next arrival."""
        # A range that is too long before its first packet is covered by its end alone.
        first = max(first, arrivals[start][0] - MAX_STATUSES + 1)
        reference = _ticks(arrivals[start][1]) // REFERENCE_TICKS
        symbols, deltas = bytearray(), []
        last, room = reference * REFERENCE_TICKS, self.max_size - _OVERHEAD
        for index in range(start, len(arrivals)):
            number, arrival = arrivals[index]
            delta = _ticks(arrival) - last
            symbol = _SMALL if 0 <= delta <= 0xFF else _LARGE
            room -= symbol
            if number - first >= MAX_STATUSES or room < 0 or not _MIN_DELTA <= delta <= _MAX_DELTA:
                break
            symbols += bytes(number - first - len(symbols))
            symbols.append(symbol)
            deltas.append(delta.to_bytes(symbol, "big", signed=symbol == _LARGE))
            last += delta
        chunks, covered, told = self._fitting_chunks(bytes(symbols))
        times = (reference & 0xFFFFFF) << 8 | self.count & 0xFF
        self.count += 1
        prefix = _PREFIX.pack(self.sender_ssrc, self.media_ssrc, first & 0xFFFF, covered, times)
        packet = framed(prefix + chunks + b"".join(deltas[:told]), FORMAT)
        return packet, first + covered, start + told

    def _fitting_chunks(self, symbols: bytes) -> tuple[bytes, int, int]:
        """Return the chunks for as many symbols as fit, these, and how many of them have a delta.

        The maximum size has room for the longest gap and a vector, so one with a delta always fits.
        """
        room = self.max_size - _OVERHEAD
        chunks = bytearray()
        covered = told = 0
        for chunk, part in _chunks(symbols):
            fits = room - 2 >= sum(part)
            if room < 3 or (not fits and chunk & 0x8000):
                break
            if not fits:  # a run can be cut
                part = part[: (room - 2) // part[0]]
                chunk = chunk & ~_MAX_RUN | len(part)
            if not part:
                break
            room -= 2 + sum(part)
            chunks += chunk.to_bytes(2, "big")
            covered += len(part)
            told += len(part) - part.count(_LOST)
            if not fits:
                break
        return bytes(chunks), covered, told


def _ticks(seconds: float) -> int:
    return round(seconds * TICKS_PER_SECOND)


def _chunks(symbols: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield chunks, and the symbols of each: the one that covers most of what is left."""
    at = 0
    while at < len(symbols):
        run = _RUN.match(symbols, at)
        bits = _SINGLE_BITS.match(symbols, at)
        left = len(symbols) - at
        length = len(run[0]) if run else 0
        vector = len(bits[0]) if bits else 0
        if vector < min(14, left):
            vector = 0  # a vector of single bits has no place for a large delta
        if length >= max(vector, min(7, left)):
            chunk = symbols[at] << 13 | length
        elif vector:
            length = vector
            chunk = 0x8000 | _packed(symbols[at : at + length], 1, 14)
        else:
            length = min(7, left)
            chunk = 0xC000 | _packed(symbols[at : at + length], 2, 7)
        yield chunk, symbols[at : at + length]
        at += length


def _packed(symbols: bytes, width: int, total: int) -> int:
    value = 0
    for symbol in symbols:
        value = value << width | symbol
    return value << width * (total - len(symbols))

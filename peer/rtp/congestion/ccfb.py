"""RTCP congestion control feedback (RFC 8888): arrival and ECN mark of packets, by SSRC.

RTCP transport-layer feedback with FMT 11. Each packet of a stream takes two bytes, so the cost of a
feedback packet is bounded by its size. Does no I/O.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import Struct

from .errors import MalformedFeedback
from .rtcp_framing import MAX_SIZE, content_of, framed

FORMAT = 11
"""The feedback message type (FMT)."""

MAX_STREAMS = 64
"""Streams of one packet, at most."""

MAX_REPORTS = 1 << 14
"""Packets of one stream in a report, at most: a quarter of all sequence numbers."""

UNITS_PER_SECOND = 1024
"""An arrival is told in units of 1/1024 seconds before the report."""

_STREAM = Struct("!LHH")
_LONG = Struct("!L")
_RECEIVED = 0x8000
_OVER_RANGE, _UNAVAILABLE = 0x1FFE, 0x1FFF
_OVERHEAD = 4 + 4 + 4
"""Bytes of the header, of the sender's SSRC and of the timestamp."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """The arrival of one packet.

    Attributes:
        age: Seconds from the arrival to the report; ``None`` if it is not known, or was more than
            8 seconds.
        ecn: The two bits of Explicit Congestion Notification (RFC 3168) that it came with.
    """

    age: float | None
    ecn: int = 0


@dataclass(frozen=True, slots=True)
class StreamReport:
    """The packets of one SSRC.

    Attributes:
        ssrc: The SSRC.
        begin: RTP sequence number of the first packet, 16 bits.
        arrivals: The arrival of each packet, one after the other; ``None`` if it did not come.
    """

    ssrc: int
    begin: int
    arrivals: tuple[Arrival | None, ...]


@dataclass(frozen=True, slots=True)
class CongestionFeedback:
    """One feedback packet.

    Attributes:
        sender_ssrc: SSRC of the one who sends the feedback.
        timestamp: When it was made: the middle 32 bits of an NTP timestamp, in 1/65536 seconds.
        streams: A report for each SSRC.
    """

    sender_ssrc: int
    timestamp: int
    streams: tuple[StreamReport, ...]

    @classmethod
    def parse(cls, packet: bytes) -> "CongestionFeedback":
        """Parse an RTCP packet, header included.

        Raises:
            MalformedFeedback: It is not feedback of this kind, or invalid.
        """
        content = content_of(packet, FORMAT)
        end = len(content) - 4
        if end < 4:
            raise MalformedFeedback(len(packet), "it is truncated")
        streams: list[StreamReport] = []
        at = 4
        while at < end:
            if at + _STREAM.size > end or len(streams) == MAX_STREAMS:
                raise MalformedFeedback(len(packet), "a stream is truncated, or there are too many")
            ssrc, begin, count = _STREAM.unpack_from(content, at)
            at += _STREAM.size
            size = 2 * count
            if count > MAX_REPORTS or at + size > end:
                raise MalformedFeedback(len(packet), f"there are no {count} reports")
            blocks = content[at : at + size]
            streams.append(StreamReport(ssrc, begin, tuple(_arrivals(blocks))))
            at += size + size % 4
        if at != end:
            raise MalformedFeedback(len(packet), "its end is not aligned")
        (sender_ssrc,), (timestamp,) = _LONG.unpack_from(content), _LONG.unpack_from(content, end)
        return cls(sender_ssrc, timestamp, tuple(streams))

    def serialize(self, max_size: int = MAX_SIZE) -> list[bytes]:
        """Return RTCP packets, header included: several if one of that size is too small.

        Args:
            max_size: Bytes of a packet, at most; 24 or more.
        """
        packets = []
        reports, room = bytearray(), max_size - _OVERHEAD
        for stream in self.streams:
            at = 0
            while at < max(len(stream.arrivals), 1):
                if room < _STREAM.size + 4:
                    packets.append(self._packet(reports))
                    reports, room = bytearray(), max_size - _OVERHEAD
                fitting = min((room - _STREAM.size) // 4 * 2, MAX_REPORTS)
                some = stream.arrivals[at : at + fitting]
                written = _written(stream.ssrc, stream.begin + at, some)
                reports += written
                room -= len(written)
                at += fitting
        packets.append(self._packet(reports))
        return packets

    def _packet(self, reports: bytes | bytearray) -> bytes:
        prefix, suffix = _LONG.pack(self.sender_ssrc), _LONG.pack(self.timestamp)
        return framed(prefix + bytes(reports) + suffix, FORMAT)


def _arrivals(blocks: bytes) -> Iterator[Arrival | None]:
    for at in range(0, len(blocks), 2):
        block = blocks[at] << 8 | blocks[at + 1]
        if not block & _RECEIVED:
            yield None
            continue
        offset = block & 0x1FFF
        age = None if offset >= _OVER_RANGE else offset / UNITS_PER_SECOND
        yield Arrival(age, block >> 13 & 3)


def _written(ssrc: int, begin: int, arrivals: Sequence[Arrival | None]) -> bytes:
    data = bytearray(_STREAM.pack(ssrc, begin & 0xFFFF, len(arrivals)))
    for arrival in arrivals:
        block = 0
        if arrival is not None:
            units = _UNAVAILABLE
            if arrival.age is not None:
                units = min(max(round(arrival.age * UNITS_PER_SECOND), 0), _OVER_RANGE)
            block = _RECEIVED | (arrival.ecn & 3) << 13 | units
        data += block.to_bytes(2, "big")
    return bytes(data) + bytes(len(data) % 4)

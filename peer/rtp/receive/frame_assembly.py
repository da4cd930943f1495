"""Frame assembly: reorders video packets and joins them to frames as soon as they are complete.

aiortc detects the end of a frame only when the next one begins, one frame interval too late: 33 ms
at 30 frames per second. It also returns at most one frame per arriving packet, so a delay caused by
loss persists as long as each frame fits into one packet. Does no I/O.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_PACKETS = 16384
"""Maximum number of buffered packets, counted from the first one of the next frame and including
missing ones. A frame of 16 MB has as many; sequence numbers can be unwrapped up to twice that
range."""

MAX_BYTES = 16 * 1024 * 1024
"""Maximum bytes of buffered payload, and so of a frame, including :data:`NAL_UNIT_COST` for each
NAL unit. A 4K key frame with film grain has a third of that."""

NAL_UNIT_COST = 1024
"""Bytes that each H.264 NAL unit counts beyond its size. Each unit costs time to parse, and 16 MB
could hold millions of units of one byte."""

MAX_GAP = 1024
"""Maximum distance of a sequence number from the newest one. A larger step means that the sender
restarted, or an outage longer than its retransmission history."""

_MAX_LATE = 1024
"""Maximum distance backwards of a late packet, the same as SRTP's replay window. A larger step
means that the sender restarted. Retransmissions may be older."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EncodedFrame(Generic[T]):
    """An encoded video frame.

    Attributes:
        codec: The value passed to :meth:`FrameAssembler.put` with its first packet.
        timestamp: Its RTP timestamp.
        data: The joined payloads.
    """

    codec: T
    timestamp: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Packet(Generic[T]):
    codec: T
    timestamp: int
    data: bytes
    cost: int
    is_last: bool
    is_malformed: bool


class FrameAssembler(Generic[T]):
    """Buffers the packets of one video stream."""

    def __init__(self) -> None:
        self._packets: dict[int, _Packet[T]] = {}
        self._first = self._end = 0
        self._newest = -1
        self._has_begun = False
        self._trusts_marker = True
        self._latest_timestamp: int | None = None
        self._incomplete: int | None = None
        self._bytes = 0

    @property
    def kept_bytes(self) -> int:
        """Bytes of buffered payload, plus the cost of their NAL units."""
        return self._bytes

    @property
    def kept_packets(self) -> int:
        """Number of buffered packets."""
        return len(self._packets)

    @property
    def gap(self) -> int:
        """Unwrapped sequence number of the first missing packet."""
        return self._end

    @property
    def has_gap(self) -> bool:
        """True if packets before the newest one are missing."""
        return len(self._packets) <= self._newest - self._first

    def put(
        self,
        number: int,
        timestamp: int,
        data: bytes | None,
        codec: T,
        *,
        is_last: bool,
        is_retransmission: bool = False,
        units: int = 0,
    ) -> bool:
        """Add a packet.

        Args:
            number: Its 16-bit sequence number.
            timestamp: Its RTP timestamp.
            data: The payload without its payload descriptor; empty for padding, ``None`` if
                malformed, which drops the frame.
            codec: Returned with the frame.
            is_last: The marker bit: whether the packet ends the frame.
            is_retransmission: Whether it is a retransmission (RFC 4588).
            units: Number of NAL units that begin in the packet.

        Returns:
            Whether frames were dropped, so that a key frame is needed.
        """
        lost = is_malformed = data is None
        data = data or b""
        cost = len(data) + NAL_UNIT_COST * units
        if not self._has_begun:
            self._has_begun = True
            self._restart_at(number)
        # Unwrap relative to the newest sequence number.
        at = self._newest + ((number - self._newest + 0x8000) & 0xFFFF) - 0x8000
        if at < self._first:
            if is_retransmission or self._first - at <= _MAX_LATE:
                return False
            lost = True
            self._restart_at(at)
        elif at - self._newest > MAX_GAP:
            lost = True
            self._restart_at(at)
        elif at in self._packets:
            return False
        if at - self._first >= MAX_PACKETS or self._bytes + cost > MAX_BYTES:
            lost = True
            self._make_room(at, cost)
            if at < self._first:
                return True  # the packet itself belongs to a dropped frame
        self._packets[at] = _Packet(codec, timestamp, data, cost, is_last, is_malformed)
        self._bytes += cost
        self._newest = max(self._newest, at)
        return lost

    def take(self) -> EncodedFrame[T] | None:
        """Remove and return the next frame if it is complete. Call it until it returns ``None``."""
        while (packet := self._packets.get(self._end)) is not None:
            if packet.timestamp != self._packets[self._first].timestamp:
                frame = self._finish()
            else:
                self._end += 1
                if not (packet.is_last and self._trusts_marker):
                    continue
                frame = self._finish()
            if frame is not None:
                return frame
        return None

    def skip(self) -> None:
        """Skip the gap, and continue with the first frame whose beginning is complete."""
        if not self.has_gap:
            return
        gap = self._newest
        while gap in self._packets:
            gap -= 1
        self._skip_past(gap)

    def _finish(self) -> EncodedFrame[T] | None:
        packets = [self._pop(at) for at in range(self._first, self._end)]
        self._first = self._end
        if any(packet.is_malformed for packet in packets):
            self._incomplete = packets[0].timestamp
            return None
        filled = [packet for packet in packets if packet.data]
        if not filled:
            return None  # padding
        stamp = filled[0].timestamp
        if stamp == self._incomplete:
            return None
        # RFC 6184 section 5.1: the marker bit must not be relied on.
        if stamp == self._latest_timestamp:
            self._trusts_marker = False
        self._latest_timestamp = stamp
        return EncodedFrame(filled[0].codec, stamp, b"".join(packet.data for packet in filled))

    def _pop(self, at: int) -> _Packet[T]:
        packet = self._packets.pop(at)
        self._bytes -= packet.cost
        return packet

    def _restart_at(self, at: int) -> None:
        self._packets.clear()
        self._bytes = 0
        self._first = self._end = at
        self._newest = at - 1

    def _skip_past(self, gap: int) -> None:
        """Drop everything before the first frame that starts after a missing packet."""
        at = gap + 1
        if (packet := self._packets.get(at)) is not None:
            self._incomplete = packet.timestamp  # its first packet may be the missing one
            while (packet := self._packets.get(at)) and packet.timestamp == self._incomplete:
                at += 1
        for old in range(self._first, at):
            if old in self._packets:
                self._pop(old)
        self._first = self._end = at

    def _make_room(self, newest: int, size: int) -> None:
        """Drop the oldest frames until a packet fits."""

        def is_full() -> bool:
            return newest - self._first >= MAX_PACKETS or self._bytes + size > MAX_BYTES

        while is_full() and self._first <= self._newest:
            gap = self._first
            while gap in self._packets:
                gap += 1
            if gap > self._newest:  # a single frame exceeds the limit
                self._incomplete = self._packets[self._newest].timestamp
                break
            while gap + 1 not in self._packets:
                gap += 1
            self._skip_past(gap)
        if is_full():
            self._restart_at(newest)

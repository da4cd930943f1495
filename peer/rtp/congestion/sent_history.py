"""Packets that were sent over a transport, until feedback has told what became of them.

All feedback about them, of whichever kind, is looked up here. Each packet has one result, or two if
it comes after it was taken for lost, however often and whatever feedback tells. Does no I/O.
"""

from collections import OrderedDict
from collections.abc import Iterator

from .packets import SentPacket

MAX_PACKETS = 1 << 14
"""Packets in flight that are remembered, at most: 1.6 seconds at 10,000 a second (100 Mbit/s). It
is less than half of the 16-bit numbers, so that each number on the wire means one packet."""

MAX_LOST = 1_024
"""Lost packets that are remembered in case that they arrive late, at most."""

MAX_AGE = 10.0
"""Seconds for which a packet is remembered. Feedback that comes later says nothing of use."""


class SentHistory:
    """History of the packets sent over one transport.

    Attributes:
        bytes_in_flight: Bytes of the packets without a result.
        unknown: Packets that feedback has reported as received and that are not remembered: they
            were reported before, are too old, or were never sent.
    """

    def __init__(self) -> None:
        self.bytes_in_flight = 0
        self.unknown = 0
        self._packets: OrderedDict[int, SentPacket] = OrderedDict()
        self._lost: OrderedDict[int, SentPacket] = OrderedDict()
        self._next = 0

    def __len__(self) -> int:
        return len(self._packets)

    def __contains__(self, number: int) -> bool:
        return number in self._packets

    @property
    def latest(self) -> int:
        """Return the number of the packet that was sent last; -1 before the first one."""
        return self._next - 1

    @property
    def oldest(self) -> SentPacket | None:
        """Return the packet that has been in flight for the longest time."""
        return next(iter(self._packets.values()), None)

    def add(self, size: int, now: float, probe: int | None = None) -> SentPacket:
        """Record a packet that is sent now, and number it.

        Args:
            size: Bytes, as the caller counts them.
            now: Seconds on a monotonic clock.
            probe: Number of the probe cluster that it belongs to.

        Returns:
            The packet; the low 16 bits of its number go on the wire.
        """
        packet = SentPacket(self._next, now, size, probe)
        self._packets[self._next] = packet
        self._next += 1
        self.bytes_in_flight += size
        self.forget_old(now)
        return packet

    def in_flight_before(self, number: int) -> Iterator[int]:
        """Yield the numbers in flight before one, in order."""
        for each in self._packets:
            if each >= number:
                return
            yield each

    def received(self, number: int) -> tuple[SentPacket | None, bool]:
        """Take a received packet out; return it, and whether it was taken for lost before.

        A number that is unknown, or that was received before, gives ``None``.
        """
        packet = self._packets.pop(number, None)
        if packet is not None:
            self.bytes_in_flight -= packet.size
            return packet, False
        packet = self._lost.pop(number, None)
        self.unknown += packet is None
        return packet, packet is not None

    def lost(self, number: int) -> SentPacket | None:
        """Take a lost packet out; ``None`` if it is unknown, or has its result."""
        packet = self._packets.pop(number, None)
        if packet is not None:
            self.bytes_in_flight -= packet.size
            self._lost[number] = packet
            if len(self._lost) > MAX_LOST:
                self._lost.popitem(last=False)
        return packet

    def skip(self, number: int) -> list[SentPacket]:
        """Take out the packets before the first one of a feedback: theirs was lost.

        A number that is not in flight leaves all as they are.
        """
        skipped: list[SentPacket] = []
        if number in self._packets:
            while next(iter(self._packets)) != number:
                skipped.append(self._forget_first())
        return skipped

    def clear(self) -> None:
        """Forget all packets in flight."""
        self._packets.clear()
        self.bytes_in_flight = 0

    def forget_old(self, now: float) -> None:
        """Forget what is too old, or too much."""
        packets, lost = self._packets, self._lost
        while packets:
            oldest = next(iter(packets.values()))
            if len(packets) <= MAX_PACKETS and now - oldest.sent_at <= MAX_AGE:
                break
            self._forget_first()
        while lost and now - next(iter(lost.values())).sent_at > MAX_AGE:
            lost.popitem(last=False)

    def _forget_first(self) -> SentPacket:
        _, packet = self._packets.popitem(last=False)
        self.bytes_in_flight -= packet.size
        return packet

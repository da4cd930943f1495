"""Packets that were sent and that no feedback has told about yet."""

from collections import OrderedDict

from .packets import SentPacket

MAX_PACKETS = 16_384
"""Packets that are remembered; beyond it the oldest are forgotten."""

MAX_LOST = 1_024
"""Lost packets that are remembered in case that they arrive late."""


class InFlight:
    """Packets without a result, by their number.

    Attributes:
        bytes: Their total size.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._packets: OrderedDict[int, SentPacket] = OrderedDict()
        self._lost: OrderedDict[int, SentPacket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._packets)

    def __contains__(self, number: int) -> bool:
        return number in self._packets

    @property
    def oldest(self) -> SentPacket | None:
        """Return the packet that has been in flight for the longest time."""
        return next(iter(self._packets.values()), None)

    def add(self, packet: SentPacket) -> None:
        """Note a sent packet; one whose number is not above all others is ignored."""
        if self._packets and packet.number <= next(reversed(self._packets)):
            return
        self._packets[packet.number] = packet
        self.bytes += packet.size
        if len(self._packets) > MAX_PACKETS:
            self._forget_first()

    def received(self, number: int) -> tuple[SentPacket | None, bool]:
        """Take a received packet out; return it, and whether it was taken for lost before.

        A number that is unknown, or that was received before, gives ``None``.
        """
        packet = self._packets.pop(number, None)
        if packet is None:
            return self._lost.pop(number, None), True
        self.bytes -= packet.size
        return packet, False

    def lost(self, number: int) -> SentPacket | None:
        """Take a lost packet out; ``None`` if it is unknown, or has its result."""
        packet = self._packets.pop(number, None)
        if packet is not None:
            self.bytes -= packet.size
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
        """Forget all packets."""
        self._packets.clear()
        self.bytes = 0

    def _forget_first(self) -> SentPacket:
        _, packet = self._packets.popitem(last=False)
        self.bytes -= packet.size
        return packet

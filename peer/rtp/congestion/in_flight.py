"""Packets that were sent and that no feedback has told about yet."""

from collections import OrderedDict

from .packets import SentPacket

MAX_PACKETS = 16_384
"""Packets that are remembered; beyond it the oldest are forgotten."""

MAX_LOST = 1_024
"""Lost packets that are remembered in case that they arrive late."""

_UNREPORTED = 0.5
"""Seconds by which a packet is older than one with a result, and its own result is lost."""


class InFlight:
    """Packets without a result, by their number.

    Attributes:
        bytes: Their total size.
        reported_from: Time at which the latest packet with a result was sent.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self.reported_from = float("-inf")
        self._packets: OrderedDict[int, SentPacket] = OrderedDict()
        self._lost: OrderedDict[int, SentPacket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._packets)

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
        self._take(packet)
        return packet, False

    def lost(self, number: int) -> SentPacket | None:
        """Take a lost packet out; ``None`` if it is unknown, or has its result."""
        packet = self._packets.pop(number, None)
        if packet is not None:
            self._take(packet)
            self._lost[number] = packet
            if len(self._lost) > MAX_LOST:
                self._lost.popitem(last=False)
        return packet

    def _take(self, packet: SentPacket) -> None:
        self.bytes -= packet.size
        self.reported_from = max(self.reported_from, packet.sent_at)

    def forget_unreported(self) -> None:
        """Forget packets whose feedback was lost: much later ones have their result."""
        before = self.reported_from - _UNREPORTED
        while self._packets and next(iter(self._packets.values())).sent_at < before:
            self._forget_first()

    def clear(self) -> None:
        """Forget all packets."""
        self._packets.clear()
        self.bytes = 0

    def _forget_first(self) -> None:
        _, packet = self._packets.popitem(last=False)
        self.bytes -= packet.size

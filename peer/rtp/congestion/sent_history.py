"""Sender's side of transport-wide feedback: numbers what is sent, and reads what became of it.

Does no I/O. Whatever the feedback says, the cost of handling it is bounded by its size and by what
was sent: each packet is reported as lost once, at most, and as received once.
"""

from ..serial_numbers import Unwrapper
from .packets import PacketResult, SentPacket
from .transport_feedback import REFERENCE_TICKS, TICKS_PER_SECOND, TransportFeedback

MAX_PACKETS = 1 << 14
"""Packets that are remembered, at most: 1.6 seconds at 10,000 a second (100 Mbit/s). It is less
than half of the 16-bit numbers, so that each number on the wire means one packet."""

MAX_AGE = 10.0
"""Seconds for which a packet is remembered. Feedback that comes later says nothing of use."""


class SentHistory:
    """History of the packets sent over one transport.

    Attributes:
        bytes_in_flight: Bytes of remembered packets of which feedback has neither told the fate nor
            gone past.
        unknown: Packets that feedback has reported as received and that are not remembered: they
            were reported before, are too old, or were never sent.
    """

    def __init__(self) -> None:
        self.bytes_in_flight = 0
        self.unknown = 0
        self._packets: dict[int, SentPacket] = {}
        self._next = 0
        self._passed = 0
        """The number before which nothing is in flight."""
        self._reference = Unwrapper(24)

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
        self._forget_old(now)
        return packet

    def on_feedback(self, feedback: TransportFeedback, now: float) -> list[PacketResult]:
        """Return what feedback tells anew, in the order of the numbers.

        A packet that it covers without having received it is lost once a later one was received.
        If feedback tells later that a lost packet has come after all, it is returned again, as
        received. A packet that no feedback covers, as when feedback is lost, is returned neither as
        lost nor as received; it is no longer in flight.

        Args:
            feedback: What the other side has sent, parsed. It may be a repetition or forged.
            now: Seconds on the clock of :meth:`add`.
        """
        self._forget_old(now)
        # The latest packet with that number: no later one has been sent.
        first = self._next - 1 - ((self._next - 1 - feedback.base) & 0xFFFF)
        reference = self._reference.unwrap(feedback.reference_time)
        reached = reference * REFERENCE_TICKS / TICKS_PER_SECOND
        results, latest = [], None
        for offset, arrival in feedback.received:
            number = first + offset
            packet = self._packets.pop(number, None)
            if packet is None:
                self.unknown += 1
                continue
            if number >= self._passed:
                self.bytes_in_flight -= packet.size
            results.append(PacketResult(packet, reached + arrival))
            latest = number
        if latest is not None and latest >= self._passed:
            results += self._pass(first, latest)
            results.sort(key=_number)
        return results

    def _pass(self, first: int, latest: int) -> list[PacketResult]:
        """Let nothing be in flight up to the latest packet; return those lost from the first on."""
        lost = []
        for number in range(self._passed, latest):
            packet = self._packets.get(number)
            if packet is None:
                continue
            self.bytes_in_flight -= packet.size
            if number >= first:
                lost.append(PacketResult(packet, None))
        self._passed = latest + 1
        return lost

    def _forget_old(self, now: float) -> None:
        packets = self._packets
        while packets:
            number = next(iter(packets))
            packet = packets[number]
            if len(packets) <= MAX_PACKETS and now - packet.sent_at <= MAX_AGE:
                break
            del packets[number]
            if number >= self._passed:
                self.bytes_in_flight -= packet.size


def _number(result: PacketResult) -> int:
    return result.packet.number

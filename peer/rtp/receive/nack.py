"""Missing packets of a stream, to be requested by NACK (RFC 4585 section 6.2.1). Does no I/O."""

from collections.abc import Iterable, Iterator

from aiortc.rtp import RtpPacket

MAX_MISSING = 2048
"""Maximum number of missing packets; the oldest ones are given up. A key frame has thousands of
packets, of which a bad network loses one in ten."""

MAX_GAP = 1024
"""Maximum step forward of a sequence number. A larger one means that the sender restarted, and
nothing in between is requested."""

MAX_PER_NACK = 250
"""Maximum sequence numbers per NACK: four bytes each, if no two are close to each other."""


class MissingPackets:
    """Missing packets of one stream, with the names and methods of aiortc's ``NackGenerator``.

    Attributes:
        max_seq: The newest 16-bit sequence number; ``None`` before the first packet.
        missing: The missing sequence numbers, in the order of their detection.
    """

    def __init__(self) -> None:
        self.max_seq: int | None = None
        self.missing: dict[int, None] = {}
        self.new: list[int] = []
        """Sequence numbers found missing by the latest packet."""

    def add(self, packet: RtpPacket) -> bool:
        """Process a packet; return whether it reveals missing packets, see :attr:`new`."""
        number = packet.sequence_number
        self.new = []
        if self.max_seq is None:
            self.max_seq = number
            return False
        ahead = number - self.max_seq & 0xFFFF
        if ahead == 0 or ahead >= 0x8000:
            self.missing.pop(number, None)
            return False
        if ahead > MAX_GAP:
            self.missing.clear()
        else:
            self.new = [self.max_seq + step & 0xFFFF for step in range(1, ahead)]
            self.missing.update(dict.fromkeys(self.new))
            while len(self.missing) > MAX_MISSING:
                del self.missing[next(iter(self.missing))]
        self.max_seq = number
        return bool(self.new)

    def give_up(self) -> None:
        """Request no missing packets any more."""
        self.missing.clear()


def nack_batches(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Split sequence numbers into lists for one NACK each, so that each fits into a datagram.

    They are sorted as 16-bit numbers, which aiortc's NACK writer requires.
    """
    ordered = sorted(numbers)
    for start in range(0, len(ordered), MAX_PER_NACK):
        yield ordered[start : start + MAX_PER_NACK]

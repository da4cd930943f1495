"""The packets of a stream that did not come and are asked for (RFC 4585 section 6.2.1). No I/O."""

from collections.abc import Iterable, Iterator

from aiortc.rtp import RtpPacket

MOST = 2048
"""Packets that are asked for at most; the oldest of more are given up. A key frame has thousands,
of which a bad network loses one in ten."""

LEAP = 1024
"""Numbers by which a packet may be ahead of the newest: a stream that leaps further has begun anew,
and nothing between is asked for."""

AT_ONCE = 250
"""Numbers of one request at most: four bytes each, if no two are near each other."""


class Missing:
    """What is missing of one stream, under the name and the methods of aiortc's.

    Attributes:
        max_seq: The newest number, of 16 bits; ``None`` before the first packet.
        missing: The numbers that did not come, in the order in which they were missed.
    """

    def __init__(self) -> None:
        self.max_seq: int | None = None
        self.missing: dict[int, None] = {}
        self.new: list[int] = []
        """Those that the latest packet has shown."""

    def add(self, packet: RtpPacket) -> bool:
        """Take a packet; return whether it shows that others are missing, see :attr:`new`."""
        number = packet.sequence_number
        self.new = []
        if self.max_seq is None:
            self.max_seq = number
            return False
        ahead = number - self.max_seq & 0xFFFF
        if ahead == 0 or ahead >= 0x8000:
            self.missing.pop(number, None)
            return False
        if ahead > LEAP:
            self.missing.clear()
        else:
            self.new = [self.max_seq + step & 0xFFFF for step in range(1, ahead)]
            self.missing.update(dict.fromkeys(self.new))
            while len(self.missing) > MOST:
                del self.missing[next(iter(self.missing))]
        self.max_seq = number
        return bool(self.new)

    def give_up(self) -> None:
        """Ask for nothing of what is missing any more."""
        self.missing.clear()


def requests(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Cut numbers into those of single requests, in rising order, so that each fits into a packet.

    The order is that of the numbers of 16 bits, as aiortc's writer of such requests needs it.
    """
    wanted = sorted(numbers)
    for start in range(0, len(wanted), AT_ONCE):
        yield wanted[start : start + AT_ONCE]

"""Acknowledgements: often enough for the window of a plain sender, and not more."""

from struct import pack

import pytest

from icefloe.peer.sctp.packet import DATA_HEADER, Kind
from icefloe.peer.sctp.receiving import EXTRA_SACK_BURST, EXTRA_SACK_RATE, SACK_DELAY, Receiver

WHOLE = 3
"""The flags of a chunk that is the first and the last of its message."""


class Sender:
    """Sends packets with one message each to a receiver.

    Attributes:
        sacks: How many it has had for them.
    """

    def __init__(self, *, counts_sacks: bool) -> None:
        self.receiver = Receiver(2**20, 2**20)
        self.receiver.begin(1)
        self.sacks = 0
        self._counts = counts_sacks
        self._tsn = 0

    def send(self, size: int, now: float) -> bool:
        """Send a packet; return whether a SACK came at once."""
        self._tsn += 1
        number = self._tsn - 1  # the stream's first message has the number 0
        chunk = pack("!BBHLHHL", Kind.DATA, WHOLE, DATA_HEADER + size, self._tsn, 0, number, 53)
        packet = chunk + bytes(size)
        self.receiver.receive(packet, Kind.DATA, WHOLE, 0, len(packet), now)
        self.receiver.packet_ends(now, counts_sacks=self._counts)
        self.receiver.arrived.clear()
        return self.sack()

    def sack(self) -> bool:
        """Take a SACK, if there is one."""
        is_there = self.receiver.sack() is not None
        self.sacks += is_there
        return is_there


def test_every_packet_counts_for_a_window_that_is_small() -> None:
    sender = Sender(counts_sacks=True)
    assert all(sender.send(1148, now=number / 200) for number in range(1, 1000))


def test_every_other_packet_is_enough_for_a_fast_sender() -> None:
    sender = Sender(counts_sacks=True)
    packets = 40_000
    for number in range(packets):
        sender.send(1148, now=1 + number / packets)
    assert packets / 2 <= sender.sacks <= packets / 2 + EXTRA_SACK_RATE + EXTRA_SACK_BURST


@pytest.mark.parametrize(("counts_sacks", "size"), [(False, 1148), (True, 100)])
def test_a_packet_waits_for_another_or_an_answer_where_nothing_is_won(
    counts_sacks: bool, size: int
) -> None:
    sender = Sender(counts_sacks=counts_sacks)
    assert [sender.send(size, now=1 + number / 200) for number in range(6)] == [False, True] * 3
    assert not sender.send(size, now=5)
    assert sender.receiver.deadline == 5 + SACK_DELAY
    sender.receiver.handle_timeout(5 + SACK_DELAY)
    assert sender.sack()

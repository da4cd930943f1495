"""The history of sent packets, and what feedback tells about it."""

import pytest

from icefloe.peer.rtp.congestion.feedback_reader import TransportFeedbackReader
from icefloe.peer.rtp.congestion.sent_history import MAX_AGE, MAX_LOST, MAX_PACKETS, SentHistory
from icefloe.peer.rtp.congestion.transport_feedback import FeedbackWriter, TransportFeedback


def feedback(first: int, received: dict[int, float]) -> TransportFeedback:
    """Return the feedback about packets from the first on."""
    (packet,) = FeedbackWriter().write(first, sorted(received.items()))
    return TransportFeedback.parse(packet)


class Sent:
    """A history, and the reader of the feedback about it."""

    def __init__(self, packets: int = 0) -> None:
        self.history = SentHistory()
        self.reader = TransportFeedbackReader(self.history)
        self.times: list[float] = []
        for n in range(packets):
            self.history.add(100, n * 0.01)

    def told(self, feedback: TransportFeedback) -> dict[int, bool]:
        """Take the packets out that feedback tells about; return which were received."""
        found = {}
        results = self.reader.read(feedback)
        assert [each.number for each in results] == sorted(each.number for each in results)
        for result in results:
            if result.received_at is None:
                packet = self.history.lost(result.number)
            else:
                packet, _ = self.history.received(result.number)
                self.times.append(result.received_at)
            if packet is not None:
                found[packet.number] = result.received_at is not None
        return found


@pytest.fixture
def sent() -> Sent:
    """Return a history of ten packets of 100 bytes."""
    return Sent(10)


def test_packets_are_numbered(sent: Sent) -> None:
    packet = sent.history.add(500, 2.0, probe=3)
    assert (packet.number, packet.sent_at, packet.size, packet.probe) == (10, 2.0, 500, 3)
    assert sent.history.bytes_in_flight == 1500
    assert sent.history.latest == 10
    assert sent.history.oldest is not None and sent.history.oldest.number == 0


def test_received_and_lost_packets_are_told_apart(sent: Sent) -> None:
    told = sent.told(feedback(0, {0: 5.0, 1: 5.01, 3: 5.02}))
    assert told == {0: True, 1: True, 2: False, 3: True}
    assert sent.times == pytest.approx([5.0, 5.01, 5.02], abs=0.0002)
    assert sent.history.bytes_in_flight == 600


def test_a_packet_after_the_last_received_one_is_not_lost_yet(sent: Sent) -> None:
    assert sent.told(TransportFeedback(0, 0, 0, 8, 10, 0, ((0, 0.0),))) == {0: True}
    assert sent.history.bytes_in_flight == 900


def test_a_lost_packet_may_come_late_once(sent: Sent) -> None:
    sent.told(feedback(0, {0: 5.0, 2: 5.02}))
    flight = sent.history.bytes_in_flight
    assert sent.told(feedback(1, {1: 5.03, 2: 5.02})) == {1: True}
    assert sent.told(feedback(1, {1: 5.03, 2: 5.02})) == {}
    assert sent.history.bytes_in_flight == flight
    assert sent.history.received(1) == (None, False)


def test_each_packet_is_received_once_and_lost_once(sent: Sent) -> None:
    told = feedback(0, {0: 5.0, 2: 5.02})
    assert len(sent.told(told)) == 3
    assert sent.told(told) == {}
    assert sent.history.unknown == 2
    assert sent.history.lost(1) is None
    assert sent.history.bytes_in_flight == 700


def test_packets_of_feedback_that_was_lost_are_not_lost(sent: Sent) -> None:
    assert sent.told(feedback(4, {4: 5.0, 6: 5.02})) == {4: True, 5: False, 6: True}
    assert [packet.number for packet in sent.history.skip(7)] == [0, 1, 2, 3]
    assert sent.history.skip(2) == []
    assert sent.history.skip(10**6) == []
    assert sent.history.bytes_in_flight == 300
    assert sent.told(feedback(0, {0: 4.9, 3: 4.99})) == {}


def test_numbers_that_were_never_sent_are_counted(sent: Sent) -> None:
    assert sent.told(feedback(3000, {3000: 5.0})) == {}
    assert sent.history.unknown == 1
    assert sent.history.bytes_in_flight == 1000
    assert sent.told(feedback(8, {8: 5.0, 200: 5.0})) == {8: True}
    assert sent.history.unknown == 2
    assert sent.history.bytes_in_flight == 900


def test_feedback_before_anything_was_sent() -> None:
    sent = Sent()
    assert sent.told(feedback(0, {0: 1.0})) == {}
    assert sent.history.oldest is None
    assert sent.history.bytes_in_flight == 0


def test_numbers_and_reference_times_wrap_around() -> None:
    sent = Sent()
    wrap = 0x1000000 * 0.064
    for n in range(70_000):
        assert sent.history.add(100, n * 0.001).number == n
        if n % 10 == 9:
            arrived = {m: wrap - 30 + m * 0.001 for m in range(n - 9, n + 1)}
            assert len(sent.told(feedback(n - 9, arrived))) == 10
    assert sent.history.bytes_in_flight == 0
    assert sent.times == pytest.approx([wrap - 30 + n * 0.001 for n in range(70_000)], abs=0.0002)


def test_old_packets_are_forgotten(sent: Sent) -> None:
    sent.history.lost(1)
    sent.history.add(100, MAX_AGE + 1)
    assert sent.history.bytes_in_flight == 100
    assert sent.told(feedback(0, {0: 5.0, 1: 5.0})) == {}


def test_there_is_an_end_to_what_is_remembered() -> None:
    sent = Sent()
    for _ in range(MAX_PACKETS + 100):
        sent.history.add(10, 1.0)
    assert len(sent.history) == MAX_PACKETS
    assert sent.history.bytes_in_flight == MAX_PACKETS * 10
    assert sent.told(feedback(99, {99: 5.0})) == {}
    assert sent.told(feedback(100, {100: 5.0})) == {100: True}
    for number in range(MAX_PACKETS + 100):
        sent.history.lost(number)
    assert sent.history.received(MAX_PACKETS + 100 - MAX_LOST - 1) == (None, False)
    late, was_lost = sent.history.received(MAX_PACKETS + 100 - MAX_LOST)
    assert late is not None and was_lost


def test_times_that_run_backwards_are_passed_on(sent: Sent) -> None:
    sent.told(feedback(0, {0: 5000.0}))
    sent.told(feedback(1, {1: 4000.0}))
    assert sent.times == pytest.approx([5000.0, 4000.0], abs=0.0002)


def test_feedback_that_arrives_out_of_order(sent: Sent) -> None:
    early, late = feedback(0, {0: 5.0, 1: 5.01}), feedback(2, {2: 5.02, 3: 5.03})
    assert sent.told(late) == {2: True, 3: True}
    assert sent.told(early) == {0: True, 1: True}
    assert sent.times == pytest.approx([5.02, 5.03, 5.0, 5.01], abs=0.0002)

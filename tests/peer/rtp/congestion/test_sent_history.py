"""The sender's history, and what feedback tells about it."""

import pytest

from icefloe.peer.rtp.congestion.packets import PacketResult
from icefloe.peer.rtp.congestion.sent_history import MAX_AGE, MAX_PACKETS, SentHistory
from icefloe.peer.rtp.congestion.transport_feedback import FeedbackWriter, TransportFeedback


def feedback(first: int, received: dict[int, float]) -> TransportFeedback:
    """Return the feedback about packets from the first on."""
    (packet,) = FeedbackWriter().write(first, sorted(received.items()))
    return TransportFeedback.parse(packet)


def summary(results: list[PacketResult]) -> dict[int, bool]:
    """Return which packets were received, by number."""
    return {result.packet.number: result.received_at is not None for result in results}


@pytest.fixture
def history() -> SentHistory:
    """Return a history of ten packets of 100 bytes."""
    history = SentHistory()
    for n in range(10):
        history.add(100, n * 0.01)
    return history


def test_packets_are_numbered(history: SentHistory) -> None:
    packet = history.add(500, 2.0, probe=3)
    assert (packet.number, packet.sent_at, packet.size, packet.probe) == (10, 2.0, 500, 3)
    assert history.bytes_in_flight == 1500


def test_received_and_lost_packets_are_told_apart(history: SentHistory) -> None:
    results = history.on_feedback(feedback(0, {0: 5.0, 1: 5.01, 3: 5.02}), 0.2)
    assert summary(results) == {0: True, 1: True, 2: False, 3: True}
    times = [result.received_at for result in results if result.received_at is not None]
    assert times == pytest.approx([5.0, 5.01, 5.02], abs=0.0002)
    assert [result.packet.sent_at for result in results] == [0.0, 0.01, 0.02, 0.03]
    assert history.bytes_in_flight == 600


def test_a_packet_after_the_last_received_one_is_not_lost_yet(history: SentHistory) -> None:
    told = TransportFeedback(0, 0, 0, 8, 10, 0, ((0, 0.0),))
    assert summary(history.on_feedback(told, 0.2)) == {0: True}
    assert history.bytes_in_flight == 900


def test_a_lost_packet_that_came_after_all_is_returned_again(history: SentHistory) -> None:
    history.on_feedback(feedback(0, {0: 5.0, 2: 5.02}), 0.2)
    flight = history.bytes_in_flight
    assert summary(history.on_feedback(feedback(1, {1: 5.03, 2: 5.02}), 0.3)) == {1: True}
    assert history.bytes_in_flight == flight


def test_each_packet_is_received_once_and_lost_once(history: SentHistory) -> None:
    told = feedback(0, {0: 5.0, 2: 5.02})
    assert len(history.on_feedback(told, 0.2)) == 3
    assert history.on_feedback(told, 0.2) == []
    assert history.unknown == 2
    assert history.bytes_in_flight == 700


def test_packets_of_feedback_that_was_lost_are_not_lost(history: SentHistory) -> None:
    results = history.on_feedback(feedback(4, {4: 5.0, 6: 5.02}), 0.2)
    assert summary(results) == {4: True, 5: False, 6: True}
    assert history.bytes_in_flight == 300  # nobody knows of the first four
    assert summary(history.on_feedback(feedback(0, {0: 4.9, 3: 4.99}), 0.3)) == {0: True, 3: True}
    assert history.bytes_in_flight == 300


def test_numbers_that_were_never_sent_are_counted(history: SentHistory) -> None:
    assert history.on_feedback(feedback(3000, {3000: 5.0}), 0.2) == []
    assert history.unknown == 1
    assert history.bytes_in_flight == 1000
    results = history.on_feedback(feedback(8, {8: 5.0, 200: 5.0}), 0.2)
    assert summary(results) == {8: True}
    assert history.bytes_in_flight == 100


def test_feedback_before_anything_was_sent() -> None:
    history = SentHistory()
    assert history.on_feedback(feedback(0, {0: 1.0}), 0.0) == []
    assert history.bytes_in_flight == 0


def test_numbers_and_reference_times_wrap_around() -> None:
    history = SentHistory()
    wrap = 0x1000000 * 0.064
    arrivals = []
    for n in range(70_000):
        assert history.add(100, n * 0.001).number == n
        if n % 10 == 9:
            arrived = {m: wrap - 30 + m * 0.001 for m in range(n - 9, n + 1)}
            results = history.on_feedback(feedback(n - 9, arrived), n * 0.001)
            assert len(results) == 10
            arrivals += [result.received_at or 0.0 for result in results]
    assert history.bytes_in_flight == 0
    assert arrivals == pytest.approx([wrap - 30 + n * 0.001 for n in range(70_000)], abs=0.0002)


def test_old_packets_are_forgotten(history: SentHistory) -> None:
    history.add(100, MAX_AGE + 1)
    assert history.bytes_in_flight == 100
    assert history.on_feedback(feedback(0, {0: 5.0}), MAX_AGE + 1) == []


def test_the_number_of_packets_is_bounded() -> None:
    history = SentHistory()
    for _ in range(MAX_PACKETS + 100):
        history.add(10, 1.0)
    assert history.bytes_in_flight == MAX_PACKETS * 10
    assert history.on_feedback(feedback(99, {99: 5.0}), 1.0) == []
    assert summary(history.on_feedback(feedback(100, {100: 5.0}), 1.0)) == {100: True}


def test_times_that_run_backwards_are_passed_on(history: SentHistory) -> None:
    history.on_feedback(feedback(0, {0: 5000.0}), 0.2)
    (result,) = history.on_feedback(feedback(1, {1: 4000.0}), 0.3)
    assert result.received_at == pytest.approx(4000.0, abs=0.0002)


def test_feedback_that_arrives_out_of_order(history: SentHistory) -> None:
    early, late = feedback(0, {0: 5.0, 1: 5.01}), feedback(2, {2: 5.02, 3: 5.03})
    assert summary(history.on_feedback(late, 0.2)) == {2: True, 3: True}
    results = history.on_feedback(early, 0.2)
    assert summary(results) == {0: True, 1: True}
    assert results[0].received_at == pytest.approx(5.0, abs=0.0002)

"""Groups of packets, the trend of their delay, and the queue that the delay shows."""

import random

from icefloe.peer.rtp.congestion.arrival_groups import ArrivalGroups, GroupDelta
from icefloe.peer.rtp.congestion.packets import NetworkState, SentPacket
from icefloe.peer.rtp.congestion.queue_delay import QueueDelay
from icefloe.peer.rtp.congestion.trend import TrendDetector


def packet(sent_at: float, number: int = 0) -> SentPacket:
    return SentPacket(number, sent_at, 1200, None)


def grouped(*times: tuple[float, float]) -> list[GroupDelta]:
    groups = ArrivalGroups()
    deltas = [groups.add(packet(sent), arrived) for sent, arrived in times]
    return [delta for delta in deltas if delta is not None]


def test_packets_sent_within_five_milliseconds_form_a_group() -> None:
    deltas = grouped((0, 5), (0.004, 5.01), (0.03, 5.03), (0.034, 5.05), (0.06, 5.07))
    assert len(deltas) == 1
    assert abs(deltas[0].sent - 0.03) < 1e-9
    assert abs(deltas[0].arrived - 0.04) < 1e-9
    assert deltas[0].arrived_at == 5.05


def test_packets_that_the_path_bunched_form_a_group() -> None:
    # Sent every 10 ms, and handed on at once after a stall.
    stalled = [(0.1 + n * 0.01, 5.2 + n * 0.001) for n in range(5)]
    deltas = grouped((0, 5), (0.01, 5.01), (0.02, 5.02), *stalled, (0.3, 5.3), (0.4, 5.4))
    # The first of them comes late, and begins the group that the others catch up with.
    assert [round(delta.arrived_at, 3) for delta in deltas] == [5.01, 5.02, 5.204, 5.3][
        : len(deltas)
    ]


def test_a_packet_sent_before_its_group_is_left_out() -> None:
    deltas = grouped((0, 5), (0.1, 5.1), (0.05, 5.15), (0.2, 5.2), (0.3, 5.3))
    assert [round(delta.sent, 6) for delta in deltas] == [0.1, 0.1]


def test_groups_after_a_step_of_the_clock_are_not_compared() -> None:
    groups = ArrivalGroups()
    groups.add(packet(0), 5)
    groups.add(packet(0.1), 5.1)
    groups.reset()
    assert groups.add(packet(0.2), 900) is None
    assert groups.add(packet(0.3), 900.1) is None
    assert groups.add(packet(0.4), 900.2) is not None


def feed(detector: TrendDetector, count: int, growth: float, at: float = 0.0) -> set[NetworkState]:
    """Add groups 20 ms apart whose delay grows; return the states."""
    return {
        detector.add(GroupDelta(0.02, 0.02 + growth, at + n * (0.02 + growth)))
        for n in range(count)
    }


def test_a_growing_delay_is_overuse() -> None:
    detector = TrendDetector()
    assert feed(detector, 60, 0.0) == {NetworkState.NORMAL}
    assert NetworkState.OVERUSING in feed(detector, 30, 0.002, 1.2)


def test_a_shrinking_delay_is_underuse() -> None:
    detector = TrendDetector()
    feed(detector, 60, 0.0)
    assert NetworkState.UNDERUSING in feed(detector, 30, -0.002, 1.2)


def test_jitter_is_no_overuse() -> None:
    source, detector = random.Random(3), TrendDetector()
    before = 0.0
    states = []
    for n in range(3000):
        delay = source.uniform(0, 0.01)
        states.append(detector.add(GroupDelta(0.02, 0.02 + delay - before, n * 0.02 + delay)))
        before = delay
    assert states.count(NetworkState.OVERUSING) < 15


def test_the_threshold_follows_the_trend_within_bounds() -> None:
    detector = TrendDetector()
    before = detector.threshold
    feed(detector, 500, 0.0)
    assert detector.threshold == 6.0 < before
    for n in range(100):
        feed(detector, 100, 0.0015 if n % 2 else -0.0015, n * 2.2)
    assert 6.0 < detector.threshold < 600.0


def test_the_queue_is_the_delay_above_the_least_one() -> None:
    queue = QueueDelay()
    for n in range(20):
        queue.add(-700.0, -699.99, n * 0.05)
    queue.add(-699.9, -699.8, 1.0)
    queue.add(-699.9, -699.8, 1.1)
    assert abs(queue.queue - 0.1) < 1e-6
    assert abs(queue.latest - 0.2) < 1e-6


def test_one_burst_is_no_queue() -> None:
    queue = QueueDelay()
    queue.add(3.0, 3.05, 0.0)
    queue.add(3.05, 3.05, 0.05)
    assert queue.queue == 0.0


def test_a_queue_that_persists_belongs_to_somebody_else() -> None:
    queue = QueueDelay()
    queue.add(3.0, 3.0, 0.0)
    for n in range(1, 45):
        queue.add(3.2, 3.2, n * 0.05)
    assert queue.is_foreign
    for n in range(45, 70):
        queue.add(3.01, 3.01, n * 0.05)
    assert not queue.is_foreign


def test_a_queue_that_drains_is_our_own() -> None:
    queue, delay = QueueDelay(), 0.3
    queue.add(3.0, 3.0, 0.0)
    for n in range(1, 200):
        queue.add(3.0 + delay, 3.0 + delay, n * 0.05)
        assert not queue.is_foreign
        delay *= 0.93


def test_a_longer_path_becomes_the_base() -> None:
    queue = QueueDelay()
    for n in range(1000):
        queue.add(3.0 if n < 10 else 3.1, 3.1, n * 0.05)
    assert queue.queue == 0.0
    assert not queue.is_foreign


def test_noise_raises_what_counts_as_normal() -> None:
    source, queue = random.Random(1), QueueDelay()
    before = queue.reference
    for n in range(100):
        delay = source.uniform(0, 0.03)
        queue.add(delay, delay, n * 0.05)
    assert before < queue.reference < 0.09

"""The estimator with feedback that no honest receiver sends, and without any."""

import math
import random

import pytest

from icefloe.peer.rtp.congestion.estimator import (
    BandwidthEstimator,
    NetworkState,
    PacketResult,
    SentPacket,
)

RATES = [-1.0, math.nan, 1e30, 1e5]


class Sender:
    """Sends a packet of 1,250 bytes every 10 ms, which is 1 Mbit/s."""

    def __init__(self, **settings: float) -> None:
        self.estimator = BandwidthEstimator(0.0, **settings)
        self.now = 0.0

    def send(self, count: int, size: int = 1250) -> list[SentPacket]:
        packets = []
        for _ in range(count):
            packets.append(self.estimator.on_sent(size, self.now))
            self.now += 0.01
        return packets

    def run(self, seconds: float, delay: float = 0.05) -> None:
        """Have all packets arrive after a delay, with feedback every 50 ms."""
        for _ in range(int(seconds / 0.05)):
            packets = self.send(5)
            results = [
                PacketResult(packet.number, packet.sent_at + 700 + delay) for packet in packets
            ]
            self.estimator.on_feedback(results, self.now + delay)
            self.check()

    def check(self) -> None:
        estimator = self.estimator
        for value in (
            estimator.target_bitrate,
            estimator.pacing_rate,
            estimator.loss,
            estimator.queue_delay,
            estimator.acknowledged_bitrate or 0.0,
            estimator.round_trip_time or 0.0,
        ):
            assert math.isfinite(value)
            assert value >= 0
        assert 30e3 <= estimator.target_bitrate <= 20e6
        assert estimator.congestion_window >= 5_000
        assert estimator.bytes_in_flight >= 0


def test_it_begins_with_what_it_is_told() -> None:
    estimator = BandwidthEstimator(5.0, start_bitrate=500e3)
    assert estimator.target_bitrate == 500e3
    assert estimator.pacing_rate == 0.5e6
    assert estimator.bytes_in_flight == 0
    assert estimator.acknowledged_bitrate is None
    assert estimator.network_state is NetworkState.NORMAL


def test_what_arrives_is_told() -> None:
    sender = Sender(start_bitrate=1e6, max_bitrate=1.2e6)
    sender.run(5)
    estimator = sender.estimator
    assert estimator.acknowledged_bitrate == pytest.approx(1e6, rel=0.05)
    assert estimator.loss == 0
    assert estimator.queue_delay < 0.001
    assert estimator.round_trip_time == pytest.approx(0.06, abs=0.05)
    assert not estimator.is_application_limited
    assert estimator.bytes_in_flight == 0


def test_results_of_unknown_packets_are_ignored() -> None:
    sender = Sender(start_bitrate=1e6)
    sender.run(2)
    before = sender.estimator.target_bitrate
    foreign = [PacketResult(10**9 + n, 900.0) for n in range(100)]
    assert not sender.estimator.on_feedback(foreign, sender.now)
    assert sender.estimator.target_bitrate == before
    assert sender.estimator.acknowledged_bitrate == pytest.approx(1e6, rel=0.05)


def test_a_result_counts_once() -> None:
    sender = Sender(start_bitrate=1e6)
    for _ in range(40):
        results = [PacketResult(packet.number, packet.sent_at + 7) for packet in sender.send(5)]
        for _ in range(20):
            sender.estimator.on_feedback(results * 3, sender.now)
    assert sender.estimator.acknowledged_bitrate == pytest.approx(1e6, rel=0.05)


@pytest.mark.parametrize("absurd", [math.nan, math.inf, -math.inf, 1e300, -1e300, 0.0])
def test_absurd_times_leave_it_finite(absurd: float) -> None:
    sender = Sender(start_bitrate=1e6)
    sender.run(1)
    for _ in range(40):
        packets = sender.send(5)
        results = [
            PacketResult(packet.number, absurd if n % 2 else packet.sent_at + 7)
            for n, packet in enumerate(packets)
        ]
        sender.estimator.on_feedback(results, sender.now)
        sender.check()


def test_a_step_of_the_receivers_clock_costs_nothing() -> None:
    sender = Sender(start_bitrate=1e6)
    sender.run(5)
    sender.run(5, delay=3600.0 - 0.0)
    assert sender.estimator.target_bitrate >= 0.9e6


@pytest.mark.parametrize("seed", range(5))
def test_random_feedback_keeps_the_bounds(seed: int) -> None:
    source, sender = random.Random(seed), Sender()
    estimator = sender.estimator

    def arrival() -> float | None:
        times = (source.uniform(-1e6, 1e6), source.gauss(sender.now, 1), None)
        return times[source.randrange(3)]

    for _ in range(300):
        packets = sender.send(source.randrange(20), source.randrange(1500))
        source.shuffle(packets)
        results = [PacketResult(packet.number, arrival()) for packet in packets]
        estimator.on_feedback(results, sender.now + source.uniform(-1, 1))
        match source.randrange(3):
            case 0:
                estimator.on_remb(source.choice(RATES), sender.now)
            case 1:
                estimator.handle_timeout(sender.now)
            case _:
                estimator.take_probes(sender.now)
        sender.check()


def test_a_receiver_that_praises_itself_gets_no_more_than_the_demand() -> None:
    """All packets seem to arrive at once: no queue, no loss, and an infinite rate."""
    sender = Sender()
    sender.estimator.set_demand(1e6, 0.0)
    for _ in range(1000):
        packets = sender.send(5)
        for cluster in sender.estimator.take_probes(sender.now):
            for _ in range(cluster.min_packets):
                packets.append(sender.estimator.on_sent(1250, sender.now, cluster.id))
                sender.now += 1250 * 8 / cluster.bitrate
        results = [PacketResult(packet.number, packet.sent_at + 9) for packet in packets]
        sender.estimator.on_feedback(results, sender.now)
    assert sender.estimator.target_bitrate <= 1.7e6


def test_without_feedback_the_rate_falls_and_packets_may_still_be_sent() -> None:
    sender = Sender(start_bitrate=1e6)
    sender.run(2)
    rates = []
    for _ in range(40):
        sender.send(5)
        if sender.estimator.deadline <= sender.now:
            sender.estimator.handle_timeout(sender.now)
        rates.append(sender.estimator.target_bitrate)
    assert rates[-1] < 0.5 * rates[0]
    assert sender.estimator.network_state is NetworkState.SILENT
    sender.run(1)
    assert sender.estimator.network_state is not NetworkState.SILENT


def test_a_pause_is_no_silence() -> None:
    sender = Sender(start_bitrate=1e6)
    sender.run(2)
    before = sender.estimator.target_bitrate
    sender.now += 30
    sender.estimator.handle_timeout(sender.now)
    assert sender.estimator.target_bitrate == before
    assert sender.estimator.is_application_limited


def test_remb_is_an_upper_bound_beside_feedback() -> None:
    sender = Sender(start_bitrate=1e6)
    sender.run(2)
    sender.estimator.on_remb(200e3, sender.now)
    assert sender.estimator.target_bitrate == 200e3
    sender.run(31)
    assert sender.estimator.target_bitrate > 0.8e6

"""Measured rates, the rate control, and the loss that counts."""

import random

import pytest

from icefloe.peer.rtp.congestion.acknowledged import AcknowledgedBitrate, SlidingRate
from icefloe.peer.rtp.congestion.aimd_rate_control import AimdRateControl, LinkCapacity
from icefloe.peer.rtp.congestion.loss import LossControl
from icefloe.peer.rtp.congestion.sent_bitrate import SentBitrate


def test_what_arrives_is_measured() -> None:
    rates = AcknowledgedBitrate()
    assert rates.bitrate is None
    for n in range(200):
        rates.add(n * 0.01, 1250)
    assert rates.bitrate == pytest.approx(1e6)
    assert rates.recent == pytest.approx(1e6)


def test_the_short_measurement_shows_a_sudden_change() -> None:
    rates = AcknowledgedBitrate()
    for n in range(200):
        rates.add(n * 0.01, 1250)
    for n in range(4):
        rates.add(2.0 + n * 0.05, 1250)
    assert rates.recent == pytest.approx(0.2e6, rel=0.1)
    assert rates.bitrate is not None
    assert rates.bitrate > 0.6e6


def test_times_that_run_backwards_leave_the_rate_finite() -> None:
    rate = SlidingRate(0.5)
    source = random.Random(1)
    for _ in range(5000):
        rate.add(source.uniform(0, 100), 1250)
        assert rate.rate is None or 0 <= rate.rate < 1e9


def test_a_few_packets_are_no_rate() -> None:
    rate = SlidingRate(0.5)
    rate.add(1.0, 1250)
    rate.add(1.001, 1250)
    assert rate.rate is None


def test_the_application_is_limited_when_it_sends_much_less() -> None:
    sent = SentBitrate(0.0)
    for n in range(100):
        sent.add(250, n * 0.02)  # 100 kbit/s
    assert sent.bitrate(1.99) == pytest.approx(100e3, rel=0.1)
    assert sent.is_limited(300e3, 1.99)
    assert not sent.is_limited(120e3, 1.99)
    assert sent.bitrate(5.0) == 0


def test_growth_is_a_part_of_the_rate_while_the_capacity_is_unknown() -> None:
    rates = AimdRateControl(1e6, 30e3, 20e6)
    for n in range(101):
        rates.increase(1e6, n * 0.1)
        assert rates.rate <= 1.5e6 + 10e3
    assert rates.rate == pytest.approx(1.51e6)


def test_growth_near_the_capacity_is_the_same_for_all() -> None:
    grown = []
    for rate in (1e6, 2e6):
        rates = AimdRateControl(rate, 30e3, 20e6)
        rates.decrease(rate, 0.85, 0.0)
        before = rates.rate
        for n in range(1, 11):
            rates.increase(rates.rate, n * 0.1)
        grown.append(rates.rate - before)
    assert grown[0] == pytest.approx(grown[1])
    assert grown[0] > 40e3


def test_what_does_not_arrive_lets_nothing_grow() -> None:
    rates = AimdRateControl(1e6, 30e3, 20e6)
    for n in range(100):
        rates.increase(40e3, n * 0.1)
    assert rates.rate == 1e6


def test_a_decrease_is_below_what_arrives_and_never_an_increase() -> None:
    rates = AimdRateControl(1e6, 30e3, 20e6)
    rates.decrease(800e3, 0.85, 0.0)
    assert rates.rate == pytest.approx(680e3)
    rates.decrease(5e6, 0.85, 1.0)
    assert rates.rate == pytest.approx(680e3)
    rates.decrease(0.0, 0.85, 2.0)
    assert rates.rate == 30e3


def test_the_rate_has_bounds() -> None:
    rates = AimdRateControl(1e6, 30e3, 2e6)
    rates.accept(1e12, 0.0)
    assert rates.rate == 2e6
    rates.accept(-5.0, 0.0)
    assert rates.rate == 30e3


def test_the_capacity_is_forgotten_when_the_link_grew() -> None:
    capacity = LinkCapacity()
    for _ in range(10):
        capacity.add(1e6)
    assert capacity.has(1.02e6)
    assert not capacity.has(2e6)
    capacity.forget_unless(2e6)
    assert capacity.bitrate is None


class Path:
    """Loses packets; the rate is reduced for each loss that counts."""

    def __init__(self, seed: int = 1) -> None:
        self.control = LossControl()
        self.rate = 1.0
        self.source = random.Random(seed)
        self.now = 0.0

    def run(self, seconds: float, loss: float, capacity: float = 10.0) -> int:
        """Return how often the rate was reduced; what exceeds the capacity is lost, too."""
        reductions = 0
        for _ in range(int(seconds / 0.05)):
            self.now += 0.05
            sent = int(15 * self.rate) or 1
            part = 1 - (1 - loss) * min(capacity / self.rate, 1.0)
            lost = sum(self.source.random() < part for _ in range(sent))
            if self.control.add(sent - lost, lost, 0, self.now, has_queue=False) > 0:
                reductions += 1
                self.rate = max(self.rate * 0.95 * (1 - lost / sent), 0.1)
                self.control.reduced(self.now, 0.1)
        return reductions


@pytest.mark.parametrize("loss", [0.02, 0.03])
def test_a_little_loss_costs_nothing(loss: float) -> None:
    assert sum(Path(seed).run(60, loss) for seed in range(5)) <= 5  # of five minutes


def test_loss_that_persists_costs_little() -> None:
    path = Path()
    assert 1 <= path.run(10, 0.1) <= 4
    assert path.control.inherent == pytest.approx(0.1, abs=0.05)
    assert path.run(60, 0.1) <= 3


def test_loss_by_the_rate_reduces_it() -> None:
    path = Path()
    path.run(20, 0.0, capacity=0.5)
    assert path.rate <= 0.55
    assert path.control.inherent < 0.05


def test_there_is_an_end_to_what_is_tolerated() -> None:
    path = Path()
    path.run(30, 0.6)
    assert path.control.inherent <= 0.25
    assert path.rate < 0.3


def test_a_late_packet_was_not_lost() -> None:
    control = LossControl()
    for n in range(100):
        control.add(9, 3, 0, n * 0.05, has_queue=False)
        assert control.add(3, 0, 3, n * 0.05 + 0.02, has_queue=False) == 0
    assert control.fraction < 0.02

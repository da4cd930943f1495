"""Decisions about the rate, by feedback in which the delay and the arrivals are as a test says."""

from icefloe.peer.rtp.congestion.arrivals import Arrivals
from icefloe.peer.rtp.congestion.congestion_window import CongestionWindow
from icefloe.peer.rtp.congestion.packets import NetworkState, SentPacket
from icefloe.peer.rtp.congestion.path_control import PathControl
from icefloe.peer.rtp.congestion.probe_results import ProbeResult

INTERVAL = 0.05


class Feedbacks:
    """Feedback every 50 ms about packets that were sent at a rate, and wait in a queue."""

    def __init__(self, rate: float = 2e6) -> None:
        self.arrivals, self.window = Arrivals(), CongestionWindow()
        self.path = PathControl(rate, 30e3, 20e6, self.arrivals, self.window)
        self.now = 0.0
        self.number = 0
        self.queue = 0.0
        self.fell_from: list[float] = []

    def run(self, seconds: float, rate: float, growth: float = 0.0) -> None:
        """Have what is sent at a rate arrive, while the queue grows by so many seconds a second."""
        for _ in range(round(seconds / INTERVAL)):
            packets = []
            count = max(round(rate * INTERVAL / 8 / 1250), 1)
            for n in range(count):
                sent_at = self.now + n * INTERVAL / count
                delay = 0.05 + self.queue + growth * n * INTERVAL / count
                size = round(rate * INTERVAL / 8 / count)
                packets.append((sent_at + delay, SentPacket(self.number, sent_at, size, None)))
                self.number += 1
            self.queue = max(self.queue + growth * INTERVAL, 0.0)
            self.now += INTERVAL
            self.arrivals.add(packets, 0, self.path.rates.rate, self.now)
            self.window.add(0.1, 0.0, self.now)
            before = self.path.decide(0.0, rate, self.now)
            if before is not None:
                self.fell_from.append(before)


def test_a_queue_lowers_the_rate_below_what_arrives() -> None:
    feedbacks = Feedbacks()
    feedbacks.run(2, 2e6)
    before = feedbacks.path.rates.rate
    feedbacks.run(0.5, 2e6, 0.1)
    rates = feedbacks.path.rates
    assert rates.rate < 0.9 * 1.9e6 < before
    assert feedbacks.path.drained_rate < rates.rate
    assert feedbacks.path.is_contested(feedbacks.now)


def test_a_link_that_is_much_slower_lowers_it_at_once() -> None:
    feedbacks = Feedbacks()
    feedbacks.run(2, 2e6)
    feedbacks.run(0.25, 2e6, 4.0)
    assert feedbacks.path.rates.rate < 0.4e6
    assert feedbacks.fell_from[0] >= 1.9e6


def test_one_gap_is_no_slower_link() -> None:
    feedbacks = Feedbacks()
    feedbacks.run(2, 2e6)
    feedbacks.queue = 0.08  # the route is longer from now on
    feedbacks.run(1, 2e6)
    assert feedbacks.path.rates.rate >= 0.5 * 2e6


def test_a_queue_that_stays_costs_half_of_the_rate_at_most_and_is_competed_with() -> None:
    feedbacks = Feedbacks()
    feedbacks.run(2, 2e6)
    before = feedbacks.path.rates.rate
    feedbacks.queue = 0.25
    rate = 2e6
    while feedbacks.path.state is not NetworkState.COMPETING:
        rate = max(rate * 0.95, 0.2e6)  # another flow takes more and more
        feedbacks.run(INTERVAL, rate)
        assert feedbacks.now < 6
    least = feedbacks.path.rates.rate
    assert least >= 0.45 * before
    feedbacks.run(2, least)
    assert feedbacks.path.rates.rate > least


def test_a_sharp_decrease_is_told_once() -> None:
    feedbacks = Feedbacks()
    feedbacks.run(2, 2e6)
    feedbacks.run(0.5, 2e6, 0.5)
    feedbacks.run(2, 1e6, -0.3)
    assert feedbacks.queue == 0
    assert len(feedbacks.fell_from) == 1
    assert feedbacks.fell_from[0] > 1.9e6


def test_a_probe_of_a_full_link_raises_the_rate_by_a_part() -> None:
    feedbacks = Feedbacks(1e6)
    feedbacks.run(2, 1e6)
    path = feedbacks.path
    assert path.probed(ProbeResult(1, 2e6, is_saturated=False), feedbacks.now)
    assert path.rates.rate == 2e6
    feedbacks.run(0.5, 2e6, 0.1)
    before = path.rates.rate
    assert not path.probed(ProbeResult(2, before + 1e6, is_saturated=True), feedbacks.now)
    assert before + 0.4e6 < path.rates.rate < before + 0.6e6
    before = path.rates.rate
    assert not path.probed(ProbeResult(3, before / 2, is_saturated=True), feedbacks.now)
    assert path.rates.rate == before, "a later probe lowers nothing"


def test_the_first_probes_lower_the_rate_of_a_narrow_link() -> None:
    path = Feedbacks(300e3).path
    assert not path.probed(ProbeResult(1, 90e3, is_saturated=True), 0.2)
    assert path.rates.rate == 90e3

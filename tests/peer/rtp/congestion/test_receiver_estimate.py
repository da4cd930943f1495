"""The receiver's estimate, over a simulated link in virtual time."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import pytest
from aiortc.rate import RemoteBitrateEstimator

from icefloe.peer.rtp.congestion.receiver_estimate import (
    BACK_OFF,
    HEADROOM,
    INTERVAL,
    MAX_ESTIMATE,
    MAX_SSRCS,
    MIN_ESTIMATE,
    WINDOW,
    ReceiverEstimate,
)

PACKET = 1200
DELAY = 0.02
"""Seconds that a packet, and the estimate on its way back, takes over the empty link."""

LONGEST_QUEUE = 0.4
"""Seconds that a packet waits in the queue of the link, at most."""


class Estimator(Protocol):
    """An estimator as the receiver uses it."""

    def add(
        self, *, abs_send_time: int, arrival_time_ms: int, payload_size: int, ssrc: int
    ) -> tuple[int, list[int]] | None: ...


@dataclass
class Link:
    """A sender that does as it is told, a link with a queue, and an estimator at its end."""

    estimator: Estimator
    capacity: Callable[[float], float]
    wanted: Callable[[float], float] = lambda _: 1e9
    target: float = 300_000
    rates: list[tuple[float, float]] = field(default_factory=list)
    queues: list[tuple[float, float]] = field(default_factory=list)
    lost: int = 0
    _now: float = 0.0
    _free: float = 0.0
    _told: deque[tuple[float, float]] = field(default_factory=deque)
    _arriving: deque[tuple[float, float]] = field(default_factory=deque)

    def run(self, until: float) -> None:
        """Send until a time in seconds."""
        while self._now < until:
            while self._told and self._told[0][0] <= self._now:
                self.target = self._told.popleft()[1]
            rate = min(self.target, self.wanted(self._now))
            self.rates.append((self._now, self.target))
            waits = max(self._free - self._now, 0.0)
            self.queues.append((self._now, waits))
            if waits > LONGEST_QUEUE:
                self.lost += 1
            else:
                self._free = self._now + waits + PACKET * 8 / self.capacity(self._now)
                self._arriving.append((self._now, self._free + DELAY))
            while self._arriving and self._arriving[0][1] <= self._now:
                self._arrive(*self._arriving.popleft())
            self._now += PACKET * 8 / rate

    def _arrive(self, sent: float, arrived: float) -> None:
        stamp = int(sent * (1 << 18)) & 0xFFFFFF
        told = self.estimator.add(
            abs_send_time=stamp,
            arrival_time_ms=round(1000 * arrived),
            payload_size=PACKET,
            ssrc=1,
        )
        if told is not None:
            self._told.append((arrived + DELAY, float(told[0])))

    def reached(self, rate: float) -> float:
        """Return when the sender was first told to send that fast; infinity if never."""
        return next((at for at, target in self.rates if target >= rate), float("inf"))

    def mean_rate(self, since: float) -> float:
        """Return the rate that the sender was told, averaged over the time."""
        steps = pairwise(self.rates)
        total = [(after - at, target) for (at, target), (after, _) in steps if at >= since]
        return sum(took * target for took, target in total) / sum(took for took, _ in total)

    def mean_queue(self, since: float) -> float:
        """Return the seconds that packets wait, on average."""
        some = [waits for at, waits in self.queues if at >= since]
        return sum(some) / len(some)


@pytest.mark.parametrize("megabits", [1, 5, 20])
def test_it_grows_to_what_the_link_takes_within_seconds(megabits: int) -> None:
    capacity = megabits * 1e6
    link = Link(ReceiverEstimate(), lambda _: capacity)
    link.run(12)
    plain = Link(RemoteBitrateEstimator(), lambda _: capacity)
    plain.run(12)
    assert link.reached(0.9 * capacity) < 6
    assert link.reached(0.9 * capacity) < plain.reached(0.9 * capacity) / 2
    link.run(40)
    assert 0.8 * capacity < link.mean_rate(12) < 1.02 * capacity
    assert link.mean_queue(12) < 0.06
    assert link.lost < 0.01 * len(link.rates)


def test_it_follows_a_link_that_gets_slower_and_faster() -> None:
    link = Link(ReceiverEstimate(), lambda now: 3e6 if 15 < now < 30 else 9e6)
    link.run(18)
    link.rates.clear()
    link.queues.clear()
    link.run(30)
    assert 0.75 * 3e6 < link.mean_rate(18) < 1.05 * 3e6
    assert link.mean_queue(20) < 0.08
    link.rates.clear()
    link.run(50)
    assert link.reached(0.8 * 9e6) < 45


def test_it_grows_beyond_what_arrives_by_its_headroom_alone() -> None:
    link = Link(ReceiverEstimate(), lambda _: 1e8, wanted=lambda _: 2e6)
    link.run(20)
    assert link.target == pytest.approx(HEADROOM * 2e6, rel=0.05)


def test_it_stays_while_less_is_sent() -> None:
    link = Link(ReceiverEstimate(), lambda _: 1e8, wanted=lambda now: 8e6 if now < 10 else 0.5e6)
    link.run(10)
    before = link.target
    link.run(30)
    assert link.target == before


def test_nothing_is_told_before_a_rate_is_known() -> None:
    estimate = ReceiverEstimate()
    told_at = []
    for n in range(300):
        now = n / 100
        if estimate.add(int(now * (1 << 18)), n * 10, 1000, 1) is not None:
            told_at.append(now)
    assert told_at[0] == WINDOW
    assert min(after - before for before, after in pairwise(told_at)) >= INTERVAL
    assert estimate.bitrate == pytest.approx(HEADROOM * 800_000, rel=0.05)


def test_a_pause_does_not_look_like_a_queue() -> None:
    estimate = ReceiverEstimate()
    for n in range(500):
        estimate.add(int(n / 100 * (1 << 18)) & 0xFFFFFF, n * 10, 1000, 1)
    before = estimate.bitrate
    for n in range(500):
        estimate.add(int(n / 100 * (1 << 18)) & 0xFFFFFF, 3_600_000 + n * 10, 1000, 1)
    assert estimate.bitrate == before


def test_ssrcs_are_bounded() -> None:
    estimate = ReceiverEstimate()
    told = [estimate.add(n << 10, n * 4, 1000, n) for n in range(1000)]
    assert set(estimate.ssrcs) == set(range(1000 - MAX_SSRCS, 1000))
    assert all(len(each[1]) <= MAX_SSRCS for each in told if each is not None)


def test_hostile_times_keep_the_estimate_within_bounds() -> None:
    estimate = ReceiverEstimate()
    for n in range(20_000):
        told = estimate.add((n * 7_654_321) & 0xFFFFFF, n // 3, (n * 31) % 1500, n % 50)
        assert told is None or MIN_ESTIMATE <= told[0] <= MAX_ESTIMATE


def test_a_growing_queue_lowers_it_to_less_than_what_arrives() -> None:
    estimate = ReceiverEstimate()
    for n in range(200):
        estimate.add(int(n / 100 * (1 << 18)), n * 10, 1000, 1)
    told = []
    for n in range(200):  # 800 kbit/s are sent, 640 arrive
        sent = 2 + n / 100
        told.append(estimate.add(int(sent * (1 << 18)), 2000 + round(n * 12.5), 1000, 1))
    lowest = min(each[0] for each in told if each is not None)
    assert lowest == pytest.approx(BACK_OFF * 640_000, rel=0.1)

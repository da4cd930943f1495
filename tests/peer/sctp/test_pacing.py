"""Bytes that leave at once: by the rate, and by what has arrived so far."""

import pytest

from icefloe.peer._util.pacer import (
    BURST_GROWTH_PAUSE,
    INITIAL_MAX_BURST,
    LOSS_BURST,
    MAX_BURST,
    MIN_BURST,
    QUANTUM,
    SLACK,
    Pacer,
)
from tests.helpers.sctp import Link, World, bulk

FAST = 2 * MAX_BURST / SLACK
"""Bytes a second at which the largest burst is smaller than what the slack stands for."""


def pacer_at(rate: float) -> Pacer:
    pacer = Pacer()
    pacer.rate = rate
    return pacer


def grown(pacer: Pacer, seconds: float, *, begin: float = 0.0, round_trip: float = 0.001) -> float:
    """Have all of it arrive for so long; return when that was over."""
    for step in range(round(seconds * 1000)):
        pacer.arrived(begin + step / 1000, round_trip)
    return begin + seconds


def burst(pacer: Pacer, now: float) -> float:
    """Return what may leave after a long pause."""
    pacer.credit(now)
    return pacer.credit(now + 10)


def test_a_slow_path_gets_small_bursts() -> None:
    assert burst(pacer_at(1e6), 1) == MIN_BURST
    assert burst(pacer_at(10e6), 1) == SLACK * 10e6


def test_bursts_of_a_fast_path_grow_while_all_of_them_arrive() -> None:
    pacer = pacer_at(FAST)
    assert burst(pacer, 1) == INITIAL_MAX_BURST
    now = grown(pacer, 0.1, begin=20)
    assert INITIAL_MAX_BURST < pacer.max_burst < MAX_BURST
    now = grown(pacer, 1, begin=now)
    assert burst(pacer, now) == MAX_BURST


def test_they_grow_once_a_round_trip_so_that_a_loss_is_seen_before() -> None:
    near, far = pacer_at(FAST), pacer_at(FAST)
    grown(near, 0.2, round_trip=0.001)
    grown(far, 0.2, round_trip=0.1)
    assert far.max_burst < near.max_burst


def test_they_do_not_grow_beyond_what_the_rate_wants() -> None:
    pacer = pacer_at((INITIAL_MAX_BURST + 1000) / SLACK)
    grown(pacer, 5)
    assert pacer.max_burst < INITIAL_MAX_BURST + 20_000


def test_a_loss_makes_them_small_for_a_while() -> None:
    pacer = pacer_at(FAST)
    now = grown(pacer, 2)
    pacer.lost(now)
    assert pacer.max_burst == LOSS_BURST
    now = grown(pacer, BURST_GROWTH_PAUSE - 1, begin=now)
    assert pacer.max_burst == LOSS_BURST
    grown(pacer, 3, begin=now)
    assert pacer.max_burst == MAX_BURST


def test_what_has_left_is_waited_for() -> None:
    pacer = pacer_at(10e6)
    pacer.spend(round(pacer.credit(1)))
    assert 0 < pacer.ready_at(1) - 1 <= QUANTUM + 1e-6


def test_a_limit_holds_whatever_the_path_carries() -> None:
    world = World(1)
    a, b = world.pair(Link(delay=0.025, rate=10e6, queue=0.2))
    b.keep = False
    world.connect(a, b)
    bulk(world, a)
    sender = a.association.sender
    assert sender is not None

    def rate(settle: float, seconds: float) -> float:
        world.run(settle)
        before = b.bytes_arrived
        world.run(seconds)
        return (b.bytes_arrived - before) * 8 / seconds

    assert rate(2, 3) > 9e6
    sender.limit = 1e6 / 8
    assert rate(1, 12) == pytest.approx(1e6, rel=0.08)
    a.association.path_changed(world.now, was_lost=False)
    assert rate(1, 5) == pytest.approx(1e6, rel=0.1), "of another path, too"
    sender.limit = float("inf")
    world.touch(a)
    assert rate(2, 3) > 9e6, "it is found again soon"


def test_progress_counts_what_is_in_flight_and_what_arrived() -> None:
    world = World(1)
    a, b = world.pair(Link(delay=0.025, rate=10e6, queue=0.2))
    world.connect(a, b)
    sender = a.association.sender
    assert sender is not None
    assert sender.progress == (0, 0, False)
    world.send(a, bytes(200_000))
    world.run(0.04)
    sent, delivered, waits = sender.progress
    assert delivered == 0 < sent < 200_000
    assert waits
    world.run(5)
    assert sender.progress == (200_000, 200_000, False)

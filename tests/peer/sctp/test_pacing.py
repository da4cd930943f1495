"""How much leaves at once: by the rate, and by what has arrived so far."""

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

"""The cases of RFC 8867 and others in virtual time: what is used, and what waits in the queue."""

import pytest

from tests.peer.rtp.congestion import cases
from tests.peer.rtp.congestion.cases import Figures

USE = 0.85
"""Part of the capacity that is used five seconds after a change."""

QUEUE = 0.1
"""Seconds that 95 of 100 packets wait at most."""


def check(figures: Figures, *, use: float = USE, queue: float = QUEUE) -> None:
    for name, figure in figures.items():
        if name.startswith(("use", "back use")):
            assert figure >= use, name
        elif name.endswith("p95 queue"):
            assert figure <= queue, name


@pytest.mark.parametrize("interval", [0.05, 0.1])
def test_variable_capacity_with_one_flow(interval: float) -> None:
    check(cases.variable_one(interval=interval))


def test_variable_capacity_with_two_flows() -> None:
    check(cases.variable_two())


def test_a_congested_way_back() -> None:
    check(cases.congested_back())


@pytest.mark.parametrize("seed", [1, 2])
def test_three_flows_share(seed: int) -> None:
    figures = cases.three_flows(seed)
    check(figures)
    assert figures["least / mean"] > 0.75
    assert figures["most / mean"] < 1.25


def test_flows_with_other_round_trips_share() -> None:
    """The round trips are 10 to 300 ms, and the long ones notice the queue much later."""
    figures = cases.round_trips()
    check(figures, queue=0.12)
    assert figures["least / mean"] > 0.5
    assert figures["most / mean"] < 1.5


@pytest.mark.parametrize("begin", [0.0, 9.0])
def test_beside_a_long_tcp_flow_neither_starves(begin: float) -> None:
    figures = cases.beside_tcp(begin=begin)
    assert figures["of fair share"] > 1 / 3
    assert figures["tcp of fair share"] > 1 / 3


def test_short_tcp_flows_leave_most_of_the_rest() -> None:
    figures = cases.short_tcp()
    assert figures["of what is left"] > 0.7
    assert figures["tcp use"] > 0.03


def test_a_pause_is_used_by_others_and_given_back() -> None:
    figures = cases.pause()
    check(figures)
    assert figures["least / mean"] > 0.7
    assert figures["most / mean"] < 1.3


@pytest.mark.parametrize(("interval", "delay"), [(0.05, 0.05), (0.1, 0.1), (0.05, 0.005)])
def test_the_capacity_is_found_in_two_seconds(interval: float, delay: float) -> None:
    figures = cases.start_up(interval=interval, delay=delay)
    check(figures, use=0.8)
    assert figures["seconds to 2.1 Mbit/s"] < 2


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("interval", [0.05, 0.1])
def test_a_link_that_grew_is_found_in_five_seconds(interval: float, seed: int) -> None:
    figures = cases.growth(seed, interval=interval)
    check(figures, use=0.8)
    assert figures["seconds to 2.1 Mbit/s"] < 5


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("interval", [0.05, 0.1])
def test_a_link_that_shrank_is_noticed_in_a_second(interval: float, seed: int) -> None:
    figures = cases.drop(seed, interval=interval)
    check(figures)
    assert figures["seconds to 1.2 of it"] < 1
    assert figures["most from 1 s to 2 s, of it"] < 1.2
    assert figures["queue below 100 ms after"] < 2


@pytest.mark.parametrize("loss", [0.02, 0.03])
def test_a_little_random_loss_costs_little(loss: float) -> None:
    check(cases.random_loss(loss), use=0.8)


def test_much_random_loss_costs_less_than_half() -> None:
    check(cases.random_loss(0.1), use=0.5)


def test_jitter_is_no_congestion() -> None:
    check(cases.jitter(0.03), use=0.8)
    check(cases.jitter(0.1), use=0.5, queue=0.25)


def test_a_narrow_link() -> None:
    """Half of its packets hardly wait; behind a key frame of a packet or two they have to."""
    figures = cases.narrow()
    check(figures, queue=0.2)
    assert figures["p50 queue"] < 0.05
    assert figures["highest target, of it"] < 1.2


def test_sound_alone_keeps_the_estimate_and_video_has_its_rate_at_once() -> None:
    figures = cases.audio_only()
    check(figures)
    assert figures["highest target in Mbit/s"] <= 0.5
    assert figures["seconds to 2.1 Mbit/s"] < 3


def test_a_queue_that_is_too_short_to_be_seen() -> None:
    figures = cases.short_queue()
    check(figures)
    assert figures["dropped"] < 0.12


def test_a_longer_route_is_no_congestion_for_long() -> None:
    figures = cases.longer_path()
    check(figures)
    assert figures["of the first 10 s"] > 0.4


def test_lost_feedback_costs_little() -> None:
    check(cases.lost_feedback(), use=0.6)


def test_an_outage_lowers_the_rate_and_is_over_at_once() -> None:
    figures = cases.outage()
    check(figures, use=0.8)
    assert figures["target at its end"] < 0.4
    assert figures["seconds to 2.1 Mbit/s"] < 3


def test_a_fast_link() -> None:
    figures = cases.fast()
    check(figures, use=0.8)
    assert figures["seconds to 85 %"] < 2


def test_enough_for_the_demand() -> None:
    figures = cases.enough()
    assert figures["of demand"] > 0.98
    assert figures["highest target, of demand"] < 2
    assert figures["seconds to 2.5 Mbit/s"] < 2
    check(figures, queue=0.01)

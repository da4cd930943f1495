"""The engine in virtual time: loss, reordering, duplicates, and no connection at all."""

import random
from collections.abc import Callable

import pytest

from icefloe.peer.ice.checks.state import Failure, IceState, Settings
from tests.helpers.network import START, Network
from tests.helpers.side import Side, agree, call, home_call, settled, trickle

SEEDS = range(30)


def run_to_the_end(network: Network, left: Side, right: Side) -> None:
    """Wait for the connection, and then until the weather is fair and all has settled."""
    assert network.run(60.0, lambda: left.is_connected and right.is_connected)
    assert network.run(60.0, lambda: left.checks.nominated is not None)
    network.conditions.loss = network.conditions.jitter = network.conditions.duplication = 0.0
    network.run(30.0)
    assert agree(left, right), (left.path, right.path)
    for side in (left, right):
        assert side.is_connected
        assert not settled(side).is_relayed


@pytest.mark.parametrize("turn", [False, True], ids=["stun", "turn"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_third_of_all_packets_lost(seed: int, turn: bool) -> None:
    network = Network(seed=seed, loss=0.3)
    run_to_the_end(network, *home_call(network, turn=turn))


@pytest.mark.parametrize("seed", SEEDS)
def test_packets_overtake_each_other_and_come_twice(seed: int) -> None:
    network = Network(seed=seed, delay=0.01, jitter=0.3, duplication=0.5)
    run_to_the_end(network, *home_call(network, turn=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_at_once(seed: int) -> None:
    chance = random.Random(seed)
    network = Network(
        seed=seed,
        delay=chance.uniform(0.0, 0.4),
        jitter=chance.uniform(0.0, 0.4),
        loss=chance.uniform(0.0, 0.4),
        duplication=chance.uniform(0.0, 0.4),
    )
    run_to_the_end(network, *home_call(network, turn=chance.random() < 0.5))


@pytest.mark.parametrize("delay", [0.3, 0.6, 1.5])
def test_a_path_by_satellite(delay: float) -> None:
    network = Network(delay=delay)
    left, right = call(network)
    assert network.run(20.0, lambda: left.checks.nominated is not None)
    network.run(60.0)
    assert agree(left, right)
    assert left.is_connected
    assert right.is_connected


# --- no connection


def lonely(settings: Settings | None = None) -> tuple[Network, Side, Side]:
    """Make a side with one candidate that knows the other's credentials, and none of its own."""
    network = Network()
    left = Side(network, "left", controlling=True, settings=settings)
    right = Side(network, "right", controlling=False)
    left.add_host()
    left.end_candidates()
    left.start(right)
    return network, left, right


@pytest.mark.parametrize("ended", [True, False])
def test_nothing_fails_before_patience_is_over(ended: bool) -> None:
    # RFC 8863 section 4: there may be peer-reflexive candidates yet.
    network, left, _ = lonely()
    if ended:
        left.take(None)
    network.run(200.0)
    assert left.when(IceState.FAILED) - START == pytest.approx(39.5)
    assert left.checks.failure is Failure.NO_PAIR_WORKS
    assert left.checks.deadline == float("inf")


def test_a_check_that_comes_at_the_last_moment_connects() -> None:
    network, left, right = lonely()
    left.take(None)
    right.add_host()
    network.run(39.0)
    assert left.checks.state is IceState.CHECKING
    right.take(left.candidates[0])
    right.start(left)
    assert network.run(1.0, lambda: left.is_connected and right.is_connected)


@pytest.mark.parametrize("late", [5.0, 19.0, 25.0])
def test_pairs_that_never_answer_fail_each_after_its_own_time(late: float) -> None:
    network, left, right = lonely()
    right.add_host()
    network.conditions.is_cut = lambda source, target: True
    network.run(late)
    left.take(right.candidates[0])
    network.run(200.0)
    expected = min(late + 39.5, 60.0)
    assert left.when(IceState.FAILED) - START == pytest.approx(expected, abs=0.1)
    assert left.checks.failure is (Failure.TOO_LONG if expected == 60.0 else Failure.NO_PAIR_WORKS)


def test_the_ceiling_holds_though_candidates_never_end() -> None:
    network, left, _ = lonely()
    network.conditions.is_cut = lambda source, target: True
    for number in range(100):
        later = Side(network, f"later {number}", controlling=False)
        network.at(number, later.add_host)
        later.on_candidate = left.take
    network.run(200.0)
    assert left.when(IceState.FAILED) - START == pytest.approx(60.0)
    assert left.checks.failure is Failure.TOO_LONG
    assert len(left.checks.list) > 50


def test_shorter_patience_and_ceiling_are_kept() -> None:
    network, left, _ = lonely(Settings(patience=2.0, checking_timeout=3.0))
    network.run(10.0)
    assert left.when(IceState.FAILED) - START == pytest.approx(2.0)


@pytest.mark.parametrize("order", ["end first", "start first"])
def test_without_a_local_candidate_it_fails_at_once(order: str) -> None:
    network = Network()
    left, right = (Side(network, name, controlling=True) for name in ("left", "right"))
    begin: list[Callable[[], None]] = [left.end_candidates, lambda: left.start(right)]
    for step in begin if order == "end first" else reversed(begin):
        step()
    assert left.checks.state is IceState.FAILED
    assert left.checks.failure is Failure.NO_LOCAL_CANDIDATE
    assert network.now == START


def test_a_side_that_failed_is_revived_by_the_other() -> None:
    network, left, right = lonely()
    left.take(None)
    network.run(100.0)
    assert left.checks.state is IceState.FAILED
    trickle(left, right)
    right.add_host()
    right.take(left.candidates[0])
    right.start(left)
    assert network.run(5.0, lambda: left.is_connected and right.is_connected)
    assert left.checks.failure is None

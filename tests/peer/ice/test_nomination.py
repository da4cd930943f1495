"""Nomination of pairs, and its time: the decision as a table."""

import pytest

from icefloe.peer.ice.checks.nomination import (
    ACCEPTANCE_MIN_WAIT,
    CheckProgress,
    acceptance_min_wait,
    best_of,
    decide,
)
from icefloe.peer.ice.checks.pair import Pair, PairState, Remote
from tests.helpers.puppet import local_candidate, remote_candidate

NEVER = float("inf")


def make(local: str, remote: str, state: PairState = PairState.SUCCEEDED) -> Pair:
    """Make a pair of candidates of these types."""
    address = ("198.51.100.2", 2000)
    base = local if local in ("host", "relay") else "host"
    pair = Pair(local_candidate(base), Remote(remote_candidate(address, remote), address), state)
    pair.mapped = local_candidate(local)
    return pair


TYPES = ["host", "srflx", "prflx", "relay"]


@pytest.mark.parametrize("local", TYPES)
@pytest.mark.parametrize("remote", TYPES)
def test_the_worse_candidate_of_a_pair_tells_how_long_to_wait(local: str, remote: str) -> None:
    expected = max(ACCEPTANCE_MIN_WAIT[local], ACCEPTANCE_MIN_WAIT[remote])
    pair = make(local, remote)
    assert acceptance_min_wait(pair) == expected
    for elapsed in (0.0, 0.3, 0.5, 0.9, 1.0, 1.9, 2.0, 60.0):
        decision = decide([pair], None, CheckProgress(elapsed, more_candidates=True))
        if elapsed >= expected:
            assert decision.nominate is pair
        else:
            assert decision.nominate is None
            assert decision.reconsider_after == pytest.approx(expected - elapsed)


def test_a_type_that_nobody_knows_is_not_waited_for() -> None:
    assert acceptance_min_wait(make("host", "novel")) == 0.0


def test_without_a_pair_that_works_nothing_is_nominated() -> None:
    for state in set(PairState) - {PairState.SUCCEEDED}:
        decision = decide([make("host", "host", state)], None, CheckProgress(60.0, False))
        assert (decision.nominate, decision.reconsider_after) == (None, NEVER)
    assert decide([], None, CheckProgress(60.0, False)).nominate is None


PENDING = [PairState.FROZEN, PairState.WAITING, PairState.IN_PROGRESS]


@pytest.mark.parametrize("state", list(PairState))
def test_only_a_better_pair_that_may_still_work_is_waited_for(state: PairState) -> None:
    relayed, better = make("relay", "host"), make("host", "host", state)
    decision = decide([relayed, better], None, CheckProgress(0.1, more_candidates=False))
    if state is PairState.SUCCEEDED:
        assert decision.nominate is better
    elif state in PENDING:
        assert decision.nominate is None
        assert decision.reconsider_after == pytest.approx(ACCEPTANCE_MIN_WAIT["relay"] - 0.1)
    else:
        assert decision.nominate is relayed


@pytest.mark.parametrize("state", PENDING)
def test_a_worse_pair_is_not_waited_for(state: PairState) -> None:
    direct, relayed = make("srflx", "srflx"), make("relay", "host", state)
    assert (
        decide([relayed, direct], None, CheckProgress(0.0, more_candidates=False)).nominate
        is direct
    )


NOMINATED = [  # what was nominated, what works as well, and whether that takes over
    (("relay", "host"), ("srflx", "host"), True),
    (("host", "relay"), ("host", "prflx"), True),
    (("relay", "relay"), ("host", "relay"), False),
    (("srflx", "host"), ("host", "host"), False),
    (("host", "host"), ("relay", "host"), False),
]


@pytest.mark.parametrize(("first", "other", "takes_over"), NOMINATED)
@pytest.mark.parametrize("elapsed", [0.0, 100.0])
def test_only_a_direct_path_takes_over_from_a_relay(
    first: tuple[str, str], other: tuple[str, str], takes_over: bool, elapsed: float
) -> None:
    nominated, working = make(*first), make(*other)
    decision = decide([nominated, working], nominated, CheckProgress(elapsed, more_candidates=True))
    assert decision.nominate is (working if takes_over else None)
    assert decision.reconsider_after == NEVER


def test_when_the_nominated_pair_is_dead_the_next_best_is_nominated() -> None:
    relayed, direct = make("relay", "host"), make("srflx", "host")
    decision = decide([relayed, direct], None, CheckProgress(100.0, more_candidates=True))
    assert decision.nominate is direct


def test_best_of() -> None:
    pairs = [make(local, remote) for local in TYPES for remote in TYPES]
    best = best_of(pairs, controlling=True)
    assert best is not None
    assert (best.valid_local.type, best.remote.candidate.type) == ("host", "host")
    assert best_of([], controlling=True) is None

"""The engine in virtual time: candidates, their ends and the start, in every order (RFC 8838)."""

from collections.abc import Callable

from hypothesis import given, strategies as st

from icefloe.peer.ice.checks.state import IceState
from icefloe.peer.ice.gather.local_candidate import LocalCandidate
from tests.helpers.network import Nat, Network
from tests.helpers.side import Side, agree, port_restricted, settled

Step = Callable[[], object]


def steps(side: Side, other: Side, *, turn: bool) -> list[list[Step]]:
    """Return what happens to a side, in threads each of which keeps its order."""
    sockets = {}

    def add_host() -> None:
        sockets["host"] = side.add_host()

    gathering: list[Step] = [add_host, lambda: side.add_reflexive(sockets["host"])]
    if turn:
        gathering.append(side.add_relayed)
    gathering.append(side.end_candidates)
    return [gathering, [lambda: side.start(other)]]


def trickle_when_told(source: Side, target: Side) -> list[Step]:
    """Return the steps that bring what a side has found by then to the other."""
    waiting: list[LocalCandidate | None] = []
    source.on_candidate = waiting.append

    def bring() -> None:
        while waiting:
            target.take(waiting.pop(0))

    return [bring, bring, bring]


@given(st.data())
def test_whatever_comes_first_there_is_a_connection(data: st.DataObject) -> None:
    draw = data.draw
    network = Network(seed=draw(st.integers(0, 99)))
    nats: list[Nat | None] = [
        port_restricted(f"203.0.113.{number}") if draw(st.booleans()) else None
        for number in (10, 20)
    ]
    turn = draw(st.booleans())
    controlling = draw(st.booleans())
    left = Side(network, "left", nat=nats[0], controlling=controlling, tie_breaker=1)
    right = Side(network, "right", nat=nats[1], controlling=not controlling, tie_breaker=2)
    ahead = [
        *steps(left, right, turn=turn),
        *steps(right, left, turn=turn),
        trickle_when_told(left, right),
        trickle_when_told(right, left),
    ]
    while any(ahead):
        draw(st.sampled_from([thread for thread in ahead if thread])).pop(0)()
        network.run(draw(st.sampled_from([0.0, 0.01, 0.1, 0.6, 3.0])))
    for side, other in ((left, right), (right, left)):
        for candidate in other.candidates:  # what was found after the last message
            side.take(candidate)
        side.take(None)
    assert network.run(60.0, lambda: left.is_connected and right.is_connected)
    network.run(60.0)
    assert agree(left, right), (left.path, right.path)
    for side in (left, right):
        assert not settled(side).is_relayed
        assert side.states()[-1] is IceState.COMPLETED

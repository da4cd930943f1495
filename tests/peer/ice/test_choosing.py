"""The engine in virtual time: what is nominated, when, and how a better path takes over."""

import pytest

from icefloe.peer.ice.checks.connectivity import TA
from icefloe.peer.ice.checks.nomination import ACCEPTANCE_MIN_WAIT
from icefloe.peer.ice.checks.pair import PairState
from icefloe.peer.ice.checks.state import IceState
from tests.helpers.network import START, Network, Socket
from tests.helpers.side import (
    SIGNALING,
    Side,
    agree,
    call,
    home_call,
    port_restricted,
    settled,
    types,
)

RTT = 0.04
"""The network's, in seconds."""


def nominated_at(side: Side) -> float:
    """Return when it first had a nominated pair, in seconds after the beginning."""
    return next(m.at for m in side.history if m.nominated is not None) - START


def only_relayed(source: Socket, target: Socket) -> bool:
    return not (source.relayed or target.relayed)


def arrives(source: Side, target: Side) -> bool:
    """Return whether a packet sent now would be taken for the other side's when it arrives."""
    pair = source.checks.path(source.network.now)
    known = {other.remote.address for other in target.checks.list}
    return pair is not None and pair.valid_local.address in known


# --- patience


def unfinished(turn: bool = False, **options: bool) -> tuple[Network, Side, Side]:
    """Make a call in which the left side's candidates never end, so that there may be better."""
    network = Network(delay=RTT / 2)
    left, right = home_call(network, turn=turn, **options)
    left.checks.local_ended = False
    return network, left, right


def test_between_hosts_nothing_is_waited_for() -> None:
    network = Network(delay=RTT / 2)
    left, right = call(network)
    left.checks.local_ended = False
    network.run(5.0)
    assert nominated_at(left) <= SIGNALING + 2 * RTT + TA
    assert agree(left, right)


def test_a_reflexive_path_is_settled_for_after_half_a_second() -> None:
    network, left, right = unfinished()
    network.run(5.0)
    begun = left.when(IceState.CHECKING) - START
    assert nominated_at(left) == pytest.approx(begun + ACCEPTANCE_MIN_WAIT["srflx"] + RTT, abs=TA)
    assert types(left.checks.nominated) == "srflx -> srflx"
    assert agree(left, right)


def test_a_relay_is_settled_for_after_two_seconds() -> None:
    network, left, right = unfinished(turn=True)
    network.conditions.is_cut = only_relayed
    network.run(5.0)
    begun = left.when(IceState.CHECKING) - START
    assert nominated_at(left) == pytest.approx(
        begun + ACCEPTANCE_MIN_WAIT["relay"] + 3 * RTT, abs=2 * RTT
    )
    assert left.checks.nominated is not None
    assert left.checks.nominated.is_relayed
    assert agree(left, right)


def test_data_flows_before_anything_is_nominated() -> None:
    # RFC 8445 section 12.1: over any valid pair.
    network, left, right = unfinished(turn=True)
    network.conditions.is_cut = only_relayed
    assert network.run(1.0, lambda: left.is_connected and right.is_connected)
    for side in (left, right):
        assert side.checks.nominated is None
        assert side.checks.path(network.now) is side.checks.selected is not None


def test_better_pairs_that_answer_nothing_hold_nothing_up() -> None:
    # Private addresses of other networks are never reached; that is known after 39.5 s.
    network = Network(delay=RTT / 2)
    left, right = home_call(network)
    network.run(5.0)
    assert [p.state for p in left.checks.list if p.remote.candidate.type == "host"] == [
        PairState.IN_PROGRESS
    ]
    begun = left.when(IceState.CHECKING) - START
    assert nominated_at(left) == pytest.approx(begun + ACCEPTANCE_MIN_WAIT["srflx"] + RTT, abs=TA)
    assert agree(left, right)


def test_the_last_candidates_being_known_ends_the_wait() -> None:
    network = Network(delay=RTT / 2)
    left, right = call(network, port_restricted("203.0.113.10"))
    network.run(5.0)
    # Of one private address there is nothing that could be better than to go out from it.
    assert nominated_at(left) <= SIGNALING + 3 * RTT + 2 * TA
    assert agree(left, right)


# --- what the path is called


@pytest.mark.parametrize("later", [0.0, 1.0], ids=["before", "after"])
def test_the_stun_servers_word_makes_a_reflexive_path_server_reflexive(later: float) -> None:
    network = Network(delay=RTT / 2)
    nat = port_restricted("203.0.113.10")
    left, right = (
        Side(network, "left", nat=nat, controlling=True),
        Side(network, "right", controlling=False),
    )
    for side in (left, right):
        socket = side.add_host()
    for candidate in right.candidates:
        left.take(candidate)
    if not later:
        left.add_reflexive(left.sockets[0])
    right.start(left)
    left.start(right)
    assert network.run(5.0, lambda: left.is_connected and right.is_connected)
    if later:
        assert (left.path, right.path) == ("prflx -> host", "host -> prflx")
        left.add_reflexive(left.sockets[0])
    assert left.path == "srflx -> host"
    for candidate in left.candidates:
        right.take(candidate)
    assert right.path == "host -> srflx"
    assert socket is right.sockets[0]
    assert len(right.checks.list.remotes) == 2  # the private address, and the one that is seen
    assert agree(left, right)


def test_without_a_stun_server_a_reflexive_path_is_peer_reflexive() -> None:
    network = Network(delay=RTT / 2)
    left, right = call(network, port_restricted("203.0.113.10"), stun=False)
    assert network.run(5.0, lambda: left.is_connected and right.is_connected)
    assert (left.path, right.path) == ("prflx -> host", "host -> prflx")
    assert agree(left, right)


# --- a better path takes over


@pytest.mark.parametrize("opens_after", [3.0, 10.0, 30.0, 55.0, 120.0])
def test_a_direct_path_that_opens_later_takes_over_from_a_relay(opens_after: float) -> None:
    network = Network(delay=RTT / 2)
    left, right = home_call(network, turn=True)
    network.conditions.is_cut = only_relayed
    gone: list[float] = []

    def watch() -> bool:
        if not (arrives(left, right) and arrives(right, left)):
            gone.append(network.now)
        return False

    assert network.run(5.0, lambda: left.is_connected and right.is_connected)
    network.run(opens_after, watch)
    for side in (left, right):
        assert settled(side).is_relayed
    network.conditions.is_cut = lambda source, target: False

    def is_direct() -> bool:
        watch()
        pairs = [side.checks.nominated for side in (left, right)]
        return all(pair is not None and not pair.is_relayed for pair in pairs)

    assert network.run(30.0, is_direct)
    assert gone == []
    network.run(60.0)
    assert agree(left, right)
    for side in (left, right):
        assert (side.path, side.states()[-1]) == ("srflx -> srflx", IceState.COMPLETED)
        assert IceState.DISCONNECTED not in side.states()


def test_a_relay_is_not_left_for_another_relay() -> None:
    network = Network(delay=RTT / 2)
    left, right = home_call(network, turn=True)
    network.conditions.is_cut = only_relayed
    assert network.run(5.0, lambda: left.checks.nominated is not None)
    first = left.checks.nominated
    network.run(60.0)
    assert left.checks.nominated is first
    assert len(left.checks.list.valid) > 1
    assert agree(left, right)


def test_a_path_that_died_is_replaced_and_nominated_on_both_sides() -> None:
    network = Network(delay=RTT / 2)
    left, right = home_call(network, turn=True)
    network.run(10.0)
    assert left.path == "srflx -> srflx"
    network.conditions.is_cut = only_relayed
    network.run(10.0)
    for side in (left, right):
        assert side.is_connected
        assert settled(side).is_relayed
    assert agree(left, right)

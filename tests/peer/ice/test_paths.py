"""The engine in virtual time: which path is found behind which NAT, and how soon."""

from dataclasses import dataclass
from itertools import product

import pytest

from icefloe.peer.ice.checks.connectivity import TA
from icefloe.peer.ice.checks.state import IceState
from tests.helpers.network import ADF, APDF, APDM, EIF, EIM, START, Filtering, Mapping, Nat, Network
from tests.helpers.side import SIGNALING, Side, agree, call

LONG = 90.0
"""Seconds after which nothing more is to be expected."""


@dataclass(frozen=True)
class Behaviour:
    """A NAT as RFC 4787 describes it, or none."""

    mapping: Mapping | None
    filtering: Filtering

    def __str__(self) -> str:
        if self.mapping is None:
            return "public"
        return f"{'EIM' if self.mapping is EIM else 'APDM'}-{_SHORT[self.filtering]}"

    def build(self, address: str) -> Nat | None:
        """Make a NAT that behaves so."""
        return Nat(address, self.mapping, self.filtering) if self.mapping else None


_SHORT = {EIF: "EIF", ADF: "ADF", APDF: "APDF"}

PUBLIC = Behaviour(None, EIF)
BEHAVIOURS = [PUBLIC, *(Behaviour(m, f) for m, f in product(Mapping, Filtering))]
PORT_RESTRICTED = Behaviour(EIM, APDF)


def can_connect(one: Behaviour, other: Behaviour) -> bool:
    """Return whether there is a direct path between two NATs.

    A side whose mapping depends on the target shows each target another port, one that nobody was
    told of. Its packets get in where every port of an address does that was sent to before, and
    two such sides each answer from one more port than the other asked.
    """
    hidden = [one.mapping is APDM, other.mapping is APDM]
    if not any(hidden):
        return True
    seen = other if hidden[0] else one
    return not all(hidden) and seen.filtering is not APDF


def between(
    network: Network, one: Behaviour, other: Behaviour, *, turn: bool = False
) -> tuple[Side, Side]:
    """Make a call between hosts behind two NATs."""
    nats = one.build("203.0.113.10"), other.build("203.0.113.20")
    return call(network, *nats, turn=turn)


PAIRS = [pytest.param(*pair, id=f"{pair[0]}/{pair[1]}") for pair in product(BEHAVIOURS, repeat=2)]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_a_direct_path_is_found_wherever_there_is_one(one: Behaviour, other: Behaviour) -> None:
    network = Network()
    left, right = between(network, one, other)
    found = network.run(LONG, lambda: left.is_connected and right.is_connected)
    assert found is can_connect(one, other)
    if not found:
        assert left.checks.state is right.checks.state is IceState.FAILED
        return
    assert network.run(10.0, lambda: left.checks.nominated is not None and agree(left, right))


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_a_relay_is_used_only_where_nothing_else_works(one: Behaviour, other: Behaviour) -> None:
    network = Network()
    left, right = between(network, one, other, turn=True)
    assert network.run(2.0, lambda: left.is_connected and right.is_connected)
    network.run(30.0)
    assert agree(left, right)
    for side in (left, right):
        pair = side.checks.nominated
        assert pair is not None
        assert pair is side.checks.selected
        assert pair.is_relayed is not can_connect(one, other), side.path
        assert side.states()[-1:] == [IceState.COMPLETED]
        assert IceState.DISCONNECTED not in side.states()


@pytest.mark.parametrize("delay", [0.005, 0.05, 0.15])
def test_port_restricted_nats_are_crossed_within_three_round_trips(delay: float) -> None:
    # The first check of either side may be filtered. The first that gets in triggers another, also
    # where one is under way already (RFC 8445 section 7.3.1.4): no retransmission is waited for.
    network = Network(delay=delay)
    left, right = between(network, PORT_RESTRICTED, PORT_RESTRICTED)
    assert network.run(LONG, lambda: left.is_connected and right.is_connected)
    pacing = TA * max(len(side.checks.list) for side in (left, right))
    assert network.now - START <= SIGNALING + 3 * 2 * delay + pacing
    assert (left.path, right.path) == ("srflx -> srflx", "srflx -> srflx")

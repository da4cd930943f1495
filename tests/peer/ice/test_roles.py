"""The engine in virtual time: who nominates, ICE-lite, and checks that come early."""

import pytest
from aioice import stun

from icefloe.peer.ice.checks import binding
from icefloe.peer.ice.checks.binding import Credentials, Role
from icefloe.peer.ice.checks.connectivity import MAX_EARLY_CHECKS
from icefloe.peer.ice.checks.pair import Address, PairState
from icefloe.peer.ice.checks.state import IceState
from tests.helpers.network import Driven, Network, Socket
from tests.helpers.side import Side, agree, trickle


def conflict(
    controlling: bool, tie_breakers: tuple[int, int], *, seed: int = 0, loss: float = 0.0
) -> tuple[Network, Side, Side]:
    """Make a call in which both sides think they have the same role."""
    network = Network(seed=seed, loss=loss)
    left = Side(network, "left", controlling=controlling, tie_breaker=tie_breakers[0])
    right = Side(network, "right", controlling=controlling, tie_breaker=tie_breakers[1])
    trickle(left, right)
    for side in (left, right):
        side.gather()
    left.start(right)
    right.start(left)
    return network, left, right


@pytest.mark.parametrize("controlling", [True, False], ids=["controlling", "controlled"])
@pytest.mark.parametrize("tie_breakers", [(1, 2), (2, 1), (0, 2**64 - 1)])
def test_a_role_conflict_is_settled_by_the_tie_breaker(
    controlling: bool, tie_breakers: tuple[int, int]
) -> None:
    network, left, right = conflict(controlling, tie_breakers)
    network.run(5.0)
    assert [left.checks.role.controlling, right.checks.role.controlling] == [
        tie_breakers[0] > tie_breakers[1],
        tie_breakers[1] > tie_breakers[0],
    ]
    assert agree(left, right)
    for side in (left, right):
        assert side.is_connected
        assert side.checks.nominated is side.checks.selected


@pytest.mark.parametrize("controlling", [True, False], ids=["controlling", "controlled"])
def test_equal_tie_breakers_end_a_role_conflict_all_the_same(controlling: bool) -> None:
    network, left, right = conflict(controlling, (7, 7))
    network.run(20.0)
    assert left.checks.role.controlling is not right.checks.role.controlling
    assert left.is_connected
    assert right.is_connected
    assert agree(left, right)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("controlling", [True, False], ids=["controlling", "controlled"])
def test_a_role_conflict_ends_in_spite_of_loss(controlling: bool, seed: int) -> None:
    network, left, right = conflict(controlling, (1, 2), seed=seed, loss=0.3)
    assert network.run(
        60.0, lambda: left.checks.nominated is not None and right.checks.nominated is not None
    )
    network.run(10.0)
    assert left.checks.role.controlling is not right.checks.role.controlling
    assert agree(left, right)


def test_only_a_487_changes_the_tie_breaker() -> None:
    # RFC 8445 section 16.1
    network, left, right = conflict(True, (1, 2))
    network.run(5.0)
    assert right.checks.role == Role(True, 2)
    assert left.checks.role.controlling is False
    role = Role(True, 5)
    role.switch_after_conflict()
    assert role.controlling is False
    assert role.tie_breaker != 5


def test_a_late_487_takes_nothing_from_a_pair_that_works() -> None:
    network = Network()
    left = Side(network, "left", controlling=True, tie_breaker=1)
    right = Side(network, "right", controlling=False)
    left.add_host()
    right.add_host()
    sent: list[bytes] = []
    right.sockets[0].receive = lambda message, *_: sent.append(message)
    left.take(right.candidates[0])
    left.start(right)
    theirs = Credentials("right", "right-password", "left", "left-password")
    there = right.sockets[0].address

    def request() -> stun.Message:
        _, made = binding.request(theirs, Role(False, 2), local_preference=65535)
        return stun.parse_message(made)

    left.checks.receive(request(), there, left.sockets[0], network.now)
    left.flush()
    network.run(0.1)
    first, second = (
        m for m in map(stun.parse_message, sent) if m.message_class is stun.Class.REQUEST
    )
    here = left.sockets[0].address
    for answer in (
        binding.success(second, here, theirs),
        binding.error(first, binding.ROLE_CONFLICT, theirs),
    ):
        left.receive(answer, there, left.sockets[0])
    (pair,) = left.checks.list
    assert pair.state is PairState.SUCCEEDED
    assert left.checks.role.controlling is False


# --- ICE-lite


class Lite(Driven):
    """The least that RFC 8445 section 2.5 allows: it answers, and sends where it was nominated."""

    def __init__(self, network: Network) -> None:
        self.credentials = Credentials("lite", "lite-password", "left", "left-password")
        self.socket = network.open("lite", "198.51.100.99", relayed=False)
        self.socket.receive = self.receive
        self.nominated: Address | None = None
        self._network = network

    def receive(self, data: bytes, source: Address, socket: Socket) -> None:
        message = stun.parse_message(data)
        assert message.message_class is stun.Class.REQUEST
        assert binding.request_error(message, self.credentials) is None
        assert "ICE-CONTROLLING" in message.attributes
        if "USE-CANDIDATE" in message.attributes:
            self.nominated = source
        self._network.send(socket, binding.success(message, source, self.credentials), source)


def test_a_lite_side_is_connected_with_and_controlled() -> None:
    network = Network()
    lite = Lite(network)
    left = Side(network, "left", controlling=False)
    left.gather()
    left.checks.start("lite", "lite-password", lite=True, now=network.now)
    right = Side(network, "right", controlling=False)
    candidate = right.add_host(lite.socket.address[0])
    network.close(candidate)
    described = right.candidates[0]
    described.port = lite.socket.address[1]
    left.take(described)
    left.take(None)
    assert network.run(5.0, lambda: left.checks.nominated is not None)
    assert lite.nominated == left.sockets[0].address
    network.run(60.0)
    assert left.states() == [IceState.NEW, IceState.CHECKING, IceState.COMPLETED]


# --- early checks


def test_checks_before_the_answer_are_answered_and_made_up_for() -> None:
    # RFC 8445 section 7.3: the answer may be slower than the checks that it allows.
    network = Network()
    left = Side(network, "left", controlling=True)
    right = Side(network, "right", controlling=False)
    left.gather()
    right.gather()
    for candidate in left.candidates:
        right.take(candidate)
    right.start(left)
    assert network.run(3.0, lambda: right.is_connected)
    assert left.checks.state is IceState.NEW
    assert left.checks.receive_data(left.sockets[0], right.sockets[0].address, 100, network.now)
    # Now the answer comes, without any candidate: the checks that came tell where to go.
    left.start(right)
    begun = network.now
    assert network.run(3.0, lambda: left.is_connected)
    assert network.now - begun <= 2 * network.conditions.delay + 1e-6
    assert agree(left, right)


def test_early_checks_of_others_are_dropped_when_the_answer_comes() -> None:
    network = Network()
    left = Side(network, "left", controlling=True)
    left.gather()
    stranger = Side(network, "stranger", controlling=False)
    stranger.gather()
    for candidate in left.candidates:
        stranger.take(candidate)
    stranger.start(left)
    network.run(1.0)
    right = Side(network, "right", controlling=False)
    right.gather()
    left.start(right)
    assert len(left.checks.list) == 0
    assert left.checks.list.remotes == {}


def test_early_checks_do_not_pile_up() -> None:
    network = Network()
    left = Side(network, "left", controlling=True)
    left.gather()
    credentials = Credentials("right", "right-password", "left", "left-password")
    for number in range(3 * MAX_EARLY_CHECKS):
        _, request = binding.request(credentials, Role(False, 0), local_preference=65535)
        message = stun.parse_message(request)
        source = ("198.51.100.200", 1000 + number)
        left.checks.receive(message, source, left.sockets[0], network.now)
    right = Side(network, "right", controlling=False)
    left.start(right)
    assert len(left.checks.list.remotes) == MAX_EARLY_CHECKS

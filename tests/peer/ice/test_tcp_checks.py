"""Checks over TCP in virtual time: which pairs there are, what breaks, what UDP is preferred to."""

import pytest
from aioice import stun
from aiortc import RTCIceCandidate

from icefloe.peer.ice.checks import binding
from icefloe.peer.ice.checks.address_scope import may_connect
from icefloe.peer.ice.checks.binding import Credentials, Role
from icefloe.peer.ice.checks.connectivity import Checks, Outgoing
from icefloe.peer.ice.checks.nomination import (
    ACCEPTANCE_MIN_WAIT,
    TCP_MIN_WAIT,
    CheckProgress,
    acceptance_min_wait,
    decide,
)
from icefloe.peer.ice.checks.pair import Address, Pair, PairState
from icefloe.peer.ice.checks.state import IceState, Settings
from icefloe.peer.ice.checks.stun_transaction import TRANSACTION_DURATION
from icefloe.peer.ice.gather.local_candidate import LocalCandidate, candidate_priority_of

UDP, ACTIVE, PASSIVE = "udp socket", "active socket", "passive socket"
HERE = "198.51.100.1"
THERE: Address = ("198.51.100.2", 4000)


def local(base: str) -> LocalCandidate:
    tcptype = {ACTIVE: "active", PASSIVE: "passive"}.get(base)
    return LocalCandidate(
        base=base,  # type: ignore[arg-type]
        foundation=f"local {base}",
        type="host",
        address=(HERE, 9 if base == ACTIVE else 5000),
        local_preference=65535,
        tcptype=tcptype,
    )


def remote(tcptype: str | None, address: Address = THERE) -> RTCIceCandidate:
    return RTCIceCandidate(
        component=1,
        foundation=f"remote {tcptype}",
        ip=address[0],
        port=address[1],
        priority=candidate_priority_of("host", 65535, tcptype),
        protocol="tcp" if tcptype else "udp",
        tcpType=tcptype,
        type="host",
    )


class Case:
    """A check list with a socket of each kind, and the other side of it."""

    def __init__(self, *bases: str, controlling: bool = True) -> None:
        self.now = 1000.0
        settings = Settings(patience=1000.0, checking_timeout=1000.0)
        credentials = Credentials("here", "here-password")
        self.checks = Checks(credentials, Role(controlling, 1), settings)
        self.credentials = Credentials("there", "there-password", "here", "here-password")
        for base in bases or (UDP, ACTIVE, PASSIVE):
            self.checks.add_local(local(base), self.now)
        self.checks.start("there", "there-password", lite=False, now=self.now)

    def add(self, tcptype: str | None, address: Address = THERE) -> None:
        """Signal a remote candidate."""
        self.checks.add_remote(remote(tcptype, address), address, self.now)

    def pair(self, base: str, address: Address = THERE) -> Pair:
        """Return a pair."""
        pair = self.checks.list.find_pair(base, address)
        assert pair is not None
        return pair

    def wait(self, seconds: float) -> list[Outgoing]:
        """Let time go by; return what was sent."""
        sent, end = self.checks.take_datagrams(), self.now + seconds
        while self.checks.deadline <= end:
            self.now = max(self.now, self.checks.deadline)
            self.checks.handle_timeout(self.now)
            sent += self.checks.take_datagrams()
        self.now = end
        return sent

    def answer(self, sent: list[Outgoing], *bases: str) -> None:
        """Answer the requests that were sent from these sockets."""
        for item in sent:
            request = stun.parse_message(item.message)
            if item.base in bases and request.message_class is stun.Class.REQUEST:
                answer = binding.success(request, (HERE, 49152), self.credentials)
                self.checks.receive(stun.parse_message(answer), item.address, item.base, self.now)

    def run(self, seconds: float, *answered: str) -> None:
        """Let time go by while the checks of these sockets are answered at once."""
        end = self.now + seconds
        while self.now < end:
            self.answer(self.wait(0.05), *answered)

    def check(self, base: str, address: Address, *, nominate: bool = False) -> None:
        """Have a check of the other side arrive."""
        role = Role(not self.checks.role.controlling, 0)
        _, made = binding.request(
            self.credentials, role, local_preference=1, use_candidate=nominate, tcptype="active"
        )
        self.checks.receive(stun.parse_message(made), address, base, self.now)


# --- candidates and pairs


def test_priorities_are_below_those_of_udp_and_above_those_of_a_relay() -> None:
    tcp = [candidate_priority_of(t, 65535, d) for t in ("host", "srflx", "prflx") for d in WAYS]
    assert len(set(tcp)) == len(tcp)
    assert max(tcp) < min(candidate_priority_of(t, 0) for t in ("host", "srflx", "prflx"))
    assert min(tcp) > candidate_priority_of("relay", 65535)


WAYS = ("active", "passive")


def test_priorities_tell_interfaces_apart() -> None:
    of_host = {candidate_priority_of("host", 65535 - rank, d) for rank in range(50) for d in WAYS}
    assert len(of_host) == 100


@pytest.mark.parametrize("tcptype", ["active", "so", "strange"])
def test_only_passive_candidates_are_connected_to(tcptype: str) -> None:
    case = Case()
    candidate = remote("passive")
    candidate.tcpType = tcptype
    case.checks.add_remote(candidate, THERE, case.now)
    assert len(case.checks.list) == 0


def test_an_active_candidate_is_paired_with_a_passive_one_and_a_passive_one_with_none() -> None:
    case = Case()
    case.add("passive")
    assert [pair.local.tcptype for pair in case.checks.list] == ["active"]


def test_a_port_is_another_one_over_tcp() -> None:
    case = Case()
    case.add("passive")
    case.add(None)
    assert len(case.checks.list.remotes) == 2
    assert {(p.local.tcptype, p.remote.candidate.protocol) for p in case.checks.list} == {
        ("active", "tcp"),
        (None, "udp"),
    }


def test_what_connects_is_learned_as_an_active_candidate() -> None:
    case = Case(controlling=False)
    case.check(PASSIVE, THERE)
    found = case.pair(PASSIVE).remote.candidate
    assert (found.type, found.protocol, found.tcpType) == ("prflx", "tcp", "active")
    assert found.priority == candidate_priority_of("prflx", 1, "active")


def test_a_check_over_tcp_is_sent_once_and_waited_for_as_long_as_over_udp() -> None:
    case = Case(ACTIVE)
    case.add("passive")
    assert len(case.wait(TRANSACTION_DURATION - 1)) == 1
    assert case.pair(ACTIVE).state is PairState.IN_PROGRESS
    case.wait(2)
    assert case.pair(ACTIVE).state is PairState.FAILED


def test_the_port_of_a_connection_makes_no_reflexive_candidate_of_its_own() -> None:
    case = Case(ACTIVE)
    case.add("passive")
    case.run(1, ACTIVE)
    assert case.pair(ACTIVE).valid_local is case.pair(ACTIVE).local


# --- what breaks


def test_a_connection_that_cannot_be_opened_fails_the_pair_at_once() -> None:
    case = Case(ACTIVE)
    case.add("passive")
    case.wait(0.1)
    case.checks.lose_remote(ACTIVE, THERE, case.now)
    assert case.pair(ACTIVE).state is PairState.FAILED
    assert case.wait(10) == []


def test_a_connection_that_worked_is_opened_again_at_once() -> None:
    case = Case(ACTIVE)
    case.add("passive")
    case.run(3, ACTIVE)
    assert case.checks.nominated is case.pair(ACTIVE)
    case.checks.lose_remote(ACTIVE, THERE, case.now)
    assert case.checks.selected is case.checks.nominated is None
    assert case.checks.path(case.now) is None
    assert case.checks.state is IceState.DISCONNECTED
    case.run(0.2, ACTIVE)
    assert case.checks.state.value == IceState.COMPLETED
    case.run(3, ACTIVE)
    assert case.checks.nominated is case.pair(ACTIVE)


def test_another_pair_takes_over_at_once() -> None:
    case = Case(UDP, ACTIVE)
    case.add("passive")
    case.run(3, ACTIVE)
    case.add(None, ("198.51.100.3", 4000))
    case.run(3, ACTIVE, UDP)
    case.checks.lose_remote(ACTIVE, THERE, case.now)
    assert case.checks.state is IceState.COMPLETED
    assert case.checks.selected is case.pair(UDP, ("198.51.100.3", 4000))


def test_a_connection_that_the_other_side_opened_is_forgotten_with_its_pair() -> None:
    case = Case(PASSIVE, controlling=False)
    for port in range(4000, 4100):
        address = (THERE[0], port)
        case.check(PASSIVE, address, nominate=True)
        case.run(0.2, PASSIVE)
        assert case.checks.selected is case.pair(PASSIVE, address)
        case.checks.lose_remote(PASSIVE, address, case.now)
        assert case.checks.selected is None
    assert len(case.checks.list) == len(case.checks.list.remotes) == 0


def test_the_end_of_a_connection_that_is_unknown_changes_nothing() -> None:
    case = Case()
    case.checks.lose_remote(PASSIVE, THERE, case.now)
    assert case.checks.state is IceState.CHECKING


# --- what is preferred


def test_a_pair_over_tcp_is_nominated_later_than_one_over_udp() -> None:
    case = Case(UDP, ACTIVE)
    case.add("passive")
    assert acceptance_min_wait(case.pair(ACTIVE)) == TCP_MIN_WAIT > ACCEPTANCE_MIN_WAIT["host"]
    case.run(TCP_MIN_WAIT / 2, ACTIVE)
    assert case.checks.selected is case.pair(ACTIVE)
    assert case.checks.nominated is None
    case.run(TCP_MIN_WAIT, ACTIVE)
    assert case.checks.nominated is case.pair(ACTIVE)


@pytest.mark.parametrize("closed_for", [1.0, 10.0, 100.0])
def test_a_call_moves_to_udp_once_that_opens(closed_for: float) -> None:
    case = Case(UDP, ACTIVE)
    case.add("passive")
    case.add(None)
    case.run(closed_for, ACTIVE)
    assert case.checks.selected is case.pair(ACTIVE)
    case.run(25, ACTIVE, UDP)
    assert case.checks.selected is case.checks.nominated is case.pair(UDP)


def test_a_working_pair_over_udp_is_not_left_for_one_over_tcp() -> None:
    case = Case(UDP, ACTIVE)
    case.add(None)
    case.run(1, UDP)
    case.add("passive")
    case.run(3, UDP, ACTIVE)
    udp, tcp = case.pair(UDP), case.pair(ACTIVE)
    assert tcp.is_valid
    assert case.checks.nominated is udp
    progress = CheckProgress(elapsed=100.0, more_candidates=False)
    assert decide([udp, tcp], tcp, progress).nominate is udp
    assert decide([udp, tcp], udp, progress).nominate is None


def test_the_controlled_side_follows_to_udp() -> None:
    case = Case(UDP, PASSIVE, controlling=False)
    case.check(PASSIVE, THERE, nominate=True)
    case.run(1, PASSIVE)
    assert case.checks.selected is case.pair(PASSIVE)
    case.check(UDP, THERE, nominate=True)
    case.run(1, PASSIVE, UDP)
    assert case.checks.selected is case.pair(UDP)


# --- ports


@pytest.mark.parametrize(
    ("address", "may"),
    [
        (("203.0.113.1", 1024), True),
        (("10.0.0.1", 5000), True),
        (("203.0.113.1", 443), True),
        (("203.0.113.1", 80), True),
        (("2001:db8::1", 443), True),
        (("203.0.113.1", 25), False),
        (("203.0.113.1", 1023), False),
        (("10.0.0.1", 443), False),
        (("192.168.1.1", 80), False),
        (("100.64.0.1", 443), False),
        (("127.0.0.1", 80), False),
        (("169.254.169.254", 80), False),
        (("fd00::1", 443), False),
        (("fe80::1", 443), False),
    ],
)
def test_ports_of_services_are_not_connected_to(address: Address, may: bool) -> None:
    assert may_connect(address) is may

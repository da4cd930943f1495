"""Remote candidates at addresses that a stranger must not have datagrams sent to."""

import re
from functools import partial
from ipaddress import ip_address

import pytest
from aiortc import RTCSessionDescription

from icefloe.peer import PeerConfiguration, PeerConnection
from icefloe.peer._aiortc import agent_of
from icefloe.peer.errors import InvalidConfiguration
from icefloe.peer.ice.agent import IceAgent
from icefloe.peer.ice.checks.address_scope import Scope, scope_of
from icefloe.peer.ice.checks.binding import Role
from icefloe.peer.ice.checks.checklist import CheckList
from icefloe.peer.ice.gather.interfaces import Address, Kind, broadcast_addresses
from icefloe.peer.ice.retired_generations import MAX_LINGERING
from tests.helpers.calls import calling, eventually
from tests.helpers.puppet import local_candidate, remote_candidate

NOBODY = [
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.251",
    "239.255.255.255",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:192.0.2.1",
    "::7f00:1",
    "fec0::1",
]
"""Addresses of no single host."""

NEARBY = {
    "127.0.0.1": Scope.LOOPBACK,
    "127.255.255.254": Scope.LOOPBACK,
    "::1": Scope.LOOPBACK,
    "169.254.169.254": Scope.LINK_LOCAL,
    "fe80::1": Scope.LINK_LOCAL,
    "fe80::1%eth0": Scope.LINK_LOCAL,
}

ANYWHERE = ["192.0.2.1", "10.0.0.1", "172.16.3.4", "192.168.1.255", "100.64.0.1", "2001:db8::1"]
ANYWHERE += ["fd00::1", "64:ff9b::c000:201"]


def list_of(*hosts: str) -> CheckList:
    """Make a check list with one socket on each of these addresses."""
    checklist = CheckList(Role(True, 1))
    for host in hosts:
        local = local_candidate(base=host)
        local.host = host
        checklist.add_local(local)
    return checklist


def checked(checklist: CheckList, host: str) -> bool:
    """Return whether a candidate at this address comes to be checked."""
    address = (host, 4000)
    checklist.add_remote(remote_candidate(address), address)
    return any(pair.remote.address[0] == address[0] for pair in checklist)


@pytest.mark.parametrize("host", NOBODY)
def test_an_address_of_no_single_host_is_refused(host: str) -> None:
    assert scope_of(host) is Scope.NONE
    checklist = list_of("192.0.2.9", "127.0.0.1", "2001:db8::9", "::1")
    assert not checked(checklist, host)
    assert not checklist.remotes


@pytest.mark.parametrize(("host", "scope"), NEARBY.items())
def test_what_only_this_machine_reaches_is_checked_only_from_such_an_address(
    host: str, scope: Scope
) -> None:
    assert scope_of(host) is scope
    assert not checked(list_of("192.0.2.9", "2001:db8::9"), host)
    near = {Scope.LOOPBACK: ("127.0.0.1", "::1"), Scope.LINK_LOCAL: ("169.254.1.1", "fe80::2")}
    assert checked(list_of(*near[scope]), host)


@pytest.mark.parametrize("host", ANYWHERE)
def test_an_address_of_any_network_is_checked(host: str) -> None:
    assert scope_of(host) is Scope.GLOBAL
    assert checked(list_of("192.0.2.9", "2001:db8::9"), host)


def test_broadcast_addresses_are_those_of_the_networks_of_this_machine() -> None:
    here = [
        Address(ip_address("192.0.2.9"), 24, "eth0", Kind.ETHERNET),
        Address(ip_address("10.1.2.3"), 9, "eth1", Kind.ETHERNET),
        Address(ip_address("198.51.100.4"), 31, "eth2", Kind.ETHERNET),
        Address(ip_address("2001:db8::9"), 64, "eth0", Kind.ETHERNET),
    ]
    assert broadcast_addresses(here) == {"192.0.2.255", "10.127.255.255"}


def test_a_local_candidate_that_comes_later_is_paired_by_the_same_rule() -> None:
    checklist = list_of("192.0.2.9")
    assert not checked(checklist, "127.0.0.1")
    local = local_candidate(base="loopback")
    local.host = "127.0.0.1"
    checklist.add_local(local)
    assert [pair.local.host for pair in checklist] == ["127.0.0.1"]


def test_an_address_from_which_a_check_came_may_be_answered() -> None:
    checklist = list_of("192.0.2.9")
    address = ("127.0.0.1", 4000)
    assert not checked(checklist, address[0])
    assert checklist.learn_remote("192.0.2.9", address, priority=1) is not None


def without_candidates(description: RTCSessionDescription) -> RTCSessionDescription:
    """Return a description to which candidates will be trickled."""
    text = re.sub(r"a=(candidate:|end-of-candidates).*\r\n", "", description.sdp)
    return RTCSessionDescription(text, description.type)


async def test_candidates_beyond_the_limit_are_ignored_and_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def configuration() -> PeerConfiguration:
        return PeerConfiguration(include_loopback=True, max_remote_candidates=5)

    a, b = PeerConnection(configuration()), PeerConnection(configuration())
    try:
        a.createDataChannel("x")
        await a.setLocalDescription()
        await b.setRemoteDescription(without_candidates(a.localDescription))
        await b.setLocalDescription()
        await a.setRemoteDescription(without_candidates(b.localDescription))
        for port in range(2000, 2100):
            line = f"candidate:1 1 udp 1 192.0.2.1 {port} typ host"
            await a.addIceCandidate({"candidate": line, "sdpMid": "0"})
        assert a.sctp is not None
        assert len(agent_of(a.sctp.transport.transport).remote_candidates) == 5
    finally:
        await a.close()
        await b.close()
    assert sum("remote candidates" in record.getMessage() for record in caplog.records) == 1


def is_another(agent: IceAgent, fragment: str) -> bool:
    """Tell whether an agent has begun another generation than this one."""
    return agent.local_username != fragment


async def test_generations_that_were_replaced_do_not_pile_up() -> None:
    async with calling() as call:
        await eventually(
            lambda: all(end.connection.connectionState == "connected" for end in call.ends)
        )
        agents = [agent_of(end.connection.sctp.transport.transport) for end in call.ends]  # type: ignore[union-attr]
        for _ in range(8):
            before = agents[0].local_username
            call.ends[0].connection.restartIce()
            await eventually(partial(is_another, agents[0], before))
            await eventually(lambda: not any(agent.is_restarting for agent in agents))
            assert max(len(agent._retired) for agent in agents) <= MAX_LINGERING


@pytest.mark.parametrize("value", [0, -1])
def test_at_least_one_candidate_is_to_be_taken(value: int) -> None:
    with pytest.raises(InvalidConfiguration, match="max_remote_candidates"):
        PeerConfiguration(max_remote_candidates=value)

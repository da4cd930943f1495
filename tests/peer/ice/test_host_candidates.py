"""Host candidates as the configuration has them: ports, external addresses, names."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import dns.name
import pytest
from aioice import mdns
from aiortc import RTCIceTransportPolicy

from icefloe.peer import PeerConfiguration, PeerConnection
from icefloe.peer.ice.gather import host_candidates
from icefloe.peer.ice.gather.local_candidate import HIDDEN
from icefloe.peer.ice.gather.multicast_dns import MulticastDns
from icefloe.peer.ice.udp import open_udp
from tests.helpers.gathering import gathered, owning
from tests.helpers.netns import ADDRESS
from tests.helpers.pairs import closing, connected, negotiate, trickle

pytestmark = pytest.mark.system("iproute2", "netns")

EXTERNAL = "203.0.113.4"
ADDRESS6 = "2001:db8:77::1"


@pytest.fixture
def ipv6() -> Iterator[str]:
    """An IPv6 address for the tests' interface."""
    subprocess.run(["ip", "addr", "add", f"{ADDRESS6}/64", "dev", "lan0", "nodad"], check=True)
    try:
        yield ADDRESS6
    finally:
        subprocess.run(["ip", "addr", "del", f"{ADDRESS6}/64", "dev", "lan0"], check=True)


async def test_each_address_has_a_socket_and_a_preference_of_its_own(ipv6: str) -> None:
    async with gathered(include_loopback=True) as owner:
        hosts = [candidate.host for candidate in owner.candidates]
        assert hosts == [ipv6, ADDRESS, "::1", "127.0.0.1"]
        assert len({candidate.base for candidate in owner.candidates}) == 4
        priorities = [candidate.priority for candidate in owner.candidates]
        assert priorities == sorted(set(priorities), reverse=True)
        assert len({candidate.foundation for candidate in owner.candidates}) == 4
        for candidate in owner.candidates:
            assert candidate.base.local_candidate is candidate
            announced = candidate.announced()
            assert announced is not None
            assert announced.to_sdp() == candidate.to_sdp()


async def test_filters_choose_the_addresses(ipv6: str) -> None:
    async with gathered(addresses=("!2001:db8::/32",)) as owner:
        assert [candidate.host for candidate in owner.candidates] == [ADDRESS]
    async with gathered(interfaces=("!lan*",)) as owner:
        assert owner.candidates == []


async def test_relay_only_opens_no_socket() -> None:
    async with gathered(iceTransportPolicy=RTCIceTransportPolicy.RELAY) as owner:
        assert owner.candidates == []


async def test_an_address_that_cannot_be_bound_costs_only_itself(
    monkeypatch: pytest.MonkeyPatch, ipv6: str
) -> None:
    async def refuse(factory: Any, address: str, *rest: int) -> Any:
        if address == ipv6:
            raise OSError("gone meanwhile")
        return await open_udp(factory, address, *rest)

    monkeypatch.setattr(host_candidates, "open_udp", refuse)
    async with owning() as owner:
        await owner.gathering.open_host_sockets()
        assert [candidate.host for candidate in owner.candidates] == [ADDRESS]


# --- ports


async def test_ports_are_taken_from_the_range_until_it_is_used_up() -> None:
    ports = (42000, 42002)
    async with AsyncExitStack() as stack:
        owners = [await stack.enter_async_context(gathered(port_range=ports)) for _ in range(4)]
        taken = [owner.candidates[0].port for owner in owners[:3]]
        assert sorted(taken) == [42000, 42001, 42002]
        assert owners[3].candidates == []


async def test_a_port_in_use_by_someone_else_is_passed_over() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((ADDRESS, 42010))
        async with gathered(port_range=(42010, 42011)) as owner:
            assert owner.candidates[0].port == 42011


# --- external addresses


@pytest.mark.parametrize("external", [{ADDRESS: EXTERNAL}, (EXTERNAL,)])
async def test_an_external_address_is_announced_in_the_place_of_the_local_one(
    external: object,
) -> None:
    async with gathered(external_addresses=external) as owner:
        (host,) = owner.candidates
        assert (host.type, host.host) == ("host", ADDRESS)
        assert owner.announced("host") == [(EXTERNAL, host.port)]


async def test_an_external_address_can_stand_beside_the_local_one() -> None:
    async with gathered(external_addresses=(EXTERNAL,), external_address_type="srflx") as owner:
        host, reflexive = owner.candidates
        assert owner.announced("host") == [(ADDRESS, host.port)]
        assert (reflexive.type, reflexive.host, reflexive.port) == ("srflx", EXTERNAL, host.port)
        assert (reflexive.related_address, reflexive.related_port) == (ADDRESS, host.port)
        assert reflexive.base is host.base


async def test_an_external_address_of_another_machine_changes_nothing() -> None:
    async with gathered(external_addresses={"10.0.0.9": EXTERNAL}) as owner:
        assert owner.announced("host") == [(ADDRESS, owner.candidates[0].port)]


async def test_a_connection_announces_its_external_address_and_not_the_local_one() -> None:
    connection = PeerConnection(PeerConfiguration(external_addresses=(EXTERNAL,)))
    connection.createDataChannel("x")
    async with closing(connection):
        await connection.setLocalDescription()
        sdp = connection.localDescription.sdp
        candidates = [line for line in sdp.splitlines() if line.startswith("a=candidate")]
        assert [line.split()[4] for line in candidates] == [EXTERNAL] * 2  # over UDP and TCP
        assert ADDRESS not in "".join(candidates)


# --- names


async def test_a_hidden_address_is_announced_by_a_name_that_resolves() -> None:
    async with gathered(hide_host_addresses=True) as owner:
        ((name, port),) = owner.announced("host")
        assert mdns.is_mdns_hostname(name)
        assert port == owner.candidates[0].port
        assert owner.candidates[0].host == ADDRESS, "the checks need the real one"
        asking = await mdns.create_mdns_protocol()
        try:
            assert await asking.resolve(name) == ADDRESS
            await owner.gathering.close()
            assert await asking.resolve(name, timeout=0.1) is None
        finally:
            await asking.close()


async def test_a_foundation_does_not_give_the_address_away() -> None:
    async with gathered() as a, gathered() as b:
        assert a.candidates[0].host == b.candidates[0].host
        assert a.candidates[0].foundation != b.candidates[0].foundation


async def test_the_related_address_of_a_hidden_one_is_hidden_too() -> None:
    options = {"external_addresses": (EXTERNAL,), "external_address_type": "srflx"}
    async with gathered(hide_host_addresses=True, **options) as owner:
        (reflexive,) = owner.of_type("srflx")
        assert reflexive.related_address == ADDRESS
        announced = reflexive.announced()
        assert announced is not None
        assert (announced.related_address, announced.related_port) == HIDDEN[4]


async def test_what_cannot_be_published_is_not_announced() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as blocker:
        blocker.bind(("", mdns.MDNS_PORT))  # without SO_REUSEPORT nobody else gets it
        async with gathered(hide_host_addresses=True) as owner:
            assert [candidate.type for candidate in owner.candidates] == ["host"]
            assert owner.candidates[0].announced() is None


async def test_two_peers_that_hide_their_addresses_meet() -> None:
    hidden = PeerConfiguration(hide_host_addresses=True)
    a, b = PeerConnection(hidden), PeerConnection(hidden)
    seen = trickle(a, b), trickle(b, a)
    a.createDataChannel("x")
    async with closing(a, b):
        await negotiate(a, b)
        await connected(a, b)
        told = [candidate.ip for candidates in seen for candidate in candidates if candidate]
        assert told
        assert all(mdns.is_mdns_hostname(address) for address in told)
        assert ADDRESS not in a.localDescription.sdp + b.localDescription.sdp


async def test_names_go_with_the_last_who_uses_them() -> None:
    mine = MulticastDns()
    responder = await mine.open()
    try:
        async with gathered(hide_host_addresses=True):
            assert await mine.open() is responder
            assert len(list(responder.zone)) == 1
        assert list(responder.zone) == []
        assert not responder.transport.is_closing()
    finally:
        await mine.close()
    assert responder.transport.is_closing()
    await mine.close()


async def test_a_query_that_is_lost_is_sent_again() -> None:
    asking, name = MulticastDns(), mdns.create_mdns_hostname()
    responder = await asking.open()
    asked = asyncio.create_task(asking.resolve(name))
    try:
        while dns.name.from_text(name) not in responder.queries:
            await asyncio.sleep(0)
        await asyncio.sleep(0.2)  # the first query finds nobody
        await responder.publish(name, ADDRESS)
        assert await asked == ADDRESS
        assert await asking.resolve(mdns.create_mdns_hostname()) is None
    finally:
        await asking.close()

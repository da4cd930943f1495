"""The lab itself: that its NATs do what RFC 4787 calls by their names, and its wires what they say.

What is measured with a lab that lies is worth nothing.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.natlab.namespace import DEVNULL, PIPE, CommandFailed, stop
from tests.natlab.plan import DEAD, PUBLIC, SERVERS
from tests.natlab.probe import Behaviour
from tests.natlab.rules import What
from tests.natlab.spec import CORE, Ipv6, LabSpec, Nat, Peer, Router, Wire
from tests.natlab.topology import Lab

pytestmark = pytest.mark.system("iproute2", "nftables", "netns")

ADDRESSES = (SERVERS[0][0], SERVERS[1][0])
INDEPENDENT, ADDRESS, ADDRESS_AND_PORT = (
    "endpoint-independent",
    "address-dependent",
    "address-and-port-dependent",
)


@asynccontextmanager
async def probing(*routers: Router, peer: str | None = None) -> AsyncIterator[Lab]:
    """A lab with a peer ``a`` behind the last of these routers, and the probe's server."""
    uplink = peer or (routers[-1].name if routers else CORE)
    async with Lab(LabSpec(peers=(Peer("a", (uplink,)),), routers=routers)) as lab:
        server = await lab[PUBLIC].start(
            sys.executable, "-m", "tests.natlab.probe", "serve", *ADDRESSES, stdin=PIPE, stdout=PIPE
        )
        try:
            assert server.stdout is not None
            assert await server.stdout.readline() == b"ready\n"
            yield lab
        finally:
            await stop(server)


async def probe(lab: Lab, node: str = "a") -> Behaviour:
    """Ask from a node what is between it and the servers."""
    out = await lab.run(node, sys.executable, "-m", "tests.natlab.probe", "ask", *ADDRESSES)
    return Behaviour(**json.loads(out))


@pytest.mark.parametrize(
    ("nat", "hairpin", "mapping", "filtering", "keeps_port"),
    [
        (Nat.FULL_CONE, False, INDEPENDENT, INDEPENDENT, True),
        (Nat.FULL_CONE, True, INDEPENDENT, INDEPENDENT, True),
        (Nat.ADDRESS_RESTRICTED, False, INDEPENDENT, ADDRESS, True),
        (Nat.PORT_RESTRICTED, False, INDEPENDENT, ADDRESS_AND_PORT, True),
        (Nat.SYMMETRIC, False, ADDRESS_AND_PORT, ADDRESS_AND_PORT, False),
    ],
)
async def test_a_router_behaves_as_it_is_called(
    nat: Nat, hairpin: bool, mapping: str, filtering: str, keeps_port: bool
) -> None:
    async with probing(Router("ra", nat, hairpin=hairpin)) as lab:
        public = lab.address("ra")
        expected = Behaviour(mapping, filtering, keeps_port, hairpin, public)
        assert await probe(lab) == expected


@pytest.mark.parametrize(
    ("home", "carrier", "mapping", "filtering"),
    [
        (Nat.PORT_RESTRICTED, Nat.PORT_RESTRICTED, INDEPENDENT, ADDRESS_AND_PORT),
        (Nat.FULL_CONE, Nat.FULL_CONE, INDEPENDENT, INDEPENDENT),
        (Nat.PORT_RESTRICTED, Nat.SYMMETRIC, ADDRESS_AND_PORT, ADDRESS_AND_PORT),
    ],
)
async def test_two_routers_in_a_row_are_as_strict_as_the_stricter(
    home: Nat, carrier: Nat, mapping: str, filtering: str
) -> None:
    routers = (Router("cgn", carrier, carrier=True), Router("home", home, uplink="cgn"))
    async with probing(*routers) as lab:
        found = await probe(lab)
        assert (found.mapping, found.filtering) == (mapping, filtering)
        assert found.address == lab.address("cgn")


async def test_without_a_router_nothing_is_in_between() -> None:
    async with probing() as lab:
        found = await probe(lab)
        assert (found.mapping, found.filtering) == (INDEPENDENT, INDEPENDENT)
        assert found.address == lab.address("a")


async def test_where_udp_is_blocked_only_tcp_443_gets_through() -> None:
    async with probing(Router("ra", Nat.UDP_BLOCKED)) as lab:
        assert (await probe(lab)).mapping is None
        async with tcp_server(lab, 443), tcp_server(lab, 3478):
            await connect(lab, 443)
            with pytest.raises(CommandFailed):
                await connect(lab, 3478)


@asynccontextmanager
async def tcp_server(lab: Lab, port: int) -> AsyncIterator[None]:
    code = (
        f"import socket, sys; s = socket.create_server(('{ADDRESSES[0]}', {port}));"
        "print(flush=True); sys.stdin.read()"
    )
    process = await lab[PUBLIC].start(sys.executable, "-c", code, stdin=PIPE, stdout=PIPE)
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield
    finally:
        await stop(process)


async def connect(lab: Lab, port: int, host: str = ADDRESSES[0]) -> None:
    """Connect from ``a`` to a TCP port, within a second."""
    code = f"import socket; socket.create_connection(('{host}', {port}), timeout=1)"
    await lab.run("a", sys.executable, "-c", code)


async def test_a_new_public_address_is_the_one_that_is_seen() -> None:
    async with probing(Router("ra")) as lab:
        before = (await probe(lab)).address
        new = await lab.new_public_address("ra")
        assert new != before
        assert (await probe(lab)).address == new


async def test_a_cut_takes_the_servers_away_and_mending_brings_them_back() -> None:
    async with probing(Router("ra")) as lab:
        await lab.cut("a")
        assert (await probe(lab)).mapping is None
        await lab.mend()
        assert (await probe(lab)).mapping == INDEPENDENT
        await lab.cut("a", what=What.UDP)
        assert (await probe(lab)).mapping is None
        async with tcp_server(lab, 3478):
            await connect(lab, 3478)


async def test_flushed_connections_get_other_ports_behind_a_symmetric_router() -> None:
    script = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)\n"
        f"server = ('{ADDRESSES[0]}', 7001)\n"
        "for _ in sys.stdin:\n"
        "    s.sendto(b'same x', server); print(s.recv(100).decode(), flush=True)\n"
    )
    async with probing(Router("ra", Nat.SYMMETRIC)) as lab:
        process = await lab["a"].start(sys.executable, "-c", script, stdin=PIPE, stdout=PIPE)
        assert process.stdin is not None
        assert process.stdout is not None

        async def port() -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"\n")
            return int((await process.stdout.readline()).split()[2])

        try:
            before = await port()
            assert await port() == before
            await lab.flush_conntrack("ra")
            assert await port() != before
        finally:
            await stop(process)
            process.stdin.close()


async def test_peers_behind_different_routers_reach_each_other_only_over_public_addresses() -> None:
    spec = LabSpec(
        peers=(Peer("a", ("ra",)), Peer("b", ("rb",)), Peer("c")),
        routers=(Router("ra"), Router("rb")),
    )
    async with Lab(spec) as lab:
        server = await lab["c"].start(
            sys.executable,
            "-c",
            "import socket; s = socket.create_server(('', 9)); print(flush=True); s.accept()",
            stdout=PIPE,
            stdin=DEVNULL,
        )
        try:
            assert server.stdout is not None
            await server.stdout.readline()
            with pytest.raises(CommandFailed):
                await connect(lab, 9, lab.address("b"))
            await connect(lab, 9, lab.address("c"))
        finally:
            await stop(server)
        with pytest.raises(ValueError, match="the core is not between"):
            await lab.cut("a", "a")


async def test_in_one_lan_packets_need_no_router() -> None:
    spec = LabSpec(peers=(Peer("a", ("r",)), Peer("b", ("r",))), routers=(Router("r"),))
    async with Lab(spec) as lab:
        own, other = (lab.address(name) for name in ("a", "b"))
        # From a bound socket too, as those of ICE are.
        for arguments in ((), ("from", own)):
            route = await lab.run("a", "ip", "-o", "route", "get", other, *arguments)
            assert " via " not in route


async def test_ipv6_works_is_broken_or_is_not_there() -> None:
    spec = LabSpec(
        peers=(
            Peer("only6", ipv4=False, ipv6=Ipv6.WORKING),
            Peer("broken", ipv6=Ipv6.BROKEN),
            Peer("behind", ("r6",)),
            Peer("none"),
        ),
        routers=(Router("r6", ipv6=Ipv6.WORKING),),
    )
    async with Lab(spec) as lab, server6(lab):
        for peer in ("only6", "behind"):
            assert await reach6(lab, peer) == "reached"
        assert await reach6(lab, "broken") == "TimeoutError"
        assert await reach6(lab, "none") == "OSError"
        addresses = await lab.run("only6", "ip", "-4", "-o", "address", "show", "scope", "global")
        assert addresses == ""


@asynccontextmanager
async def server6(lab: Lab) -> AsyncIterator[None]:
    code = (
        "import socket, sys; s = socket.create_server(('::', 9), family=socket.AF_INET6);"
        "print(flush=True); sys.stdin.read()"
    )
    process = await lab[PUBLIC].start(sys.executable, "-c", code, stdin=PIPE, stdout=PIPE)
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield
    finally:
        await stop(process)


async def reach6(lab: Lab, peer: str) -> str:
    """Connect from a peer to the public server over IPv6; return how it went."""
    code = (
        "import socket\n"
        "try:\n"
        f"    socket.create_connection(('{SERVERS[0][1]}', 9), timeout=1); print('reached')\n"
        "except OSError as error:\n"
        "    print(type(error).__name__)\n"
    )
    return (await lab.run(peer, sys.executable, "-c", code)).strip()


async def test_with_one_interface_down_packets_take_the_other() -> None:
    routers = (Router("ra"), Router("rb"))
    spec = LabSpec(peers=(Peer("a", ("ra", "rb"), down=("eth1",)),), routers=routers)
    async with Lab(spec) as lab:
        assert await way_out(lab) == "eth0"
        await lab.link_up("a", "eth1")
        assert await way_out(lab) == "eth0"
        second = lab.plan.links_of("a")[1].addresses[0].address
        assert await way_out(lab, "from", second) == "eth1"
        await lab.link_down("a", "eth0")
        assert await way_out(lab) == "eth1"
        await lab.link_up("a", "eth0")
        assert await way_out(lab) == "eth0"
        await lab.link_down("a", "eth0")
        await lab.link_down("a", "eth1")
        with pytest.raises(CommandFailed):
            await way_out(lab)


async def way_out(lab: Lab, *arguments: str) -> str:
    """Return the interface by which a packet to the servers leaves ``a``."""
    out = await lab.run("a", "ip", "-o", "route", "get", ADDRESSES[0], *arguments)
    words = out.split()
    return words[words.index("dev") + 1]


async def test_a_wire_delays_and_loses_and_can_be_changed() -> None:
    async with probing(Router("ra", wire=Wire(delay=0.02))) as lab:
        slow = await round_trips(lab, 20)
        assert len(slow) == 20
        assert 0.04 <= min(slow) < 0.2
        await lab.set_wire("ra", Wire())
        assert min(await round_trips(lab, 20)) < 0.04
        await lab.set_wire("ra", Wire(loss=1))
        assert await round_trips(lab, 2) == []
        await lab.set_wire("ra", Wire(loss=0.3, seed=7))
        assert 5 < len(await round_trips(lab, 30)) < 25


async def round_trips(lab: Lab, count: int) -> list[float]:
    """Ask the probe's server so often, one after the other; return the seconds that each took."""
    code = (
        "import json, socket, time\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.3); taken = []\n"
        f"for number in range({count}):\n"
        "    begun = time.monotonic()\n"
        f"    s.sendto(b'same %d' % number, ('{ADDRESSES[0]}', 7001))\n"
        "    try:\n"
        "        s.recv(100); taken.append(time.monotonic() - begun)\n"
        "    except TimeoutError:\n"
        "        pass\n"
        "print(json.dumps(taken))\n"
    )
    found: list[float] = json.loads(await lab.run("a", sys.executable, "-c", code))
    return found


async def test_what_is_for_the_dead_server_is_lost_without_a_word() -> None:
    async with probing() as lab:
        with pytest.raises(CommandFailed, match="TimeoutError"):
            await connect(lab, 443, DEAD[0])


async def test_a_lab_that_cannot_be_built_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.natlab.topology.core_rules", lambda _: "no such rule")
    with pytest.raises(ExceptionGroup):
        async with Lab(LabSpec(peers=(Peer("a"),))):
            pytest.fail("it was built")


async def test_labs_run_side_by_side() -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(one_lab())


async def one_lab() -> None:
    async with probing(Router("ra")) as lab:
        assert (await probe(lab)).address == lab.address("ra")

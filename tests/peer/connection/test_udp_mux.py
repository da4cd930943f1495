"""Many connections over one UDP port: real sockets, both ends in this process."""

import asyncio
import re
import socket
import subprocess

import pytest
from aiortc import RTCIceServer

from icefloe.peer import (
    InvalidConfiguration,
    PeerConfiguration,
    PeerConnection,
    PeerError,
    RemotePeer,
    UdpMux,
    UdpMuxUnusable,
    UdpPortUnavailable,
    join,
)
from icefloe.signaling import serve
from tests.helpers.calls import eventually
from tests.helpers.muxes import is_empty, link, linked, over, path, route, says
from tests.helpers.pairs import closing, connected, make, negotiate
from tests.helpers.turn import stun_server


def candidates(connection: PeerConnection) -> list[tuple[str, int, str]]:
    """Return address, port and type of each candidate of the local description."""
    found = re.findall(
        r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ (\w+)", connection.localDescription.sdp
    )
    return [(host, int(port), kind) for host, port, kind in found]


async def test_connections_share_one_port_and_each_gets_what_is_for_it() -> None:
    count = 30
    async with await UdpMux.open() as mux:
        here = [over(mux) for _ in range(count)]
        there = [over(None) for _ in range(count)]
        async with closing(*here, *there):
            channels = await asyncio.gather(*map(link, here, there))
            assert {path(one)[0] for one in here} == {mux.port}
            assert {path(one)[1] for one in there} == {mux.port}
            for number, (near, far) in enumerate(channels):
                await says(near, far, f"to {number}")
                await says(far, near, f"from {number}")
            stats = mux.stats()
            assert stats.generations == count
            assert stats.remote_addresses >= count
            assert stats.contested_messages == 0
        await eventually(lambda: is_empty(mux))


@pytest.mark.parametrize("other", ["icefloe", "aiortc"])
async def test_the_answering_side_may_have_the_mux(other: str) -> None:
    async with await UdpMux.open() as mux:
        async with linked(make(other), over(mux)) as (near, far):
            await says(near, far, "to")
            await says(far, near, "from")
            assert mux.stats().generations == 1
        assert is_empty(mux)


async def test_a_port_that_is_asked_for_is_the_one_that_is_announced() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with await UdpMux.open(port) as mux, closing(connection := over(mux)):
        assert mux.port == port
        connection.createDataChannel("x")
        await connection.setLocalDescription(await connection.createOffer())
        found = candidates(connection)
        assert {port for _, port, _ in found} == {port}
        assert {host for host, _, _ in found} == set(mux.addresses)


async def test_both_ends_have_a_mux() -> None:
    async with await UdpMux.open() as one, await UdpMux.open() as other:
        async with linked(a := over(one), b := over(other)) as (near, far):
            assert path(a) == (one.port, other.port)
            assert path(b) == (other.port, one.port)
            await says(near, far, "to")
            await says(far, near, "from")
        assert is_empty(one)
        assert is_empty(other)


async def test_further_connections_between_two_muxes_have_a_port_of_their_own() -> None:
    async with await UdpMux.open() as one, await UdpMux.open() as other:
        here, there = [over(one) for _ in range(5)], [over(other) for _ in range(5)]
        async with closing(*here, *there):
            channels = await asyncio.gather(*map(link, here, there))
            for number, (near, far) in enumerate(channels):
                await says(near, far, f"to {number}")
                await says(far, near, f"from {number}")
            routes = [route(connection) for connection in here]
            assert len(set(routes)) == len(routes)
            assert all(one.port == near or other.port == far for _, near, _, far in routes)
            # What is not announced is not in the description.
            assert all({p for _, p, _ in candidates(c)} == {one.port} for c in here)
        await eventually(lambda: is_empty(one) and is_empty(other))


async def test_both_ends_have_the_same_mux() -> None:
    async with await UdpMux.open() as mux:
        here, there = [over(mux) for _ in range(3)], [over(mux) for _ in range(3)]
        async with closing(*here, *there):
            for number, (near, far) in enumerate(await asyncio.gather(*map(link, here, there))):
                await says(near, far, f"to {number}")
                await says(far, near, f"from {number}")
        await eventually(lambda: is_empty(mux))


async def test_ipv6_alone() -> None:
    async with await UdpMux.open(addresses=("::1/128",)) as mux:
        assert mux.addresses == ("::1",)
        async with linked(a := over(mux), over(None)) as (near, far):
            await says(near, far, "to")
            await says(far, near, "from")
            pair = a.selected_candidate_pair
            assert pair is not None
            assert (pair.local.ip, pair.local.port) == ("::1", mux.port)


async def test_external_addresses_are_announced_with_the_port() -> None:
    async with await UdpMux.open(addresses=("127.0.0.1",)) as mux:
        for kind, expected in (
            ("host", {("203.0.113.4", mux.port, "host")}),
            ("srflx", {("203.0.113.4", mux.port, "srflx"), ("127.0.0.1", mux.port, "host")}),
        ):
            connection = over(mux, external_addresses=("203.0.113.4",), external_address_type=kind)
            async with closing(connection):
                connection.createDataChannel("x")
                await connection.setLocalDescription(await connection.createOffer())
                assert set(candidates(connection)) == expected


async def test_a_connection_chooses_among_the_addresses_of_the_mux() -> None:
    async with (
        await UdpMux.open() as mux,
        closing(connection := over(mux, addresses=("127.0.0.0/8",))),
    ):
        connection.createDataChannel("x")
        await connection.setLocalDescription(await connection.createOffer())
        assert candidates(connection) == [("127.0.0.1", mux.port, "host")]


async def test_an_address_that_the_mux_leaves_out_is_not_announced() -> None:
    async with await UdpMux.open(addresses=("127.0.0.1",)) as mux, closing(c := over(mux)):
        c.createDataChannel("x")
        await c.setLocalDescription(await c.createOffer())
        assert candidates(c) == [("127.0.0.1", mux.port, "host")]


async def test_an_ice_restart_keeps_the_port() -> None:
    async with await UdpMux.open() as mux:
        async with linked(a := over(mux), b := over(None)) as (near, far):
            for number in range(3):
                before = a.selected_candidate_pair
                a.restartIce()
                await negotiate(a, b)
                fragments = set(re.findall(r"ice-ufrag:(\S+)", a.localDescription.sdp))
                while True:
                    pair = a.selected_candidate_pair
                    await says(near, far, "to")
                    await says(far, near, "from")
                    if pair is not None and pair.local.usernameFragment in fragments:
                        break
                assert pair != before
                assert path(a)[0] == mux.port, number
            assert mux.stats().contested_messages == 0
        await eventually(lambda: is_empty(mux))


async def test_the_end_of_one_leaves_the_others() -> None:
    async with await UdpMux.open() as mux, linked(over(mux), over(None)) as (near, far):
        async with linked(over(mux), over(None)) as (other, _):
            await says(near, far, "beside another")
            assert mux.stats().generations == 2
            assert other.readyState == "open"
        assert mux.stats().generations == 1
        await says(near, far, "alone")
        await says(far, near, "and back")


async def test_the_mux_ends_before_its_connections() -> None:
    mux = await UdpMux.open()
    async with linked(a := over(mux, restart_automatically=False), over(None)):
        await mux.close()
        await mux.close()
        await eventually(lambda: a.connectionState != "connected")
        assert is_empty(mux)
        assert mux.is_closed


async def test_a_mux_that_is_closed_is_refused_when_candidates_are_gathered() -> None:
    mux = await UdpMux.open()
    await mux.close()
    async with closing(connection := over(mux)):
        connection.createDataChannel("x")
        with pytest.raises(UdpMuxUnusable) as refused:
            await connection.setLocalDescription(await connection.createOffer())
        assert refused.value.is_closed


def test_a_mux_belongs_to_one_event_loop() -> None:
    loop = asyncio.new_event_loop()
    mux = loop.run_until_complete(UdpMux.open())

    async def elsewhere() -> None:
        async with closing(connection := over(mux)):
            connection.createDataChannel("x")
            with pytest.raises(UdpMuxUnusable) as refused:
                await connection.setLocalDescription(await connection.createOffer())
            assert not refused.value.is_closed
            assert "another event loop" in str(refused.value)
        with pytest.raises(UdpMuxUnusable):
            await mux.close()

    asyncio.run(elsewhere())
    loop.run_until_complete(mux.close())
    loop.close()


async def test_a_port_in_use_is_an_error_that_names_it() -> None:
    async with await UdpMux.open() as mux:
        with pytest.raises(UdpPortUnavailable, match=str(mux.port)) as refused:
            await UdpMux.open(mux.port)
        assert refused.value.port == mux.port
        assert isinstance(refused.value, PeerError)
    with pytest.raises(UdpPortUnavailable, match="no address"):
        await UdpMux.open(addresses=("192.0.2.0/24",))


async def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="UDP port"):
        await UdpMux.open(70000)
    async with await UdpMux.open() as mux:
        with pytest.raises(InvalidConfiguration, match="port_range"):
            PeerConfiguration(udp_mux=mux, port_range=(50000, 50100))
    with pytest.raises(InvalidConfiguration, match="udp_mux"):
        PeerConfiguration(udp_mux=7000)  # type: ignore[arg-type]


async def test_the_older_generation_is_gone_from_the_table_after_a_while() -> None:
    async with await UdpMux.open() as mux, linked(a := over(mux), b := over(None)):
        a.restartIce()
        await negotiate(a, b)
        await eventually(lambda: mux.stats().generations == 2)
        await eventually(lambda: mux.stats().generations == 1)
        await connected(a, b)


async def test_a_server_reflexive_candidate_is_that_of_the_shared_port() -> None:
    async with (
        stun_server("127.0.0.1", ("203.0.113.9", 4567)) as server,
        await UdpMux.open(addresses=("127.0.0.1",)) as mux,
    ):
        connections = [over(mux, iceServers=[RTCIceServer(server.url)]) for _ in range(5)]
        async with closing(*connections):
            for connection in connections:
                connection.createDataChannel("x")
                await connection.setLocalDescription(await connection.createOffer())
                assert set(candidates(connection)) == {
                    ("127.0.0.1", mux.port, "host"),
                    ("203.0.113.9", 4567, "srflx"),
                }
        assert is_empty(mux)


async def test_a_bot_in_a_room_has_one_port_for_all() -> None:
    async with serve("127.0.0.1", 0) as server, await UdpMux.open() as mux:
        configuration = PeerConfiguration(udp_mux=mux, include_loopback=True)

        async def answer(peer: RemotePeer) -> None:
            async for channel in peer.channels():
                async for message in channel:
                    await channel.send(f"{message!s}, {peer.name}")

        async def visit(number: int) -> None:
            async with join(server.url, room="lobby", name=f"visitor {number}") as room:
                channel = await (await room.peer("bot")).open_channel("chat")
                await channel.send("hello")
                assert await channel.receive() == f"hello, visitor {number}"
                assert mux.stats().generations > 0

        async with join(server.url, room="lobby", name="bot", configuration=configuration) as room:
            bot = asyncio.create_task(room.attend(answer))
            await asyncio.gather(*map(visit, range(4)))
            bot.cancel()
            await asyncio.wait([bot])
        await eventually(lambda: is_empty(mux))


@pytest.mark.system("iproute2", "netns")
async def test_addresses_come_and_go() -> None:
    def ip(arguments: str) -> None:
        subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)

    async def offered() -> set[str]:
        async with closing(connection := over(mux)):
            connection.createDataChannel("x")
            await connection.setLocalDescription(await connection.createOffer())
            assert {port for _, port, _ in candidates(connection)} == {mux.port}
            return {host for host, _, _ in candidates(connection)}

    async with await UdpMux.open() as mux:
        before = await offered()
        ip("link add muxed type veth peer name muxed-peer")
        try:
            ip("link set muxed-peer up")
            ip("link set muxed up")
            ip("addr add 198.18.78.1/24 dev muxed")
            assert await offered() == before | {"198.18.78.1"}
            assert "198.18.78.1" in mux.addresses
            ip("addr del 198.18.78.1/24 dev muxed")
            ip("addr add 198.18.78.2/24 dev muxed")
            assert await offered() == before | {"198.18.78.2"}
            assert set(mux.addresses) == before | {"198.18.78.2"}
        finally:
            ip("link del muxed")
        assert await offered() == before

"""Calls over TCP alone: who may open connections, what breaks, what the statistics say."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiortc import RTCIceTransportPolicy

from icefloe.media import TestPatternTrack
from icefloe.peer import (
    DataChannel,
    PeerConfiguration,
    PeerConnection,
    RTCIceCandidatePairStats,
    RTCIceCandidateStats,
    TcpMux,
)
from icefloe.peer._aiortc import agent_of
from icefloe.peer.ice.checks.pair import PENDING
from icefloe.peer.ice.tcp import transport
from icefloe.peer.ice.tcp.connection import TcpConnection
from icefloe.peer.ice.tcp.transport import MAX_CONCURRENT_CONNECTS, MAX_CONNECTS
from tests.helpers.pairs import closing, connected, negotiate, opened, until, without_udp


@dataclass
class TcpCall:
    """Two connections over TCP: ``near`` has opened it, to the port of ``far``."""

    near: PeerConnection
    far: PeerConnection
    mux: TcpMux
    channel: DataChannel
    other: DataChannel

    async def exchange(self, size: int) -> None:
        """Send so many bytes there and back."""
        message = bytes(range(256)) * (size // 256)

        async def back() -> None:
            await self.other.send(await anext(aiter(self.other)))

        returning = asyncio.ensure_future(back())
        await self.channel.send(message)
        assert await anext(aiter(self.channel)) == message
        await returning


@asynccontextmanager
async def calling(*, passive_offers: bool = False, **options: Any) -> AsyncIterator[TcpCall]:
    """Have two connections talk over TCP."""
    async with await TcpMux.open(0) as mux:
        near = PeerConnection(PeerConfiguration(**options))
        far = PeerConnection(PeerConfiguration(tcp_mux=mux, **options))
        offerer, answerer = (far, near) if passive_offers else (near, far)
        channel = offerer.createDataChannel("x")
        got: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answerer.on("datachannel", got.set_result)
        async with closing(near, far):
            await negotiate(offerer, answerer, without_udp, without_udp)
            await opened(channel)
            mine, theirs = DataChannel(channel), DataChannel(await got)
            yield TcpCall(near, far, mux, mine, theirs)


@pytest.mark.parametrize("passive_offers", [False, True])
async def test_either_side_may_be_the_one_that_is_connected_to(passive_offers: bool) -> None:
    async with calling(passive_offers=passive_offers) as call:
        await call.exchange(200 * 1024)
        for connection in (call.near, call.far):
            pair = connection.selected_candidate_pair
            assert pair is not None
            assert (pair.local.protocol, pair.remote.protocol) == ("tcp", "tcp")
            assert not pair.relayed


async def test_media_goes_over_tcp_as_well() -> None:
    async with await TcpMux.open() as mux:
        near, far = PeerConnection(), PeerConnection(PeerConfiguration(tcp_mux=mux))
        got: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        far.on("track", got.set_result)
        track = TestPatternTrack(160, 120)
        near.addTrack(track)
        async with closing(near, far):
            await negotiate(near, far, without_udp, without_udp)
            frames = [await (await got).recv() for _ in range(10)]
            assert {frame.width for frame in frames} == {160}
        track.stop()


async def test_statistics_name_the_protocol_and_the_direction() -> None:
    async with calling() as call:
        await call.exchange(1024)
        for connection, directions in (
            (call.near, ("active", "passive")),
            (call.far, ("passive", "active")),
        ):
            report = await connection.getStats()
            used = connection.selected_candidate_pair
            assert used is not None
            pair = next(
                s
                for s in report.values()
                if isinstance(s, RTCIceCandidatePairStats) and s.nominated
            )
            assert pair.packetsDiscardedOnSend == 0
            ends = report[pair.localCandidateId], report[pair.remoteCandidateId]
            assert all(isinstance(end, RTCIceCandidateStats) for end in ends)
            assert tuple(end.tcpType for end in ends) == directions
            assert [end.protocol for end in ends] == ["tcp", "tcp"]
            udp = [
                s
                for s in report.values()
                if isinstance(s, RTCIceCandidateStats) and s.protocol == "udp"
            ]
            assert udp
            assert all(s.tcpType is None for s in udp)


# --- what breaks


def connections_of(mux: TcpMux) -> list[TcpConnection]:
    """Return the connections that a port has accepted."""
    return list(mux._connections)


def reset(connection: TcpConnection) -> None:
    """Reset a connection, as a firewall does that has forgotten it."""
    assert connection._transport is not None
    sock = connection._transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.abort()


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_connection_that_is_reset_is_opened_again(restarts: bool) -> None:
    async with calling(restart_automatically=restarts) as call:
        await call.exchange(1024)
        sending = asyncio.ensure_future(call.channel.send(b"x" * 200_000))
        for connection in connections_of(call.mux):
            reset(connection)
        assert len(await anext(aiter(call.other))) == 200_000
        await sending
        await connected(call.near, call.far)
        await call.exchange(1024)


async def test_a_reset_is_noticed_at_once_on_both_sides() -> None:
    async with calling(restart_automatically=False, disconnected_timeout=1000.0) as call:
        await call.mux.close()
        for connection in (call.near, call.far):
            await until(
                connection,
                "connectionstatechange",
                lambda c=connection: c.connectionState == "disconnected",  # type: ignore[misc]
            )


# --- who may open connections


def tcp_lines(connection: PeerConnection) -> list[str]:
    """Return the TCP candidates of the local description."""
    return [line for line in connection.localDescription.sdp.splitlines() if " tcp " in line]


async def test_active_candidates_are_told_unless_they_are_not_wanted() -> None:
    relay = {"iceTransportPolicy": RTCIceTransportPolicy.RELAY}
    async with await TcpMux.open(0) as mux:
        cases: list[tuple[dict[str, Any], set[str]]] = [
            ({}, {"active"}),
            ({"ice_tcp": False}, set()),
            ({"tcp_mux": mux}, {"active", "passive"}),
            ({"tcp_mux": mux, "ice_tcp": False}, {"passive"}),
            ({"tcp_mux": mux, **relay}, set()),
        ]
        for options, kinds in cases:
            connection = PeerConnection(PeerConfiguration(**options))
            connection.createDataChannel("x")
            async with closing(connection):
                await connection.setLocalDescription()
                lines = [line.split() for line in tcp_lines(connection)]
                assert {line[-1] for line in lines} == kinds
                assert all(line[5] == "9" for line in lines if line[-1] == "active")
                assert all(line[5] == str(mux.port) for line in lines if line[-1] == "passive")


@asynccontextmanager
async def listening(count: int) -> AsyncIterator[tuple[list[int], list[int]]]:
    """Listen on many ports; yields them, and the growing list of those that were connected to."""
    seen: list[int] = []
    ports = []
    async with AsyncExitStack() as stack:
        for _ in range(count):

            def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                seen.append(writer.get_extra_info("sockname")[1])
                writer.transport.abort()

            server = await asyncio.start_server(take, "127.0.0.1", 0)
            stack.callback(server.close)
            ports.append(server.sockets[0].getsockname()[1])
        yield ports, seen


def candidates(ports: list[int], host: str = "127.0.0.1", kind: str = "passive") -> str:
    """Return passive candidates as lines of a description."""
    return "".join(
        f"a=candidate:{n} 1 tcp {1000 + n} {host} {port} typ host tcptype {kind}\r\n"
        for n, port in enumerate(ports)
    )


async def offered_to(lines: str, **options: Any) -> PeerConnection:
    """Have a connection answer an offer that has these candidates."""
    offerer = PeerConnection()
    offerer.createDataChannel("x")
    connection = PeerConnection(PeerConfiguration(include_loopback=True, **options))
    async with closing(offerer):
        # The offerer learns nothing to connect to: it is only to have a description.
        await negotiate(offerer, connection, lambda sdp: without_udp(sdp) + lines, without_any)
    return connection


def without_any(sdp: str) -> str:
    """Return a description without its candidates."""
    lines = sdp.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("a=candidate:"))


async def exhausted(connection: PeerConnection) -> None:
    """Wait until all checks over TCP have failed."""
    (agent,) = _agents(connection)
    while any(p.is_tcp and p.state in PENDING for p in agent.generation.checks.list):
        await asyncio.sleep(0.01)


async def test_a_peer_cannot_have_more_than_some_connections_opened() -> None:
    async with listening(40) as (ports, seen):
        connection = await offered_to(candidates(ports))
        async with closing(connection):
            while len(seen) < MAX_CONNECTS:
                await asyncio.sleep(0.01)
            await exhausted(connection)
            await asyncio.sleep(0.1)  # for one that is too many
            assert len(seen) == len(set(seen)) == MAX_CONNECTS


async def test_nothing_is_connected_to_that_is_not_asked_for() -> None:
    async with listening(1) as (ports, seen):
        for lines, options in (
            (candidates(ports), {"ice_tcp": False}),
            (candidates(ports, kind="active"), {}),
            (candidates(ports, kind="so"), {}),
            (candidates(ports, kind="strange"), {}),
            (candidates(ports, host="0.0.0.0"), {}),
            (candidates(ports, host="127.0.0.1").replace(" tcptype passive", ""), {}),
        ):
            connection = await offered_to(lines, **options)
            async with closing(connection):
                (agent,) = _agents(connection)
                assert not any(pair.is_tcp for pair in agent.generation.checks.list)
        assert seen == []


async def test_attempts_are_few_at_a_time_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT", 0.3)
    opening: list[tuple[str, int]] = []
    most = 0

    async def never(loop: Any, local: str, remote: tuple[str, int], connection: Any) -> None:
        nonlocal most
        opening.append(remote)
        most = max(most, len(opening))
        try:
            await asyncio.sleep(1000)
        finally:
            opening.remove(remote)

    monkeypatch.setattr(transport, "_connect", never)
    connection = await offered_to(candidates(list(range(2000, 2030))))
    async with closing(connection):
        await exhausted(connection)
        assert most == MAX_CONCURRENT_CONNECTS
    assert opening == []


def _agents(connection: PeerConnection) -> list[Any]:
    assert connection.sctp is not None
    return [agent_of(connection.sctp.transport.transport)]

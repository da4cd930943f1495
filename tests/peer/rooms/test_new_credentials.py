"""New TURN credentials during a call: the relay in use is replaced, and nothing else is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiortc import RTCIceTransportPolicy

from icefloe.peer import DataChannel, PeerConfiguration, RemotePeer, join
from icefloe.signaling import IceAccess, IceRequest, IceServer, ServerConfiguration, serve
from tests.helpers.netns import ADDRESS
from tests.helpers.turn import PASSWORD, USER, coturn

pytestmark = pytest.mark.system("coturn", "netns")

LIFETIME = 4.0
"""Seconds that the first credentials hold: they are renewed after 1.6 s at most."""


@asynccontextmanager
async def call(
    folder: Path, configuration: PeerConfiguration
) -> AsyncIterator[tuple[tuple[RemotePeer, RemotePeer], DataChannel, DataChannel]]:
    """Have two programs in a room whose server gives other TURN credentials after a while."""
    asked: dict[str, int] = {}
    async with coturn(folder, ADDRESS, "user=second:other") as turn:

        def provide(request: IceRequest) -> IceAccess:
            asked[request.name] = asked.get(request.name, 0) + 1
            if asked[request.name] == 1:
                return IceAccess((IceServer(turn.turn("udp"), USER, PASSWORD),), LIFETIME)
            return IceAccess((IceServer(turn.turn("udp"), "second", "other"),))

        async with (
            serve(port=0, configuration=ServerConfiguration(ice_provider=provide)) as server,
            join(server.url, room="r", name="bob", configuration=configuration) as bobs,
            join(server.url, room="r", name="alice", configuration=configuration) as alices,
        ):
            bob, alice = await alices.peer("bob"), await bobs.peer("alice")
            channel = await bob.open_channel("chat")
            await channel.send("hello")
            async for other in alice.channels():
                assert await other.receive() == "hello"
                yield (bob, alice), channel, other
                break


def user(peer: RemotePeer) -> str | None:
    servers = peer.connection.getConfiguration().iceServers or []
    return servers[0].username


async def renewed(peers: tuple[RemotePeer, RemotePeer]) -> None:
    while any(user(peer) != "second" for peer in peers):
        await asyncio.sleep(0.05)


async def test_a_relay_in_use_is_replaced_by_one_with_the_new_credentials(tmp_path: Path) -> None:
    relay = PeerConfiguration(iceTransportPolicy=RTCIceTransportPolicy.RELAY)
    async with call(tmp_path, relay) as (peers, channel, other):
        before = [peer.connection.selected_candidate_pair for peer in peers]
        states: list[str] = []
        for peer in peers:
            connection = peer.connection
            connection.on(
                "connectionstatechange", lambda c=connection: states.append(c.connectionState)
            )
        await renewed(peers)
        for peer, old in zip(peers, before, strict=True):
            while peer.connection.selected_candidate_pair == old:
                await asyncio.sleep(0.05)
        await channel.send("still there")
        assert await other.receive() == "still there"
        assert states == []


@pytest.mark.parametrize(
    "configuration",
    [
        PeerConfiguration(),
        PeerConfiguration(
            iceTransportPolicy=RTCIceTransportPolicy.RELAY, restart_automatically=False
        ),
    ],
    ids=["direct", "not automatically"],
)
async def test_no_path_is_replaced_without_need(
    tmp_path: Path, configuration: PeerConfiguration
) -> None:
    async with call(tmp_path, configuration) as (peers, channel, other):
        await renewed(peers)
        assert [peer.connection._ice_restart.replacing for peer in peers] == [frozenset()] * 2
        await channel.send("still there")
        assert await other.receive() == "still there"

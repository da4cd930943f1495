"""Participants and signaling servers that ask too much of a room."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiortc import RTCIceServer
from websockets.asyncio.server import ServerConnection, serve as serve_raw

from icefloe.peer import PeerConnection, join
from icefloe.peer.connection import ice_restart, negotiator
from icefloe.peer.ice.server_urls import parse_servers
from icefloe.peer.rooms import calls
from icefloe.peer.rooms.signaler import MOST_SERVERS, usable_servers
from icefloe.signaling import (
    Description,
    IceServer,
    PeerDescription,
    SessionDescription,
    SignalingClient,
    connect,
    serve,
)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


# --- a participant that floods signaling


async def offers(victim: str, client: SignalingClient, count: int) -> None:
    """Call somebody, and then ask for one ICE restart after the other without an end."""
    caller = PeerConnection()
    try:
        caller.createDataChannel("x")
        await caller.setLocalDescription()
        sdp = caller.localDescription.sdp
        await client.send(Description(victim, SessionDescription("offer", sdp)))
        async for message in client:
            if isinstance(message, PeerDescription):
                break
        for number in range(count):
            fragment = f"again{number:04d}"
            other = re.sub("a=ice-ufrag:.*", f"a=ice-ufrag:{fragment}", sdp)
            await client.send(Description(victim, SessionDescription("offer", other)))
    finally:
        await caller.close()


async def test_one_that_floods_signaling_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(negotiator, "INBOX", 4)
    monkeypatch.setattr(ice_restart, "RESTARTS_AT_ONCE", 1)
    monkeypatch.setattr(ice_restart, "RESTARTS_A_SECOND", 0.001)  # the second one waits for long
    async with (
        serve(port=0) as server,
        join(server.url, room="r", name="victim") as victims,
        connect(server.url, room="r", name="flood") as flood,
    ):
        await offers(victims.id, flood, 50)
        async with join(server.url, room="r", name="friend") as friends:
            friend = await friends.peer("victim")
            channel = await friend.open_channel("chat")
            await channel.send("hello")
            there = await (await victims.peer("friend")).open_channel("chat")
            assert await there.receive() == "hello"
        assert (await victims.peer("flood")).negotiator.is_flooded
    told = [r for r in caplog.records if "can be worked off" in r.getMessage()]
    assert [record.levelno for record in told] == [logging.WARNING]


# --- a signaling server that makes things up


def joined(peers: int) -> dict[str, Any]:
    those = [{"id": f"p{number}", "name": f"n{number}", "away": True} for number in range(peers)]
    return {"type": "joined", "id": "me", "resume": "s", "peers": those, "iceServers": []}


@asynccontextmanager
async def saying(*messages: dict[str, Any]) -> AsyncIterator[str]:
    """Serve something that answers a join by these messages; give its URL."""

    async def handler(socket: ServerConnection) -> None:
        await socket.recv()
        for message in messages:
            await socket.send(json.dumps(message))
        await socket.wait_closed()

    async with serve_raw(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws"


async def test_participants_beyond_the_limit_are_ignored(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(calls, "MOST_PEERS", 3)
    more = [
        {"type": "peer-joined", "peer": {"id": f"q{number}", "name": f"m{number}"}}
        for number in range(20)
    ]
    # Some go, and another one has room again.
    left = [{"type": "peer-left", "id": f"p{number}", "reason": "left"} for number in range(3)]
    last = {"type": "peer-joined", "peer": {"id": "last", "name": "last"}}
    async with saying(joined(10), *more, *left, last) as url, join(url, room="r", name="me") as r:
        await r.peer("last")
        assert {peer.name for peer in r.peers if not peer.has_ended} == {"last"}
    told = [r for r in caplog.records if "the rest is ignored" in r.getMessage()]
    assert len(told) == 1


async def test_offers_of_participants_that_are_ignored_are_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "MOST_PEERS", 1)
    offer = {
        "type": "description",
        "from": "p5",
        "description": {"type": "offer", "sdp": "v=0"},
        "seq": 1,
    }
    left = {"type": "peer-left", "id": "p0", "reason": "left"}
    last = {"type": "peer-joined", "peer": {"id": "last", "name": "last"}}
    async with saying(joined(10), offer, left, last) as url, join(url, room="r", name="me") as r:
        await r.peer("last")
        assert "n5" not in {peer.name for peer in r.peers}


@pytest.mark.parametrize("in_one", [False, True])
def test_servers_beyond_the_limit_are_ignored(
    in_one: bool, caplog: pytest.LogCaptureFixture
) -> None:
    urls = [f"turn:10.0.{number // 250}.{number % 250}" for number in range(50_000)]
    named = [IceServer(urls, "u", "c")] if in_one else [IceServer(url, "u", "c") for url in urls]
    found = list(usable_servers(named))
    assert [server.host for server in parse_servers(found)] == [
        url.removeprefix("turn:") for url in urls[:MOST_SERVERS]
    ]
    assert all(isinstance(server, RTCIceServer) for server in found)
    assert len(caplog.records) == 1


def test_servers_that_cannot_be_read_count(caplog: pytest.LogCaptureFixture) -> None:
    assert list(usable_servers([IceServer("nonsense")] * 50_000)) == []
    assert len(caplog.records) == MOST_SERVERS + 1

"""Rooms and peers that end at awkward moments, or go on for weeks."""

import asyncio
from typing import Any

import pytest
from aiortc import RTCIceServer, RTCSessionDescription

from icefloe.peer import (
    ConnectFailed,
    InvalidServerUrl,
    PeerConfiguration,
    PeerNotHere,
    RemotePeer,
    RTCPeerConnectionIceErrorEvent,
    join,
)
from icefloe.peer.rooms.arrivals import CAPACITY, Arrivals
from icefloe.peer.rooms.remote_peer import SERVER_ERRORS
from icefloe.peer.rooms.signaler import RoomSignaler
from icefloe.signaling import (
    Message,
    PeerDescription,
    PeerGone,
    PeerMessage,
    SendQueueFull,
    connect,
    serve,
)
from tests.signaling.conftest import Proxy


class Broken(Exception):
    """Something that nobody has thought of."""


class BrokenPeer(RemotePeer):
    """A peer that cannot be made."""

    def __init__(self, **_: Any) -> None:
        raise Broken


class Mute:
    """Signaling that raises what no signaling should."""

    async def description(self, description: RTCSessionDescription) -> None:
        raise Broken

    async def candidate(self, candidate: Any) -> None:
        raise Broken


async def test_a_server_that_cannot_be_read_is_refused_before_anybody_is_joined() -> None:
    with pytest.raises(InvalidServerUrl):
        PeerConfiguration(iceServers=[RTCIceServer("turn:")])
    configuration = PeerConfiguration()
    configuration.iceServers = [RTCIceServer("turn:")]
    with pytest.raises(InvalidServerUrl):
        join("ws://127.0.0.1:1/ws", room="lobby", name="bob", configuration=configuration)


async def test_a_room_that_cannot_be_entered_gives_its_seat_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        serve(port=0) as server,
        connect(server.url, room="lobby", name="alice") as alice,
    ):
        monkeypatch.setattr("icefloe.peer.rooms.calls.RemotePeer", BrokenPeer)
        with pytest.raises(Broken):
            async with join(server.url, room="lobby", name="bob"):
                pass
        while not isinstance(await anext(alice), PeerGone):
            pass


async def test_a_room_that_fails_says_so_to_whoever_iterates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve(port=0) as server, join(server.url, room="lobby", name="bob") as room:
        monkeypatch.setattr("icefloe.peer.rooms.calls.RemotePeer", BrokenPeer)
        async with connect(server.url, room="lobby", name="alice"):
            with pytest.raises(Broken):
                async for _ in room:
                    pass


async def test_a_peer_that_has_ended_is_not_here() -> None:
    async with (
        serve(port=0) as server,
        join(server.url, room="lobby", name="bob"),
        join(server.url, room="lobby", name="alice") as alices,
    ):
        bob = await alices.peer("bob")
        bob.hang_up()
        with pytest.raises(PeerNotHere):
            await alices.peer("bob", timeout=0.05)


async def test_a_peer_whose_signaling_breaks_down_has_failed() -> None:
    peer = RemotePeer(id="1", name="bob", polite=False, signaler=Mute())
    peer.start()
    await peer.run()
    assert await peer.ended() == "failed"
    with pytest.raises(ConnectFailed):
        await peer.connected()


async def test_of_what_servers_answer_only_the_latest_is_kept() -> None:
    peer = RemotePeer(id="1", name="bob", polite=False, signaler=Mute(), connect_timeout=0)
    for number in range(SERVER_ERRORS * 3):
        event = RTCPeerConnectionIceErrorEvent("turn:t", 701, str(number), None, None)
        peer.connection.emit("icecandidateerror", event)
    with pytest.raises(ConnectFailed) as caught:
        await peer.connected()
    kept = caught.value.evidence.server_errors
    assert len(kept) == SERVER_ERRORS
    assert kept[-1].endswith(str(SERVER_ERRORS * 3 - 1))
    peer.end("left")
    await peer.run()


async def test_those_who_left_make_room_for_those_who_come() -> None:
    arrivals: Arrivals[int] = Arrivals()
    for number in range(CAPACITY):
        assert arrivals.put(number)
    assert not arrivals.put(-1)
    arrivals.withdraw(0)
    arrivals.withdraw(-1)
    assert arrivals.put(CAPACITY)
    arrivals.end()
    assert not arrivals.put(-1)
    assert [number async for number in arrivals] == list(range(1, CAPACITY + 1))
    assert [number async for number in arrivals] == []


async def test_each_arrival_goes_to_one_reader_and_the_end_to_all() -> None:
    arrivals: Arrivals[int] = Arrivals()

    async def read() -> list[int]:
        return [number async for number in arrivals]

    readers = [asyncio.create_task(read()) for _ in range(3)]
    for number in range(30):
        arrivals.put(number)
        await asyncio.sleep(0)
    arrivals.end()
    taken = [number for numbers in await asyncio.gather(*readers) for number in numbers]
    assert sorted(taken) == list(range(30))


async def test_a_description_waits_until_signaling_has_room_for_it() -> None:
    ready = asyncio.Event()
    async with serve(port=0) as server, asyncio.TaskGroup() as group:
        proxy = Proxy(server.port)
        running = group.create_task(proxy.run(ready))
        await ready.wait()
        async with (
            connect(server.url, room="lobby", name="alice") as alice,
            connect(proxy.url, room="lobby", name="bob") as bob,
        ):
            proxy.refuses = True
            proxy.cut()
            while bob.is_connected:
                await asyncio.sleep(0)
            sent = 0
            with pytest.raises(SendQueueFull):
                while True:
                    await bob.send(Message(alice.id, sent))
                    sent += 1
            offer = RTCSessionDescription(sdp="v=0\r\n", type="offer")
            sending = asyncio.create_task(RoomSignaler(bob, alice.id).description(offer))
            await RoomSignaler(bob, alice.id).bye()  # is not waited for
            proxy.refuses = False
            bob.suspect()
            heard = []
            async for event in alice:
                heard += [event] if isinstance(event, PeerMessage | PeerDescription) else []
                if isinstance(event, PeerDescription):
                    break
            assert [m.data for m in heard[:-1] if isinstance(m, PeerMessage)] == list(range(sent))
            await sending
        running.cancel()

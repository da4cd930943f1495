"""The pump of signaling: what comes is read once and told in the order in which it came."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from aiortc import RTCSessionDescription
from websockets.asyncio.client import connect as open_socket

from icefloe.peer import WrongPairingCode
from icefloe.peer.connection.remote_candidates import END_OF_CANDIDATES, RemoteCandidate
from icefloe.peer.rooms.remote_peer import RemotePeer
from icefloe.peer.rooms.signaling_pump import SignalingPump
from icefloe.signaling import (
    Bye,
    Candidate,
    Description,
    IceCandidate,
    IceServer,
    Join,
    Message,
    PeerInfo,
    SessionDescription,
    SignalingClient,
    SignalingLost,
    SignalingServer,
    connect,
    serve,
)
from icefloe.signaling.codec import encode_client

LINE = "candidate:7 1 udp 1 192.0.2.1 5 typ host"


class Noting:
    """A policy without connections that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.refuses = False

    def joined(self, info: PeerInfo, *, senior: bool) -> None:
        self.told.append(("joined", info.name, senior))

    def presence_changed(self, id: str, *, away: bool) -> None:
        self.told.append(("presence", away))

    def left(self, id: str, reason: str) -> None:
        self.told.append(("left", reason))

    def hung_up(self, id: str) -> None:
        self.told.append(("hung up",))

    def rejoined(self) -> None:
        self.told.append(("rejoined",))

    def renewed(self, servers: Iterable[IceServer]) -> None:
        self.told.append(("renewed",))

    def connection(self, id: str) -> RemotePeer | None:
        return None

    async def admits(self, id: str, description: RTCSessionDescription) -> bool:
        return not self.refuses

    def unconnected(self, id: str, item: RTCSessionDescription | RemoteCandidate) -> None:
        self.told.append(("unconnected", item))

    async def message(self, id: str, data: object) -> None:
        match data:
            case "wrong":
                raise WrongPairingCode
            case "fault":
                raise KeyError("a fault")
        self.told.append(("message", data))


@asynccontextmanager
async def pumping() -> AsyncIterator[
    tuple[Noting, asyncio.Task[Exception | None], SignalingClient, str, SignalingServer]
]:
    """Run a pump; give its policy, its task, another participant, and whom that one sends to."""
    async with (
        serve(port=0) as server,
        connect(server.url, room="r", name="other") as other,
        connect(server.url, room="r", name="own") as own,
    ):
        policy = Noting()
        pump = SignalingPump(own, policy)
        pump.begin()
        assert policy.told == [("joined", "other", True)]
        policy.told.clear()
        running = asyncio.create_task(pump.run())
        yield policy, running, other, own.id, server
        running.cancel()
        await asyncio.wait((running,))


async def until_told(policy: Noting, count: int) -> None:
    while len(policy.told) < count:
        await asyncio.sleep(0.01)


async def test_what_comes_is_told_in_order_and_candidates_are_read() -> None:
    async with pumping() as (policy, _, other, to, server):
        await other.send(Description(to, SessionDescription("offer", "v=0")))
        await other.send(Candidate(to, IceCandidate(LINE, "0", None, "Ab3d")))
        await other.send(Candidate(to, None))
        await other.send(Message(to, {"any": "thing"}))
        await other.send(Bye(to))
        async with connect(server.url, room="r", name="third"):
            await until_told(policy, 6)
        await until_told(policy, 7)
        offer, read = policy.told[0][1], policy.told[1][1]
        assert isinstance(offer, RTCSessionDescription)
        assert (offer.type, offer.sdp) == ("offer", "v=0")
        assert isinstance(read, RemoteCandidate) and read.candidate is not None
        assert (read.candidate.ip, read.candidate.foundation) == ("192.0.2.1", "7")
        assert (read.sdpMid, read.usernameFragment) == ("0", "Ab3d")
        assert policy.told[2:] == [
            ("unconnected", END_OF_CANDIDATES),
            ("message", {"any": "thing"}),
            ("hung up",),
            ("joined", "third", False),
            ("left", "left"),
        ]


async def test_what_cannot_be_read_or_is_not_admitted_goes_nowhere() -> None:
    async with pumping() as (policy, running, other, to, _):
        policy.refuses = True
        await other.send(Description(to, SessionDescription("offer", "v=0")))
        await other.send(Candidate(to, IceCandidate("candidate:nonsense", "0")))
        await other.send(Message(to, "after"))
        await until_told(policy, 1)
        assert policy.told == [("message", "after")]
        assert not running.done()


async def test_the_policy_can_end_it() -> None:
    async with pumping() as (_, running, other, to, _):
        await other.send(Message(to, "wrong"))
        assert isinstance(await running, WrongPairingCode)


async def test_a_fault_is_logged_and_is_not_taken_for_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with pumping() as (_, running, other, to, _):
        await other.send(Message(to, "fault"))
        assert isinstance(await running, KeyError)
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.getMessage() == "signaling has failed, calls go on"


async def test_nothing_is_handled_while_the_lock_is_held() -> None:
    async with serve(port=0) as server, connect(server.url, room="r", name="own") as own:
        policy = Noting()
        pump = SignalingPump(own, policy)
        running = asyncio.create_task(pump.run())
        async with connect(server.url, room="r", name="other") as other:
            async with pump.lock:
                await other.send(Message(own.id, 1))
                while len(own.peers) < 1:
                    await asyncio.sleep(0.01)
                assert policy.told == []
            await until_told(policy, 2)
        running.cancel()
        await asyncio.wait((running,))
    assert policy.told[:2] == [("joined", "other", False), ("message", 1)]


async def test_the_end_of_signaling_is_told() -> None:
    async with serve(port=0) as server, connect(server.url, room="r", name="own") as own:
        running = asyncio.create_task(SignalingPump(own, Noting()).run())
        # Another program takes the seat up.
        seat = own._seat.joined

        async with open_socket(server.url) as socket:
            join = Join(room="r", name="own", resume=seat.resume, ack=0)
            await socket.send(encode_client(join).decode())
            assert isinstance(await running, SignalingLost)

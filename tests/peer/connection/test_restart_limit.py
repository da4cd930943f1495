"""ICE restarts that the other side asks for without end."""

import asyncio

import pytest
from aiortc import InvalidStateError, RTCSessionDescription

from icefloe.peer import PeerConnection
from icefloe.peer._aiortc import agent_of
from icefloe.peer.connection import ice_restart
from tests.helpers.pairs import closing, connected, negotiate, opened


async def restarting_offer(a: PeerConnection, b: PeerConnection) -> None:
    a.restartIce()
    await a.setLocalDescription()
    await b.setRemoteDescription(a.localDescription)


async def agree(a: PeerConnection, b: PeerConnection) -> None:
    await b.setLocalDescription()
    await a.setRemoteDescription(b.localDescription)


def generations(pc: PeerConnection) -> int:
    assert pc.sctp is not None
    return len(agent_of(pc.sctp.transport.transport).generations)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice_restart, "RESTARTS_AT_ONCE", 2)
    monkeypatch.setattr(ice_restart, "RESTARTS_A_SECOND", 2.0)


@pytest.mark.usefixtures("few")
async def test_restarts_beyond_the_limit_wait_and_are_carried_out_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Seconds enough, on a busy machine too, for two restarts and a look at the third.
    monkeypatch.setattr(ice_restart, "RESTARTS_A_SECOND", 0.25)
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        channel = a.createDataChannel("x")
        await negotiate(a, b)
        await opened(channel)
        for _ in range(2):
            await restarting_offer(a, b)
            await agree(a, b)
        before = b.remoteDescription
        waiting = asyncio.create_task(restarting_offer(a, b))
        while a.signalingState != "have-local-offer":
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert b.signalingState == "stable"
        assert b.remoteDescription == before
        await waiting
        await agree(a, b)
        await connected(a, b)
        assert b.signalingState == "stable"


@pytest.mark.usefixtures("few")
async def test_offers_that_restart_nothing_never_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice_restart, "RESTARTS_AT_ONCE", -100)  # any restart would wait for long
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        channel = a.createDataChannel("x")
        await negotiate(a, b)
        await opened(channel)
        for kind in ("audio", "video") * 5:
            a.addTransceiver(kind)
            await negotiate(a, b)


@pytest.mark.usefixtures("few")
async def test_a_connection_that_is_closed_meanwhile_restarts_nothing() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.createDataChannel("x")
        await negotiate(a, b)
        await connected(a, b)
        for _ in range(2):
            await restarting_offer(a, b)
            await agree(a, b)
        waiting = asyncio.create_task(restarting_offer(a, b))
        while a.signalingState != "have-local-offer":
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await b.close()
        with pytest.raises(InvalidStateError):
            await waiting


@pytest.mark.usefixtures("few")
async def test_offers_that_are_taken_back_count_as_well() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.createDataChannel("x")
        await negotiate(a, b)
        await connected(a, b)
        most, rollback = generations(b), RTCSessionDescription("", "rollback")
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(4):
            await restarting_offer(a, b)
            await b.setRemoteDescription(rollback)
            await a.setLocalDescription(rollback)
            most = max(most, generations(b))
        assert loop.time() - began >= 0.9
        assert most <= 3

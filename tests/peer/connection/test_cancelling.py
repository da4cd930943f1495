"""Operations that are cancelled in the middle: nothing is half done, and the connection goes on."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiortc import RTCBundlePolicy, RTCIceServer, RTCSessionDescription

from icefloe.peer import PeerConfiguration, PeerConnection, RTCIceCandidate
from icefloe.peer.connection import ice_restart
from tests.helpers.calls import eventually
from tests.helpers.pairs import closing, negotiate, opened
from tests.helpers.turn import free_port

TURNS = range(12)
"""The numbers of turns of the event loop after which an operation is cancelled."""


async def cancelled_after(turns: int, work: Coroutine[Any, Any, None]) -> bool:
    """Run an operation and cancel it after some turns of the loop; return whether it was."""
    task = asyncio.create_task(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
    return task.cancelled()


async def finished(work: Callable[[], Coroutine[Any, Any, None]], state: str, *pc: Any) -> None:
    """Do the work once more unless it had its effect, which the state of a connection shows."""
    if pc[0].signalingState != state:
        await work()
    assert pc[0].signalingState == state


async def talks(a: PeerConnection, b: PeerConnection, channel: Any) -> None:
    """Check that a channel of ``a`` opens, and that both can negotiate again."""
    await opened(channel)
    b.addTransceiver("audio")
    await negotiate(b, a)
    assert (a.signalingState, b.signalingState) == ("stable", "stable")
    assert [t.currentDirection for t in b.getTransceivers() if t.kind == "audio"][-1] == "sendonly"


@pytest.mark.parametrize("turns", TURNS)
async def test_a_local_offer_is_set_whole_or_not_at_all(turns: int) -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        channel = a.createDataChannel("x")
        await cancelled_after(turns, a.setLocalDescription())
        is_set = a.localDescription is not None
        assert is_set == (a.signalingState == "have-local-offer")
        await finished(a.setLocalDescription, "have-local-offer", a)
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        await talks(a, b, channel)


@pytest.mark.parametrize("turns", TURNS)
async def test_a_local_answer_is_set_whole_or_not_at_all(turns: int) -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        channel = a.createDataChannel("x")
        await a.setLocalDescription()
        await b.setRemoteDescription(a.localDescription)
        await cancelled_after(turns, b.setLocalDescription())
        is_set = b.currentLocalDescription is not None
        assert is_set == (b.signalingState == "stable") == (b.pendingRemoteDescription is None)
        await finished(b.setLocalDescription, "stable", b)
        await a.setRemoteDescription(b.localDescription)
        await talks(a, b, channel)


async def test_waiting_for_servers_is_cancelled_and_gathering_goes_on() -> None:
    silent = f"stun:127.0.0.1:{free_port('127.0.0.1', socket.SOCK_DGRAM)}"
    servers = [RTCIceServer(urls=silent)]
    a = PeerConnection(PeerConfiguration(iceServers=servers, gathering_timeout=60))
    b = PeerConnection()
    async with closing(a, b):
        channel = a.createDataChannel("x")
        setting = asyncio.create_task(a.setLocalDescription())
        await eventually(lambda: a.localDescription is not None)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not setting.done()
        setting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await setting
        assert (a.signalingState, a.iceGatheringState) == ("have-local-offer", "gathering")
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        await opened(channel)


@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("collides", [False, True], ids=["alone", "over a local offer"])
async def test_a_remote_offer_is_applied_whole_or_not_at_all(turns: int, collides: bool) -> None:
    # The bundle leaves transports over, which are closed while the offer is applied.
    a = PeerConnection()
    b = PeerConnection(PeerConfiguration(bundlePolicy=RTCBundlePolicy.BALANCED))
    async with closing(a, b):
        channel = a.createDataChannel("x")
        a.addTransceiver("audio")
        a.addTransceiver("video")
        b.addTransceiver("audio")
        b.addTransceiver("video")
        before = "stable"
        if collides:
            await b.setLocalDescription()
            before = "have-local-offer"
        await a.setLocalDescription()
        offer = a.localDescription
        await cancelled_after(turns, b.setRemoteDescription(offer))
        assert b.signalingState in (before, "have-remote-offer")
        assert (b.signalingState == before) == (b.remoteDescription is None)
        await finished(lambda: b.setRemoteDescription(offer), "have-remote-offer", b)
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        await talks(a, b, channel)


@pytest.mark.parametrize("turns", TURNS)
async def test_a_remote_answer_is_applied_whole_or_not_at_all(turns: int) -> None:
    a = PeerConnection(PeerConfiguration(bundlePolicy=RTCBundlePolicy.BALANCED))
    b = PeerConnection()
    async with closing(a, b):
        channel = a.createDataChannel("x")
        a.addTransceiver("audio")
        a.addTransceiver("video")
        await a.setLocalDescription()
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        answer = b.localDescription
        await cancelled_after(turns, a.setRemoteDescription(answer))
        is_applied = a.currentRemoteDescription is not None
        assert is_applied == (a.signalingState == "stable") == (a.pendingLocalDescription is None)
        await finished(lambda: a.setRemoteDescription(answer), "stable", a)
        await talks(a, b, channel)


@pytest.mark.parametrize("turns", TURNS)
async def test_a_rollback_is_done_whole_or_not_at_all(turns: int) -> None:
    rollback = RTCSessionDescription("", "rollback")
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        channel = a.createDataChannel("x")
        await a.setLocalDescription()
        await b.setRemoteDescription(a.localDescription)
        for pc, roll_back in ((a, a.setLocalDescription), (b, b.setRemoteDescription)):
            await cancelled_after(turns, roll_back(rollback))
            pending = (pc.pendingLocalDescription, pc.pendingRemoteDescription)
            assert (pc.signalingState == "stable") == (pending == (None, None))
            if pc.signalingState != "stable":
                await roll_back(rollback)
        await negotiate(a, b)
        await talks(a, b, channel)


async def test_a_long_offer_is_given_up_while_it_is_read() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        for _ in range(60):
            a.addTransceiver("video")
        await a.setLocalDescription()
        assert a.localDescription.sdp.count("\n") > 2000  # more than is read in one turn
        assert await cancelled_after(2, b.setRemoteDescription(a.localDescription))
        assert b.signalingState == "stable"
        assert b.remoteDescription is None
        assert b.getTransceivers() == []
        await negotiate(a, b)
        assert len(b.getTransceivers()) == 60


async def test_an_operation_that_waits_for_its_turn_is_given_up() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        channel = a.createDataChannel("x")
        first = asyncio.create_task(a.setLocalDescription())
        second = asyncio.create_task(a.setLocalDescription(RTCSessionDescription("", "rollback")))
        await asyncio.sleep(0)
        second.cancel()
        await first
        assert second.cancelled()
        assert a.signalingState == "have-local-offer"
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        await talks(a, b, channel)


async def test_a_restart_that_has_to_wait_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice_restart, "RESTARTS_AT_ONCE", 0)
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        channel = a.createDataChannel("x")
        await negotiate(a, b)
        await opened(channel)
        before = b.remoteDescription
        a.restartIce()
        await a.setLocalDescription()
        assert await cancelled_after(10, b.setRemoteDescription(a.localDescription))
        assert b.signalingState == "stable"
        assert b.remoteDescription == before
        await a.setLocalDescription(RTCSessionDescription("", "rollback"))
        b.addTransceiver("audio")
        await negotiate(b, a)  # b's offer restarts nothing


@pytest.mark.parametrize("turns", range(3))
async def test_a_candidate_is_added_whole_or_not_at_all(turns: int) -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        channel = a.createDataChannel("x")
        found: asyncio.Queue[RTCIceCandidate | None] = asyncio.Queue()
        a.on("icecandidate", found.put_nowait)
        b.on("icecandidate", lambda _: None)  # it waits for none; a learns b's from its checks
        await a.setLocalDescription()
        await b.setRemoteDescription(without_candidates(a.localDescription))
        await b.setLocalDescription()
        await a.setRemoteDescription(without_candidates(b.localDescription))
        while (candidate := await found.get()) is not None:
            await cancelled_after(turns, b.addIceCandidate(candidate))
            await b.addIceCandidate(candidate)  # once more does no harm
        await cancelled_after(turns, b.addIceCandidate(None))
        await b.addIceCandidate(None)
        await talks(a, b, channel)


def without_candidates(description: RTCSessionDescription) -> RTCSessionDescription:
    lines = description.sdp.splitlines(keepends=True)
    kept = (x for x in lines if not x.startswith(("a=candidate:", "a=end-of-candidates")))
    return RTCSessionDescription("".join(kept), description.type)

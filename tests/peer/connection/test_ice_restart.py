"""ICE restarts between two ends that run, over signaling that may be slow."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from icefloe.peer import DataChannel, PeerConnection, RemotePeer, sdp
from icefloe.peer.ice import agent
from icefloe.peer.ice.candidate_socket import IceSocket
from tests.helpers.calls import Call, calling, eventually
from tests.helpers.pairs import closing, connected, make, negotiate, opened

SIDES = pytest.mark.parametrize("who", [0, 1], ids=["impolite", "polite"])


def fragment(end: RemotePeer | PeerConnection) -> str:
    """Return the username fragment of this side of the path in use."""
    pc = end.connection if isinstance(end, RemotePeer) else end
    pair = pc.selected_candidate_pair
    assert pair is not None
    assert pair.local.usernameFragment is not None
    return pair.local.usernameFragment


def fragments(call: Call) -> tuple[str, ...]:
    return tuple(fragment(end) for end in call.ends)


def transports(pc: RTCPeerConnection) -> tuple[Any, ...]:
    """Return what must outlive a restart."""
    assert pc.sctp is not None
    return pc.sctp, pc.sctp.transport, pc.sctp.transport.transport


def has_moved(call: Call, before: tuple[str, ...]) -> Callable[[], bool]:
    """Return a condition: both ends use other credentials than before."""
    return lambda: all(now != was for now, was in zip(fragments(call), before, strict=True))


def is_settled(call: Call) -> bool:
    """Return whether nothing is being negotiated or replaced."""
    return all(
        end.connection.signalingState == "stable"
        and not any(a.is_restarting for a in end.connection._ice_restart.agents())
        for end in call.ends
    )


async def channels(call: Call) -> tuple[DataChannel, DataChannel]:
    """Open a channel between the two ends."""
    one, other = call.ends
    here = await one.open_channel("chat")
    return here, await anext(aiter(other.channels()))


async def exchange(here: DataChannel, there: DataChannel, text: str) -> None:
    """Send something both ways and see it arrive."""
    await here.send(text)
    await there.send(text)
    assert await there.receive() == text
    assert await here.receive() == text


@SIDES
async def test_a_restart_replaces_the_path_and_nothing_else(who: int) -> None:
    async with calling() as call:
        here, there = await channels(call)
        before = fragments(call)
        kept = [transports(end.connection) for end in call.ends]
        sent_before = [len(wire.candidates) for wire in call.wires]
        described_before = [len(wire.descriptions) for wire in call.wires]
        call.ends[who].connection.restartIce()
        number = 0
        while not has_moved(call, before)():
            await exchange(here, there, f"on the way {number}")
            number += 1
        await exchange(here, there, "after it")
        await eventually(lambda: is_settled(call))
        assert [transports(end.connection) for end in call.ends] == kept
        after = fragments(call)
        for index, end in enumerate(call.ends):
            (described,) = call.wires[index].descriptions[described_before[index] :]
            assert described.type == ("offer" if index == who else "answer")
            assert sdp.fragments(described.sdp) == {after[index]}
            assert sdp.fragments(end.connection.localDescription.sdp) == {after[index]}
            told = [c for c in call.wires[index].candidates[sent_before[index] :] if c]
            assert {c["usernameFragment"] for c in told} == {after[index]}
    assert call.states == (["end"], ["end"])


async def test_restarts_that_cross_become_one() -> None:
    async with calling() as call:
        here, there = await channels(call)
        for number in range(5):
            before = fragments(call)
            for end in call.ends:
                end.connection.restartIce()
            await eventually(has_moved(call, before))
            await eventually(lambda: is_settled(call))
            await exchange(here, there, f"after {number}")
        offers = sum(d.type == "offer" for wire in call.wires for d in wire.descriptions)
        assert offers <= 1 + 5 * 3
    assert call.states == (["end"], ["end"])


@SIDES
async def test_the_old_path_carries_the_data_while_signaling_is_away(who: int) -> None:
    async with calling() as call:
        here, there = await channels(call)
        before = fragments(call)
        call.pause()
        call.ends[who].connection.restartIce()
        await eventually(lambda: call.ends[who].connection.signalingState == "have-local-offer")
        for number in range(20):
            await exchange(here, there, f"meanwhile {number}")
        assert fragments(call) == before
        assert [end.connection.connectionState for end in call.ends] == ["connected"] * 2
        call.resume()
        await eventually(has_moved(call, before))
        await exchange(here, there, "after it")
    assert call.states == (["end"], ["end"])


async def test_both_restart_while_signaling_is_away() -> None:
    async with calling() as call:
        here, there = await channels(call)
        before = fragments(call)
        call.pause()
        for end in call.ends:
            end.connection.restartIce()
        await eventually(
            lambda: all(e.connection.signalingState == "have-local-offer" for e in call.ends)
        )
        await exchange(here, there, "meanwhile")
        call.resume()
        await eventually(has_moved(call, before))
        await eventually(lambda: is_settled(call))
        await exchange(here, there, "after it")
    assert call.states == (["end"], ["end"])


async def test_a_restart_that_is_asked_for_twice_is_made_once() -> None:
    async with calling() as call:
        before = fragments(call)
        described = len(call.wires[0].descriptions)
        for _ in range(3):
            call.ends[0].connection.restartIce()
        await eventually(has_moved(call, before))
        await eventually(lambda: is_settled(call))
        assert len(call.wires[0].descriptions) == described + 1


async def test_a_restart_during_a_restart_is_made_after_it() -> None:
    async with calling() as call:
        here, there = await channels(call)
        pc = call.ends[0].connection
        before = fragments(call)
        call.pause()
        pc.restartIce()
        await eventually(lambda: pc.signalingState == "have-local-offer")
        offered = sdp.fragments(pc.localDescription.sdp)
        pc.restartIce()
        call.resume()
        await eventually(lambda: has_moved(call, before)() and {fragment(pc)} != offered)
        await eventually(lambda: is_settled(call))
        await exchange(here, there, "after it")
    assert call.states == (["end"], ["end"])


async def test_twenty_restarts_in_a_row_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent, "LINGER", 0.05)
    async with calling() as call:
        here, there = await channels(call)
        await eventually(lambda: is_settled(call))
        files, tasks = count_files(), len(asyncio.all_tasks())
        for number in range(20):
            before = fragments(call)
            call.ends[number % 2].connection.restartIce()
            await eventually(has_moved(call, before))
            await exchange(here, there, f"after {number}")
        await eventually(lambda: is_settled(call))
        await eventually(lambda: count_files() <= files and len(asyncio.all_tasks()) <= tasks)
    assert call.states == (["end"], ["end"])


def count_files() -> int:
    return len(os.listdir("/proc/self/fd"))


# --- by hand


async def standing(one: RTCPeerConnection, other: RTCPeerConnection) -> tuple[Any, Any]:
    """Connect two peer connections; return both ends of a channel."""
    arrived: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    other.once("datachannel", arrived.set_result)
    here = one.createDataChannel("chat")
    await negotiate(one, other)
    await connected(one, other)
    await opened(here)
    return here, await arrived


async def passes(here: Any, there: Any, text: str) -> None:
    """Send something and see it arrive."""
    arrived: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    there.once("message", arrived.set_result)
    here.send(text)
    assert await arrived == text


async def test_an_offer_that_is_taken_back_leaves_the_path_alone() -> None:
    one, other = PeerConnection(), PeerConnection()
    async with closing(one, other):
        here, there = await standing(one, other)
        before = fragment(one), fragment(other)
        one.restartIce()
        await one.setLocalDescription()
        offered = sdp.fragments(one.localDescription.sdp)
        assert offered != {before[0]}
        needed: list[bool] = []
        one.on("negotiationneeded", lambda: needed.append(True))
        await one.setLocalDescription(type_only("rollback"))
        assert sdp.fragments(one.localDescription.sdp) == {before[0]}
        await passes(here, there, "on the old path")
        await eventually(lambda: needed)  # the restart is still wanted
        await negotiate(one, other)
        await eventually(lambda: fragment(one) != before[0] and fragment(other) != before[1])
        assert offered != {fragment(one)}
        await passes(here, there, "on the new path")


async def test_an_offered_restart_that_is_taken_back_leaves_the_path_alone() -> None:
    one, other = PeerConnection(), PeerConnection()
    async with closing(one, other):
        here, there = await standing(one, other)
        before = fragment(one), fragment(other)
        one.restartIce()
        await one.setLocalDescription()
        await other.setRemoteDescription(one.localDescription)
        await other.setRemoteDescription(type_only("rollback"))
        await one.setLocalDescription(type_only("rollback"))
        assert (fragment(one), fragment(other)) == before
        await passes(here, there, "on the old path")
        await negotiate(one, other)
        await eventually(lambda: fragment(one) != before[0] and fragment(other) != before[1])
        await passes(here, there, "on the new path")


def type_only(kind: str) -> RTCSessionDescription:
    """Make a description of which only the type counts."""
    return RTCSessionDescription(sdp="", type=kind)


async def test_plain_aiortc_refuses_a_restart_and_the_call_goes_on() -> None:
    one, plain = PeerConnection(), make("aiortc")
    needed: list[bool] = []
    async with closing(one, plain):
        here, there = await standing(one, plain)
        before = fragment(one)
        await eventually(lambda: one.signalingState == "stable")
        one.on("negotiationneeded", lambda: needed.append(True))
        one.restartIce()
        await eventually(lambda: needed)
        await negotiate(one, plain)
        await passes(here, there, "still there")
        assert fragment(one) == before
        assert sdp.fragments(one.localDescription.sdp) == {before}
        for _ in range(5):  # an offer that is due again would be told of at once
            await asyncio.sleep(0)
        assert needed == [True]
        assert one.connectionState == "connected"
        # What is negotiated next is as good as ever.
        one.createDataChannel("another")
        await negotiate(one, plain)
        await passes(here, there, "and still")


async def test_a_candidate_of_the_generation_before_is_dropped() -> None:
    one, other = PeerConnection(), PeerConnection()
    async with closing(one, other):
        here, there = await standing(one, other)
        before = fragment(one), fragment(other)
        old = {
            "candidate": "candidate:1 1 udp 2130706431 198.18.0.77 7777 typ host",
            "sdpMid": "0",
            "usernameFragment": before[1],
        }
        one.restartIce()
        await one.setLocalDescription()
        await other.setRemoteDescription(one.localDescription)
        await other.setLocalDescription()
        await one.setRemoteDescription(unfinished(other.localDescription))
        await one.addIceCandidate(old)
        ice = one.ice_transport
        assert ice is not None
        hosts = {candidate.ip for candidate in ice.getRemoteCandidates()}
        assert "198.18.0.77" not in hosts
        await one.addIceCandidate({**old, "usernameFragment": fragment_of(other)})
        hosts = {candidate.ip for candidate in ice.getRemoteCandidates()}
        assert "198.18.0.77" in hosts
        await eventually(lambda: fragment(one) != before[0])
        await passes(here, there, "on the new path")


def unfinished(description: RTCSessionDescription) -> RTCSessionDescription:
    """Return a description after which further candidates may come."""
    text = description.sdp.replace("a=end-of-candidates\r\n", "")
    return RTCSessionDescription(sdp=text, type=description.type)


def fragment_of(pc: PeerConnection) -> str:
    """Return the username fragment that a side describes itself with."""
    (only,) = sdp.fragments(pc.localDescription.sdp)
    return only


async def test_candidates_that_come_while_a_restart_is_offered_go_with_the_path_in_use() -> None:
    # The offer is not answered, so what the other side finds is still of the generation before.
    one, other = PeerConnection(), PeerConnection()
    async with closing(one, other):
        here, there = await standing(one, other)
        before = fragment(one), fragment(other)
        one.restartIce()
        await one.setLocalDescription()
        await one.addIceCandidate({"candidate": "", "sdpMid": "0", "usernameFragment": before[1]})
        await other.setRemoteDescription(one.localDescription)
        await other.setLocalDescription()
        await one.setRemoteDescription(other.localDescription)
        ice = one.ice_transport
        assert ice is not None
        (candidate,) = ice.getRemoteCandidates()
        assert candidate.type == "host"
        await eventually(lambda: fragment(one) != before[0])
        await passes(here, there, "on the new path")


async def test_an_offer_taken_back_during_a_restart_does_not_take_the_restart_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = PeerConnection(), PeerConnection()
    async with closing(one, other):
        here, there = await standing(one, other)
        before = fragment(one), fragment(other)
        one.restartIce()
        with monkeypatch.context() as cut:  # checks are lost, so that the restart takes its time
            cut.setattr(IceSocket, "send", lambda *_: None)
            await negotiate(one, other)
            other.addTransceiver("audio")
            await other.setLocalDescription()
            await other.setLocalDescription(type_only("rollback"))
            assert (fragment(one), fragment(other)) == before
        await eventually(lambda: fragment(one) != before[0] and fragment(other) != before[1])
        await passes(here, there, "on the new path")


async def test_an_offer_of_a_restart_has_no_candidates_and_does_not_say_that_these_are_all() -> (
    None
):
    one, other = PeerConnection(), PeerConnection()
    async with closing(one, other):
        await standing(one, other)
        assert "end-of-candidates" in (await one.createOffer()).sdp
        one.restartIce()
        offer = await one.createOffer()
        assert sdp.fragments(offer.sdp) != {fragment(one)}
        assert "candidate" not in offer.sdp


async def test_an_offer_right_after_the_answer_to_a_restart_restarts_nothing() -> None:
    one, other = PeerConnection(), PeerConnection()
    async with closing(one, other):
        here, there = await standing(one, other)
        one.restartIce()
        await one.setLocalDescription()
        offered = fragment_of(one)
        await other.setRemoteDescription(one.localDescription)
        await other.setLocalDescription()
        answer = other.localDescription
        other.addTransceiver("audio")
        await other.setLocalDescription()
        await one.setRemoteDescription(answer)
        await one.setRemoteDescription(other.localDescription)
        await one.setLocalDescription()
        await other.setRemoteDescription(one.localDescription)
        await eventually(lambda: fragment(one) == offered)
        assert fragment_of(one) == offered
        await passes(here, there, "on the new path")


async def test_restarting_what_was_never_started_or_is_closed_does_nothing() -> None:
    pc = PeerConnection()
    needed: list[bool] = []
    pc.on("negotiationneeded", lambda: needed.append(True))
    pc.restartIce()
    await asyncio.sleep(0)
    assert needed == []
    await pc.close()
    pc.restartIce()
    await asyncio.sleep(0)
    assert needed == []

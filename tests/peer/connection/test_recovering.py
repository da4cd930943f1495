"""Calls that heal themselves, and restarts in the midst of everything else."""

import asyncio
import random

import pytest

from icefloe.peer import PeerConfiguration, sdp
from icefloe.peer.ice.candidate_socket import IceSocket
from tests.helpers.calls import Call, calling, eventually


def impatient(*, restarts: bool = True) -> PeerConfiguration:
    """Return a configuration with which a test need not wait for long."""
    return PeerConfiguration(
        disconnected_timeout=0.6, failed_timeout=2.0, restart_automatically=restarts
    )


def offers(call: Call) -> int:
    return sum(d.type == "offer" for wire in call.wires for d in wire.descriptions)


def fragments(call: Call) -> list[str | None]:
    pairs = [end.connection.selected_candidate_pair for end in call.ends]
    return [pair.local.usernameFragment if pair is not None else None for pair in pairs]


def states(call: Call) -> list[str]:
    return [end.connection.connectionState for end in call.ends]


def is_settled(call: Call) -> bool:
    """Return whether both ends agree on credentials, and use them."""
    described = [sdp.fragments(end.connection.localDescription.sdp) for end in call.ends]
    return all(
        end.connection.signalingState == "stable" and {used} == told
        for end, used, told in zip(call.ends, fragments(call), described, strict=True)
    )


async def test_a_path_that_is_lost_is_replaced_without_anybodys_asking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with calling(impatient()) as call:
        here = await call.ends[0].open_channel("chat")
        there = await anext(aiter(call.ends[1].channels()))
        before = fragments(call)
        with monkeypatch.context() as cut:
            cut.setattr(IceSocket, "datagram_received", lambda *_: None)
            await eventually(lambda: "disconnected" in states(call))
            await here.send("into the void")
            made = offers(call)
            await eventually(lambda: offers(call) > made)
        await eventually(lambda: states(call) == ["connected"] * 2)
        assert await there.receive() == "into the void"
        await eventually(lambda: is_settled(call))
        assert not set(fragments(call)) & set(before)


async def test_a_path_that_is_lost_comes_back_by_itself_where_restarts_are_not_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with calling(impatient(restarts=False)) as call:
        here = await call.ends[0].open_channel("chat")
        there = await anext(aiter(call.ends[1].channels()))
        made, before = offers(call), fragments(call)
        with monkeypatch.context() as cut:
            cut.setattr(IceSocket, "datagram_received", lambda *_: None)
            await eventually(lambda: states(call) == ["failed"] * 2)
            await here.send("into the void")
        await eventually(lambda: states(call) == ["connected"] * 2)
        assert await there.receive() == "into the void"
        assert (offers(call), fragments(call)) == (made, before)
        for seen in call.states:
            assert seen == ["disconnected", "failed", "connected"]


async def test_a_failed_call_without_signaling_is_back_when_its_path_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with calling(impatient()) as call:
        made, before = offers(call), fragments(call)
        call.pause()
        with monkeypatch.context() as cut:
            cut.setattr(IceSocket, "datagram_received", lambda *_: None)
            await eventually(lambda: states(call) == ["failed"] * 2)
        await eventually(lambda: states(call) == ["connected"] * 2)
        assert fragments(call) == before
        call.resume()
        await eventually(lambda: is_settled(call))
        assert offers(call) <= made + 2  # one of each side, whatever was wished for meanwhile
        here = await call.ends[0].open_channel("chat")
        there = await anext(aiter(call.ends[1].channels()))
        await here.send("hello")
        assert await there.receive() == "hello"


@pytest.mark.parametrize("seed", range(12))
async def test_restarts_channels_and_slow_signaling_in_any_order(seed: int) -> None:
    chance = random.Random(seed)
    async with calling() as call:
        here = await call.ends[0].open_channel("chat")
        there = await anext(aiter(call.ends[1].channels()))
        for number in range(25):
            end = chance.choice(call.ends)
            match chance.choice(["restart", "restart", "media", "pause", "resume", "wait"]):
                case "restart":
                    end.connection.restartIce()
                case "media":
                    end.connection.addTransceiver("audio")
                case "pause":
                    call.pause()
                case "resume":
                    call.resume()
            for _ in range(chance.choice([0, 1, 5, 50])):
                await asyncio.sleep(0)
            await here.send(f"message {number}")
            assert await there.receive() == f"message {number}"
        call.resume()
        before = offers(call)
        await eventually(lambda: is_settled(call))
        await here.send("the end")
        assert await there.receive() == "the end"
        await eventually(lambda: is_settled(call))
        assert offers(call) <= before + 10
    assert call.states == (["end"], ["end"])

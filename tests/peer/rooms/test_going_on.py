"""Calls that go on with new seats: who is asked, who may ask, and what comes of it otherwise."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiortc import RTCSessionDescription

from icefloe.peer import RemotePeer, Room, join
from icefloe.peer.rooms import going_on
from icefloe.peer.rooms.going_on import Questions, claim, fingerprints
from icefloe.signaling import (
    Admission,
    ErrorCode,
    Join,
    JoinRefused,
    Message,
    PeerDescription,
    PeerMessage,
    ServerConfiguration,
    SignalingServer,
    connect,
    serve,
)

SDP = "v=0\r\na=fingerprint:sha-256 AA:BB\r\nm=x\r\na=fingerprint:sha-256 CC:DD\r\n"


def test_the_fingerprints_of_a_description_are_found() -> None:
    assert fingerprints(RTCSessionDescription(SDP, "offer")) == ["sha-256 AA:BB", "sha-256 CC:DD"]
    assert fingerprints(None) == []


@asynccontextmanager
async def survived() -> AsyncIterator[tuple[SignalingServer, Room, RemotePeer]]:
    """Alice's room at a second server, and her call with bob, whose room is at no server."""
    async with serve("127.0.0.1", 0) as server:
        bobs = join(server.url, room="lobby", name="bob")
        alices = join(server.url, room="lobby", name="alice")
        await bobs.__aenter__()
        await alices.__aenter__()
        bob = await alices.peer("bob")
        await bob.connected()
        await (await bobs.peer("alice")).connected()
        port = server.port
    try:
        # His client is gone, and the connection stays: only hers comes to the next server.
        await bobs.client.close()
        before = alices.id
        async with serve("127.0.0.1", port) as server:
            while alices.id == before:
                await asyncio.sleep(0.01)
            yield server, alices, bob
    finally:
        await alices.__aexit__(None, None, None)
        await bobs.__aexit__(None, None, None)


CLAIMS = [
    {},
    {"own": None, "theirs": None},
    {"own": "sha-256 00:00", "theirs": "sha-256 00:00"},
    {"own": ["sha-256 00:00"], "theirs": {}},
    {"own": "x" * 50_000, "theirs": 1e300},
]


@pytest.mark.parametrize("asked", CLAIMS)
async def test_a_stranger_of_the_same_name_does_not_get_the_call(asked: dict[str, object]) -> None:
    async with survived() as (server, alices, bob):
        old = bob.id
        async with connect(server.url, room="lobby", name="bob") as mallory:
            await mallory.send(Message(to=alices.id, data={"goOn": asked}))
            async for event in mallory:
                if isinstance(event, PeerMessage):
                    assert event.data == {"goesOn": False}
                    break
            # An answer that nobody asked for changes nothing.
            await mallory.send(Message(to=alices.id, data={"goesOn": True}))
            await mallory.send(Message(to=alices.id, data={"goOn": "?", "goesOn": "!"}))
            await mallory.send(Message(to=alices.id, data=[None]))
            await mallory.send(Message(to=alices.id, data={"goOn": {}}))
            async for event in mallory:
                if isinstance(event, PeerMessage):
                    assert event.data == {"goesOn": False}
                    break
        assert (bob.id, bob.has_ended) == (old, False)
        assert bob.connection.connectionState == "connected"


async def test_a_participant_that_does_not_answer_is_called_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(going_on, "GO_ON_SECONDS", 0.2)
    async with serve("127.0.0.1", 0) as server:
        bobs = join(server.url, room="lobby", name="bob")
        alices = join(server.url, room="lobby", name="alice")
        await bobs.__aenter__()
        await alices.__aenter__()
        bob = await alices.peer("bob")
        await bob.connected()
        await (await bobs.peer("alice")).connected()
        port = server.port
    is_there = asyncio.Event()

    def admit(asked: Join) -> Admission:
        if asked.name == "alice" and not is_there.is_set():
            raise JoinRefused(ErrorCode.ADMISSION_FAILED, "Later.")
        return Admission()

    try:
        await bobs.client.close()
        async with (
            serve("127.0.0.1", port, configuration=ServerConfiguration(admit=admit)) as server,
            connect(server.url, room="lobby", name="bob") as mute,
        ):
            is_there.set()
            asked = offered = None
            async for event in mute:
                if isinstance(event, PeerMessage):
                    asked = event.data
                if isinstance(event, PeerDescription):
                    offered = event.description
                    break
            assert asked == {"goOn": claim(bob.connection)}
            assert offered is not None
            assert offered.type == "offer"
            assert not bob.has_ended  # it runs until the other one works
    finally:
        await alices.__aexit__(None, None, None)
        await bobs.__aexit__(None, None, None)


async def test_who_asks_without_end_is_answered_once_at_a_time() -> None:
    said: list[tuple[str, object]] = []
    release = asyncio.Event()

    async def say(id: str, data: object) -> None:
        await release.wait()
        said.append((id, data))

    questions = Questions(say, lambda id: pytest.fail(id))
    for _ in range(1000):
        questions.answer("p1", False)
        questions.ask("p2", {"own": "a", "theirs": "b"})
    release.set()
    while len(said) < 2:
        await asyncio.sleep(0)
    assert sorted(id for id, _ in said) == ["p1", "p2"]
    assert questions.forget("p2")
    assert not questions.forget("p2")
    questions.clear()
    await questions.ended()


async def test_what_is_not_answered_is_told_once_and_the_end_leaves_nothing() -> None:
    told: list[str] = []

    async def say(id: str, data: object) -> None:
        await asyncio.Event().wait()

    questions = Questions(say, told.append)
    questions.ask("p1", {"own": "a", "theirs": "b"})
    questions.answer("p1", True)
    questions.clear()
    await questions.ended()
    assert told == []

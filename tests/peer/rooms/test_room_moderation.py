"""Moderators of a room, and participants that may not send media, over a real server."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiortc.mediastreams import AudioStreamTrack

from icefloe.peer import PeerNotHere, Room, join
from icefloe.signaling import (
    JoinRefused,
    ModerationRefused,
    RemovedFromRoom,
    Right,
    RoomClosed,
    ServerConfiguration,
    SignalingServer,
    TokenKeys,
    make_token,
    serve,
)

KEYS = TokenKeys("s" * 32)


@pytest.fixture
async def server() -> AsyncIterator[SignalingServer]:
    async with serve(port=0, configuration=ServerConfiguration(token_keys=KEYS)) as server:
        yield server


def enter(server: SignalingServer, name: str, *more: str, **options: Any) -> Room:
    rights = options.pop("rights", ("join", "send", *more))
    token = options.pop("token", None) or make_token(KEYS, room="lobby", rights=rights)
    return join(server.url, room="lobby", name=name, token=token, **options)


async def test_who_is_removed_loses_its_calls_and_may_not_come_back(
    server: SignalingServer,
) -> None:
    used = make_token(KEYS, room="lobby")
    async with (
        enter(server, "host", "moderate") as hosts,
        enter(server, "bob", token=used) as bobs,
        enter(server, "carol") as carols,
    ):
        assert Right.MODERATE in hosts.rights
        bob, host = await hosts.peer("bob"), await bobs.peer("host")
        await asyncio.gather(bob.connected(), host.connected())
        await hosts.remove("bob")
        assert await bob.ended() == "removed"
        await host.ended()
        with pytest.raises(RemovedFromRoom):
            async for _ in bobs:
                pass
        with pytest.raises(JoinRefused) as raised:
            async with enter(server, "bob", token=used):
                pass
        assert raised.value.code == "removed"
        await (await carols.peer("host")).connected()
        with pytest.raises(PeerNotHere):
            await hosts.remove("bob")


async def test_a_room_is_locked_handed_over_and_closed(server: SignalingServer) -> None:
    async with enter(server, "host", "moderate") as hosts, enter(server, "bob") as bobs:
        await (await hosts.peer("bob")).connected()
        await hosts.lock()
        with pytest.raises(JoinRefused) as raised:
            async with enter(server, "carol"):
                pass
        assert raised.value.code == "room-locked"
        await hosts.unlock()
        async with enter(server, "carol"):
            pass
        with pytest.raises(ModerationRefused):
            await bobs.close_room()
        await hosts.hand_over("bob")
        with pytest.raises(ModerationRefused):
            await hosts.remove("bob")
        await bobs.close_room()
        for room in (hosts, bobs):
            with pytest.raises(RoomClosed):
                async for _ in room:
                    pass


async def test_tracks_of_who_may_not_send_are_refused(
    server: SignalingServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with (
        enter(server, "bob") as bobs,
        enter(server, "listener", rights=("join",)) as listeners,
    ):
        assert listeners.rights == {Right.JOIN}
        listener, bob = await bobs.peer("listener"), await listeners.peer("bob")
        assert (listener.may_send, bob.may_send) == (False, True)
        bob.add_track(AudioStreamTrack())
        listener.add_track(AudioStreamTrack())
        heard = await anext(aiter(bob.tracks()))
        await heard.recv()
        # The other direction carries data all the same.
        channel = await bob.open_channel("chat")
        await channel.send("hello")
        assert await (await anext(aiter(listener.channels()))).receive() == "hello"
        while not any("refused a track" in record.getMessage() for record in caplog.records):
            await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(aiter(listener.tracks()))

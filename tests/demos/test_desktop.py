"""A desktop that is shared: with Python programs at the other side, and a real X server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest
from av import VideoFrame

from icefloe.demos.desktop import InputUnavailable, everybody, sharing as sharing_module, take_part
from icefloe.demos.desktop.messages import (
    LABEL,
    PROTOCOL,
    Alive,
    Button,
    Key,
    Move,
    Release,
    State,
    Take,
    Text,
)
from icefloe.media import DeviceUnavailable
from icefloe.peer import DataChannel, RemotePeer, join
from icefloe.signaling import SignalingServer
from tests.demos.rooms import running
from tests.helpers.xserver import paint, window, x_server

pytestmark = pytest.mark.system("xvfb", "x11-utils")

SIZE = (320, 240)


@pytest.fixture
async def display() -> AsyncIterator[str]:
    async with x_server("-br", size=SIZE) as name:
        yield name


class Viewer:
    """Somebody who looks, and their channel for input."""

    def __init__(self, peer: RemotePeer, channel: DataChannel) -> None:
        self.peer = peer
        self.channel = channel

    async def send(self, *messages: msgspec.Struct) -> None:
        for message in messages:
            await self.channel.send_json(message)

    async def told(self) -> State:
        return await self.channel.receive_json(State)

    async def take(self) -> State:
        await self.send(Take())
        return await self.told()


@asynccontextmanager
async def viewer(server: SignalingServer, name: str) -> AsyncIterator[Viewer]:
    async with join(server.url, room="lobby", name=name) as room:
        peer = await room.peer("desktop")
        channel = await anext(aiter(peer.channels()))
        assert (channel.label, channel.protocol) == (LABEL, PROTOCOL)
        assert (channel.channel.ordered, channel.channel.maxRetransmits) == (True, None)
        yield Viewer(peer, channel)


async def test_what_is_on_the_screen_is_seen(server: SignalingServer, display: str) -> None:
    async with running(take_part(server.url, display=display)), viewer(server, "alice") as alice:
        assert await alice.told() == State("none")
        track = await anext(aiter(alice.peer.tracks()))
        for colour in (0xFF0000, 0x0000FF):
            await asyncio.to_thread(paint, display, colour)
            expected = [colour >> 16, colour >> 8 & 0xFF, colour & 0xFF]
            while True:
                frame = await track.recv()
                assert isinstance(frame, VideoFrame)
                assert (frame.width, frame.height) == SIZE
                seen = frame.to_ndarray(format="rgb24")[200, 20].tolist()
                if all(abs(a - b) < 30 for a, b in zip(seen, expected, strict=True)):
                    break
        track.stop()


async def test_input_arrives(server: SignalingServer, display: str) -> None:
    async with (
        window(display, SIZE) as seen,
        running(take_part(server.url, display=display, control=True, consent=everybody)),
        viewer(server, "alice") as alice,
    ):
        assert await alice.told() == State("free")
        assert await alice.take() == State("yours")
        await alice.send(
            Move(0.1, 0.1),
            Button(0, True, 0.5, 0.5),
            Button(0, False, 0.5, 0.5),
            Key("KeyA", True, "ä"),
            Key("KeyA", False),
        )
        await seen.until_typed("ä")
        await alice.send(Text("ß"))
        await seen.until_typed("äß")
        assert seen.buttons == [("ButtonPress", 1, (160, 120)), ("ButtonRelease", 1, (160, 120))]


async def test_who_only_looks_can_do_nothing(server: SignalingServer, display: str) -> None:
    async with (
        window(display, SIZE) as seen,
        running(take_part(server.url, display=display)),
        viewer(server, "alice") as alice,
    ):
        await alice.told()
        await alice.send(Text("a"), Move(0.5, 0.5))
        assert await alice.take() == State("none")
        await alice.send(Text("b"))
        assert await alice.take() == State("none")
    assert seen.got == []


async def test_one_after_the_other_is_in_control(server: SignalingServer, display: str) -> None:
    async with (
        window(display, SIZE) as seen,
        running(take_part(server.url, display=display, control=True, consent=everybody)),
        viewer(server, "alice") as alice,
        viewer(server, "bob") as bob,
    ):
        assert [await alice.told(), await bob.told()] == [State("free")] * 2
        assert await alice.take() == State("yours")
        assert await bob.told() == State("taken", "alice")
        await bob.send(Text("bob"))
        assert await bob.take() == State("taken", "alice")
        await alice.send(Move(0.5, 0.5), Key("KeyA", True, "a"), Release())
        assert [await alice.told(), await bob.told()] == [State("free")] * 2
        await seen.until_up(1)
        assert await bob.take() == State("yours")
        await bob.send(Text("b"))
        await seen.until_typed("ab")


async def test_only_those_who_are_named_may(server: SignalingServer, display: str) -> None:
    sharing = take_part(
        server.url, display=display, control=True, consent=everybody, allowed=["bob"]
    )
    async with (
        running(sharing),
        viewer(server, "alice") as alice,
        viewer(server, "bob") as bob,
    ):
        assert [await alice.told(), await bob.told()] == [State("none"), State("free")]
        assert await alice.take() == State("none")
        assert await bob.take() == State("yours")


async def test_who_vanishes_holds_nothing_down(server: SignalingServer, display: str) -> None:
    async with (
        window(display, SIZE) as seen,
        running(take_part(server.url, display=display, control=True, consent=everybody)),
    ):
        async with viewer(server, "alice") as alice:
            await alice.told()
            await alice.take()
            await alice.send(
                Button(2, True, 0.5, 0.5), Key("ShiftLeft", True), Key("KeyA", True, "A")
            )
            await seen.until_typed("A")
        await seen.until_up(3)
        released = [got.keysym or got.button for got in seen.got if got.kind.endswith("Release")]
        assert released == ["A", "Shift_L", 3]
        # And somebody else may.
        async with viewer(server, "bob") as bob:
            assert await bob.told() == State("free")


async def test_who_is_silent_holds_nothing_down(
    server: SignalingServer, display: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing_module, "SILENCE_TIMEOUT", 0.3)
    async with (
        window(display, SIZE) as seen,
        running(take_part(server.url, display=display, control=True, consent=everybody)),
        viewer(server, "alice") as alice,
    ):
        await alice.told()
        await alice.take()
        await alice.send(Button(0, True, 0.5, 0.5))
        await seen.until_up(1)
        # Control is not lost by it.
        await alice.send(Alive(), Button(1, True, 0.5, 0.5), Button(1, False, 0.5, 0.5))
        await seen.until_up(2)


async def test_who_sends_nonsense_loses_the_channel_alone(
    server: SignalingServer, display: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        window(display, SIZE) as seen,
        running(take_part(server.url, display=display, control=True, consent=everybody)),
        viewer(server, "alice") as alice,
        viewer(server, "bob") as bob,
    ):
        assert [await alice.told(), await bob.told()] == [State("free")] * 2
        await alice.take()
        assert await bob.told() == State("taken", "alice")
        await alice.send(Button(0, True, 0.5, 0.5))
        while not seen.buttons:
            await seen.next()
        await alice.channel.send('{"type":"move","x":7,"y":0}')
        async for _ in alice.channel:
            pass
        assert await bob.told() == State("free")
        await seen.until_up(1)
        # What was seen is seen on.
        track = await anext(aiter(alice.peer.tracks()))
        await track.recv()
        track.stop()
    assert "closing the input of alice after an invalid message" in caplog.text


async def test_the_end_of_the_program_releases_what_is_down(
    server: SignalingServer, display: str
) -> None:
    async with window(display, SIZE) as seen:
        async with (
            join(server.url, room="lobby", name="alice") as room,
            running(take_part(server.url, display=display, control=True, consent=everybody)),
        ):
            peer = await room.peer("desktop")
            alice = Viewer(peer, await anext(aiter(peer.channels())))
            await alice.told()
            await alice.take()
            await alice.send(Move(0.5, 0.5), Key("KeyA", True, "ä"))
            await seen.until_typed("ä")
        await seen.until_up(1)


async def test_a_screen_that_goes_away_ends_it(server: SignalingServer) -> None:
    async with AsyncExitStack() as screen:
        display = await screen.enter_async_context(x_server("-br"))
        sharing = asyncio.create_task(
            take_part(server.url, display=display, control=True, consent=everybody)
        )
        async with join(server.url, room="lobby", name="alice") as room:
            peer = await room.peer("desktop")
            track = await anext(aiter(peer.tracks()))
            await track.recv()
            await screen.aclose()
            with pytest.raises(DeviceUnavailable, match="it has gone"):
                await sharing
            track.stop()


async def test_without_input_it_does_not_begin_at_all(server: SignalingServer) -> None:
    with pytest.raises(InputUnavailable, match=":77"):
        await take_part(server.url, display=":77", control=True, consent=everybody)
    with pytest.raises(DeviceUnavailable, match=":77"):
        await take_part(server.url, display=":77")

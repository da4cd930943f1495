"""The programs of the README work as they are printed, also twice, and with the page."""

import re
from collections.abc import AsyncIterator

import pytest
from av import VideoFrame

from icefloe.media import TestPatternTrack
from icefloe.peer import join
from icefloe.signaling import SignalingServer
from tests.documents.blocks import block, printed_server, program

BOT = block("README.md/Use it")


@pytest.fixture
async def server() -> AsyncIterator[SignalingServer]:
    async with printed_server() as server:
        yield server


async def test_two_copies_that_are_started_at_once_greet_each_other(
    server: SignalingServer,
) -> None:
    async with program(BOT, server) as one, program(BOT, server) as two:
        names = {(await each.prints("is here")).split()[0] for each in (one, two)}
        assert names == {"bot", "bot-2"}
        greetings = [await each.prints("hello bot") for each in (one, two)]
        for greeting in greetings:
            assert re.fullmatch(
                r"hello bot(-2)?, we are connected by host/udp -> .*direct", greeting
            )
        assert [await each.end() for each in (one, two)] == [0, 0]


async def test_a_third_copy_greets_both(server: SignalingServer) -> None:
    async with program(BOT, server) as one, program(BOT, server) as two:
        for each in (one, two):
            await each.prints("hello bot")
        async with program(BOT, server) as three:
            await three.prints("bot-3 is here")
            for _ in range(2):
                await three.prints("hello bot-3, ")
            await one.prints("hello bot")
            await two.prints("hello bot")
            assert await three.end() == 0
        assert [await each.end() for each in (one, two)] == [0, 0]


async def test_it_is_gone_at_once_when_it_is_ended_and_back_when_it_was_killed(
    server: SignalingServer,
) -> None:
    async with join(server.url, room="lobby", name="reader") as room:
        peers = aiter(room)
        for how in ("terminate", "kill", "terminate"):
            async with program(BOT, server) as bot:
                await bot.prints("bot is here")
                peer = await anext(peers)
                assert peer.name == "bot"
                chat = await peer.open_channel("chat")
                assert str(await chat.receive()).startswith("hello reader, we are connected by ")
                await chat.send("good day")
                await bot.prints("good day")
                if how == "terminate":
                    assert await bot.end() == 0
                    assert await peer.ended() in ("left", "closed", "bye")
                else:
                    bot.process.kill()
                    await bot.process.wait()


async def test_two_programs_meet_in_either_order(server: SignalingServer) -> None:
    show, measure = block("README.md/Two programs"), block("README.md/Two programs/2")
    readings = [f"sensor: '{degrees} °C'" for degrees in (20.5, 20.7, 21.0)]
    async with program(show, server) as display:
        async with join(server.url, room="laboratory", name="visitor") as room:
            await room.peer("display")
        async with program(measure, server) as sensor:
            for reading in readings:
                assert await display.prints("sensor") == reading
            assert await sensor.process.wait() == 0
        assert await display.end() == 0
    async with program(measure, server) as sensor:
        async with join(server.url, room="laboratory", name="visitor") as room:
            await room.peer("sensor")
        async with program(show, server) as display:
            for reading in readings:
                assert await display.prints("sensor") == reading
            assert await sensor.end() == 0
            assert await display.end() == 0


async def test_a_mirror_sends_everybody_their_own_picture(server: SignalingServer) -> None:
    async with program(block("README.md/A call"), server) as mirror:
        async with (
            join(server.url, room="lobby", name="small") as small,
            join(server.url, room="lobby", name="large") as large,
        ):
            for room, width in ((small, 160), (large, 320)):
                peer = await room.peer("mirror")
                picture = TestPatternTrack(width, 120)
                peer.add_track(picture)
                async for track in peer.tracks():
                    frame = await track.recv()
                    assert isinstance(frame, VideoFrame)
                    assert frame.width == width
                    break
                picture.stop()
        assert await mirror.end() == 0


async def test_the_server_that_is_not_there_is_named_in_the_last_line() -> None:
    async with printed_server() as gone:
        pass
    async with program(BOT, gone) as bot:
        _, complaints = await bot.process.communicate()
        last = complaints.decode().splitlines()[-1]
        assert f"The signaling server at {gone.url} cannot be reached" in last
        assert "that the server runs" in last

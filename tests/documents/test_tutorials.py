"""Each step of the tutorials works as it is printed; ``tests/browser`` has the page's part."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from av import VideoFrame

from icefloe.media import GeneratedVideo, ToneTrack
from icefloe.peer import RemotePeer, Room, join
from icefloe.signaling import SignalingServer
from tests.documents.blocks import DOCS, Block, Program, block, printed_server, program

MEETING = (
    block("tutorials/data-and-files.md/Two programs meet"),
    block("tutorials/data-and-files.md/Two programs meet/2"),
)
READINGS = (
    block("tutorials/data-and-files.md/Send readings"),
    block("tutorials/data-and-files.md/Send readings/2"),
)
QUESTION = (
    block("tutorials/data-and-files.md/Ask a question"),
    block("tutorials/data-and-files.md/Ask a question/2"),
)
FILE = (
    block("tutorials/data-and-files.md/Send a file"),
    block("tutorials/data-and-files.md/Send a file/2"),
)


@pytest.fixture
async def server() -> AsyncIterator[SignalingServer]:
    async with printed_server() as server:
        yield server


def with_size(station: Block, size: int) -> Block:
    """Return the station with a smaller file."""
    assert "SIZE = 2_000_000_000" in station.text
    text = station.text.replace("SIZE = 2_000_000_000", f"SIZE = {size}")
    return Block(station.page, station.heading, station.number, station.language, text)


# --- video-call.md ------------------------------------------------------------------------------


def white() -> "AsyncIterator[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]":
    async def pictures() -> AsyncIterator[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        while True:
            yield np.full((120, 160, 3), 255, np.uint8)

    return pictures()


async def brightness(peer: RemotePeer) -> AsyncIterator[float]:
    """Give the brightness of each picture that comes from a peer, 0 to 255."""
    async for track in peer.tracks():
        while track.kind == "video":
            frame = await track.recv()
            assert isinstance(frame, VideoFrame)
            yield float(frame.to_ndarray(format="gray").mean())


async def until_brightness(peer: RemotePeer, least: float, most: float) -> None:
    async for value in brightness(peer):
        if least < value < most:
            return
    raise AssertionError("no such picture came")


async def test_the_studio_tells_who_comes_and_leaves(server: SignalingServer) -> None:
    async with program(block("tutorials/video-call.md/Join the room"), server) as studio:
        assert await studio.prints("studio") == "studio waits in the lobby"
        async with join(server.url, room="lobby", name="alice") as room:
            await (await room.peer("studio")).connected()
            connected = await studio.prints("alice is connected by ")
            assert re.search(r"host/udp -> \w+/udp, rtt [\d.]+ ms, direct$", connected)
        assert await studio.prints("alice") == "alice has left"
        assert await studio.end() == 0


async def test_the_studio_sends_a_picture(server: SignalingServer) -> None:
    async with program(block("tutorials/video-call.md/Send a picture"), server) as studio:
        await studio.prints("studio waits")
        async with join(server.url, room="lobby", name="alice") as room:
            await until_brightness(await room.peer("studio"), 60, 100)
        await studio.prints("alice has left")
        assert await studio.end() == 0


async def test_the_studio_sends_the_negative_back(server: SignalingServer) -> None:
    heading = "tutorials/video-call.md/Take the picture of the browser"
    async with program(block(heading), server) as studio:
        await studio.prints("studio waits")
        async with join(server.url, room="lobby", name="alice") as room:
            peer = await room.peer("studio")
            track = GeneratedVideo(white(), rate=20)
            peer.add_track(track)
            await until_brightness(peer, -1, 40)
            track.stop()
        await studio.prints("alice has left")
        assert await studio.end() == 0


async def test_the_studio_hears_and_answers(server: SignalingServer) -> None:
    heading = "tutorials/video-call.md/Hear the browser and answer"
    async with program(block(heading), server) as studio:
        await studio.prints("studio waits")
        async with join(server.url, room="lobby", name="alice") as room:
            peer = await room.peer("studio")
            track = ToneTrack()
            peer.add_track(track)
            chat = await peer.open_channel("chat")
            assert await chat.receive() == "hello alice, I am listening"
            loudness = 0.0
            while loudness < 0.01:
                loudness = float((await studio.prints("alice: ")).split()[1])
            track.stop()
        await studio.prints("alice has left")
        assert await studio.end() == 0


# --- data-and-files.md --------------------------------------------------------------------------


async def test_the_station_meets_the_base(server: SignalingServer) -> None:
    base_block, station_block = MEETING
    async with program(base_block, server) as base:
        for _ in range(2):
            async with program(station_block, server) as station:
                assert "host/udp -> " in await station.prints("connected by ")
                assert await station.process.wait() == 0
            await base.prints("station is here, ")
        assert await base.end() == 0
    async with program(station_block, server) as station:
        async with join(server.url, room="weather", name="visitor") as room:
            await room.peer("station")  # which waits for the base
        async with program(base_block, server) as base:
            await base.prints("station is here, ")
            assert await station.process.wait() == 0
            assert await base.end() == 0


async def takes_readings(base: Program) -> None:
    """Wait until the base has printed what the page says of the five readings."""
    await base.prints("station has no more readings")
    printed = [line for line in base.printed if line.endswith("°C")]
    assert printed == [f"{n / 2:.1f} s: {20 + n / 10:.1f} °C" for n in range(5)]


async def test_the_base_prints_the_readings(server: SignalingServer) -> None:
    base_block, station_block = READINGS
    async with program(base_block, server) as base, program(station_block, server) as station:
        await takes_readings(base)
        assert await station.process.wait() == 0
        assert await base.end() == 0


async def test_the_base_asks_a_question(server: SignalingServer) -> None:
    base_block, station_block = QUESTION
    async with program(base_block, server) as base, program(station_block, server) as station:
        await takes_readings(base)
        assert await station.process.wait() == 0
        if "it is at 47.421, 10.985" not in base.printed:
            await base.prints("it is at 47.421, 10.985")
        assert await base.end() == 0


@pytest.mark.timeout(240)
async def test_a_file_goes_on_after_a_break(server: SignalingServer, tmp_path: Path) -> None:
    size = 60_000_000
    base_block, station_block = FILE[0], with_size(FILE[1], size)
    archive = tmp_path / "archive.bin"
    received = tmp_path / "received" / "archive.bin"
    async with program(base_block, server, tmp_path) as base:
        async with program(station_block, server, tmp_path) as station:
            await base.prints(f"station offers ['archive.bin'], {size} bytes")
            while int((await station.prints("%")).split()[0]) < 10:
                pass
            await station.end()
        async with program(station_block, server, tmp_path) as station:
            first = await station.prints("bytes sent this time")
            percent = int(first.split()[0])
            assert percent >= 8  # what was on its way is sent again
            assert first == f"{percent} %, 0 bytes sent this time"
            while not (line := await station.prints("sent ")).startswith("sent "):
                pass
            sent = int(line.split()[1])
            assert await base.prints("saved ") == "saved received/archive.bin"
            assert await station.process.wait() == 0
        assert await base.end(has_log=True) == 0
    assert sent < size
    assert received.read_bytes() == archive.read_bytes()


# --- long-running-bot.md ------------------------------------------------------------------------


async def ask(room: Room, command: str) -> str:
    """Ask the clock something; return its answer."""
    chat = await (await room.peer("clock")).open_channel("chat")
    await chat.send(command)
    while (answer := str(await chat.receive())).startswith("I know the time."):
        pass
    return answer


async def test_the_clock_answers(server: SignalingServer) -> None:
    clock = block("tutorials/long-running-bot.md/Answer in the chat")
    async with program(clock, server) as bot, program(clock, server) as other:
        async with join(server.url, room="lobby", name="reader") as room:
            for name in ("clock", "clock-2"):
                chat = await (await room.peer(name)).open_channel("chat")
                assert "commands: /time, /path" in str(await chat.receive())
                await chat.send("/time")
                assert re.fullmatch(r"It is \d\d:\d\d:\d\d\.", str(await chat.receive()))
                await chat.send("/path")
                assert "host/udp -> " in str(await chat.receive())
        assert [await bot.end(), await other.end()] == [0, 0]


async def test_the_clock_logs(server: SignalingServer) -> None:
    clock = block("tutorials/long-running-bot.md/Let it say what it does")
    async with program(clock, server) as bot:
        await bot.logs("clock: joined as clock")
        async with join(server.url, room="lobby", name="alice") as room:
            assert (await ask(room, "/time")).startswith("It is ")
        await bot.logs("alice: connected by host/udp -> ")
        await bot.logs("clock: 'alice' asks for '/time'")
        assert await bot.end(has_log=True) == 0


async def test_the_clock_survives_the_server() -> None:
    clock = block("tutorials/long-running-bot.md/Survive the server")
    async with printed_server() as server:
        port = server.port
    async with program(clock, server) as bot:
        await bot.logs(f"The signaling server at {server.url} cannot be reached")
        for _ in range(2):  # it comes, and is started anew
            async with (
                printed_server(port) as server,
                join(server.url, room="lobby", name="alice") as room,
            ):
                assert (await ask(room, "/time")).startswith("It is ")
        assert await bot.end(has_log=True) == 0


async def test_the_clock_remembers(server: SignalingServer, tmp_path: Path) -> None:
    clock = block("tutorials/long-running-bot.md/Keep what must not be lost")
    for times in (1, 2):
        async with program(clock, server, tmp_path) as bot:
            await bot.logs("joined as clock")
            async with join(server.url, room="lobby", name="alice") as room:
                answer = await ask(room, "/time")
                assert answer.endswith(f"You have asked {times} times.")
            assert await bot.end(has_log=True) == 0
        assert json.loads((tmp_path / "asked.json").read_text("utf-8")) == {"alice": times}


# --- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted((DOCS / "tutorials").glob("*.md")), ids=lambda p: p.stem)
def test_marked_lines_are_those_that_a_step_adds(page: Path) -> None:
    """A reader looks at the marked lines alone: none may be missing, and none be old."""
    found = re.finditer(
        r'^```python title="([^"]+)"(?: hl_lines="([^"]+)")?\n(.*?)^```$',
        page.read_text("utf-8"),
        re.M | re.S,
    )
    before: dict[str, set[str]] = {}
    for step in found:
        title, marked, lines = step[1], step[2], step[3].splitlines()
        numbers: set[int] = set()
        for part in (marked or "").split():
            first, _, last = part.partition("-")
            numbers |= set(range(int(first), int(last or first) + 1))
        if title in before:
            new = {n for n, line in enumerate(lines, 1) if line not in before[title]}
            assert new <= numbers, f"{title}: these lines are new and not marked"
        else:
            assert not numbers
        before[title] = set(lines)


async def test_nothing_is_left_by_a_peer_that_only_looks(server: SignalingServer) -> None:
    """A step that is ended while somebody is in the call ends in order."""
    heading = "tutorials/video-call.md/Hear the browser and answer"
    async with program(block(heading), server) as studio:
        await studio.prints("studio waits")
        async with join(server.url, room="lobby", name="alice") as room:
            peer = await room.peer("studio")
            await peer.connected()
            await studio.prints("alice is connected by ")
            assert await studio.end() == 0
            assert await asyncio.wait_for(peer.ended(), 60) in ("left", "closed", "bye")

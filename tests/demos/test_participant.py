"""The participant of the demo, with participants that are Python programs too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiortc import MediaStreamTrack
from av import AudioFrame, VideoFrame

from icefloe.demos.call import take_part
from icefloe.media import LatestFrame, TestPatternTrack
from icefloe.peer import DataChannel, RemotePeer, Room, join
from icefloe.signaling import SignalingServer, Unreachable, serve

SIZE = (160, 120)
"""Of the pictures that are sent, in pixels; the test pattern of the participant is larger."""


@pytest.fixture
async def server() -> AsyncIterator[SignalingServer]:
    async with serve(port=0) as running:
        yield running


@asynccontextmanager
async def participant(
    server: SignalingServer, name: str = "python", film: str | None = None
) -> AsyncIterator[None]:
    """Have the participant take part."""
    task = asyncio.create_task(take_part(server.url, name=name, film=film))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


@dataclass
class Visit:
    """Somebody in the room, and what comes from the participant."""

    room: Room
    peer: RemotePeer
    chat: DataChannel
    video: LatestFrame
    audio: LatestFrame

    async def ask(self, text: str) -> str:
        """Write a line, and return the answer."""
        await self.chat.send(text)
        answer = await self.chat.receive()
        assert isinstance(answer, str)
        return answer

    async def until_picture(self, size: tuple[int, int]) -> VideoFrame:
        """Wait until pictures of this size come."""
        while True:
            frame = await self.video.recv()
            assert isinstance(frame, VideoFrame)
            if (frame.width, frame.height) == size:
                return frame

    async def until_sound(self, *, loud: bool) -> None:
        """Wait until there is a sound, or silence."""
        while True:
            frame = await self.audio.recv()
            assert isinstance(frame, AudioFrame)
            samples = memoryview(bytes(frame.planes[0])).cast("h")
            if (max(samples) > 500) is loud:
                return


@asynccontextmanager
async def visit(server: SignalingServer, name: str) -> AsyncIterator[Visit]:
    """Be in the room with the participant, opening the chat as a newcomer does."""
    async with join(server.url, room="lobby", name=name) as room:
        peer = await room.peer("python")
        chat = await (
            peer.open_channel("chat") if not peer.polite else anext(aiter(peer.channels()))
        )
        greeting = await chat.receive()
        assert isinstance(greeting, str)
        assert greeting.startswith(f"Hello {name}")
        tracks: dict[str, MediaStreamTrack] = {}
        async for track in peer.tracks():
            tracks[track.kind] = track
            if len(tracks) == 2:
                break
        video, audio = LatestFrame(tracks["video"]), LatestFrame(tracks["audio"])
        try:
            yield Visit(room, peer, chat, video, audio)
        finally:
            video.stop()
            audio.stop()


def blue_of(frame: VideoFrame) -> bytes:
    """Return the blue differences of a picture, without what pads its lines."""
    plane = frame.planes[1]
    lines = bytes(plane)
    starts = range(0, plane.height * plane.line_size, plane.line_size)
    return b"".join(lines[start : start + plane.width] for start in starts)


async def test_who_sends_no_picture_gets_the_test_pattern(server: SignalingServer) -> None:
    async with participant(server), visit(server, "alice") as alice:
        await alice.until_picture((640, 480))
        await alice.until_sound(loud=False)


async def test_a_picture_comes_back_with_the_effect_that_was_asked_for(
    server: SignalingServer,
) -> None:
    async with participant(server), visit(server, "alice") as alice:
        camera = TestPatternTrack(*SIZE)
        alice.peer.add_track(camera)
        await alice.until_picture(SIZE)
        assert "gray" in await alice.ask("/effect gray")
        while True:
            frame = await alice.until_picture(SIZE)
            if max(abs(value - 128) for value in blue_of(frame)) <= 3:
                break
        camera.stop()


async def test_playing_and_stopping_change_what_is_sent(server: SignalingServer) -> None:
    async with participant(server), visit(server, "alice") as alice:
        camera = TestPatternTrack(*SIZE)
        alice.peer.add_track(camera)
        await alice.until_picture(SIZE)
        negotiated = alice.peer.connection.remoteDescription.sdp
        for _ in range(3):
            assert "Playing" in await alice.ask("/play")
            await alice.until_picture((640, 480))
            await alice.until_sound(loud=True)
            assert "Stopped" in await alice.ask("/stop")
            await alice.until_picture(SIZE)
            await alice.until_sound(loud=False)
        await alice.ask("/tone")
        await alice.until_sound(loud=True)
        assert alice.peer.connection.remoteDescription.sdp == negotiated
        camera.stop()


async def test_a_film_that_cannot_be_played_is_no_reason_to_hang_up(
    server: SignalingServer,
) -> None:
    async with participant(server, film=__file__), visit(server, "alice") as alice:
        assert "cannot be played" in await alice.ask("/play")
        assert "You wrote" in await alice.ask("hello")
        await alice.until_picture((640, 480))


async def test_chat_answers_and_survives_what_is_no_text(server: SignalingServer) -> None:
    async with participant(server), visit(server, "alice") as alice:
        await alice.chat.send(b"\x00\xff")
        assert "host/udp -> host/udp" in await alice.ask("/stats")
        assert "/effect" in await alice.ask("/help")
        assert "/dance" in await alice.ask("/dance")


async def test_a_call_goes_on_without_its_chat(server: SignalingServer) -> None:
    async with participant(server), visit(server, "alice") as alice:
        alice.chat.close()
        await alice.until_picture((640, 480))
        again = await alice.peer.open_channel("chat")
        greeting = await again.receive()
        assert isinstance(greeting, str)
        assert greeting.startswith("Hello alice")


async def test_a_chat_that_is_closed_is_opened_anew_at_once(server: SignalingServer) -> None:
    async with participant(server), visit(server, "alice") as alice:
        chat = alice.chat
        for _ in range(5):
            chat.close()
            chat = await alice.peer.open_channel("chat")
            greeting = await chat.receive()
            assert isinstance(greeting, str)
            assert greeting.startswith("Hello alice")


async def test_other_channels_are_closed(server: SignalingServer) -> None:
    async with participant(server), visit(server, "alice") as alice:
        for label in ("files", "notes"):
            other = await alice.peer.open_channel(label)
            assert [message async for message in other] == []
        assert "You wrote" in await alice.ask("still there?")


async def test_who_leaves_does_not_disturb_who_stays(server: SignalingServer) -> None:
    async with participant(server), visit(server, "alice") as alice:
        for name in ("bob", "carol"):
            async with visit(server, name) as other:
                await other.until_picture((640, 480))
                await other.ask("/play")
        await alice.until_picture((640, 480))
        assert "You wrote" in await alice.ask("hello")


async def test_it_meets_who_was_there_before(server: SignalingServer) -> None:
    async with join(server.url, room="lobby", name="alice") as room:
        async with participant(server):
            peer = await room.peer("python")
            chat = await anext(aiter(peer.channels()))
            greeting = await chat.receive()
            assert isinstance(greeting, str)
            assert greeting.startswith("Hello alice")
        assert await peer.ended() in ("left", "bye", "closed")


async def test_two_of_them_do_not_talk_for_ever(
    server: SignalingServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "icefloe.peer")
    async with participant(server), participant(server, name="python too"):
        while len([line for line in caplog.messages if ": connected by " in line]) < 2:
            await asyncio.sleep(0.01)
        async with visit(server, "alice") as alice:
            assert "You wrote" in await alice.ask("hello")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_second_one_gets_a_name_with_a_number(server: SignalingServer) -> None:
    async with join(server.url, room="lobby", name="python") as room, participant(server):
        peer = await room.peer("python-2")
        chat = await peer.open_channel("chat")
        greeting = await chat.receive()
        assert isinstance(greeting, str)
        assert greeting.startswith("Hello python")


async def test_a_server_that_is_not_there_is_told() -> None:
    async with serve(port=0) as gone:
        url = gone.url
    with pytest.raises(Unreachable):
        await take_part(url)

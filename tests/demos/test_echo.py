"""The echo, with a participant that is a Python program too."""

import asyncio

from av import AudioFrame, VideoFrame

from icefloe.demos.echo import take_part
from icefloe.media import LatestFrame, TestPatternTrack, ToneTrack
from icefloe.peer import RemotePeer, join
from icefloe.signaling import SignalingServer
from tests.demos.rooms import running


async def tracks_of(peer: RemotePeer) -> dict[str, LatestFrame]:
    found: dict[str, LatestFrame] = {}
    async for track in peer.tracks():
        found[track.kind] = LatestFrame(track)
        if len(found) == 2:
            break
    return found


async def sees_and_hears_itself(peer: RemotePeer, size: tuple[int, int]) -> None:
    sent = TestPatternTrack(*size), ToneTrack()
    for track in sent:
        peer.add_track(track)
    back = await tracks_of(peer)
    try:
        picture = await back["video"].recv()
        assert isinstance(picture, VideoFrame)
        assert (picture.width, picture.height) == size
        while True:
            sound = await back["audio"].recv()
            assert isinstance(sound, AudioFrame)
            if max(memoryview(bytes(sound.planes[0])).cast("h")) > 500:
                break
    finally:
        for each in (*back.values(), *sent):
            each.stop()


async def test_sound_and_picture_come_back(server: SignalingServer) -> None:
    async with (
        running(take_part(server.url)),
        join(server.url, room="lobby", name="alice") as room,
    ):
        await sees_and_hears_itself(await room.peer("echo"), (160, 120))


async def test_everybody_gets_their_own_and_who_leaves_disturbs_nobody(
    server: SignalingServer,
) -> None:
    async with running(take_part(server.url)):
        async with asyncio.TaskGroup() as group:
            group.create_task(visit(server, "alice", (160, 120)))
            group.create_task(visit(server, "bob", (200, 120)))
        await visit(server, "carol", (160, 120))


async def visit(server: SignalingServer, name: str, size: tuple[int, int]) -> None:
    async with join(server.url, room="lobby", name=name) as room:
        await sees_and_hears_itself(await room.peer("echo"), size)

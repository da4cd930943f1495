"""The room recorder, with participants that are Python programs too."""

import asyncio
from pathlib import Path

import av
import pytest
from av import AudioFrame, VideoFrame

from icefloe.demos.recorder import take_part
from icefloe.media import TestPatternTrack, ToneTrack
from icefloe.peer import join
from icefloe.signaling import SignalingServer
from tests.demos.rooms import running

BYTES = 100_000
"""Of a file that has some seconds of both."""


def lengths(path: Path) -> dict[str, float]:
    """Decode a recording to its end; return the seconds of each stream."""
    found: dict[str, float] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            for frame in packet.decode():
                assert isinstance(frame, AudioFrame | VideoFrame)
                assert frame.time is not None
                found[packet.stream.type] = frame.time
    return found


async def visit(server: SignalingServer, name: str, until: Path) -> None:
    tracks = TestPatternTrack(160, 120), ToneTrack()
    async with join(server.url, room="lobby", name=name) as room:
        peer = await room.peer("recorder")
        for track in tracks:
            peer.add_track(track)
        while not until.exists() or until.stat().st_size < BYTES:
            await asyncio.sleep(0.1)
    for track in tracks:
        track.stop()


@pytest.mark.parametrize("mixed", [False, True], ids=["each", "mixed"])
async def test_sound_and_picture_of_everybody_are_recorded(
    server: SignalingServer, tmp_path: Path, mixed: bool
) -> None:
    path = tmp_path / ("room.mkv" if mixed else "{participant}.mkv")
    files = [tmp_path / f"{name}.mkv" for name in (("room",) if mixed else ("alice", "bob"))]
    async with running(take_part(server.url, path)), asyncio.TaskGroup() as group:
        group.create_task(visit(server, "alice", files[0]))
        group.create_task(visit(server, "bob", files[-1]))
    assert set(tmp_path.iterdir()) == set(files)
    for file in files:
        seconds = lengths(file)
        assert seconds.keys() == {"audio", "video"}
        assert min(seconds.values()) > 1
        assert abs(seconds["audio"] - seconds["video"]) < 1

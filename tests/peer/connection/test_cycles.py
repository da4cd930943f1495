"""Connections come and go for weeks: each gives back all that it took."""

import asyncio
import gc
from collections.abc import Iterator

import pytest
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from icefloe.peer import PeerConnection, join
from icefloe.signaling import serve
from tests.helpers.leaks import Snapshot
from tests.helpers.pairs import connected, negotiate, opened, trickle


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    gc.collect()
    yield
    gc.collect()


async def call(*, media: bool) -> None:
    a, b = PeerConnection(), PeerConnection()
    trickle(a, b)
    trickle(b, a)
    channel = a.createDataChannel("x")
    if media:
        for connection in (a, b):
            connection.addTrack(AudioStreamTrack())
            connection.addTrack(VideoStreamTrack())
    await negotiate(a, b)
    await connected(a, b)
    await opened(channel)
    await asyncio.gather(a.close(), b.close())


@pytest.mark.parametrize(("cycles", "media"), [(100, False), (20, True)])
async def test_a_hundred_calls_leave_what_was_there(cycles: int, media: bool) -> None:
    await call(media=media)
    before = Snapshot.take()
    for _ in range(cycles):
        await call(media=media)
    # No settling: what close() has not given back when it returns counts.
    after = Snapshot.take()
    assert len(after.tasks) == len(before.tasks)
    assert len(after.threads) == len(before.threads)
    assert len(after.files) == len(before.files)


async def test_connections_are_garbage_once_they_are_closed() -> None:
    await call(media=True)
    gc.collect()
    alive = sum(type(thing) is PeerConnection for thing in gc.get_objects())
    for _ in range(5):
        await call(media=True)
    await asyncio.sleep(0)
    gc.collect()
    assert sum(type(thing) is PeerConnection for thing in gc.get_objects()) == alive


async def test_rooms_can_be_entered_and_left_a_hundred_times() -> None:
    async with serve("127.0.0.1", 0) as server, join(server.url, room="r", name="stays") as stays:
        before: Snapshot | None = None
        for number in range(100):
            async with join(server.url, room="r", name=f"visitor {number}") as room:
                await (await room.peer("stays")).connected()
            visitor = next((p for p in stays.peers if p.name == f"visitor {number}"), None)
            if visitor is not None:
                await visitor.ended()
            while stays.peers:
                await asyncio.sleep(0.001)
            before = before or Snapshot.take()
        after = Snapshot.take()
        assert before is not None
        assert len(after.tasks) <= len(before.tasks)
        assert len(after.threads) == len(before.threads)
        assert len(after.files) <= len(before.files)

import asyncio
import gc

from icefloe.media import discard
from tests.media.tracks import FedTrack, picture, turns, until


async def test_a_track_that_nobody_reads_keeps_nothing() -> None:
    track = FedTrack()
    discard(track)
    gc.collect()
    track.feed(*map(picture, range(100)))
    await until(lambda: track.read == 100)
    assert track._queue.empty()
    track.end()
    await until(lambda: track.readyState == "ended")


async def test_it_counts_ends_and_leaves_the_track_alone() -> None:
    track = FedTrack()
    sink = discard(track)
    track.feed(*map(picture, range(3)))
    await until(lambda: sink.count == 3)
    waiting = asyncio.create_task(sink.wait())
    sink.close()
    sink.close()
    await waiting
    track.feed(picture(3))
    await turns()
    assert (track.readyState, sink.count) == ("live", 3)

"""Members that programs written for aiortc reach for: a track's queue, and receivers that stop."""

import asyncio
import time
from typing import Any

import pytest
from aiortc.jitterbuffer import JitterBuffer

from icefloe.peer._aiortc.frames import FramesAsQueue
from icefloe.peer.rtp.receive.remote_track import FrameQueue
from tests.drop_in.replaced import NumberedPictures, number_on
from tests.helpers.pairs import closing, make, negotiate


async def test_the_queue_is_what_waits_to_be_read() -> None:
    frames: FrameQueue[Any] = FrameQueue(3, 3, 90)
    queue = FramesAsQueue(frames)
    assert isinstance(queue, asyncio.Queue)
    assert (queue.empty(), queue.full(), queue.qsize()) == (True, False, 0)
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()
    for number in range(5):
        await queue.put(number)
    assert (queue.qsize(), frames.dropped) == (3, 2)
    assert (queue.get_nowait(), await frames.get()) == (2, 3)
    queue.task_done()
    await queue.join()
    waiting = asyncio.create_task(queue.get())
    assert await waiting == 4
    queue.put_nowait(None)
    assert await queue.get() is None and await frames.get() is None


@pytest.mark.parametrize("drains", [True, False], ids=["drained", "left alone"])
async def test_a_receiver_that_was_stopped_goes_on_with_what_is_new(drains: bool) -> None:
    a, b = make("aiortc"), make("icefloe")
    got: asyncio.Queue[Any] = asyncio.Queue()
    b.on("track", got.put_nowait)
    camera = NumberedPictures()
    async with closing(a, b):
        a.addTrack(camera)
        await negotiate(a, b)
        track = await got.get()
        receiver: Any = b.getTransceivers()[0].receiver
        # Some put a larger buffer of aiortc's in the place of the receiver's.
        receiver._RTCRtpReceiver__jitter_buffer = JitterBuffer(capacity=512, is_video=True)
        for _ in range(3):
            await track.recv()
        while track._queue.empty():
            await asyncio.sleep(0.01)
        receiver._enabled = False
        while drains and not track._queue.empty():
            track._queue.get_nowait()
            track._queue.task_done()
        seen = len(camera.made_at)
        while len(camera.made_at) < seen + 25:
            await asyncio.sleep(0.01)
        returned = time.monotonic()
        receiver._enabled = True
        numbers = [number_on((await track.recv()).to_ndarray(format="gray")) for _ in range(5)]
        assert numbers == sorted(numbers)
        assert camera.made_at[numbers[0]] > returned - 0.1

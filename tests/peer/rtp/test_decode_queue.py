"""Encoded pictures that wait, decoded frames that wait: bounded."""

import asyncio
import threading
from collections.abc import Callable
from fractions import Fraction

import pytest
from aiortc.codecs import get_encoder
from aiortc.codecs.h264 import h264_depayload
from aiortc.codecs.vpx import vp8_depayload
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av import VideoFrame

from icefloe.encoding import is_key_frame
from icefloe.peer.rtp.receive.decode_queue import KEY_FRAME_RETRY, MAX_FRAMES, DecodeQueue
from icefloe.peer.rtp.receive.remote_track import FrameQueue


def test_a_decoder_that_keeps_up_gets_everything_in_order() -> None:
    backlog: DecodeQueue[int] = DecodeQueue()
    for number in range(100):
        assert not backlog.put(number / 30, number, is_key_frame=number == 0)
        assert backlog.take() == number
    assert backlog.take() is None
    assert backlog.dropped == 0


def test_one_that_does_not_begins_again_with_a_key_frame() -> None:
    backlog: DecodeQueue[int] = DecodeQueue()
    for number in range(MAX_FRAMES):
        assert not backlog.put(0.0, number, is_key_frame=False)
    assert backlog.put(0.0, 98, is_key_frame=False)
    assert not backlog.put(KEY_FRAME_RETRY / 2, 99, is_key_frame=False)
    assert backlog.put(KEY_FRAME_RETRY, 100, is_key_frame=False)
    assert len(backlog) == 0
    assert not backlog.put(KEY_FRAME_RETRY, 101, is_key_frame=True)
    assert not backlog.put(KEY_FRAME_RETRY, 102, is_key_frame=False)
    assert [backlog.take(), backlog.take()] == [101, 102]
    assert backlog.dropped == MAX_FRAMES + 3


def test_a_key_frame_that_finds_no_room_is_where_it_begins_again() -> None:
    backlog: DecodeQueue[int] = DecodeQueue()
    for number in range(MAX_FRAMES):
        backlog.put(0.0, number, is_key_frame=False)
    assert not backlog.put(0.0, 99, is_key_frame=True)
    assert backlog.take() == 99


@pytest.mark.parametrize(("name", "depayload"), [("VP8", vp8_depayload), ("H264", h264_depayload)])
def test_key_frames_are_told_from_others(name: str, depayload: Callable[[bytes], bytes]) -> None:
    codec = RTCRtpCodecParameters(
        mimeType=f"video/{name}",
        clockRate=90000,
        payloadType=97,
        parameters={"packetization-mode": "1"},
    )
    encoder = get_encoder(codec)
    told = []
    for number in range(6):
        frame = VideoFrame(320, 240, "yuv420p")
        frame.pts, frame.time_base = number * 3000, Fraction(1, 90000)
        payloads, _ = encoder.encode(frame, force_keyframe=number == 3)
        told.append(is_key_frame(name, b"".join(map(depayload, payloads))))
    assert told == [True, False, False, True, False, False]


def test_what_is_no_picture_is_no_key_frame() -> None:
    assert not is_key_frame("VP8", b"")
    assert not is_key_frame("H264", b"\0\0\0\1")
    assert is_key_frame("AV1", b"")


async def test_a_reader_that_is_late_by_little_loses_nothing() -> None:
    queue: FrameQueue[int] = FrameQueue(50, 5, 1000)
    for number in range(50):
        queue.put(number)
    assert [await queue.get() for _ in range(50)] == list(range(50))
    assert queue.dropped == 0


async def test_a_reader_that_was_away_goes_on_with_the_newest() -> None:
    queue: FrameQueue[int] = FrameQueue(50, 5, 1000)
    for number in range(500):
        queue.put(number)
    assert len(queue) == 50
    assert [await queue.get() for _ in range(5)] == [495, 496, 497, 498, 499]
    assert queue.dropped == 495
    queue.end()
    assert await queue.get() is None
    assert await queue.get() is None


async def test_a_frame_from_another_thread_wakes_the_reader() -> None:
    queue: FrameQueue[int] = FrameQueue(3, 3, 100)
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    thread = threading.Thread(target=queue.put, args=(7,))
    thread.start()
    assert await reading == 7
    thread.join()


async def test_a_reader_that_is_cancelled_takes_no_frame_with_it() -> None:
    queue: FrameQueue[int] = FrameQueue(3, 3, 100)
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put(7)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await queue.get() == 7


async def test_what_comes_after_the_end_goes_nowhere() -> None:
    queue: FrameQueue[int] = FrameQueue(3, 3, 100)
    queue.put(1)
    queue.end()
    queue.put(2)
    assert [await queue.get(), await queue.get()] == [1, None]


async def test_of_what_nobody_wants_nothing_is_kept_until_somebody_is_back() -> None:
    queue: FrameQueue[int] = FrameQueue(3, 3, 10)
    returned: list[bool] = []
    queue.on_return = lambda: returned.append(queue.is_abandoned)
    for number in range(10):
        queue.put(number)
    assert not queue.is_abandoned and len(queue) == 3
    queue.put(10)
    assert queue.is_abandoned and len(queue) == 0
    queue.put(11)
    assert queue.dropped == 12 and not returned
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert returned == [False]
    queue.put(12)
    assert await reading == 12
    for number in range(13, 23):
        queue.put(number)
    assert [await queue.get() for _ in range(3)] == [20, 21, 22]
    assert returned == [False]


async def test_a_reader_that_waits_is_patient() -> None:
    queue: FrameQueue[int] = FrameQueue(3, 3, 2)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    for number in range(5):  # before the reader has its turn
        queue.put(number)
    assert not queue.is_abandoned
    assert await waiting == 2

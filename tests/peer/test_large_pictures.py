"""Pictures that announce more pixels than any screen has: not decoded, and what follows is."""

import asyncio
from fractions import Fraction

import pytest
from aiortc import RTCRtpCodecParameters
from aiortc.jitterbuffer import JitterFrame
from av import AudioFrame, VideoFrame

from icefloe.encoding import VideoEncoder
from icefloe.peer.receiving.decoding import MOST_PIXELS, VideoDecoding
from icefloe.peer.receiving.frames import FrameQueue

CODECS = {
    name: RTCRtpCodecParameters(mimeType=f"video/{name}", clockRate=90000, payloadType=97)
    for name in ("VP8", "H264")
}


def encoded(codec: str, width: int, height: int) -> bytes:
    frame = VideoFrame(width, height, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    frame.pts, frame.time_base = 0, Fraction(1, 90000)
    (packet,) = VideoEncoder(codec).encode(frame)
    return bytes(packet)


def huge(codec: str) -> bytes:
    if codec == "H264":
        return encoded(codec, 9000, 4200)
    # A small picture that says that it is as large as can be said.
    data = bytearray(encoded(codec, 64, 48))
    data[6:10] = b"\xff\x3f\xff\x3f"
    return bytes(data)


@pytest.mark.parametrize("codec", CODECS)
async def test_it_is_not_decoded_and_the_next_one_is(codec: str) -> None:
    frames: FrameQueue[AudioFrame | VideoFrame] = FrameQueue(3, 3, 90)
    asked: list[bool] = []
    decoding = VideoDecoding(frames, lambda: asked.append(True))
    try:
        decoding.put((CODECS[codec], JitterFrame(huge(codec), 0)))
        decoding.put((CODECS[codec], JitterFrame(encoded(codec, 64, 48), 3000)))
        # H.264's decoder gives a picture once it has seen more.
        for number in range(2, 20):
            data = JitterFrame(encoded(codec, 64, 48), number * 3000)
            decoding.put((CODECS[codec], data))
            await asyncio.sleep(0.01)
            if len(frames):
                break
        frame = await asyncio.wait_for(frames.get(), 20)
        assert isinstance(frame, VideoFrame)
        assert (frame.width, frame.height) == (64, 48)
        assert decoding.dropped or asked
    finally:
        decoding.close()
        assert await decoding.closed(5)


def test_8k_is_decoded() -> None:
    assert 7680 * 4320 < MOST_PIXELS < 9000 * 4200

"""Pictures that announce more pixels than any screen has: not decoded, and what follows is."""

import asyncio
import threading
from fractions import Fraction

import pytest
from aiortc import RTCRtpCodecParameters
from aiortc.jitterbuffer import JitterFrame
from av import AudioFrame, VideoFrame

from icefloe.encoding import VideoEncoder
from icefloe.peer.rtp.receive import decoder_threads as decoding_
from icefloe.peer.rtp.receive.decoder_pool import DecoderPool
from icefloe.peer.rtp.receive.decoder_threads import VideoDecoderThread
from icefloe.peer.rtp.receive.remote_track import FrameQueue
from tests.helpers.calls import eventually

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
        return encoded(codec, 4112, 2336)
    # A small picture that says that it is as large as can be said.
    data = bytearray(encoded(codec, 64, 48))
    data[6:10] = b"\xff\x3f\xff\x3f"
    return bytes(data)


class Decoder:
    """A decoder, and what it asks for and gives."""

    def __init__(self, codec: str, pool: DecoderPool | None = None) -> None:
        self.codec = codec
        self.frames: FrameQueue[AudioFrame | VideoFrame] = FrameQueue(3, 3, 90)
        self.asked: list[bool] = []
        self.decoding = VideoDecoderThread(self.frames, lambda: self.asked.append(True), pool)
        self.number = 0

    def put(self, data: bytes) -> None:
        self.number += 1
        self.decoding.put((CODECS[self.codec], JitterFrame(data, self.number * 3000)))

    async def __aenter__(self) -> "Decoder":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.decoding.close()
        assert await self.decoding.closed(5)

    async def size(self, data: bytes) -> tuple[int, int]:
        """Decode a picture until there is a frame; H.264's decoder wants to see several."""
        while not len(self.frames):
            self.put(data)
            await asyncio.sleep(0.02)
        frame = await self.frames.get()
        assert isinstance(frame, VideoFrame)
        return frame.width, frame.height


@pytest.mark.parametrize("codec", CODECS)
async def test_it_is_not_decoded_and_the_next_one_is(codec: str) -> None:
    async with Decoder(codec) as decoder:
        for _ in range(3):
            decoder.put(huge(codec))
        await eventually(lambda: decoder.decoding.dropped == 3)
        assert len(decoder.asked) == 1
        assert not len(decoder.frames)
        assert await decoder.size(encoded(codec, 64, 48)) == (64, 48)


@pytest.mark.parametrize("codec", CODECS)
async def test_the_limit_is_a_setting(codec: str) -> None:
    async with Decoder(codec, DecoderPool(max_pixels=64 * 48)) as decoder:
        decoder.put(encoded(codec, 128, 96))
        await eventually(lambda: decoder.decoding.dropped == 1)
        assert await decoder.size(encoded(codec, 64, 48)) == (64, 48)
    async with Decoder(codec, DecoderPool(max_pixels=7680 * 4320)) as decoder:
        assert await decoder.size(encoded(codec, 4112, 2336)) == (4112, 2336)


async def test_of_large_pictures_that_nobody_reads_only_two_wait() -> None:
    async with Decoder("VP8") as decoder:
        data = encoded("VP8", 2048, 1536)
        frames = decoder.frames
        for _ in range(5):
            before = frames.dropped + len(frames)
            decoder.put(data)
            while frames.dropped + len(frames) == before:
                await asyncio.sleep(0.01)
        assert len(decoder.frames) == 2
        assert decoder.frames.dropped == 3


async def test_pictures_that_need_a_refused_one_are_not_decoded_either() -> None:
    async with Decoder("VP8") as decoder:
        assert await decoder.size(encoded("VP8", 64, 48)) == (64, 48)
        decoder.put(huge("VP8"))
        for _ in range(5):
            decoder.put(b"\x31" + bytes(20))
        await eventually(lambda: decoder.decoding.dropped == 6)
        assert await decoder.size(encoded("VP8", 64, 48)) == (64, 48)


async def test_a_key_frame_is_asked_for_until_one_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding_, "_KEY_FRAME_INTERVAL", 0.05)
    async with Decoder("VP8") as decoder:
        decoder.put(huge("VP8"))
        while len(decoder.asked) < 3:  # the answers to the first two are lost, or too large as well
            decoder.put(b"\x31" + bytes(20))
            await asyncio.sleep(0.01)
        assert await decoder.size(encoded("VP8", 64, 48)) == (64, 48)


async def test_what_cannot_be_decoded_is_counted_and_logged_sparsely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Decoder("VP8") as decoder:
        assert await decoder.size(encoded("VP8", 64, 48)) == (64, 48)
        damaged = encoded("VP8", 64, 48)[:10] + b"\xff" * 3
        for count in range(1, 31):
            decoder.put(damaged)
            await eventually(lambda count=count: decoder.decoding.dropped == count)  # type: ignore[misc]
        assert len(caplog.records) == 2
        assert len(decoder.asked) == 30
        assert await decoder.size(encoded("VP8", 64, 48)) == (64, 48)


async def test_times_of_pictures_grow_whatever_is_told() -> None:
    async with Decoder("VP8") as decoder:
        data, told, seen = encoded("VP8", 64, 48), (3000, 9000, 6000, 6000, 12000), list[int]()
        for pts in told:
            decoder.decoding.put((CODECS["VP8"], JitterFrame(data, pts)))
            frame = await decoder.frames.get()
            assert isinstance(frame, VideoFrame)
            assert frame.pts is not None
            seen.append(frame.pts)
        assert seen == [3000, 9000, 9001, 9002, 12000]


async def test_the_decoders_of_a_connection_have_a_limit_together() -> None:
    pool = DecoderPool(max_pixels=64 * 48)
    async with (
        Decoder("VP8", pool) as one,
        Decoder("VP8", pool) as two,
        Decoder("VP8", pool) as three,
    ):
        async with Decoder("VP8", pool) as four:
            for decoder in (one, two, three, four):
                await decoder.size(encoded("VP8", 64, 48))
            async with Decoder("VP8", pool) as five:
                five.put(encoded("VP8", 64, 48))
                await eventually(lambda: five.decoding.dropped == 1)
        async with Decoder("VP8", pool) as five:
            assert await five.size(encoded("VP8", 64, 48)) == (64, 48)


def threads() -> int:
    return sum(thread.name == "video-decoder" for thread in threading.enumerate())


async def test_there_is_no_thread_before_a_picture_nor_beyond_the_limit() -> None:
    pool = DecoderPool(max_decoders=1)
    async with Decoder("VP8", pool) as one, Decoder("VP8", pool) as two:
        assert threads() == 0
        await one.size(encoded("VP8", 64, 48))
        assert threads() == pool.running == 1
        two.put(encoded("VP8", 64, 48))
        assert threads() == 1
        assert two.decoding.dropped == 1
        one.decoding.close()
        assert await one.decoding.closed(5)
        assert await two.size(encoded("VP8", 64, 48)) == (64, 48)


async def test_a_thread_that_is_idle_ends_and_begins_again_with_a_key_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding_, "IDLE_TIMEOUT", 0.05)
    pool = DecoderPool()
    async with Decoder("VP8", pool) as decoder:
        await decoder.size(encoded("VP8", 64, 48))
        await eventually(lambda: pool.running == threads() == 0)
        decoder.put(b"\x31" + bytes(20))
        assert decoder.asked
        assert await decoder.size(encoded("VP8", 64, 48)) == (64, 48)
    assert await asyncio.wait_for(decoder.frames.get(), 5) is None

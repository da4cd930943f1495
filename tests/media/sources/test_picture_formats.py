"""Pictures of odd sizes, of sizes that change, and of no use: what becomes of them everywhere."""

import asyncio
import logging
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import pytest
from aiortc import MediaStreamTrack, RTCRtpSender
from av import VideoFrame
from av.video.reformatter import ColorRange

from icefloe.encoding import UnusablePicture, encoded
from icefloe.media import EncodedFanout, GeneratedVideo, Recorder, SnapshotFailed, frames, snapshot
from icefloe.peer import PeerConnection, RTCOutboundRtpStreamStats
from tests.helpers.pairs import closing, connected, negotiate
from tests.media.tracks import FedTrack

SIZES = [(1, 1), (3, 3), (161, 121), (1, 300), (300, 1), (4097, 33), (33, 4097), (2, 2), (320, 241)]
UNKNOWN_MATRIX = 14


def picture(number: int, size: tuple[int, int], matrix: int = 2) -> VideoFrame:
    frame = VideoFrame(*size, "yuv420p")
    for index, plane in enumerate(frame.planes):
        plane.update(bytes([128 if index else 60 + number % 100]) * plane.buffer_size)
    frame.pts, frame.time_base, frame.colorspace = number * 3000, Fraction(1, 90000), matrix
    return frame


class Changing(MediaStreamTrack):
    """Pictures of which each has another size, 20 a second; every third one is of no use."""

    kind = "video"

    def __init__(self, *, unusable: bool) -> None:
        super().__init__()
        self.number = 0
        self._unusable = unusable

    async def recv(self) -> VideoFrame:
        await asyncio.sleep(0.05)
        self.number += 1
        matrix = UNKNOWN_MATRIX if self._unusable and self.number % 3 == 0 else 2
        return picture(self.number, SIZES[self.number % len(SIZES)], matrix)


def sent_as(size: tuple[int, int]) -> tuple[int, int]:
    return max(2, size[0] & ~1), max(2, size[1] & ~1)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_call_follows_each_size_and_goes_on_after_what_is_of_no_use(codec: str) -> None:
    a, b = PeerConnection(), PeerConnection()
    track = Changing(unusable=True)
    async with closing(a, b):
        sender = a.addTrack(track)
        for transceiver in a.getTransceivers():
            known = RTCRtpSender.getCapabilities("video").codecs
            transceiver.setCodecPreferences([c for c in known if c.name == codec])
        await negotiate(a, b)
        await connected(a, b)
        seen: set[tuple[int, int]] = set()
        wanted = {sent_as(SIZES[n % len(SIZES)]) for n in range(1, 10) if n % 3}
        while not wanted <= seen:
            frame = await b.getReceivers()[0].track.recv()
            assert isinstance(frame, VideoFrame)
            seen.add((frame.width, frame.height))
            assert frame.color_range == ColorRange.MPEG
        stats = [s for s in (await sender.getStats()).values() if s.type == "outbound-rtp"]
        (outbound,) = stats
        assert isinstance(outbound, RTCOutboundRtpStreamStats)
        assert 0 < outbound.frames_refused <= track.number / 3
    track.stop()


async def test_many_viewers_get_each_size(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    track = Changing(unusable=True)
    fanout = EncodedFanout(track)
    viewer = fanout.subscribe(codec="VP8")
    seen: set[tuple[int, int]] = set()
    wanted = {sent_as(SIZES[n % len(SIZES)]) for n in range(1, 10) if n % 3}
    while not wanted <= seen:
        known = encoded(await viewer.recv())
        assert known is not None
        seen.add((known.width, known.height))
    assert sum(report.dropped for report in fanout.encoders) > 0
    assert "matrix 14" in caplog.text
    fanout.close()
    track.stop()


async def test_a_recording_goes_on_and_counts(tmp_path: Path) -> None:
    track = FedTrack()
    for number, size in enumerate(SIZES):
        track.feed(picture(number, size))
    track.feed(picture(99, (64, 64), UNKNOWN_MATRIX))
    track.feed(picture(100, (64, 64)))
    track.end()
    async with Recorder(tmp_path / "film.mkv", size=(64, 64)) as recorder:
        recorder.add_track(track)
        await recorder.wait()
        assert recorder.error is None
    assert recorder.dropped == 1
    with av.open(str(tmp_path / "film.mkv")) as container:
        stream = container.streams.video[0]
        shown = list(container.decode(stream))
        assert (stream.codec_context.color_range, stream.codec_context.colorspace) == (1, 6)
    assert len(shown) >= len(SIZES) + 1


async def test_a_recording_that_begins_with_what_is_of_no_use(tmp_path: Path) -> None:
    track = FedTrack()
    track.feed(picture(0, (64, 48), UNKNOWN_MATRIX), VideoFrame(0, 0, "yuv420p"))
    track.feed(picture(2, (64, 48)))
    track.end()
    async with Recorder(tmp_path / "film.mkv") as recorder:
        recorder.add_track(track)
        await recorder.wait()
    assert recorder.dropped == 2
    with av.open(str(tmp_path / "film.mkv")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (64, 48)
        assert next(container.decode(stream)).planes[0].buffer_size


async def test_arrays_of_each_size_and_on_after_what_is_of_no_use() -> None:
    track = FedTrack()
    for number, size in enumerate(SIZES):
        track.feed(picture(number, size))
    track.feed(picture(99, (64, 64), UNKNOWN_MATRIX), picture(100, (5, 7)))
    track.end()
    reader = frames(track, policy="wait")
    for width, height in SIZES:
        assert (await anext(reader)).shape == (height, width, 3)
    with pytest.raises(UnusablePicture, match="matrix 14"):
        await anext(reader)
    assert (await anext(reader)).shape == (7, 5, 3)
    with pytest.raises(StopAsyncIteration):
        await anext(reader)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["jpeg", "png"])
async def test_a_snapshot_has_the_size_of_its_picture(kind: str, size: tuple[int, int]) -> None:
    data = await snapshot(picture(0, size), format=kind)  # type: ignore[arg-type]
    with av.open(BytesIO(data), "r") as container:
        frame = next(container.decode(video=0))
        assert isinstance(frame, VideoFrame)
        assert (frame.width, frame.height) == size
        # 60 of limited range is 51 of full range.
        assert abs(int(frame.to_ndarray(format="rgb24")[0, 0, 0]) - 51) < 4


async def test_a_snapshot_of_what_is_of_no_use_says_so() -> None:
    with pytest.raises(SnapshotFailed, match="matrix 14"):
        await snapshot(picture(0, (64, 64), UNKNOWN_MATRIX))


async def test_a_generator_is_told_what_was_wrong() -> None:
    track = GeneratedVideo([picture(0, (64, 64), UNKNOWN_MATRIX)])
    with pytest.raises(Exception, match="ended"):
        await track.recv()
    assert isinstance(track.error, UnusablePicture)
    await track.aclose()

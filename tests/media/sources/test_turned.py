"""Films taken upright by a phone, everywhere where pictures are taken: shown as they are to be."""

import asyncio
import logging
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack
from av import VideoFrame
from numpy.typing import NDArray

from icefloe.encoding import PictureConverter, encoded
from icefloe.media import (
    EncodedFanout,
    EncodedSource,
    FileSource,
    GeneratedVideo,
    Recorder,
    frames,
    snapshot,
)
from icefloe.peer import PeerConnection
from tests.helpers.pairs import closing, connected, negotiate
from tests.media.tracks import FedTrack
from tests.media.turned import MARKED, TURNS, film, marked, turned


def grays(frame: VideoFrame) -> NDArray[np.int64]:
    return PictureConverter().convert(frame, "gray").to_ndarray().astype(np.int64)


def is_shown(pixels: NDArray[np.int64], name: str, tolerance: int = 8) -> bool:
    """Return whether the corners are those of a turned picture of any size."""
    expected = TURNS[name].expected(MARKED).astype(np.int64)
    wide, tall = pixels.shape[1] > pixels.shape[0], expected.shape[1] > expected.shape[0]
    inset = 3
    corners = [(y, x) for y in (inset, -inset) for x in (inset, -inset)]
    return wide == tall and all(abs(pixels[c] - expected[c]) < tolerance for c in corners)


@pytest.mark.parametrize("name", TURNS)
async def test_a_film_is_played_as_it_is_to_be_shown(tmp_path: Path, name: str) -> None:
    film(tmp_path / "film.mp4", [marked() for _ in range(5)], name)
    async with await FileSource.open(tmp_path / "film.mp4") as source:
        assert source.video is not None
        frame = await source.video.recv()
        assert isinstance(frame, VideoFrame)
    assert (frame.height, frame.width) == TURNS[name].expected(MARKED).shape
    assert frame.format.name == "yuv420p"
    assert is_shown(grays(frame), name)
    assert frame.rotation == 0
    assert frame.time == 0


@pytest.mark.parametrize("name", ["right", "upside down"])
async def test_frames_of_any_track_come_upright(name: str) -> None:
    track = FedTrack()
    track.feed(turned(marked(), name))
    track.end()
    (array,) = [array async for array in frames(track, format="gray")]
    assert array.shape == TURNS[name].expected(MARKED).shape
    assert is_shown(array.astype(np.int64), name)
    track = FedTrack()
    track.feed(turned(marked(), name))
    track.end()
    (array,) = [array async for array in frames(track, size=(30, 50))]
    assert array.shape == (50, 30, 3)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
async def test_a_snapshot_is_upright(kind: str) -> None:
    data = await snapshot(turned(marked(), "left"), format=kind)  # type: ignore[arg-type]
    with av.open(BytesIO(data), "r") as container:
        frame = next(container.decode(video=0))
    assert isinstance(frame, VideoFrame)
    assert is_shown(grays(frame), "left", 12)


async def test_a_recording_is_upright(tmp_path: Path) -> None:
    track = FedTrack()
    for _ in range(5):
        track.feed(turned(marked(), "right"))
    track.end()
    async with Recorder(tmp_path / "film.mkv") as recorder:
        recorder.add_track(track)
        await recorder.wait()
    with av.open(str(tmp_path / "film.mkv")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (40, 60)
        assert is_shown(grays(next(container.decode(stream))), "right", 25)


async def test_what_a_generator_makes_is_upright() -> None:
    track = GeneratedVideo([turned(marked(), "right")])
    frame = await track.recv()
    assert is_shown(grays(frame), "right")
    await track.aclose()


class Turned(MediaStreamTrack):
    """Pictures with a display matrix, 30 a second."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._number = 0

    async def recv(self) -> VideoFrame:
        await asyncio.sleep(1 / 30)
        frame = turned(marked(), "right")
        frame.pts = self._number * 33
        self._number += 1
        return frame


async def test_a_call_shows_it_upright() -> None:
    a, b = PeerConnection(), PeerConnection()
    track = Turned()
    async with closing(a, b):
        a.addTrack(track)
        await negotiate(a, b)
        await connected(a, b)
        while True:
            frame = await b.getReceivers()[0].track.recv()
            assert isinstance(frame, VideoFrame)
            assert (frame.width, frame.height) == (40, 60)
            if is_shown(grays(frame), "right", 25):
                break
    track.stop()


async def test_what_is_encoded_for_many_is_upright() -> None:
    track = Turned()
    fanout = EncodedFanout(track)
    packet = await fanout.subscribe(codec="VP8").recv()
    known = encoded(packet)
    assert known is not None
    assert (known.width, known.height) == (40, 60)
    fanout.close()
    track.stop()


@pytest.mark.parametrize("name", [None, "right"])
async def test_what_is_not_decoded_is_not_turned_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str | None
) -> None:
    caplog.set_level(logging.WARNING)
    film(tmp_path / "film.mp4", [marked() for _ in range(5)], name)
    async with await EncodedSource.open(tmp_path / "film.mp4") as source:
        assert source.video is not None
        packets = [await source.video.recv() for _ in range(5)]
    assert isinstance(packets[0], av.Packet)
    assert packets[0].is_keyframe
    assert [packet.pts for packet in packets] == [number * 3600 for number in range(5)]
    assert ("has a rotation" in caplog.text) is (name is not None)

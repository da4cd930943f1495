import asyncio
import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from icefloe.media import InvalidParameter, SnapshotFailed, snapshot
from tests.media.recordings import gray
from tests.media.tracks import FedTrack, tone


def decode(data: bytes) -> tuple[str, NDArray[Any]]:
    with av.open(io.BytesIO(data), "r") as container:
        frame = next(container.decode(video=0))
        assert isinstance(frame, av.VideoFrame)
        return container.streams.video[0].codec_context.name, frame.to_ndarray(format="rgb24")


@pytest.mark.parametrize(("name", "codec"), [("jpeg", "mjpeg"), ("png", "png")])
async def test_a_frame_is_encoded(name: str, codec: str) -> None:
    frame = gray(126, 7.0, (65, 47))
    found, pixels = decode(await snapshot(frame, format=name))  # type: ignore[arg-type]
    assert found == codec
    assert pixels.shape == (47, 65, 3)
    # Luma 126 is in the middle between black, 16, and white, 235.
    assert np.abs(pixels.astype(int) - 128).max() <= 3
    assert frame.time == 7.0


async def test_the_next_picture_of_a_track_goes_to_a_file(tmp_path: Path) -> None:
    track = FedTrack()
    track.feed(gray(126, 0.0))
    path = tmp_path / "shot.png"
    path.write_bytes(b"old")
    data = await snapshot(track, path)
    assert path.read_bytes() == data
    assert decode(data)[0] == "png"
    assert [p.name for p in tmp_path.iterdir()] == ["shot.png"]
    assert track.readyState == "live"


async def test_a_frame_that_others_hold_is_not_changed() -> None:
    frame = gray(126, 7.0).reformat(format="rgb24")
    frame.pts = 77
    await snapshot(frame, format="png")
    assert frame.pts == 77


async def test_a_lower_quality_is_smaller() -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (120, 160, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
    sizes = [len(await snapshot(frame, quality=quality)) for quality in (10, 50, 100)]
    assert sizes[0] * 1.5 < sizes[1] < sizes[2] / 1.5


async def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SnapshotFailed, match="No such file") as caught:
        await snapshot(gray(1, 0), tmp_path / "nowhere" / "shot.png")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    (tmp_path / "shot.png").mkdir()
    with pytest.raises(SnapshotFailed, match="directory"):
        await snapshot(gray(1, 0), tmp_path / "shot.png")
    assert [p.name for p in tmp_path.iterdir()] == ["shot.png"]


async def test_a_track_without_pictures_is_not_waited_for_in_vain() -> None:
    track = FedTrack()
    with pytest.raises(SnapshotFailed, match=r"in 0\.01 s"):
        await snapshot(track, timeout=0.01)
    waiting = asyncio.create_task(snapshot(track))
    track.end()
    with pytest.raises(SnapshotFailed, match="ended"):
        await waiting


async def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="format"):
        await snapshot(gray(1, 0), tmp_path / "shot.gif")
    with pytest.raises(InvalidParameter, match="quality"):
        await snapshot(gray(1, 0), quality=0)
    sound = FedTrack("audio")
    sound.feed(tone(0))
    with pytest.raises(InvalidParameter, match="video"):
        await snapshot(sound)

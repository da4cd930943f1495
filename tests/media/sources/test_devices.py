"""Devices: an X server that draws into memory, a microphone made of a file, and none at all."""

from array import array
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from icefloe.media import Camera, DeviceUnavailable, InvalidParameter, Microphone, Screen
from tests.helpers.xserver import x_server
from tests.media.files import LOUDNESS, played
from tests.media.tracks import threads, until


@pytest.mark.system("xvfb")
async def test_a_screen_and_a_part_of_it() -> None:
    async with x_server("-wr") as display:
        assert display in await Screen.available()
        async with await Screen.open(display, rate=30, cursor=False) as screen:
            assert screen.audio is None
            assert screen.video is not None
            times = []
            for _ in range(10):
                frame = await screen.video.recv()
                assert isinstance(frame, VideoFrame)
                assert (frame.width, frame.height) == (320, 240)
                rgb = frame.to_ndarray(format="rgb24")
                assert rgb.min() > 250
                times.append(frame.time)
            assert times == sorted(set(times))
        with pytest.raises(MediaStreamError):
            await screen.video.recv()
        part = await Screen.open(display, left=16, top=32, width=100, height=50)
        assert part.video is not None
        frame = await part.video.recv()
        assert isinstance(frame, VideoFrame)
        assert (frame.width, frame.height) == (100, 50)
        await part.aclose()
        assert not threads()


@pytest.mark.system("xvfb")
async def test_the_screen_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with x_server("-br") as display:
        monkeypatch.setenv("DISPLAY", display)
        async with await Screen.open(cursor=False) as screen:
            assert screen.path == display
            assert screen.video is not None
            frame = await screen.video.recv()
            assert isinstance(frame, VideoFrame)
            assert frame.to_ndarray(format="rgb24").max() < 5


@pytest.mark.system("xvfb")
async def test_a_screen_that_nobody_reads_for_a_while_shows_what_is_there_now() -> None:
    async with (
        x_server("-wr") as display,
        await Screen.open(display, rate=50, cursor=False) as screen,
    ):
        lane = played(screen.video).lane
        await until(lambda: lane.dropped > 20)
        assert lane.queued <= lane.capacity
        newest = lane.peek(lane.queued - 1)
        assert newest is not None
        assert screen.video is not None
        frame = await screen.video.recv()
        assert isinstance(frame, VideoFrame)
        assert frame.time >= newest.time


@pytest.mark.system("xvfb")
async def test_a_screen_that_goes_away_ends_the_track(caplog: pytest.LogCaptureFixture) -> None:
    async with x_server("-wr") as display:
        screen = await Screen.open(display, rate=30)
        assert screen.video is not None
        await screen.video.recv()
    with pytest.raises(MediaStreamError):
        while True:
            await screen.video.recv()
    assert screen.error is not None
    assert "the tracks end early" in caplog.text
    await screen.aclose()


async def test_a_microphone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "voice.raw").write_bytes(array("h", [LOUDNESS] * 2_000_000).tobytes())
    (tmp_path / "alsa.conf").write_text(
        f'pcm.voice {{ type file; slave.pcm {{ type null }}; file "/dev/null";'
        f' infile "{tmp_path / "voice.raw"}"; format raw }}\n'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "alsa.conf"))
    async with await Microphone.open("voice") as microphone:
        assert microphone.video is None
        assert microphone.audio is not None
        heard: set[int] = set()
        for _ in range(5):
            frame = await microphone.audio.recv()
            assert isinstance(frame, AudioFrame)
            assert (frame.format.name, frame.layout.name) == ("s16", "stereo")
            assert (frame.sample_rate, frame.samples) == (48000, 960)
            heard.update(array("h", bytes(frame.planes[0])))
        assert LOUDNESS in heard


OPENINGS: list[tuple[type, Callable[[], Coroutine[Any, Any, object]]]] = [
    (Camera, lambda: Camera.open("/dev/video77")),
    (Microphone, lambda: Microphone.open("hw:77,7")),
    (Screen, lambda: Screen.open(":77")),
]


@pytest.mark.parametrize(("kind", "opening"), OPENINGS)
async def test_an_error_tells_what_there_is(
    kind: Any, opening: Callable[[], Coroutine[Any, Any, object]]
) -> None:
    with pytest.raises(DeviceUnavailable) as caught:
        await opening()
    error = caught.value
    assert error.available == await kind.available()
    assert error.path in str(error)
    for name in error.available:
        assert name in str(error)
    assert error.available or "no such device" in str(error)


async def test_the_list_is_in_the_sentence() -> None:
    error = DeviceUnavailable("/dev/video1", "no such device", {"/dev/video0": "Front", ":1": ""})
    assert "This machine has '/dev/video0' (Front), ':1'" in str(error)


async def test_without_a_camera_or_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(DeviceUnavailable) as caught:
        await Screen.open()
    assert "DISPLAY" in str(caught.value)
    if not await Camera.available():
        with pytest.raises(DeviceUnavailable):
            await Camera.open()
    for wrong in ({"width": 5}, {"height": 5}, {"width": 0, "height": 5}, {"rate": 0}):
        with pytest.raises(InvalidParameter):
            await Screen.open(":77", **wrong)  # type: ignore[arg-type]

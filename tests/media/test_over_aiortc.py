"""The tracks of this package through two peer connections of aiortc, with its real codecs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection
from aiortc.rtcconfiguration import RTCBundlePolicy
from av import VideoFrame

from icefloe.media import (
    Fanout,
    FileSource,
    LatestFrame,
    Recorder,
    TestPatternTrack,
    ToneTrack,
    TransformTrack,
)
from tests.media.files import make
from tests.media.recordings import read
from tests.media.tracks import Counted, numbers, threads, until


@asynccontextmanager
async def call(*tracks: MediaStreamTrack | None) -> AsyncIterator[list[LatestFrame]]:
    """Send the tracks from one peer to another; give what arrives there."""
    configuration = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
    sending, receiving = RTCPeerConnection(configuration), RTCPeerConnection(configuration)
    arrived: list[LatestFrame] = []
    receiving.on("track", lambda track: arrived.append(LatestFrame(track)))
    for track in tracks:
        assert track is not None
        sending.addTrack(track)
    try:
        await sending.setLocalDescription(await sending.createOffer())
        await receiving.setRemoteDescription(sending.localDescription)
        await receiving.setLocalDescription(await receiving.createAnswer())
        await sending.setRemoteDescription(receiving.localDescription)
        yield arrived
    finally:
        await asyncio.gather(sending.close(), receiving.close())
        for latest in arrived:
            latest.stop()


async def test_a_file_is_sent_with_sound_and_a_changed_picture(tmp_path: Path) -> None:
    def halve(frame: VideoFrame) -> VideoFrame:
        return frame.reformat(frame.width // 2, frame.height // 2)

    path = make(
        tmp_path / "film.mp4", frames=30, audio=Fraction(1), codec="libx264", audio_codec="aac"
    )
    source = await FileSource.open(path, loop=True)
    assert source.video is not None
    picture = TransformTrack(source.video, halve)
    async with call(source.audio, picture) as arrived:
        sound, image = arrived
        for _ in range(10):
            await sound.recv()
            frame = await image.recv()
            assert isinstance(frame, VideoFrame)
            assert (frame.width, frame.height) == (80, 60)
    # A sender of aiortc stops its track, and with the last track the thread of the file ends.
    await until(lambda: source.video is not None and source.video.readyState == "ended")
    await until(lambda: not threads("icefloe-file"))


async def test_one_source_is_sent_to_two_peers_and_outlives_the_first() -> None:
    pattern = TestPatternTrack(160, 120)
    fanout = Fanout(pattern)
    second = fanout.subscribe()
    async with call(second) as (kept, *_):
        async with call(fanout.subscribe()) as (dropped, *_):
            await asyncio.gather(kept.recv(), dropped.recv())
        await until(lambda: fanout.subscribers == 1)
        positions: set[int] = set()
        while len(positions) < 5:
            frame = await kept.recv()
            assert isinstance(frame, VideoFrame)
            positions.add(mark_position(frame))
        assert pattern.readyState == "live"
    await until(lambda: pattern.readyState == "ended")
    assert await numbers(second) == []


async def test_what_a_peer_sends_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "call.mkv"
    sound, pictures = ToneTrack(level=-6), TestPatternTrack(160, 120)
    async with call(sound, pictures) as arrived, Recorder(path) as recorder:
        tracks = [Counted(track) for track in arrived]
        for track in tracks:
            recorder.add_track(track, participant="alice")
        await until(lambda: min(track.seconds for track in tracks) >= 1.5)
    recording = read(path)
    assert recording.seconds > 1
    assert recording.loud(recording.seconds - 0.8, recording.seconds - 0.1) > 0.9
    assert {size for _, size, _ in recording.pictures} == {(160, 120)}
    assert len(recording.pictures) > 20
    # A machine that stands still for a while makes packets late: those are counted as lost.
    assert recorder.dropped == 0
    assert recorder.lost_audio <= 0.1


def mark_position(frame: VideoFrame) -> int:
    """Return where the moving mark begins, in pixels from the left."""
    plane = frame.planes[0]
    strip = bytes(plane)[(frame.height - 3) * plane.line_size :][: frame.width]
    return strip.index(max(strip))

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
)
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.opus import OpusEncoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcconfiguration import RTCBundlePolicy
from av import AudioFrame, Packet, VideoFrame

from icefloe.media import EncodedSource, LatestFrame, SourceUnreadable
from tests.helpers.xserver import x_server
from tests.media.files import make
from tests.media.manual_clock import ManualClock
from tests.media.servers import http

START = b"\x00\x00\x00\x01"


async def read(track: MediaStreamTrack | None, limit: int = 10_000) -> list["Packet[Any]"]:
    assert track is not None
    packets: list[Packet[Any]] = []
    try:
        while len(packets) < limit:
            packet = await track.recv()
            assert isinstance(packet, Packet)
            packets.append(packet)
    except MediaStreamError:
        pass
    return packets


def given(path: Path, kind: str) -> list[bytes]:
    """Return the packets of a file as they are in it."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [bytes(p) for p in container.demux(stream) if p.size]


def units(data: bytes, *, lengths: bool) -> list[bytes]:
    """Return the NAL units of a picture, with lengths before them or start codes."""
    if not lengths:
        return [
            u.rstrip(b"\0") for u in data.replace(b"\0" + START[1:], START[1:]).split(START[1:])
        ][1:]
    found = []
    while data:
        size = int.from_bytes(data[:4])
        found.append(data[4 : 4 + size].rstrip(b"\0"))
        data = data[4 + size :]
    return found


@pytest.mark.parametrize(
    ("name", "codec", "audio_codec", "codecs"),
    [
        ("film.webm", "libvpx", "libopus", {"video": "VP8", "audio": "opus"}),
        ("film.mkv", "libx264", "libopus", {"video": "H264", "audio": "opus"}),
        ("film.mp4", "libx264", "libopus", {"video": "H264", "audio": "opus"}),
        ("film.ts", "libx264", "libopus", {"video": "H264", "audio": "opus"}),
    ],
)
@pytest.mark.parametrize("remote", [False, True])
async def test_every_packet_comes_in_time_and_unchanged(
    tmp_path: Path, name: str, codec: str, audio_codec: str, codecs: dict[str, str], remote: bool
) -> None:
    path = make(
        tmp_path / name,
        frames=60,
        audio=Fraction(2),
        codec=codec,
        audio_codec=audio_codec,
        keys=15,
    )
    async with http(tmp_path) as server:
        opened = server.url(name) if remote else path
        clock = ManualClock()
        async with await EncodedSource.open(opened, clock=clock) as source:
            assert source.codecs == codecs
            start = clock.now()
            video = await read(source.video)
            assert clock.now() - start == pytest.approx(59 / 30, abs=0.03)
            assert source.error is None
        async with await EncodedSource.open(opened, clock=ManualClock()) as source:
            audio = await read(source.audio)
    assert [bytes(p) for p in audio] == given(path, "audio")
    assert [float(p.pts * p.time_base) for p in audio if p.pts is not None and p.time_base] == (
        pytest.approx([n / 50 for n in range(len(audio))], abs=0.03)
    )
    assert [p.is_keyframe for p in video] == [n % 15 == 0 for n in range(60)]
    times = [float(p.pts * p.time_base) for p in video if p.pts is not None and p.time_base]
    assert times == pytest.approx([n / 30 for n in range(60)], abs=0.03)
    if codecs["video"] == "VP8":
        assert [bytes(p) for p in video] == given(path, "video")
        return
    for packet, original in zip(video, given(path, "video"), strict=True):
        data = bytes(packet)
        assert data.startswith((START, START[1:]))
        sent = units(data, lengths=False)
        kinds = [unit[0] & 31 for unit in sent]
        # A key frame has its parameter sets with it, so that a decoder can begin there.
        assert (7 in kinds and 8 in kinds) == packet.is_keyframe
        for unit in units(original, lengths=name != "film.ts"):
            assert unit in sent


async def test_a_loop_has_growing_times_and_begins_with_a_key_frame(tmp_path: Path) -> None:
    path = make(tmp_path / "film.webm", frames=15, audio=Fraction(1, 2))
    async with await EncodedSource.open(path, loop=True, clock=ManualClock()) as source:
        packets = await read(source.video, 150)
    stamps = [p.pts for p in packets if p.pts is not None]
    assert all(2000 < b - a < 5000 for a, b in itertools.pairwise(stamps))
    assert [n for n, p in enumerate(packets) if p.is_keyframe] == list(range(0, 150, 15))


async def test_a_jump_begins_with_the_key_frame_before(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mkv", frames=90, codec="libx264", keys=30)
    async with await EncodedSource.open(path, clock=ManualClock()) as source:
        before = await read(source.video, 10)
        source.seek(1.5)
        packets = await read(source.video)
        assert packets[0].is_keyframe
        assert len(packets) == 60
        last, first = before[-1].pts, packets[0].pts
        assert last is not None
        assert first is not None
        assert 0 < first - last < 9000
        assert source.position == pytest.approx(89 / 30, abs=0.01)


async def test_what_cannot_be_sent_as_it_is(tmp_path: Path) -> None:
    path = make(
        tmp_path / "film.mkv", frames=10, audio=Fraction(1), codec="mpeg4", audio_codec="aac"
    )
    with pytest.raises(SourceUnreadable) as caught:
        await EncodedSource.open(path)
    assert "mpeg4" in caught.value.reason
    assert "aac" in caught.value.reason
    path = make(
        tmp_path / "film.mp4", frames=10, audio=Fraction(1), codec="libx264", audio_codec="aac"
    )
    async with await EncodedSource.open(path, clock=ManualClock()) as source:
        assert source.audio is None
        assert source.codecs == {"video": "H264"}
        assert len(await read(source.video)) == 10


async def test_a_bare_stream_that_tells_no_time(tmp_path: Path) -> None:
    path = make(tmp_path / "film.h264", frames=30, codec="libx264", keys=10)
    path = path.rename(tmp_path / "film")
    clock = ManualClock()
    async with await EncodedSource.open(path, format="h264", clock=clock) as source:
        start = clock.now()
        packets = await read(source.video)
        assert source.codecs == {"video": "H264"}
        # FFmpeg takes such a stream to have 25 pictures a second.
        assert clock.now() - start == pytest.approx(29 / 25, abs=0.3)
    assert len(packets) == 30
    assert [p.is_keyframe for p in packets] == [n % 10 == 0 for n in range(30)]
    stamps = [p.pts for p in packets if p.pts is not None]
    assert all(b > a for a, b in itertools.pairwise(stamps))


@pytest.mark.system("xvfb")
async def test_a_device_that_does_not_encode() -> None:
    async with x_server() as display:
        with pytest.raises(SourceUnreadable) as caught:
            await EncodedSource.open(display, format="x11grab")
    assert caught.value.reason == "rawvideo cannot be sent without transcoding"


async def test_b_frames_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make(tmp_path / "film.mkv", frames=30, codec="libx264", b_frames=2)
    with caplog.at_level(logging.WARNING):
        async with await EncodedSource.open(path, clock=ManualClock()) as source:
            assert len(await read(source.video)) == 30
    assert caplog.text.count("B-frames") == 1


@asynccontextmanager
async def call(source: EncodedSource) -> AsyncIterator[list[LatestFrame]]:
    """Send a source to another peer, in its own codecs; give what arrives there."""
    configuration = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
    sending, receiving = RTCPeerConnection(configuration), RTCPeerConnection(configuration)
    arrived: list[LatestFrame] = []
    receiving.on("track", lambda track: arrived.append(LatestFrame(track, keep=500)))
    for track in (source.audio, source.video):
        assert track is not None
        sending.addTrack(track)
    for transceiver in sending.getTransceivers():
        capable = RTCRtpSender.getCapabilities(transceiver.kind)
        assert capable == RTCRtpReceiver.getCapabilities(transceiver.kind)
        name = source.codecs[transceiver.kind]
        transceiver.setCodecPreferences(
            [c for c in capable.codecs if c.mimeType.lower().endswith("/" + name.lower())]
        )
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


def pixels(frame: VideoFrame) -> bytes:
    plane = frame.planes[0]
    data = bytes(plane)
    return b"".join(data[y * plane.line_size :][: frame.width] for y in range(0, frame.height, 5))


@pytest.mark.parametrize(("name", "codec"), [("film.webm", "libvpx"), ("film.mp4", "libx264")])
async def test_over_a_connection_nothing_is_encoded_and_every_pixel_is_the_same(
    tmp_path: Path, name: str, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nothing is to be encoded")

    for encoder in (H264Encoder, Vp8Encoder, OpusEncoder):
        monkeypatch.setattr(encoder, "encode", refuse)
    path = make(
        tmp_path / name,
        frames=60,
        audio=Fraction(2),
        codec=codec,
        audio_codec="libopus",
        size=(320, 240),
        keys=30,
    )
    with av.open(str(path)) as container:
        expected = [pixels(frame) for frame in container.decode(video=0)]
    async with await EncodedSource.open(path, loop=True) as source, call(source) as arrived:
        sound, image = arrived
        seen: list[bytes] = []
        for _ in range(75):
            frame = await image.recv()
            assert isinstance(frame, VideoFrame)
            seen.append(pixels(frame))
        assert isinstance(await sound.recv(), AudioFrame)
    first = expected.index(seen[0])
    assert seen == [expected[(first + n) % 60] for n in range(75)]


async def test_pictures_in_decoding_order_come_evenly_with_the_times_of_their_showing(
    tmp_path: Path,
) -> None:
    path = make(tmp_path / "film.mkv", frames=60, codec="libx264", b_frames=2)
    clock, came, shown = ManualClock(), [], []
    async with await EncodedSource.open(path, clock=clock) as source:
        assert source.video is not None
        for _ in range(60):
            packet = await source.video.recv()
            assert packet.pts is not None
            came.append(clock.now())
            shown.append(packet.pts)
    assert sorted(shown) == pytest.approx([n * 3000 for n in range(60)], abs=90)
    assert shown != sorted(shown)
    # Not in bursts: containers do not tell of the first few when they are to be decoded.
    steps = [b - a for a, b in itertools.pairwise(came[6:-3])]
    assert steps == pytest.approx([1 / 30] * len(steps), abs=0.005)
    assert min(at - pts / 90000 for at, pts in zip(came, shown, strict=True)) == pytest.approx(
        came[0] - shown[0] / 90000, abs=0.1
    )

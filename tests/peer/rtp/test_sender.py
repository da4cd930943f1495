"""Senders over real connections: limits, tracks that come and go, repair, statistics."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from aiortc import MediaStreamTrack, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtcpPsfbPacket, pack_remb_fci
from av import VideoFrame
from av.packet import Packet

from icefloe.encoding import VideoEncoder
from icefloe.media import EncodedSource, TestPatternTrack, ToneTrack
from icefloe.peer import (
    InvalidParameters,
    PeerConnection,
    RTCRtpEncodingParameters,
    RTCRtpSendParameters,
    TrackNotSent,
)
from icefloe.peer._aiortc import Sender
from icefloe.peer.rtp.send.frame_rate import FrameRateLimit
from tests.helpers.hops import hop, until_loud
from tests.helpers.loss import losing
from tests.helpers.pairs import closing, negotiate
from tests.media.files import make as make_film

H264 = "video/H264"


class PlainTrack(MediaStreamTrack):
    """A flat picture, as fast as 100 a second; its brightness can be seen at the other side."""

    kind = "video"

    def __init__(self, luma: int = 200, size: tuple[int, int] = (320, 180)) -> None:
        super().__init__()
        self.luma, self.size, self.number = luma, size, 0
        self.last: int | None = None
        self.enabled = True

    async def recv(self) -> VideoFrame:
        if self.number == self.last or self.readyState == "ended":
            self.stop()
            raise MediaStreamError("it has ended")
        await asyncio.sleep(0.01)
        frame = VideoFrame(*self.size, "yuv420p")
        for index, plane in enumerate(frame.planes):
            plane.update(bytes([128 if index else self.luma]) * plane.buffer_size)
        frame.pts, frame.time_base = self.number * 900, Fraction(1, 90000)
        self.number += 1
        return frame


class PacketTrack(MediaStreamTrack):
    """The same, encoded, without a word about what it is."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._pictures = PlainTrack()
        self._encoder = VideoEncoder("VP8")

    async def recv(self) -> "Packet[Any]":
        frame = await self._pictures.recv()
        (made,) = self._encoder.encode(frame, key_frame=(frame.pts or 0) % 45000 == 0)
        packet: Packet[Any] = Packet(bytes(made))
        packet.pts, packet.time_base = frame.pts, Fraction(1, 90000)
        packet.is_keyframe = made.is_keyframe
        return packet


@asynccontextmanager
async def sending(
    track: MediaStreamTrack, *, codec: str = "", other: str = "icefloe"
) -> AsyncIterator[tuple[Sender, MediaStreamTrack, PeerConnection, RTCPeerConnection]]:
    """Send a track; give the sender, what arrives, and both connections."""
    async with hop(track, sink=other, codec=codec) as (arriving, source, sink):
        sender = source.getSenders()[0]
        assert isinstance(sender, Sender) and isinstance(source, PeerConnection)
        yield sender, arriving, source, sink
    track.stop()


def limits(**values: Any) -> RTCRtpSendParameters:
    return RTCRtpSendParameters(encodings=[RTCRtpEncodingParameters(**values)])


async def picture(track: MediaStreamTrack) -> VideoFrame:
    frame = await track.recv()
    assert isinstance(frame, VideoFrame)
    return frame


async def until_luma(track: MediaStreamTrack, wanted: int) -> None:
    """Wait until pictures are as bright as this; the test's time limit holds."""
    while abs(bytes((await picture(track)).planes[0])[0] - wanted) > 6:
        pass


# --- parameters


@pytest.mark.parametrize("other", ["icefloe", "aiortc"])
@pytest.mark.parametrize("codec", ["video/VP8", H264])
async def test_size_and_pause_are_changed_while_it_runs(codec: str, other: str) -> None:
    async with sending(PlainTrack(), codec=codec, other=other) as (sender, arriving, *_):
        assert (await picture(arriving)).width == 320
        await sender.setParameters(limits(scaleResolutionDownBy=2.0))
        while (frame := await picture(arriving)).width != 160:
            assert frame.width == 320
        await sender.setParameters(limits(active=False))
        sent = sender.outgoing.frames
        while sender.outgoing.frames != sent:
            sent = sender.outgoing.frames
        reading = asyncio.ensure_future(arriving.recv())
        await sender.setParameters(limits())
        await reading
        while (await picture(arriving)).width != 320:
            pass


async def test_the_limits_are_what_was_set_and_a_copy() -> None:
    async with sending(PlainTrack()) as (sender, *_):
        assert sender.getParameters() == RTCRtpSendParameters()
        given = limits(maxBitrate=300_000, maxFramerate=10)
        await sender.setParameters(given)
        given.encodings[0].maxBitrate = 1
        assert sender.getParameters() == limits(maxBitrate=300_000, maxFramerate=10)
        assert sender.outgoing.packets.target_bitrate() == 300_000


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        (RTCRtpSendParameters(encodings=[]), "encodings"),
        (limits(scaleResolutionDownBy=0.5), "scaleResolutionDownBy"),
        (limits(scaleResolutionDownBy=float("nan")), "scaleResolutionDownBy"),
        (limits(maxFramerate=0), "maxFramerate"),
        (limits(maxBitrate=-1), "maxBitrate"),
    ],
)
async def test_limits_that_make_no_sense_change_nothing(
    parameters: RTCRtpSendParameters, field: str
) -> None:
    pc = PeerConnection()
    async with closing(pc):
        sender = pc.addTransceiver("video").sender
        assert isinstance(sender, Sender)
        with pytest.raises(InvalidParameters, match=field) as caught:
            await sender.setParameters(parameters)
        assert caught.value.field == field
        assert sender.getParameters() == RTCRtpSendParameters()


@pytest.mark.parametrize(("rate", "taken"), [(None, 300), (30, 300), (10, 100), (0.5, 5)])
def test_the_frame_rate_is_thinned_evenly(rate: float | None, taken: int) -> None:
    limit = FrameRateLimit()
    times = [number / 30 for number in range(300) if limit.takes(number / 30, rate)]
    assert len(times) == taken
    gaps = {round(b - a, 3) for a, b in itertools.pairwise(times)}
    assert len(gaps) == 1


def test_times_that_begin_again_do_not_stop_the_pictures() -> None:
    limit = FrameRateLimit()
    assert limit.takes(1000.0, 10)
    assert limit.takes(0.0, 10)
    assert not limit.takes(0.03, 10)


# --- tracks


async def test_tracks_are_replaced_without_negotiation_and_live_on() -> None:
    first, second = PlainTrack(200), PlainTrack(60, size=(160, 90))
    async with sending(first) as (sender, arriving, source, _):
        needed: list[bool] = []
        source.on("negotiationneeded", lambda: needed.append(True))
        await until_luma(arriving, 200)
        sender.replaceTrack(second)
        await until_luma(arriving, 60)
        sender.replaceTrack(None)
        sender.replaceTrack(first)
        await until_luma(arriving, 200)
        with pytest.raises(TypeError, match="audio"):
            sender.replaceTrack(ToneTrack())
        assert needed == []
    assert second.readyState == "live"
    second.stop()


async def test_closing_leaves_the_track_to_the_application() -> None:
    track = PlainTrack()
    source, sink = PeerConnection(), PeerConnection()
    async with closing(source, sink):
        source.addTrack(track)
        await negotiate(source, sink)
        await sink.getReceivers()[0].track.recv()
    assert track.readyState == "live"
    await track.recv()


async def test_a_sender_outlives_its_track() -> None:
    short = PlainTrack()
    async with sending(short) as (sender, arriving, *_):
        await picture(arriving)
        short.last = short.number + 3
        while short.readyState != "ended":
            await asyncio.sleep(0.01)
        sender.replaceTrack(PlainTrack(60))
        await until_luma(arriving, 60)


async def test_a_track_that_is_not_enabled_is_black() -> None:
    track = PlainTrack(200)
    async with sending(track) as (_, arriving, *_rest):
        await until_luma(arriving, 200)
        track.enabled = False
        await until_luma(arriving, 16)
        track.enabled = True
        await until_luma(arriving, 200)


async def test_encoded_pictures_of_a_stranger_are_sent_as_they_are() -> None:
    async with sending(PacketTrack(), codec="video/VP8") as (sender, arriving, *_):
        await until_luma(arriving, 200)
        assert sender.outgoing.frames_encoded == 0
        assert sender.outgoing.implementation == ""


async def test_an_encoded_source_is_not_sent_as_another_codec(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mkv", frames=30, codec="libx264")
    async with await EncodedSource.open(film, loop=True) as source:
        assert source.video is not None
        async with hop(source.video, codec="video/VP8") as (_, near, _far):
            told = asyncio.Queue[TrackNotSent]()
            near.on("senderror", told.put_nowait)
            assert "its codec H264 was not negotiated, only VP8" in str(await told.get())


async def test_sound_arrives_too() -> None:
    tone = ToneTrack(level=-10)
    async with sending(tone, other="aiortc") as (_, arriving, *_rest):
        await until_loud(arriving)


# --- what the other side says


async def test_a_lost_picture_brings_a_key_frame_and_is_counted() -> None:
    async with sending(TestPatternTrack(320, 180), codec=H264) as (sender, arriving, _, sink):
        await picture(arriving)
        receiver: Any = sink.getReceivers()[0]
        before = sender.outgoing.key_frames
        for _ in range(5):  # a burst
            await receiver._send_rtcp_pli(sender.outgoing.stream.ssrc)
        while sender.outgoing.key_frames == before:
            await picture(arriving)
        frames = sender.outgoing.frames
        while sender.outgoing.frames < frames + 15:
            await picture(arriving)
        assert sender.outgoing.key_frames <= before + 2
        assert sender.outgoing.requests["pli"] >= 5


@pytest.mark.system("netns", "nftables")
async def test_what_gets_lost_is_sent_again() -> None:
    async with sending(TestPatternTrack(640, 360), codec=H264) as (sender, arriving, *_):
        await picture(arriving)
        with losing(0.05):
            while sender.outgoing.stream.retransmitted_packets < 10:
                await picture(arriving)
        report = await sender.getStats()
        (stats,) = (s for s in report.values() if s.type == "outbound-rtp")
        assert stats.retransmittedPacketsSent >= 10
        assert stats.nackCount >= 1


async def test_the_estimate_of_the_other_side_is_followed() -> None:
    # Plain aiortc sends REMB, but no transport-wide feedback.
    track = TestPatternTrack(320, 180)
    async with sending(track, codec=H264, other="aiortc") as (sender, arriving, _, sink):
        while sender.outgoing.packets.measured_bitrate() is None:
            await picture(arriving)
        receiver: Any = sink.getReceivers()[0]
        estimate = pack_remb_fci(50_000, [sender.outgoing.stream.ssrc])
        while sender.outgoing.packets.target_bitrate() is None:
            await receiver._send_rtcp(RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=estimate))
            await picture(arriving)
        assert sender.outgoing.packets.target_bitrate() in range(49_000, 51_000)


async def test_the_statistics_have_the_names_of_w3c() -> None:
    async with sending(TestPatternTrack(320, 180), codec=H264) as (sender, arriving, source, _):
        while sender.outgoing.frames < 5:
            await picture(arriving)
        report = await source.getStats()
        (stats,) = (s for s in report.values() if s.type == "outbound-rtp")
        assert stats.encoderImplementation == "libx264"
        assert stats.powerEfficientEncoder is False
        assert (stats.frameWidth, stats.frameHeight) == (320, 180)
        assert stats.framesSent >= stats.framesEncoded - 1 >= 4
        assert stats.keyFramesEncoded >= 1
        assert stats.active
        assert stats.mid == "0"
        assert stats.packetsSent >= 5
        assert stats.totalPacketSendDelay == sender.outgoing.packets.send_delay

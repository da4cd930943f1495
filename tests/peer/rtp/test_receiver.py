"""Reception over real connections: heard through loss, in time, bounded, soon over."""

import asyncio
import math
import random
import threading
import time
from array import array
from collections.abc import Callable
from copy import copy
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from aiortc import AudioStreamTrack, RTCPeerConnection, RTCRtpSender, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from icefloe.peer import PeerConnection, RemoteTrack, RTCInboundRtpStreamStats
from icefloe.peer._aiortc import DtlsTransport, Receiver, transport_stats
from icefloe.peer.rtp.receive.audio_playout import AudioPlayout
from tests.helpers.calls import eventually
from tests.helpers.loss import losing
from tests.helpers.pairs import closing, connected, make, negotiate
from tests.peer.rtp.test_loss_repair import is_media, make_lossy
from tests.peer.rtp.test_opus_decoder import speech


class Tone(AudioStreamTrack):
    """A tone in stereo, 20 ms each 20 ms."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()
        self._number = 0

    async def recv(self) -> AudioFrame:
        await asyncio.sleep(self._began + self._number * 0.02 - time.monotonic())
        at = range(self._number * 960, (self._number + 1) * 960)
        wave = [round(8000 * math.sin(2 * math.pi * 440 * i / 48000)) for i in at]
        frame = AudioFrame("s16", "stereo", 960)
        frame.planes[0].update(array("h", [s for s in wave for _ in range(2)]).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = 48000, at.start, Fraction(1, 48000)
        self._number += 1
        return frame


class Voice(Tone):
    """Syllables, as far as libopus can tell."""

    async def recv(self) -> AudioFrame:
        await super().recv()
        return speech(self._number - 1)


def remote(connection: RTCPeerConnection, kind: str = "audio") -> RemoteTrack:
    track = next(r.track for r in connection.getReceivers() if r.track.kind == kind)
    assert isinstance(track, RemoteTrack)
    return track


def receiver(connection: RTCPeerConnection) -> Receiver:
    (found,) = connection.getReceivers()
    assert isinstance(found, Receiver)
    return found


def samples(frame: AudioFrame | VideoFrame) -> "array[int]":
    assert isinstance(frame, AudioFrame)
    return array("h", bytes(frame.planes[0])[: 4 * frame.samples])


@pytest.mark.alone
async def test_a_lost_packet_is_concealed_and_time_goes_on() -> None:
    a, b = PeerConnection(), PeerConnection()
    left = 1000

    def loses(packet: bytes) -> bool:
        nonlocal left
        left -= is_media(packet)
        return is_media(packet) and left == 0

    async with closing(a, b):
        a.addTrack(Tone())
        await negotiate(a, b)
        track = remote(b)
        await connected(a, b)
        await track.recv()
        make_lossy(a, loses)
        left = 30
        frames = [await track.recv() for _ in range(60)]
        stats = receiver(b).audio_stats
        assert stats is not None
        assert left < 0
        assert stats.concealedSamples >= 960
        assert stats.totalSamplesReceived >= 60 * 960
        # It sounds on where the packet is missing.
        assert all(max(samples(frame)) > 2000 for frame in frames[10:])
        pts = [frame.pts or 0 for frame in frames]
        assert pts == list(range(pts[0], pts[0] + 60 * 960, 960))


async def test_the_estimator_of_the_bandwidth_is_made_with_the_first_packet() -> None:
    a, b = RTCPeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(VideoStreamTrack())
        await negotiate(a, b)
        assert receiver(b)._private["remote_bitrate_estimator"] is None
        await remote(b, "video").recv()
        estimator = receiver(b)._private["remote_bitrate_estimator"]
        assert list(estimator.ssrcs) == [receiver(b).source]


async def test_statistics_tell_what_was_heard() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(Tone())
        a.addTrack(VideoStreamTrack())
        await negotiate(a, b)
        audio, video = remote(b), remote(b, "video")
        for _ in range(50):
            await audio.recv()
        await video.recv()
        # Where the sender stood still, sound was made up: there may be fewer packets than frames.
        while (heard := (await inbound(b))["audio"]).packetsReceived < 50:
            await audio.recv()
        seen = (await inbound(b))["video"]
        assert heard.totalSamplesReceived is not None
        assert heard.totalSamplesReceived >= 50 * 960
        assert heard.jitterBufferDelay is not None
        assert heard.jitterBufferTargetDelay is not None
        assert heard.jitterBufferEmittedCount
        # In the mean a sample waits for less than the 0.5 s that would be cut off.
        assert 0 < heard.jitterBufferDelay / heard.jitterBufferEmittedCount < 0.5
        assert 0.02 <= heard.jitterBufferTargetDelay / heard.jitterBufferEmittedCount < 0.5
        assert heard.concealedSamples is not None
        assert heard.insertedSamplesForDeceleration is not None
        made_up = heard.concealedSamples + heard.insertedSamplesForDeceleration
        assert heard.packetsReceived * 960 >= heard.totalSamplesReceived - made_up
        assert (heard.fecPacketsReceived, heard.framesDropped) == (0, None)
        assert (seen.totalSamplesReceived, seen.framesDropped) == (None, video.dropped)


async def test_who_plays_aiortc_s_own_audio_hears_it() -> None:
    a, b = make("aiortc"), PeerConnection()
    async with closing(a, b):
        a.addTrack(Tone())
        await negotiate(a, b)
        track = remote(b)
        frames = [await track.recv() for _ in range(20)]
        assert max(max(samples(frame)) for frame in frames[-5:]) > 7000


async def test_in_band_fec_is_asked_for_and_numbers_stay() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(Tone())
        await negotiate(a, b)
        for connection in (a, b):
            assert "useinbandfec=1" in connection.localDescription.sdp
        lines = [x for x in a.localDescription.sdp.splitlines() if x.startswith("a=rtpmap")]
        again = (await a.createOffer()).sdp
        assert [x for x in again.splitlines() if x.startswith("a=rtpmap")] == lines


@pytest.mark.alone
@pytest.mark.system("netns", "nftables")
async def test_a_sender_that_is_told_of_losses_repeats_what_may_be_lost() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(Voice())
        await negotiate(a, b)
        track = remote(b)
        await connected(a, b)
        await track.recv()
        with losing(0.1):
            stats = receiver(b).audio_stats
            assert stats is not None
            while stats.fecPacketsReceived < 20:
                assert max(samples(await track.recv())) >= 0
        assert stats.concealedSamples < stats.totalSamplesReceived / 2


async def test_frames_are_on_the_clock_of_their_sender() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(Tone())
        a.addTrack(VideoStreamTrack())
        await negotiate(a, b)
        audio, video = remote(b), remote(b, "video")
        times: dict[str, float] = {}
        for track in (audio, video):
            while (at := track.capture_time(await track.recv())) is None:
                pass
            times[track.kind] = at
        # The sender is this very process: its clock is time.time().
        now = time.time()
        assert all(now - 5 < at < now + 0.1 for at in times.values())
        assert audio.capture_time(AudioFrame("s16", "stereo", 960)) is None


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_a_track_that_nobody_reads_grows_nothing(kind: str) -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(Tone() if kind == "audio" else VideoStreamTrack())
        await negotiate(a, b)
        track = remote(b, kind)
        while track.dropped < 10:
            await asyncio.sleep(0.02)
        assert len(track.frames) <= 50
        first = await track.recv()
        assert len(track.frames) <= 5
        assert first.pts is not None
        assert first.time_base is not None
        assert first.pts * first.time_base > 0.1


@pytest.mark.alone
async def test_sound_that_nobody_hears_is_not_decoded_and_a_late_listener_is_in_time() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(Tone())
        await negotiate(a, b)
        track = remote(b)
        await track.recv()
        decoding = receiver(b).decoding
        assert isinstance(decoding, AudioPlayout)
        for _ in range(2):
            await eventually(lambda: decoding.is_paused)
            assert len(track.frames) == 0
            stats = copy(decoding.stats)
            before = await packets(b)
            while await packets(b) < before + 100:
                await asyncio.sleep(0.05)
            assert decoding.stats == stats  # nothing was decoded, and nothing made up
            came = time.time()
            frames = [await track.recv() for _ in range(25)]
            captured = track.capture_time(frames[0])
            # What was decoded last is 2 s older than that.
            assert captured is not None and came - 1.5 < captured
            assert sum(max(samples(frame)) > 7000 for frame in frames) > 12
            pts = [frame.pts or 0 for frame in frames]
            # Where the machine is too busy to play it in time, some of it is skipped.
            assert all(b > a and (b - a) % 960 == 0 for a, b in pairwise(pts))
            assert pts[-1] - pts[0] < 2 * 25 * 960
            assert pts[0] > stats.totalSamplesReceived + 90 * 960
            assert decoding.stats.concealedSamples - stats.concealedSamples < 25 * 960
            assert decoding.stats.packetsDiscarded - stats.packetsDiscarded < 50


async def inbound(connection: RTCPeerConnection) -> dict[str, RTCInboundRtpStreamStats]:
    """Return the statistics of what is received, by kind."""
    report = await connection.getStats()
    return {s.kind: s for s in report.values() if isinstance(s, RTCInboundRtpStreamStats)}


async def packets(connection: RTCPeerConnection) -> int:
    return sum(stats.packetsReceived for stats in (await inbound(connection)).values())


async def test_pictures_that_nobody_sees_are_not_decoded_and_come_back() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(VideoStreamTrack())
        await negotiate(a, b)
        track = remote(b, "video")
        await eventually(lambda: track.frames.is_abandoned)
        dropped, before = track.dropped, await packets(b)
        while await packets(b) < before + 30:
            await asyncio.sleep(0.05)
        assert track.dropped <= dropped + 20  # those that were on their way to the decoder
        first, second = await track.recv(), await track.recv()
        assert first.pts is not None and second.pts is not None
        assert second.pts > first.pts > 90 * 3000


def decoders() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.endswith("-decoder")}


async def test_a_decoder_that_is_at_something_does_not_hold_up_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    going_on = threading.Event()
    begun = threading.Event()

    class Slow:
        def decode(self, picture: object) -> list[VideoFrame]:
            begun.set()
            going_on.wait()
            return []

    monkeypatch.setattr(
        "icefloe.peer.rtp.receive.decoder_threads.get_decoder", lambda codec: Slow()
    )
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(VideoStreamTrack())
        await negotiate(a, b)
        track = remote(b, "video")
        while not begun.is_set():
            await asyncio.sleep(0.01)
        waiting = asyncio.create_task(track.recv())
        closed = asyncio.create_task(b.close())
        while receiver(b).decoding is not None and not is_closing(b):
            await asyncio.sleep(0.01)
        # The event loop got here while the decoder is still at it.
        assert decoders()
        going_on.set()
        await closed
        with pytest.raises(MediaStreamError):
            await waiting
    assert not decoders()


async def test_a_decoder_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    going_on = threading.Event()
    begun = threading.Event()

    class Stuck:
        def decode(self, picture: object) -> list[VideoFrame]:
            begun.set()
            going_on.wait()
            return []

    monkeypatch.setattr(
        "icefloe.peer.rtp.receive.decoder_threads.get_decoder", lambda codec: Stuck()
    )
    monkeypatch.setattr(Receiver, "CLOSE_TIMEOUT", 0.05)
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(VideoStreamTrack())
        await negotiate(a, b)
        while not begun.is_set():
            await asyncio.sleep(0.01)
        await b.close()
        (stuck,) = decoders()
        assert stuck.daemon
        going_on.set()
        await asyncio.to_thread(stuck.join)


def is_closing(connection: PeerConnection) -> bool:
    return connection.signalingState == "closed"


@pytest.mark.parametrize("source", [Tone, VideoStreamTrack])
async def test_no_thread_is_left_when_the_connection_is_closed(
    source: Callable[[], AudioStreamTrack | VideoStreamTrack],
) -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(source())
        await negotiate(a, b)
        track = remote(b, "audio" if source is Tone else "video")
        await track.recv()
        assert bool(decoders()) is (source is VideoStreamTrack)  # the loop plays one track itself
        waiting = asyncio.create_task(_drain(track))
        await a.close()
        await b.close()
        with pytest.raises(MediaStreamError):
            await waiting
        assert not decoders()


async def _drain(track: RemoteTrack) -> None:
    while True:
        await track.recv()


class OnePicture(VideoStreamTrack):
    """A single picture, in many packets, after which nothing comes."""

    def __init__(self) -> None:
        super().__init__()
        self._given = False

    async def recv(self) -> VideoFrame:
        if self._given:
            await asyncio.Event().wait()
        self._given = True
        frame = VideoFrame(640, 480, "yuv420p")
        for plane in frame.planes:
            plane.update(random.Random(1).randbytes(plane.buffer_size))
        frame.pts, frame.time_base = 0, Fraction(1, 90000)
        return frame


@pytest.mark.parametrize("codec", ["video/VP8", "video/H264"])
async def test_a_picture_is_there_although_none_follows(codec: str) -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        transceiver = a.addTransceiver(OnePicture())
        known = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences([c for c in known if c.mimeType == codec])
        await negotiate(a, b)
        frame = await remote(b, "video").recv()
        assert isinstance(frame, VideoFrame)
        assert (frame.width, frame.height) == (640, 480)
        (sender,) = a.getSenders()
        stats = next(s for s in (await sender.getStats()).values() if s.type == "outbound-rtp")
        assert stats.packetsSent > 1


async def test_who_waits_for_a_frame_of_a_track_that_is_stopped_is_told() -> None:
    track = RemoteTrack("audio")
    track.begin()
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    track.stop()
    with pytest.raises(MediaStreamError):
        await waiting
    with pytest.raises(MediaStreamError):
        await track.recv()


async def test_audio_of_a_known_source_is_handled_as_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(Tone())
        await negotiate(a, b)
        track = remote(b)
        await track.recv()
        dtls = b.getReceivers()[0].transport
        assert isinstance(dtls, DtlsTransport)
        monkeypatch.setattr(DtlsTransport, "_handle_rtp_data", _refuse)
        for _ in range(20):
            await track.recv()
        (ssrc,) = dtls._rtp_router.ssrc_table
        discarded, before = dtls.discarded.rtp, transport_stats(dtls).packetsReceived
        forged = b"\x80\x60\0\1" + bytes(4) + ssrc.to_bytes(4, "big") + bytes(100)
        assert dtls.receive_now(forged)
        assert dtls.discarded.rtp == discarded + 1
        assert transport_stats(dtls).packetsReceived == before + 1
        assert not dtls.receive_now(forged[:11])  # no packet; the transport's reader counts it
        assert not dtls.receive_now(b"\x80\xc8" + forged[2:])  # RTCP
        assert not dtls.receive_now(forged[:8] + bytes(4) + forged[12:])  # another source
        await track.recv()


async def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("audio went through the transport's reader")


async def test_audio_that_cannot_be_handled_is_counted_and_the_next_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(Tone())
        await negotiate(a, b)
        track = remote(b)
        await track.recv()
        dtls = b.getReceivers()[0].transport
        assert isinstance(dtls, DtlsTransport)
        dtls._failures = 1  # the second failure is not logged
        put, failed = AudioPlayout.put, False

        def fail_once(self: AudioPlayout, *arguments: Any) -> None:
            nonlocal failed
            if not failed:
                failed = True
                raise RuntimeError("a packet that cannot be handled")
            put(self, *arguments)

        monkeypatch.setattr(AudioPlayout, "put", fail_once)
        before = dtls.discarded.rtp
        await eventually(lambda: dtls.discarded.rtp == before + 1)
        for _ in range(20):
            await track.recv()
        assert dtls.discarded.rtp == before + 1

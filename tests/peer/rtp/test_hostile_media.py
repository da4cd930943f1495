"""RTP and RTCP that no sane program sends, over a real connection: media goes on."""

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import (
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
    pack_remb_fci,
    pack_rtcp_packet,
)
from av import VideoFrame

from icefloe.media import TestPatternTrack, ToneTrack
from icefloe.peer import PeerConnection, RemoteTrack, RTCInboundRtpStreamStats, RTCTransportStats
from icefloe.peer._aiortc import DtlsTransport, Receiver, Sender, agent_of
from icefloe.peer.rtp.receive.ssrc import MAX_SOURCES
from tests.helpers.at_once import at_once
from tests.helpers.calls import eventually
from tests.helpers.pairs import closing, connected, negotiate

EXTENSION_IDS = range(1, 5)


@dataclass
class Call:
    """A call of audio and video, one way."""

    a: PeerConnection
    b: PeerConnection

    def sender(self, kind: str = "video") -> Sender:
        sender = next(s for s in self.a.getSenders() if s.kind == kind)
        assert isinstance(sender, Sender)
        return sender

    def receiver(self, kind: str = "video") -> Receiver:
        receiver = next(r for r in self.b.getReceivers() if r.track.kind == kind)
        assert isinstance(receiver, Receiver)
        return receiver

    def track(self, kind: str = "video") -> RemoteTrack:
        track = self.receiver(kind).track
        assert isinstance(track, RemoteTrack)
        return track

    def transport_of(self, end: Sender | Receiver) -> DtlsTransport:
        assert isinstance(end.transport, DtlsTransport)
        return end.transport

    def send(self, *packets: bytes) -> None:
        """Send RTP packets as they are."""
        self.transport_of(self.sender()).send_media(list(packets))

    def control(self, packet: bytes) -> None:
        """Send RTCP as it is, after an empty report, which SRTP needs for its header."""
        self.transport_of(self.sender()).send_control(bytes(RtcpRrPacket(1)) + packet)

    async def goes_on(self, frames: int = 10) -> None:
        """Wait for more frames of both kinds, from now on."""
        for kind in ("audio", "video"):
            before = await self.received(kind)
            while await self.received(kind) < before + frames:
                await asyncio.wait_for(self.track(kind).recv(), 30)
        assert self.b.connectionState == "connected"

    async def received(self, kind: str) -> int:
        return (await self.inbound(kind)).packetsReceived

    async def inbound(self, kind: str = "video") -> RTCInboundRtpStreamStats:
        report = await self.b.getStats()
        return next(
            s for s in report.values() if isinstance(s, RTCInboundRtpStreamStats) and s.kind == kind
        )

    async def transport(self, of: PeerConnection | None = None) -> RTCTransportStats:
        report = await (of or self.b).getStats()
        return next(s for s in report.values() if isinstance(s, RTCTransportStats))


@asynccontextmanager
async def calling() -> AsyncIterator[Call]:
    a, b = PeerConnection(), PeerConnection()
    sources = TestPatternTrack(160, 120), ToneTrack()
    async with closing(a, b):
        for source in sources:
            a.addTrack(source)
        await negotiate(a, b)
        await connected(a, b)
        call = Call(a, b)
        for kind in ("audio", "video"):
            await call.track(kind).recv()
        yield call
    for source in sources:
        source.stop()


def header(call: Call, kind: str, **changed: int) -> bytes:
    """Return the header of the next packet of a stream of the call."""
    sender = call.sender(kind)
    stream = sender.outgoing.stream
    number = changed.get("number", stream._number)
    if "number" not in changed:
        # SRTP takes no number twice, so that the stream goes on behind it.
        stream._number = number + 1 & 0xFFFF
    payload_type = changed.get("type", sender.outgoing._codecs[0].payloadType)
    assert payload_type is not None
    return struct.pack(
        "!BBHLL",
        changed.get("first", 0x80),
        payload_type | changed.get("marker", 0) << 7,
        number & 0xFFFF,
        changed.get("timestamp", 1),
        changed.get("ssrc", stream.ssrc),
    )


BAD_PAYLOADS = [
    b"\x90",  # VP8: extended, and nothing follows
    b"\x90\x80",
    b"\x90\x80\x80",
    b"\x90\x40",
    b"\x90\x20",
    b"\xff\xff\xff\xff",
    b"\x10",
    b"",
]


async def test_payloads_that_do_not_parse_are_dropped_and_counted() -> None:
    async with calling() as call:
        for kind in ("audio", "video"):
            for payload in BAD_PAYLOADS:
                call.send(header(call, kind, marker=1) + payload)
        await call.goes_on(60)
        assert (await call.inbound()).packetsDiscarded
        assert (await call.transport()).rtp_packets_discarded >= 0


async def test_packets_that_nobody_receives_are_dropped_and_counted() -> None:
    async with calling() as call:
        before = (await call.transport()).rtp_packets_discarded
        for number in range(50):
            call.send(header(call, "video", number=1, type=34 + number % 30, ssrc=number) + b"x")
        while (await call.transport()).rtp_packets_discarded < before + 50:
            await asyncio.sleep(0.02)
        await call.goes_on()


async def test_elements_of_extensions_that_mean_another_one_do_not_cost_the_connection() -> None:
    async with calling() as call:
        for id in EXTENSION_IDS:
            for size in range(1, 8):
                element = bytes([id << 4 | size - 1]) + b"\xff" * size
                value = element + bytes(-len(element) % 4)
                words = struct.pack("!HH", 0xBEDE, len(value) // 4)
                call.send(header(call, "audio", first=0x90) + words + value + b"\xf8\xff")
        while (await call.transport()).header_extensions_discarded < 10:
            await asyncio.sleep(0.02)
        await call.goes_on()


async def test_retransmissions_without_content_are_dropped() -> None:
    async with calling() as call:
        sender = call.sender()
        rtx = next(iter(sender.outgoing.packets.rtx_types.values()))
        for n, payload in enumerate([b"", b"\x01", b"\xff\xff", b"\x00\x00\x90\x80"]):
            for ssrc in (sender.outgoing.stream.rtx_ssrc, 77):
                call.send(header(call, "video", number=n + 1, type=rtx, ssrc=ssrc) + payload)
        await call.goes_on()
        assert (await call.inbound()).packetsDiscarded


SENSELESS: list[Callable[[int], bytes]] = [
    lambda ssrc: pack_rtcp_packet(206, 15, struct.pack("!LL", 1, ssrc) + b"REMB\xff\x07\xff\xff"),
    lambda ssrc: pack_rtcp_packet(206, 15, struct.pack("!LL", 1, ssrc) + b"REMB"),
    lambda ssrc: pack_rtcp_packet(206, 15, struct.pack("!LL", 1, ssrc) + b"else"),
    lambda ssrc: bytes(RtcpPsfbPacket(15, 1, 0, pack_remb_fci(2**63, [ssrc]))),
    lambda ssrc: bytes(RtcpPsfbPacket(15, 1, 0, pack_remb_fci(0, [ssrc]))),
    lambda ssrc: pack_rtcp_packet(205, 1, struct.pack("!LL", 1, ssrc) + b"\xff" * 1200),
    lambda ssrc: pack_rtcp_packet(205, 15, struct.pack("!LL", 1, ssrc) + b"\xff" * 8),
    lambda ssrc: pack_rtcp_packet(206, 4, struct.pack("!LL", 1, ssrc) + bytes(4)),
    lambda ssrc: pack_rtcp_packet(206, 2, struct.pack("!LL", 1, ssrc)),
    lambda ssrc: pack_rtcp_packet(202, 3, b"\xff" * 12),
    lambda ssrc: pack_rtcp_packet(203, 31, struct.pack("!L", ssrc)),
    lambda ssrc: pack_rtcp_packet(201, 1, bytes(4)),
    lambda ssrc: b"\xff\xc8\x00\x01abcd",
    lambda ssrc: bytes(
        RtcpRrPacket(
            1, [RtcpReceiverInfo(ssrc, 255, -(1 << 23), 2**32 - 1, 2**32 - 1, 2**32 - 1, 1)]
        )
    ),
    lambda ssrc: bytes(RtcpRrPacket(1, [RtcpReceiverInfo(ssrc, 255, (1 << 23) - 1, 0, 0, 0, 1)])),
    lambda ssrc: bytes(
        RtcpSrPacket(ssrc, RtcpSenderInfo(2**64 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1), [])
    ),
    lambda ssrc: bytes(RtcpSrPacket(ssrc, RtcpSenderInfo(1, 0, 0, 0), [])),
]


@pytest.mark.parametrize("to_sender", [False, True], ids=["to the receiver", "to the sender"])
async def test_control_that_makes_no_sense_does_no_harm(to_sender: bool) -> None:
    async with calling() as call:
        ssrcs = [call.sender(kind).outgoing.stream.ssrc for kind in ("audio", "video")]
        transport = call.receiver().transport if to_sender else call.sender().transport
        assert isinstance(transport, DtlsTransport)
        for make in SENSELESS:
            for ssrc in ssrcs:
                transport.send_control(bytes(RtcpRrPacket(1)) + make(ssrc))
        at = call.a if to_sender else call.b
        while (await call.transport(at)).rtcp_packets_discarded < 8:
            await asyncio.sleep(0.02)
        await call.goes_on()


async def test_a_full_intra_request_is_granted() -> None:
    async with calling() as call:
        sender = call.sender()
        entry = struct.pack("!LBxxx", sender.outgoing.stream.ssrc, 1)
        request = bytes(RtcpPsfbPacket(4, 1, 0, entry))
        transport = call.receiver().transport
        assert isinstance(transport, DtlsTransport)
        keys = sender.outgoing.key_frames
        transport.send_control(request)
        await eventually(lambda: sender.outgoing.requests["fir"] == 1)
        await eventually(lambda: sender.outgoing.key_frames > keys)


async def test_more_sources_than_anybody_has_are_forgotten_again() -> None:
    async with calling() as call:
        receiver = call.receiver()
        transport = receiver.transport
        assert isinstance(transport, DtlsTransport)
        for ssrc in range(1, 3 * MAX_SOURCES):
            call.send(header(call, "video", number=5, ssrc=ssrc) + b"\x90\x80\x01")
            if ssrc % 64 == 0:
                await asyncio.sleep(0)
        await call.goes_on()
        assert len(transport._rtp_router.ssrc_table) <= MAX_SOURCES + 4
        assert len(receiver._private["remote_streams"]) <= Receiver.MOST_SOURCES
        # Its reports still have their form.
        report = call.sender().outgoing.packets.bitrate.control
        report.rtt = None
        await eventually(lambda: report.rtt is not None)


async def test_times_that_leap_do_not_end_the_reports() -> None:
    async with calling() as call:
        sender = call.sender()
        for n in range(40):
            call.send(header(call, "video", timestamp=n % 2 * 0xFFFFFFFF) + b"\x90")
        await call.goes_on(20)
        control = sender.outgoing.packets.bitrate.control
        control.rtt = None
        await eventually(lambda: control.rtt is not None)
        task = call.receiver()._private["rtcp_task"]
        assert not task.done()


async def test_packets_that_were_damaged_before_they_were_encrypted_do_no_harm() -> None:
    await at_once(_damaged_packets_do_no_harm, *((seed,) for seed in range(4)))


async def _damaged_packets_do_no_harm(seed: int) -> None:
    chance = random.Random(seed)
    async with calling() as call:
        for n in range(600):
            kind = chance.choice(["audio", "video"])
            body = bytearray(
                header(call, kind, first=chance.choice([0x80, 0x90, 0xA0, 0xB0]))
                + chance.randbytes(chance.randrange(60))
            )
            for _ in range(chance.randrange(4)):
                # Not the number, which SRTP would take for one of much later.
                at = chance.choice([0, 1, *range(4, len(body))])
                body[at] = chance.randrange(256)
            body[0] = body[0] & 0x3F | 0x80
            if chance.random() < 0.3:
                words = chance.randrange(20)
                call.control(
                    struct.pack("!BBH", 0x80 | chance.randrange(64), 200 + n % 8, words)
                    + chance.randbytes(4 * words + chance.randrange(5))
                )
            else:
                call.send(bytes(body))
            if n % 50 == 0:
                await asyncio.sleep(0.01)
        await call.goes_on(60)


@pytest.mark.parametrize("kind", [96, 200], ids=["RTP", "RTCP"])
async def test_datagrams_that_anybody_can_send_do_not_end_the_transport(kind: int) -> None:
    async with calling() as call:
        transport = call.sender().transport
        rude = [bytes([0x80, kind]) + bytes(size) for size in (0, 1, 10, 100, 1490, 1600, 9000)]
        rude += [bytes([first]) + bytes(20) for first in (64, 80, 127, 192, 255)]
        agent_of(transport.transport).path.send_all(rude)
        stats = await call.transport()
        while stats.rtp_packets_discarded + stats.rtcp_packets_discarded < 7:
            await asyncio.sleep(0.02)
            stats = await call.transport()
        while stats.datagrams_discarded < 3:
            await asyncio.sleep(0.02)
            stats = await call.transport()
        await call.goes_on()


# --- BYE, and other sources


class Told:
    """The events of a track."""

    def __init__(self, track: RemoteTrack) -> None:
        self.events: list[str] = []
        for event in ("mute", "unmute", "ended"):
            track.on(event, lambda event=event: self.events.append(event))


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_a_bye_mutes_and_media_that_goes_on_unmutes(kind: str) -> None:
    async with calling() as call:
        track = call.track(kind)
        told = Told(track)
        bye = bytes(RtcpByePacket([call.sender(kind).outgoing.stream.ssrc]))
        call.control(bye)
        await eventually(lambda: told.events == ["mute", "unmute"])
        call.control(bye + bye)
        call.control(bytes(RtcpByePacket([])))
        await eventually(lambda: len(told.events) >= 4)
        await call.goes_on()
        assert "ended" not in told.events
        assert track.readyState == "live"


async def test_a_bye_of_who_is_not_there_mutes_nothing() -> None:
    async with calling() as call:
        told = Told(call.track())
        call.control(bytes(RtcpByePacket([1, 2, call.sender().outgoing.stream.rtx_ssrc])))
        await call.goes_on(30)
        assert told.events == []


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_a_source_that_is_followed_by_another_one_is_played_on(kind: str) -> None:
    async with calling() as call:
        stream = call.sender(kind).outgoing.stream
        before = (await call.inbound(kind)).ssrc
        track = call.track(kind)
        first = await track.recv()
        stream._ssrc, stream._number = stream._ssrc ^ 0x5555, 7
        while (await call.inbound(kind)).ssrc == before:
            await track.recv()
        await call.goes_on()
        last = await track.recv()
        assert first.pts is not None and last.pts is not None
        assert last.pts > first.pts


async def test_what_is_missing_of_a_source_nobody_told_of_is_repaired() -> None:
    async with calling() as call:
        sender = call.sender()
        stream = sender.outgoing.stream
        stream._ssrc, stream._rtx_ssrc = 0x1111, 0x2222
        while (await call.inbound()).ssrc != 0x1111:
            await call.track().recv()
        # The next one is lost, and asked for.
        stream._number = stream._number + 1 & 0xFFFF
        missed = stream.last_number
        receiver = call.receiver()
        await eventually(lambda: missed in receiver._intake.missing.missing)
        rtx = next(iter(sender.outgoing.packets.rtx_types.values()))
        again = header(call, "video", number=1, type=rtx, ssrc=0x2222, marker=1)
        call.send(again + missed.to_bytes(2, "big"))
        await eventually(lambda: missed not in receiver._intake.missing.missing)
        assert receiver._private["rtx_ssrc"][0x2222] == 0x1111
        await call.goes_on()


# --- who waits when the other side leaves


def close_other(call: Call) -> Any:
    return call.a.close()


def close_own(call: Call) -> Any:
    return call.b.close()


@pytest.mark.parametrize("leave", [close_other, close_own])
@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_who_waits_for_a_frame_is_told_that_the_peer_left(
    kind: str, leave: Callable[[Call], Any]
) -> None:
    async with calling() as call:
        track = call.track(kind)

        async def read() -> None:
            while True:
                await track.recv()

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        await leave(call)
        with pytest.raises(MediaStreamError):
            await reading
        with pytest.raises(MediaStreamError):
            await track.recv()


async def test_who_waits_for_a_track_that_never_began_is_told() -> None:
    a, b = PeerConnection(), PeerConnection()
    source = TestPatternTrack(160, 120)
    a.addTrack(source)
    async with closing(a, b):
        await a.setLocalDescription(await a.createOffer())
        await b.setRemoteDescription(a.localDescription)
        reading = asyncio.create_task(b.getReceivers()[0].track.recv())
        await asyncio.sleep(0)
        await b.close()
        with pytest.raises(MediaStreamError):
            await reading
    source.stop()


async def test_pictures_say_how_they_are_to_be_read() -> None:
    async with calling() as call:
        frame = await call.track().recv()
        assert isinstance(frame, VideoFrame)
        assert frame.color_range == 1
        assert frame.colorspace in (5, 6)

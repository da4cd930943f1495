"""Key frames of thousands of packets: they arrive, also where some of the packets are lost."""

import asyncio
import random
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack
from av import VideoFrame
from av.packet import Packet
from hypothesis import given, settings, strategies as st

from icefloe.encoding import Encoded, PacketQueue, make_packet
from icefloe.encoding.packing import Packer
from icefloe.encoding.queue import MAX_BYTES as MOST_QUEUED
from icefloe.peer import PeerConnection
from icefloe.peer._aiortc import Receiver, Sender
from icefloe.peer.rtp.receive.decode_queue import MAX_BYTES as MAX_WAITING, DecodeQueue
from icefloe.peer.rtp.receive.frame_assembly import MAX_BYTES, MAX_GAP, MAX_PACKETS, FrameAssembler
from icefloe.peer.rtp.send.rtp_stream import (
    BUDGET_SECONDS,
    HISTORY,
    HISTORY_SECONDS,
    MIN_BUDGET,
    MIN_HISTORY,
    RtpStream,
)
from tests.helpers.pairs import closing, connected, negotiate
from tests.peer.rtp.test_loss_repair import is_media, make_lossy

PACKETS = 2000
"""More than these has the key frame below."""


@cache
def grain() -> bytes:
    """Return a key frame of VP8 with so much grain that it has thousands of packets."""
    noise = np.random.default_rng(1).integers(0, 255, (1080 * 3 // 2, 1920), np.uint8)
    frame = VideoFrame.from_ndarray(noise, "yuv420p")
    frame.pts, frame.time_base = 0, Fraction(1, 90000)
    encoder = av.CodecContext.create("libvpx", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 1920, 1080, "yuv420p"
    encoder.time_base, encoder.qmin, encoder.qmax = Fraction(1, 90000), 1, 3
    encoder.bit_rate = 10**9
    encoder.options = {"deadline": "realtime", "cpu-used": "-16", "lag-in-frames": "0"}
    return bytes(next(iter(encoder.encode(frame))))


class Grain(MediaStreamTrack):
    """Nothing but such key frames, one each two seconds."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._payloads = Packer("VP8").pack(grain())

    async def recv(self) -> "Packet[Any]":
        await asyncio.sleep(2 if self._number else 0)
        self._number += 1
        known = Encoded(codec="VP8", payloads=self._payloads, width=1920, height=1080)
        time_base = Fraction(1, 90000)
        return make_packet(grain(), pts=self._number * 180_000, time_base=time_base, known=known)


@pytest.mark.parametrize("loss", [0.0, 0.02])
async def test_a_key_frame_of_thousands_of_packets_arrives(loss: float) -> None:
    assert len(Packer("VP8").pack(grain())) > PACKETS
    chance = random.Random(2)
    a, b = PeerConnection(), PeerConnection()
    track = Grain()
    async with closing(a, b):
        a.addTrack(track)
        await negotiate(a, b)
        remote = b.getReceivers()[0].track
        await connected(a, b)
        make_lossy(a, lambda packet: is_media(packet) and chance.random() < loss)
        frames = [await remote.recv() for _ in range(2)]
        assert all(isinstance(f, VideoFrame) and f.width == 1920 for f in frames)
        sender, receiver = a.getSenders()[0], b.getReceivers()[0]
        assert isinstance(sender, Sender)
        assert isinstance(receiver, Receiver)
        assert sender.outgoing.stream.packets > 2 * PACKETS
        if loss:
            assert sender.outgoing.stream.retransmitted_packets > 10
            # Each is asked for about once, and not at each gap that follows.
            assert (
                sender.outgoing.stream.retransmitted_packets < sender.outgoing.stream.packets * 0.2
            )
        assert not receiver._intake.assembler.has_gap or loss
    track.stop()


# --- bounds, without a connection


def put(assembly: FrameAssembler[str], number: int, size: int, *, stamp: int = 1) -> bool:
    return assembly.put(number & 0xFFFF, stamp, bytes(size), "VP8", is_last=False)


def test_a_picture_may_have_as_many_bytes_as_are_kept() -> None:
    assembly: FrameAssembler[str] = FrameAssembler()
    count = MAX_BYTES // 1200
    assert not any(put(assembly, n, 1200) for n in range(count - 1))
    assert not assembly.put(count - 1, 1, bytes(1200), "VP8", is_last=True)
    picture = assembly.take()
    assert picture is not None
    assert len(picture.data) == count * 1200
    assert assembly.kept_bytes == 0


@pytest.mark.parametrize("size", [1, 1200, 60000])
def test_a_picture_that_never_ends_takes_no_more_than_is_said(size: int) -> None:
    assembly: FrameAssembler[str] = FrameAssembler()
    given_up = 0
    for number in range(3 * MAX_PACKETS):
        given_up += put(assembly, number, size)
        assert assembly.take() is None
        if number % 997 == 0:
            assert assembly.kept_bytes == sum(len(p.data) for p in assembly._packets.values())
        assert assembly.kept_bytes <= MAX_BYTES
        assert assembly.kept_packets <= MAX_PACKETS
    assert given_up
    assembly.put(3 * MAX_PACKETS & 0xFFFF, 2, b"x", "VP8", is_last=True)
    picture = assembly.take()
    assert picture is not None
    assert picture.data == b"x"


def pieces() -> st.SearchStrategy[list[tuple[int, int, int, bool]]]:
    step = st.sampled_from([-200, -3, -1, 0, 1, 1, 1, 1, 2, 5, MAX_GAP, MAX_GAP + 1, 30000])
    size = st.sampled_from([0, 1, 1200, 65000])
    return st.lists(st.tuples(step, st.integers(0, 3), size, st.booleans()), max_size=120)


@settings(deadline=None)
@given(pieces())
def test_no_order_of_packets_does_any_harm(sent: list[tuple[int, int, int, bool]]) -> None:
    assembly: FrameAssembler[str] = FrameAssembler()
    number = 0
    for step, stamp, size, is_last in sent:
        number += step
        data = None if size == 0 and is_last else bytes(size)
        assembly.put(number & 0xFFFF, stamp, data, "VP8", is_last=is_last)
        while (picture := assembly.take()) is not None:
            assert picture.data
        assert assembly.kept_bytes == sum(len(p.data) for p in assembly._packets.values())
        assert assembly.kept_bytes <= MAX_BYTES
        assert all(assembly._first <= at <= assembly._newest for at in assembly._packets)


def test_a_picture_with_a_malformed_packet_is_given_up_as_a_whole() -> None:
    assembly: FrameAssembler[str] = FrameAssembler()
    assert not assembly.put(1, 1, b"a", "VP8", is_last=True)
    assert assembly.take() is not None
    assert not assembly.put(2, 2, b"b", "VP8", is_last=False)
    assert assembly.put(3, 2, None, "VP8", is_last=False)
    assert not assembly.put(4, 2, b"d", "VP8", is_last=True)
    assert assembly.take() is None
    assert not assembly.put(5, 3, b"e", "VP8", is_last=True)
    picture = assembly.take()
    assert picture is not None
    assert picture.data == b"e"


def test_pictures_that_wait_for_a_decoder_are_bounded_in_bytes() -> None:
    backlog: DecodeQueue[int] = DecodeQueue()
    most = MAX_WAITING // MAX_BYTES
    asked = [
        backlog.put(n, n, is_key_frame=n % 5 == 0, size=MAX_BYTES) for n in range(3 * most + 3)
    ]
    assert any(asked)
    assert len(backlog) <= most
    assert backlog.dropped
    alone: DecodeQueue[int] = DecodeQueue()
    assert not alone.put(0, 1, is_key_frame=True, size=2 * MAX_WAITING)
    assert alone.take() == 1
    assert not alone.put(0, 2, is_key_frame=True, size=MAX_WAITING)
    assert alone.take() == 2


def test_frames_that_wait_for_a_peer_are_bounded_in_bytes() -> None:
    queue = PacketQueue(1000)

    def packets() -> Iterator["Packet[Any]"]:
        while True:
            yield make_packet(
                bytes(MOST_QUEUED // 4), pts=0, time_base=Fraction(1), known=Encoded("VP8")
            )

    for _, packet in zip(range(4), packets(), strict=False):
        assert queue.put(packet)
    assert not queue.put(next(packets()))
    assert queue.dropped == 5
    assert queue.get() is None
    assert queue.put(next(packets()))


def test_what_was_sent_is_remembered_for_a_while_and_within_bounds() -> None:
    stream = RtpStream(1, 2)

    def send(count: int, at: float) -> None:
        ntp = int(at * (1 << 32))
        stream.packetize([b"x"] * count, payload_type=96, timestamp=1, ntp=ntp)

    send(5000, 100.0)
    assert stream.kept_packets == 5000
    send(1, 100.0 + HISTORY_SECONDS / 2)
    assert stream.kept_packets == 5001
    send(1, 100.5 + HISTORY_SECONDS)
    assert stream.kept_packets == MIN_HISTORY
    send(1, 200.0)
    assert stream.kept_packets == MIN_HISTORY
    send(3 * HISTORY, 200.0)
    assert stream.kept_packets == HISTORY
    # A clock that is set back forgets nothing and keeps no more.
    send(10, 5.0)
    assert stream.kept_packets == HISTORY


def test_who_asks_again_and_again_gets_a_packet_once_within_a_round_trip() -> None:
    stream = RtpStream(1, 2)
    stream.packetize([b"x"], payload_type=96, timestamp=1, ntp=0)
    number = stream.last_number
    at = [0.0, 0.001, 0.005, 0.02, 0.021, 0.05]
    got = [
        len(stream.retransmit([number, number], rtx_type=97, ntp=int((10 + s) * (1 << 32))))
        for s in at
    ]
    assert got == [1, 0, 0, 1, 0, 1]


def test_what_is_sent_again_is_no_more_than_what_was_sent() -> None:
    stream, second, again, sent = RtpStream(1, 2), 1 << 32, 0, 0
    for step in range(2000):  # 20 s of 100 packets a second, each followed by a flood of requests
        ntp = 100 * second + step * second // 100
        stream.packetize([bytes(1000)], payload_type=96, timestamp=step, ntp=ntp)
        sent += 1000
        lacks = [stream.last_number - back & 0xFFFF for back in range(1000)]
        again += sum(map(len, stream.retransmit(lacks, rtx_type=97, ntp=ntp)))
    assert 0.9 * sent < again < 1.1 * sent + MIN_BUDGET + BUDGET_SECONDS * 100_000


def test_a_pause_saves_up_no_burst() -> None:
    stream, second = RtpStream(1, 2), 1 << 32
    stream.packetize([bytes(1000)] * 1000, payload_type=96, timestamp=1, ntp=100 * second)
    lacks = [stream.last_number - back & 0xFFFF for back in range(1000)]
    late = 0
    for at in range(120, 130):
        late += len(stream.retransmit(lacks, rtx_type=97, ntp=at * second))
    assert 0 < late <= MIN_BUDGET / 1000


def test_all_of_a_key_frame_may_be_sent_again_at_once() -> None:
    stream, second = RtpStream(1, 2), 1 << 32
    stream.packetize([bytes(1000)] * 5000, payload_type=96, timestamp=1, ntp=100 * second)
    numbers = [stream.last_number - back & 0xFFFF for back in range(5000)]
    got = 0
    for start in range(0, 2500, 250):
        ntp = 100 * second + start * second // 5000
        got += len(stream.retransmit(numbers[start : start + 250], rtx_type=97, ntp=ntp))
    assert got == 2500


def test_no_packet_is_sent_twice_within_a_round_trip_and_an_absurd_one_is_not_believed() -> None:
    stream, second = RtpStream(1, 2), 1 << 32
    stream.packetize([b"x"], payload_type=96, timestamp=1, ntp=0)
    number = stream.last_number

    def ask(at: float, rtt: float) -> int:
        return len(stream.retransmit([number], rtx_type=97, ntp=int(at * second), rtt=rtt))

    assert [ask(10 + at, 0.2) for at in (0.0, 0.1, 0.19, 0.21, 0.4, 0.42)] == [1, 0, 0, 1, 0, 1]
    assert [ask(20 + at, 60.0) for at in (0.0, 0.9, 1.01)] == [1, 0, 1]
    # A clock that is set back stops nothing.
    assert ask(5.0, 0.2) == 1

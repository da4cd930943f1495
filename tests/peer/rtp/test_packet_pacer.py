"""The pacer of a transport: what leaves when, and over a shallow buffer between real peers."""

import asyncio
import random
import time
from contextlib import AsyncExitStack
from fractions import Fraction
from typing import Any

import pytest
from aiortc import MediaStreamTrack
from av import VideoFrame
from av.packet import Packet
from hypothesis import given, strategies as st

from icefloe.encoding import VideoEncoder
from icefloe.peer import PeerConnection, forward
from icefloe.peer._aiortc import Sender
from icefloe.peer._aiortc.dtls import DtlsTransport
from icefloe.peer.rtp.congestion.estimator import PACING_FACTOR
from icefloe.peer.rtp.congestion.packets import ProbeCluster
from icefloe.peer.rtp.send import packet_pacer
from icefloe.peer.rtp.send.packet_pacer import (
    MAX_OVERDUE_BYTES,
    MAX_QUEUED_BYTES,
    PROBE_TIMEOUT,
    PacedPacket,
    PacketPacer,
    Priority,
)
from icefloe.peer.rtp.send.send_stamp import NO_STAMP
from tests.helpers.hops import hop
from tests.peer.rtp.test_loss_repair import is_media, make_lossy

PACKET = bytes(1200)
VP8 = "video/VP8"


class Bottleneck:
    """A link of some rate, and a buffer before it that takes no more when it is full.

    Args:
        rate: Bytes a second.
        room: Packets of 1200 bytes that it holds.
    """

    def __init__(self, rate: float, room: int) -> None:
        self.rate, self.room = rate, room * 1200
        self.held = self.at = 0.0
        self.lost = self.passed = 0

    def take(self, now: float, size: int) -> bool:
        """Take a packet; return whether there was room."""
        self.held = max(self.held - (now - self.at) * self.rate, 0.0)
        self.at = now
        if self.held + size > self.room:
            self.lost += 1
            return False
        self.held += size
        self.passed += 1
        return True


# --- decided


def pacer_at(bitrate: float, max_delay: float = 0.2) -> PacketPacer:
    """Return a pacer for a target bit rate."""
    pacer = PacketPacer(max_delay)
    pacer.rate = bitrate * PACING_FACTOR / 8
    return pacer


def leave(
    pacer: PacketPacer, until: float, now: float, link: Bottleneck | None = None
) -> list[tuple[float, PacedPacket]]:
    """Take what leaves, each time when it may, until some moment."""
    gone: list[tuple[float, PacedPacket]] = []
    ready: float | None = now
    while ready is not None and ready <= until:
        for paced in pacer.take(ready):
            gone.append((ready, paced))
            if link is not None:
                link.take(ready, len(paced.packet))
        ready = pacer.ready_at(ready)
    return gone


@pytest.mark.parametrize("is_paced", [True, False])
def test_a_key_frame_overflows_no_shallow_buffer(is_paced: bool) -> None:
    link, pacer = Bottleneck(rate=20e6 / 8, room=40), pacer_at(4e6)
    for number in range(60):
        now, count = number / 30, 170 if number % 30 == 0 else 12
        if is_paced:
            pacer.put(now, 1, [PACKET] * count, stamp=NO_STAMP)
            leave(pacer, now + 1 / 30, now, link)
        else:
            for _ in range(count):
                link.take(now, 1200)
    if is_paced:
        assert (link.lost, link.passed) == (0, 2 * 170 + 58 * 12)
    else:
        assert link.lost == 2 * 130


@pytest.mark.parametrize(("bitrate", "size"), [(0.5e6, 2_100), (1.9e6, 8_000), (4.4e6, 18_000)])
def test_an_ordinary_picture_leaves_at_once(bitrate: float, size: int) -> None:
    pacer = pacer_at(bitrate)
    picture = [PACKET] * (size // 1200 + 1)
    for number in range(100, 200):
        pacer.put(number / 30, 1, picture, stamp=NO_STAMP)
        assert len(pacer.take(number / 30)) == len(picture)


def test_a_large_ordinary_picture_leaves_within_a_part_of_its_interval() -> None:
    pacer = pacer_at(8.7e6)
    for number in range(100):  # 1080p30, at the most that it is given
        pacer.put(number / 30, 1, [PACKET] * 30, stamp=NO_STAMP)
        gone = leave(pacer, (number + 1) / 30, number / 30)
        assert len(gone) == 30
        assert gone[-1][0] - number / 30 < 1 / 30 / PACING_FACTOR


@given(
    st.lists(st.tuples(st.floats(0, 0.1), st.integers(1, 200)), min_size=1, max_size=30),
    st.floats(30_000, 10e6),
    st.sampled_from([0.2, 1.0]),
)
def test_nothing_waits_longer_than_said(
    steps: list[tuple[float, int]], bitrate: float, max_delay: float
) -> None:
    pacer, now = pacer_at(bitrate, max_delay), 0.0
    sent: list[float] = []
    gone: list[tuple[float, PacedPacket]] = []
    for pause, count in steps:
        gone += leave(pacer, now + pause, now)
        now += pause
        numbers = range(len(sent), len(sent) + count)
        packets = [n.to_bytes(4, "big") + PACKET[4:] for n in numbers]
        pacer.put(now, 1, packets, stamp=NO_STAMP)
        sent += [now] * count
    gone += leave(pacer, now + 10, now)
    order = [int.from_bytes(paced.packet[:4], "big") for _, paced in gone]
    assert order == list(range(len(sent)))
    # A burst, and what one packet was more than there was credit for.
    assert all(at - paced.since < max_delay + 0.05 for at, paced in gone)
    assert [paced.since for _, paced in gone] == sent


def test_what_is_overdue_leaves_although_the_loop_was_late() -> None:
    pacer = pacer_at(1e6)
    pacer.put(0.0, 1, [PACKET] * 2000, stamp=NO_STAMP)
    early = len(pacer.take(0.01)) + len(pacer.take(0.2))
    pacer.put(0.3, 1, [b"next"], stamp=NO_STAMP)
    assert early < 200
    gone = pacer.take(0.4)
    assert MAX_OVERDUE_BYTES <= len(gone) * 1200 < 2 * MAX_OVERDUE_BYTES
    while pacer.queued_bytes > 1200:
        gone += pacer.take(0.4)
    packets = [paced.packet for paced in gone]
    assert packets.count(PACKET) == 2000 - early
    assert packets.count(b"next") + len(pacer.take(0.7)) == 1


def test_what_is_sent_again_goes_first_and_padding_last() -> None:
    pacer = pacer_at(1e6)
    pacer.put(0.0, 1, [PACKET] * 100, stamp=NO_STAMP)
    assert 0 < len(pacer.take(0.0)) < 20
    pacer.put(0.001, 1, [b"padding"], stamp=NO_STAMP, priority=Priority.PADDING)
    pacer.put(0.001, 1, [b"again"] * 2, stamp=NO_STAMP, priority=Priority.RETRANSMISSION)
    gone = [paced.packet for _, paced in leave(pacer, 1.0, 0.001)]
    assert gone[:2] == [b"again"] * 2 and gone[-1] == b"padding"
    assert pacer.ready_at(1.0) is None


def test_streams_take_turns_by_bytes() -> None:
    pacer = pacer_at(1e6)
    pacer.put(0.0, 1, [PACKET] * 150, stamp=NO_STAMP)
    pacer.take(0.0)
    pacer.put(0.001, 2, [b"x" * 600] * 10, stamp=NO_STAMP)
    gone = [paced.stream for _, paced in leave(pacer, 2.0, 0.001)]
    last = max(index for index, stream in enumerate(gone) if stream == 2)
    assert last < 20  # a key frame of 150 packets does not hold up another stream


def test_what_waits_is_bounded() -> None:
    pacer = pacer_at(1e6)
    pacer.put(0.0, 1, [PACKET] * 8000, stamp=NO_STAMP)
    while len(pacer.take(0.0)) > 1:
        pass
    assert MAX_QUEUED_BYTES - 1200 <= pacer.queued_bytes <= MAX_QUEUED_BYTES
    assert pacer.queued_bytes_of(1) == pacer.queued_bytes
    assert pacer.drop(1) * 1200 > MAX_QUEUED_BYTES - 2400
    assert pacer.take(9.0) == [] and pacer.ready_at(9.0) is None


def test_a_probe_leaves_at_its_rate_and_asks_for_padding() -> None:
    pacer = pacer_at(300_000)
    pacer.take(0.0)
    cluster = ProbeCluster(id=7, bitrate=1_800_000, min_packets=5, min_bytes=3400, duration=0.015)
    pacer.start_probe(cluster, 1.0)
    assert pacer.padding_needed(1.0) == 0  # it waits for media
    pacer.put(1.1, 1, [PACKET], stamp=NO_STAMP)
    gone = leave(pacer, 1.1, 1.1)
    now = 1.1
    while (at := pacer.ready_at(now)) is not None and now < 1.2:
        now = max(at, now + 1e-4)
        if pacer.padding_needed(now):
            pacer.put(now, 1, [PACKET], stamp=NO_STAMP, priority=Priority.PADDING)
        gone += [(now, paced) for paced in pacer.take(now)]
    assert [paced.probe for _, paced in gone] == [7] * 5
    took = gone[-1][0] - gone[0][0]
    assert 1_500_000 < 4 * 1200 * 8 / took < 2_100_000
    assert pacer.padding_needed(now) == 0 and pacer.ready_at(now) is None


def test_a_probe_without_anything_to_send_ends() -> None:
    pacer = pacer_at(300_000)
    cluster = ProbeCluster(id=7, bitrate=1_800_000, min_packets=5, min_bytes=3400, duration=0.015)
    pacer.start_probe(cluster, 1.0)
    pacer.take(1.0 + PROBE_TIMEOUT)
    pacer.put(3.0, 1, [PACKET], stamp=NO_STAMP)
    assert [paced.probe for paced in pacer.take(3.0)] == [None]


def test_audio_outside_of_the_queue_counts() -> None:
    pacer, other = pacer_at(500_000), pacer_at(500_000)
    for one in (pacer, other):
        one.take(0.0)
    pacer.spend(3000, 1.0)
    for one in (pacer, other):
        one.put(1.0, 1, [PACKET] * 20, stamp=NO_STAMP)
    first, second = leave(pacer, 9.0, 1.0), leave(other, 9.0, 1.0)
    assert first[-1][0] > second[-1][0]


# --- between peers


class Bursts(MediaStreamTrack):
    """Encoded pictures, every thirtieth of them a large key frame, 30 a second."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        encoder, noise = VideoEncoder("VP8", bitrate=8_000_000), VideoFrame(640, 360, "yuv420p")
        chances = random.Random(1)
        for index, plane in enumerate(noise.planes):
            size = plane.buffer_size
            plane.update(b"\x80" * size if index else chances.randbytes(size))
        self._pictures: list[bytes] = []
        for number in range(30):
            noise.pts, noise.time_base = number * 3000, Fraction(1, 90000)
            (packet,) = encoder.encode(noise, key_frame=number == 0)
            self._pictures.append(bytes(packet))
        assert len(self._pictures[0]) > 80 * 1200
        assert max(map(len, self._pictures[1:])) < 10 * 1200
        self._number = -1

    async def recv(self) -> "Packet[Any]":
        await asyncio.sleep(1 / 30)
        self._number += 1
        packet: Packet[Any] = Packet(self._pictures[self._number % 30])
        packet.pts, packet.time_base = self._number * 3000, Fraction(1, 90000)
        packet.is_keyframe = self._number % 30 == 0
        return packet


@pytest.mark.parametrize("is_paced", [True, False])
@pytest.mark.parametrize("is_forwarded", [False, True])
async def test_key_frames_come_through_a_shallow_buffer(
    is_forwarded: bool, is_paced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_paced:
        monkeypatch.setattr(packet_pacer, "MAX_QUEUED_BYTES", 0)
    source = Bursts()
    async with AsyncExitStack() as stack:
        arriving, near, _ = await stack.enter_async_context(hop(source, codec=VP8))
        if is_forwarded:
            passed_on = hop(forward(arriving), codec=VP8)
            arriving, near, _ = await stack.enter_async_context(passed_on)
        assert isinstance(near, PeerConnection)
        await arriving.recv()
        link = Bottleneck(rate=20e6 / 8, room=60)
        make_lossy(near, lambda data: is_media(data) and not link.take(time.monotonic(), len(data)))
        sender = near.getSenders()[0]
        assert isinstance(sender, Sender)
        outgoing, transport = sender.outgoing, sender.transport
        assert isinstance(transport, DtlsTransport)
        before = outgoing.key_frames
        while outgoing.key_frames < before + 2 and (is_paced or not link.lost):
            await arriving.recv()
        if not is_paced:
            assert link.lost > 10
            return
        while transport.congestion.control.pacer.queued_bytes:
            await arriving.recv()
        assert (link.lost, outgoing.stream.retransmitted_packets) == (0, 0)
        assert link.passed > 200
        # The key frame took its time; the hundred packets between them leave at once, or nearly so
        # while the estimate is young.
        delay, key_frames, frames = (
            outgoing.packets.send_delay,
            outgoing.key_frames,
            outgoing.frames,
        )
        assert delay > 0
        while outgoing.frames < frames + 10:
            await arriving.recv()
        assert outgoing.key_frames > key_frames or outgoing.packets.send_delay - delay < 0.2
    source.stop()

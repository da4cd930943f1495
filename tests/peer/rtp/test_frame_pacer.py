"""When the packets of pictures leave: decided, and over a shallow buffer between real peers."""

import asyncio
import random
import time
from contextlib import AsyncExitStack
from fractions import Fraction
from typing import Any

import pytest
from aiortc import MediaStreamTrack
from aiortc.rtp import RtpPacket
from av import VideoFrame
from av.packet import Packet
from hypothesis import given, strategies as st

from icefloe.encoding import VideoEncoder
from icefloe.peer import PeerConnection, forward
from icefloe.peer._aiortc import Sender
from icefloe.peer.rtp.send import frame_pacer
from icefloe.peer.rtp.send.frame_pacer import (
    MAX_DELAY,
    MAX_OVERDUE_BYTES,
    MAX_QUEUED_BYTES,
    OVERDUE,
    PACING_FACTOR,
    PacedSender,
    VideoPacer,
)
from icefloe.peer.rtp.send.rtp_stream import ABS_SEND_TIME, MID, ntp_time
from tests.helpers.hops import hop
from tests.peer.rtp.test_loss_repair import is_media, make_lossy
from tests.peer.rtp.test_rtp_stream import make, reading

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


def leave(
    pacer: VideoPacer, until: float, now: float, link: Bottleneck | None = None
) -> list[tuple[float, bytes]]:
    """Take what leaves, each time when it may, until some moment."""
    gone: list[tuple[float, bytes]] = []
    ready: float | None = now
    while ready is not None and ready <= until:
        for packet in pacer.take(ready, 0):
            gone.append((ready, packet))
            if link is not None:
                link.take(ready, len(packet))
        ready = pacer.ready_at(ready)
    return gone


@pytest.mark.parametrize("is_paced", [True, False])
def test_a_key_frame_overflows_no_shallow_buffer(is_paced: bool) -> None:
    link, pacer = Bottleneck(rate=20e6 / 8, room=40), VideoPacer()
    for number in range(60):
        now, count = number / 30, 170 if number % 30 == 0 else 12
        if is_paced:
            pacer.put(now, [PACKET] * count, send_time_offset=0, bitrate=4e6)
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
    pacer = VideoPacer()
    picture = [PACKET] * (size // 1200 + 1)
    for number in range(100, 200):
        pacer.put(number / 30, picture, send_time_offset=0, bitrate=bitrate)
        assert len(pacer.take(number / 30, 0)) == len(picture)
    assert pacer.delay == 0


def test_a_large_ordinary_picture_leaves_within_a_part_of_its_interval() -> None:
    pacer = VideoPacer()
    for number in range(100):  # 1080p30, at the most that it is given
        pacer.put(number / 30, [PACKET] * 30, send_time_offset=0, bitrate=8.7e6)
        gone = leave(pacer, (number + 1) / 30, number / 30)
        assert len(gone) == 30
        assert gone[-1][0] - number / 30 < 1 / 30 / PACING_FACTOR


@given(
    st.lists(st.tuples(st.floats(0, 0.1), st.integers(1, 200)), min_size=1, max_size=30),
    st.floats(30_000, 10e6),
)
def test_nothing_waits_longer_than_said(steps: list[tuple[float, int]], bitrate: float) -> None:
    pacer, now = VideoPacer(), 0.0
    sent: list[float] = []
    gone: list[tuple[float, bytes]] = []
    for pause, count in steps:
        gone += leave(pacer, now + pause, now)
        now += pause
        numbers = range(len(sent), len(sent) + count)
        pacer.put(
            now,
            [n.to_bytes(4, "big") + PACKET[4:] for n in numbers],
            send_time_offset=0,
            bitrate=bitrate,
        )
        sent += [now] * count
    gone += leave(pacer, now + 10, now)
    assert [int.from_bytes(packet[:4], "big") for _, packet in gone] == list(range(len(sent)))
    # A burst, and what one packet was more than there was credit for.
    assert all(at - then < MAX_DELAY + 0.05 for (at, _), then in zip(gone, sent, strict=True))


def test_what_is_overdue_leaves_although_the_loop_was_late() -> None:
    pacer = VideoPacer()
    pacer.put(0.0, [PACKET] * 2000, send_time_offset=0, bitrate=1e6)
    early = len(pacer.take(0.01, 0)) + len(pacer.take(0.2, 0))
    pacer.put(0.3, [b"next"], send_time_offset=0, bitrate=1e6)
    assert early < 200
    gone = pacer.take(OVERDUE, 0)
    assert MAX_OVERDUE_BYTES <= len(gone) * 1200 < 2 * MAX_OVERDUE_BYTES
    while pacer._queued_bytes > 1200:
        gone += pacer.take(OVERDUE, 0)
    assert gone.count(PACKET) == 2000 - early
    assert gone.count(b"next") + len(pacer.take(OVERDUE + 0.3, 0)) == 1


def test_what_is_sent_again_goes_first() -> None:
    pacer = VideoPacer()
    pacer.put(0.0, [PACKET] * 100, send_time_offset=0, bitrate=1e6)
    assert 0 < len(pacer.take(0.0, 0)) < 20
    pacer.put(0.001, [b"again"] * 2, send_time_offset=0, bitrate=1e6, again=True)
    gone = leave(pacer, 1.0, 0.001)
    assert [packet for _, packet in gone[:2]] == [b"again"] * 2
    assert pacer.ready_at(1.0) is None
    assert pacer.delay > 0


def test_what_waits_is_bounded() -> None:
    pacer = VideoPacer()
    pacer.put(0.0, [PACKET] * 8000, send_time_offset=0, bitrate=1e6)
    pacer.take(0.0, 0)
    assert MAX_QUEUED_BYTES - 1200 <= pacer._queued_bytes <= MAX_QUEUED_BYTES
    pacer.clear()
    assert pacer.take(9.0, 0) == [] and pacer.ready_at(9.0) is None


@pytest.mark.parametrize("id", [3, 20])
@pytest.mark.parametrize("mid", ["0", ""])
def test_a_packet_that_waited_tells_when_it_left(id: int, mid: str) -> None:
    ids = {MID: 4, ABS_SEND_TIME: id}
    stream, pacer = make(ids, mid), VideoPacer()
    ntp = ntp_time()
    packets = stream.packetize([PACKET] * 100, payload_type=97, timestamp=5, ntp=ntp)
    pacer.put(0.0, packets, send_time_offset=stream.send_time_offset, bitrate=1e6)
    assert (
        pacer.take(0.0, ntp + (1 << 32)) == packets[: 100 - pacer._queued_bytes // len(packets[0])]
    )
    later = pacer.take(0.1, ntp + (1 << 31))
    assert later
    for raw in later:
        packet = RtpPacket.parse(raw, reading(ids))
        assert packet.extensions.abs_send_time == (ntp + (1 << 31)) >> 14 & 0xFFFFFF
        assert packet.payload == PACKET
        assert packet.extensions.mid == (mid or None)


def test_a_packet_that_does_not_tell_stays_as_it_is() -> None:
    stream, pacer = make({MID: 4}), VideoPacer()
    packets = stream.packetize([PACKET] * 20, payload_type=97, timestamp=5, ntp=0)
    pacer.put(0.0, packets, send_time_offset=stream.send_time_offset, bitrate=1e6)
    assert [packet for _, packet in leave(pacer, 1.0, 0.0)] == packets


async def test_nothing_is_sent_once_it_is_closed() -> None:
    gone: list[bytes] = []
    sending = PacedSender(gone.extend)
    sending.send([PACKET] * 100, send_time_offset=0, bitrate=1e6)
    before = len(gone)
    sending.close()
    sending.send([PACKET], send_time_offset=0, bitrate=1e6)
    sending.close()
    await asyncio.sleep(0.05)
    assert len(gone) == before < 100


async def test_a_transport_that_is_closed_meanwhile_ends_the_waiting() -> None:
    gone: list[bytes] = []
    closed = False

    def transmit(packets: list[bytes]) -> None:
        if closed:
            raise ConnectionError
        gone.extend(packets)

    sending = PacedSender(transmit)
    sending.send([PACKET] * 100, send_time_offset=0, bitrate=1e6)
    closed = True
    while sending.pacer.ready_at(time.monotonic()) is not None:
        await asyncio.sleep(0.01)
    sending.pacer._pacer.spend(1_000_000)  # what leaves late may leave all at once
    with pytest.raises(ConnectionError):
        sending.send([PACKET], send_time_offset=0, bitrate=1e6)
    sending.close()


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
        assert len(self._pictures[0]) > 100 * 1200
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
        monkeypatch.setattr(frame_pacer, "MAX_QUEUED_BYTES", 0)
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
        outgoing = sender.outgoing
        before = outgoing.key_frames
        while outgoing.key_frames < before + 2 and (is_paced or not link.lost):
            await arriving.recv()
        if not is_paced:
            assert link.lost > 20
            return
        while outgoing.packets._paced.pacer.ready_at(time.monotonic()) is not None:
            await arriving.recv()
        assert (link.lost, outgoing.stream.retransmitted_packets) == (0, 0)
        assert link.passed > 200
        # The key frame took its time; pictures between them leave at once.
        delay, key_frames, frames = outgoing.packets.delay, outgoing.key_frames, outgoing.frames
        assert delay > 0
        while outgoing.frames < frames + 10:
            await arriving.recv()
        assert outgoing.key_frames > key_frames or outgoing.packets.delay == delay
    source.stop()

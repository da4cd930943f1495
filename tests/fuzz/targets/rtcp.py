"""RTCP from what SRTP has decrypted: compound packets, into a sender and receivers."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from struct import pack

from aiortc.rtp import (
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
    pack_remb_fci,
    pack_rtcp_packet,
)

from icefloe.peer.rtp.send.congestion_controller import CongestionController
from icefloe.peer.rtp.send.remb_rate_control import RembRateControl
from icefloe.peer.rtp.send.rtp_stream import MIN_BUDGET, RtpStream, ntp_time
from tests.fuzz.target import Target, event_loop, join, split
from tests.fuzz.targets import _media as media
from tests.fuzz.targets._media import LARGEST, Media

SENT = 40
"""Packets that may be asked for again."""

_PAYLOADS = (b"\x10" + bytes(99),) * SENT


async def _take(call: Media, data: bytes) -> int:
    call.anew()
    outgoing = call.sender.outgoing
    outgoing.packets.bitrate.control = RembRateControl()
    call.transport.congestion.close()
    left: list[bytes] = []
    call.transport.congestion = CongestionController(left.extend)
    stream = outgoing.stream = RtpStream(media.OWN_SSRC, media.OWN_RTX_SSRC)
    stream._number = 0
    stream.packetize(_PAYLOADS, payload_type=media.VP8, timestamp=0, ntp=ntp_time())
    outgoing.packets._latest_type = media.VP8
    for part in split(data):
        await call.transport._handle_rtcp_data(part[:LARGEST])
    assert len(left) <= stream.retransmitted_packets
    assert stream.retransmitted_octets <= MIN_BUDGET + stream.octets
    return call.transport.discarded.rtcp


@contextmanager
def start() -> Iterator[Callable[[bytes], object]]:
    """Yield what gives the packets of one input to a sender and to receivers."""
    with event_loop() as run:
        call = run(Media.begun())
        assert isinstance(call, Media)
        try:
            yield lambda data: run(_take(call, data))
        finally:
            run(call.close())


def report(ssrc: int, lost: int = 0) -> RtcpReceiverInfo:
    """Return a report block."""
    return RtcpReceiverInfo(
        ssrc=ssrc,
        fraction_lost=lost,
        packets_lost=lost,
        highest_sequence=100,
        jitter=3,
        lsr=int(time.time()) & 0xFFFF,
        dlsr=1000,
    )


def seeds() -> Sequence[bytes]:
    """Return each kind of packet, by itself and in compound ones."""
    own, theirs = media.OWN_SSRC, media.VIDEO_SSRC
    sent = RtcpSenderInfo(
        ntp_timestamp=1 << 63, rtp_timestamp=3000, packet_count=3, octet_count=300
    )
    rr = bytes(RtcpRrPacket(ssrc=theirs, reports=[report(own, 40)]))
    sr = bytes(RtcpSrPacket(ssrc=theirs, sender_info=sent, reports=[report(own), report(7)]))
    sdes = bytes(RtcpSdesPacket(chunks=[RtcpSourceInfo(ssrc=theirs, items=[(1, b"cname")])]))
    bye = bytes(RtcpByePacket(sources=[theirs, media.AUDIO_SSRC]))
    nack = bytes(RtcpRtpfbPacket(1, theirs, own, lost=[0, 1, 5, 39, 299, 65535]))
    all_of_them = pack_rtcp_packet(205, 1, pack("!LL", theirs, own) + b"\0\0\xff\xff" * 300)
    pli = bytes(RtcpPsfbPacket(1, theirs, own))
    fir = pack_rtcp_packet(206, 4, pack("!LL", theirs, 0) + pack("!LBBH", own, 1, 0, 0))
    remb = bytes(RtcpPsfbPacket(15, theirs, 0, pack_remb_fci(500_000, [own])))
    # Transport-wide feedback: a base, a count, a reference time, a run, a vector and its deltas.
    chunks = pack("!HH", 0x2003, 0xC000 | 0x0555) + bytes(range(8))
    twcc = pack_rtcp_packet(
        205, 15, pack("!LL", theirs, own) + pack("!HHL", 1, 9, 256 << 8 | 1) + chunks
    )
    unknown = pack_rtcp_packet(207, 3, bytes(16))
    app = pack_rtcp_packet(204, 1, pack("!L", theirs) + b"namedata")
    return [
        *(join([one]) for one in (rr, sr, sdes, bye, nack, pli, fir, remb, twcc, unknown, app)),
        join([sr + sdes + nack + pli, rr + remb + fir, sr + bye]),
        join([all_of_them, all_of_them, nack]),
        join([sr, sr, rr, bye, sr]),
        join([rr[:1] + b"\xc9\0\0" + rr, b"\xa0" + pli[1:] + b"\0\0\0\4"]),
        join([pli * 20 + fir * 20, nack * 20]),
    ]


TARGET = Target(
    name="rtcp",
    seeds=seeds,
    tokens=(
        *(bytes((0x80 | count, kind)) for kind in range(200, 208) for count in (1, 15)),
        b"\x9f\xcb",
        b"REMB",
        b"\0\0\xff\xff",
        *(ssrc.to_bytes(4, "big") for ssrc in (media.OWN_SSRC, media.OWN_RTX_SSRC)),
        media.VIDEO_SSRC.to_bytes(4, "big"),
        b"\xff\xff",
    ),
    documented=(),
    start=start,
)

"""Attacks of a peer with RTP and RTCP."""

import random
import struct
from itertools import count

from aiortc.rtp import (
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtpPacket,
    pack_remb_fci,
    pack_rtcp_packet,
)

from tests.bench.hostility.means import Means, attack

_KEY = struct.Struct("<HH")


def _header(
    means: Means,
    kind: str,
    number: int,
    *,
    timestamp: int = 1,
    ssrc: int | None = None,
    marker: int = 0,
    codec: str | None = None,
) -> bytes:
    sender = means.sender(kind)
    codecs = sender.outgoing._codecs
    chosen = next((c for c in codecs if codec in (None, c.name)), codecs[0])
    source = sender._ssrc if ssrc is None else ssrc
    head = 0x80, chosen.payloadType or 0, number & 0xFFFF, timestamp & 0xFFFFFFFF, source
    return struct.pack("!BBHLL", head[0], head[1] | marker << 7, *head[2:])


def key_frame(width: int, height: int, size: int = 40) -> bytes:
    """Return a key frame of VP8 that announces a size (RFC 6386 section 9.1)."""
    tag = struct.pack("<I", size << 5 | 1 << 4)[:3]
    return tag + b"\x9d\x01\x2a" + _KEY.pack(width, height) + bytes(size)


def _numbers() -> "count[int]":
    return count(random.randrange(1 << 15))


@attack
async def a_new_source_in_each_packet(means: Means) -> None:
    """RTP with another SSRC each time."""
    numbers = _numbers()
    while await means.goes_on():
        for kind in ("audio", "video"):
            means.media(
                *(
                    _header(means, kind, next(numbers), ssrc=random.getrandbits(32)) + b"\x90\x80"
                    for _ in range(20)
                )
            )


@attack
async def pictures_as_large_as_can_be(means: Means) -> None:
    """Key frames of VP8 of 50 bytes that announce 16383 x 16383, and that grow each time."""
    numbers = _numbers()
    while await means.goes_on():
        for n in (next(numbers) for _ in range(4)):
            size = (16383, 16383) if n % 2 else (n % 1000 + 16, 2000)
            header = _header(means, "video", n, timestamp=n * 3000, marker=1, codec="VP8")
            means.media(header + b"\x10" + key_frame(*size))


@attack
async def pictures_at_the_limit(means: Means) -> None:
    """Key frames of 4096 x 2304 without content, as fast as they go, so that all are decoded."""
    numbers = _numbers()
    while await means.goes_on():
        for n in (next(numbers) for _ in range(4)):
            header = _header(means, "video", n, timestamp=n * 3000, marker=1, codec="VP8")
            means.media(header + b"\x10" + key_frame(4096, 2304, 1000))


@attack
async def a_picture_that_never_ends(means: Means) -> None:
    """Packets of one picture, without the one that ends it."""
    numbers = _numbers()
    while await means.goes_on():
        means.media(
            *(_header(means, "video", next(numbers)) + b"\x10" + bytes(1100) for _ in range(20))
        )


@attack
async def numbers_and_times_that_leap(means: Means) -> None:
    """Sequence numbers and timestamps at random."""
    while await means.goes_on():
        for kind in ("audio", "video"):
            means.media(
                *(
                    _header(
                        means,
                        kind,
                        random.getrandbits(16),
                        timestamp=random.getrandbits(32),
                        ssrc=random.getrandbits(3),
                        marker=1,
                    )
                    + b"\x90\x80"
                    + bytes(100)
                    for _ in range(20)
                )
            )


@attack
async def sound_without_end(means: Means) -> None:
    """Packets of Opus that each decode to 120 ms, thousands a second."""
    numbers = _numbers()
    payload = bytes([0xFF, 0x06]) + bytes(6)  # a code 3 packet of six frames (RFC 6716 3.2.5)
    while await means.goes_on():
        means.media(
            *(
                _header(means, "audio", n, timestamp=n * 5760) + payload
                for n in (next(numbers) for _ in range(20))
            )
        )


@attack
async def packets_that_do_not_parse(means: Means) -> None:
    """Payloads, extensions and padding at random."""
    numbers = _numbers()
    while await means.goes_on():
        for kind in ("audio", "video"):
            means.media(
                *(
                    _header(means, kind, next(numbers)) + random.randbytes(random.randrange(200))
                    for _ in range(20)
                )
            )
            header = bytearray(_header(means, kind, next(numbers)))
            header[0] = 0x90
            words = struct.pack("!HH", 0xBEDE, 250) + bytes([0x10]) * 1000
            means.media(bytes(header) + words)


@attack
async def requests_for_everything(means: Means) -> None:
    """NACKs for all that was sent, and requests for key frames."""
    receiver = next(r for r in means.connection.getReceivers() if r.track.kind == "video")
    while await means.goes_on():
        source = receiver.source  # type: ignore[attr-defined]
        first = random.randrange((1 << 16) - 1000)  # aiortc writes none that begin anew
        lost = [number & 0xFFFF for number in range(first, 1 << 20)][:1000]
        for packet in (
            RtcpRtpfbPacket(fmt=1, ssrc=9, media_ssrc=source or 0, lost=lost),
            RtcpPsfbPacket(fmt=1, ssrc=9, media_ssrc=source or 0),
            RtcpPsfbPacket(fmt=4, ssrc=9, media_ssrc=0, fci=struct.pack("!LBxxx", source or 0, 1)),
        ):
            means.control(bytes(packet))


@attack
async def control_without_sense(means: Means) -> None:
    """BYEs, estimates, and control packets that are empty or broken."""
    source = means.sender("video")._ssrc
    parts = (
        RtcpByePacket([source]),
        RtcpPsfbPacket(15, 1, 0, pack_remb_fci(0, [source])),
        RtcpPsfbPacket(15, 1, 0, pack_remb_fci(2**63, [source])),
    )
    many = b"".join(pack_rtcp_packet(203, 0, b"") for _ in range(300))
    while await means.goes_on():
        for part in parts:
            means.control(bytes(part))
        means.control(bytes(RtcpRrPacket(1)) + many)


@attack
async def retransmissions_of_nothing(means: Means) -> None:
    """RTX packets for numbers that are not missing, of sources that there are none of."""
    numbers = _numbers()
    rtx = next(iter(means.sender("video").outgoing.packets.rtx_types.values()))
    while await means.goes_on():
        packets = (
            RtpPacket(
                payload_type=rtx,
                sequence_number=next(numbers) & 0xFFFF,
                ssrc=random.getrandbits(32),
                payload=random.randbytes(2) + b"\x90\x80" + bytes(100),
            )
            for _ in range(20)
        )
        means.media(*(packet.serialize() for packet in packets))

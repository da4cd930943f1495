"""RTP packetization of H.264 (RFC 6184) and VP8 (RFC 7741). No I/O.

A frame is packetized once for any number of receivers: the payloads are kept with the packet.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import Any, TypeAlias

from av.packet import Packet

PAYLOAD_MAX = 1180
"""Maximum payload size in bytes: with RTP, extensions, SRTP, TURN and IPv6 it fits into 1280."""

VIDEO_TIME_BASE = Fraction(1, 90000)
"""The clock of RTP for video (RFC 3551 section 4.1)."""

_SEARCH_LENGTH = 64 * 1024
"""Bytes of an H.264 frame that are searched for its first slice."""
_SEARCH_UNITS = 1024
"""NAL units that are searched: parameter sets and SEI precede the first slice."""

_FIRST_SLICE, _IDR = 1, 5
_STAP_A, _FU_A = 24, 28
_NAL_TYPE, _NRI = 0x1F, 0x60
_START, _END = 0x80, 0x40

AnyPacket: TypeAlias = "Packet[Any]"


@dataclass(slots=True)
class Encoded:
    """Metadata and RTP payloads of an encoded frame; the ``opaque`` of its ``av.Packet``.

    Attributes:
        codec: The subtype of the MIME type: ``"H264"``, ``"VP8"``, ``"opus"``.
        is_key_frame: Whether a decoder can start with it.
        implementation: The encoder, as ``encoderImplementation`` of W3C webrtc-stats; empty if the
            source was encoded already.
        width: Pixels; 0 if not known.
        height: Likewise.
        received_at: Arrival time of the raw frame, in seconds of ``time.monotonic()``.
        payloads: RTP payloads, in order. They are shared and must not be changed. Without any, each
            sender makes its own.
        level: Audio level: decibels below full scale (RFC 6464), 0 to 127; ``None`` if not known.
    """

    codec: str
    is_key_frame: bool = True
    implementation: str = ""
    width: int = 0
    height: int = 0
    received_at: float | None = None
    payloads: tuple[bytes, ...] = ()
    level: int | None = None


@dataclass(slots=True)
class Packer:
    """RTP packetizer for the frames of one stream.

    Attributes:
        codec: The subtype of the MIME type. With codecs other than H.264 and VP8 each frame is one
            payload.
        picture_id: The next VP8 PictureID (RFC 7741 section 4.2), 15 bits.
    """

    codec: str
    picture_id: int = field(default_factory=lambda: random.getrandbits(15))

    def pack(self, data: bytes) -> tuple[bytes, ...]:
        """Return the payloads of a frame; H.264 must have start codes (Annex B)."""
        match self.codec.upper():
            case "H264":
                return tuple(_pack_h264(data))
            case "VP8":
                id = self.picture_id
                self.picture_id = (id + 1) & 0x7FFF
                return tuple(_pack_vp8(data, id))
            case _:
                return (data,)


def encoded(packet: AnyPacket) -> Encoded | None:
    """Return the metadata of a packet; ``None`` if it was not made here, but read from a file."""
    known = packet.opaque
    return known if isinstance(known, Encoded) else None


def make_packet(data: bytes, *, pts: int, time_base: Fraction, known: Encoded) -> AnyPacket:
    """Return an encoded frame as a packet.

    Args:
        data: The encoded bytes.
        pts: Timestamp, in units of ``time_base``.
        time_base: Seconds per unit.
        known: Metadata of the frame.
    """
    packet: AnyPacket = Packet(data)
    packet.pts = packet.dts = pts
    packet.time_base = time_base
    packet.is_keyframe = known.is_key_frame
    packet.opaque = known
    return packet


def is_key_frame(codec: str, data: bytes) -> bool:
    """Return whether a decoder can start with this frame; always true for audio."""
    match codec.upper():
        case "H264":
            # ITU-T H.264 section 7.4.1.2.4: either all slices of a picture are IDR, or none is.
            for start, _ in islice(_units(data[:_SEARCH_LENGTH]), _SEARCH_UNITS):
                if _FIRST_SLICE <= data[start] & _NAL_TYPE <= _IDR:
                    return data[start] & _NAL_TYPE == _IDR
            return False
        case "VP8":
            return bool(data) and not data[0] & 1  # RFC 6386 section 9.1
        case _:
            return True


def _units(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the start and end offsets of each NAL unit that is not empty."""
    at = data.find(b"\0\0\1")
    while at >= 0:
        begin = at + 3
        at = data.find(b"\0\0\1", begin)
        end = len(data) if at < 0 else at
        # Zeros before a start code belong to it; a NAL unit does not end with one (H.264 7.4.1).
        if end > begin and not data[end - 1]:
            end = begin + len(data[begin:end].rstrip(b"\0"))
        if end > begin:
            yield begin, end


def _pack_h264(data: bytes) -> Iterator[bytes]:
    small_units: list[bytes] = []
    size = 1
    for begin, end in _units(data):
        unit = data[begin:end]
        if small_units and size + 2 + len(unit) > PAYLOAD_MAX:
            yield _aggregated(small_units)
            small_units, size = [], 1
        if len(unit) > PAYLOAD_MAX:
            yield from _fragments(unit)
        else:
            small_units.append(unit)
            size += 2 + len(unit)
    if small_units:
        yield _aggregated(small_units)


def _aggregated(units: list[bytes]) -> bytes:
    """Return a single unit as it is, several as a STAP-A (RFC 6184 section 5.7.1)."""
    if len(units) == 1:
        return units[0]
    header = _STAP_A | max(unit[0] & _NRI for unit in units) | max(u[0] & 0x80 for u in units)
    sized = (len(unit).to_bytes(2, "big") + unit for unit in units)
    return bytes([header]) + b"".join(sized)


def _fragments(unit: bytes) -> Iterator[bytes]:
    """Yield a unit as FU-A fragments of nearly equal size (RFC 6184 section 5.8)."""
    nal_type, indicator = unit[0] & _NAL_TYPE, unit[0] & ~_NAL_TYPE | _FU_A
    size = len(unit) - 1
    count = -(-size // (PAYLOAD_MAX - 2))
    for part in range(count):
        begin, end = 1 + size * part // count, 1 + size * (part + 1) // count
        edge = (_START if part == 0 else 0) | (_END if part == count - 1 else 0)
        yield bytes((indicator, edge | nal_type)) + unit[begin:end]


def _pack_vp8(data: bytes, picture_id: int) -> Iterator[bytes]:
    # X and I are set, the PictureID has 15 bits; S marks the start of the partition.
    rest = b"\x80\x80" + (0x8000 | picture_id).to_bytes(2, "big")
    first = b"\x90" + rest[1:]
    payload_size = PAYLOAD_MAX - len(first)
    for begin in range(0, len(data), payload_size):
        yield (rest if begin else first) + data[begin : begin + payload_size]

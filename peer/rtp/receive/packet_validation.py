"""The border to the other side's RTP and RTCP: what does not parse is dropped and counted. No I/O.

All that arrives goes through here, once, before anything else looks at it. It has passed SRTP, so
that it comes from the other side and from nobody else; but that one may be any program at all.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiortc.rtcrtpparameters import RTCRtpParameters
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_RR,
    RTCP_RTPFB,
    RTCP_SR,
    AnyRtcpPacket,
    HeaderExtensions,
    HeaderExtensionsMap,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpRtpfbPacket,
    RtpPacket,
    unpack_remb_fci,
)

from icefloe.logs import get_logger

MOST_PARTS = 64
"""Packets of one compound packet that are looked at."""

MOST_REQUESTS = 512
"""Entries of one NACK that are looked at, of 17 packets each (RFC 4585 section 6.2.1); no datagram
of 1500 bytes has as many."""

_ONE_BYTE, _TWO_BYTES = 0xBEDE, 0x1000
_REMB = b"REMB"
_ERRORS = (ValueError, struct.error, IndexError)

logger = get_logger(__name__)


@dataclass(slots=True)
class Discarded:
    """What one transport has dropped so far.

    Attributes:
        datagrams: Empty ones, and those of no protocol that is spoken here (RFC 7983).
        rtp: RTP packets that are not authentic, were received before, do not parse, belong to no
            receiver, or could not be handled.
        rtcp: RTCP packets likewise; of a compound packet each part counts by itself.
        extensions: Elements of RTP header extensions; the rest of their packet is used.
    """

    datagrams: int = 0
    rtp: int = 0
    rtcp: int = 0
    extensions: int = 0


def read_rtp(
    data: bytes, extensions: HeaderExtensionsMap, discarded: Discarded
) -> RtpPacket | None:
    """Return a packet (RFC 3550 section 5.1); ``None`` if it does not parse.

    Args:
        data: What came, decrypted.
        extensions: Reads its header extensions; :class:`Extensions` raises nothing.
        discarded: Counts.
    """
    try:
        return RtpPacket.parse(data, extensions)
    except _ERRORS as error:
        discarded.rtp += 1
        logger.debug("rtp.dropped size=%d reason=%s", len(data), error)
        return None


class Extensions(HeaderExtensionsMap):
    """The header extensions that were negotiated, read leniently.

    An element under an id that means another extension, as there may be between an offer and its
    answer, or of a length that this one cannot have, is passed over.

    Args:
        discarded: Counts.
    """

    def __init__(self, discarded: Discarded) -> None:
        super().__init__()
        self._discarded = discarded
        self._readers: dict[int, tuple[str, Callable[[bytes], object]]] = {}

    def configure(self, parameters: RTCRtpParameters) -> None:
        """Take note of ids; those that were noted before stay known."""
        super().configure(parameters)
        for extension in parameters.headerExtensions:
            if extension.uri in _READERS:
                self._readers[extension.id] = _READERS[extension.uri]

    def get(self, extension_profile: int, extension_value: bytes) -> HeaderExtensions:
        """Return the values of a packet."""
        values = HeaderExtensions()
        for id, value in self._elements(extension_profile, extension_value):
            reader = self._readers.get(id)
            if reader is None:
                continue
            name, read = reader
            try:
                setattr(values, name, read(value))
            except _ERRORS as error:
                self._discarded.extensions += 1
                logger.debug("rtp.extension.dropped id=%d reason=%s", id, error)
        return values

    def _elements(self, profile: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the elements of RFC 8285 section 4, up to the first that is malformed."""
        one_byte = profile == _ONE_BYTE
        if not one_byte and profile & 0xFFF0 != _TWO_BYTES:
            return  # something else of RFC 3550 section 5.3.1, which may be ignored
        at, header = 0, 1 if one_byte else 2
        while at < len(data):
            if data[at] == 0:
                at += 1  # padding
                continue
            if at + header > len(data):
                break
            if one_byte:
                id, length = data[at] >> 4, (data[at] & 15) + 1
                if id == 15:
                    return  # reserved: "terminate parsing" (section 4.2)
            else:
                id, length = data[at], data[at + 1]
            at += header
            if at + length > len(data):
                break
            if id:
                yield id, data[at : at + length]
            at += length
        else:
            return
        self._discarded.extensions += 1
        logger.debug("rtp.extension.dropped reason=truncated")


def _text(value: bytes) -> str:
    return value.decode()


def _number(size: int, *, signed: bool = False) -> Callable[[bytes], int]:
    def read(value: bytes) -> int:
        if len(value) != size:
            raise ValueError(f"{len(value)} bytes in the place of {size}")
        return int.from_bytes(value, "big", signed=signed)

    return read


def _level(value: bytes) -> tuple[bool, int]:
    if not value:
        raise ValueError("no level")
    return value[0] > 127, value[0] & 127


_READERS: dict[str, tuple[str, Callable[[bytes], object]]] = {
    "urn:ietf:params:rtp-hdrext:sdes:mid": ("mid", _text),
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id": ("repaired_rtp_stream_id", _text),
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id": ("rtp_stream_id", _text),
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time": ("abs_send_time", _number(3)),
    "urn:ietf:params:rtp-hdrext:toffset": ("transmission_offset", _number(3, signed=True)),
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level": ("audio_level", _level),
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01": (
        "transport_sequence_number",
        _number(2),
    ),
}


def read_rtcp(data: bytes, discarded: Discarded) -> list[AnyRtcpPacket]:
    """Return the packets of a compound packet (RFC 3550 section 6.1) that parse.

    Where one is of no use those after it are, as long as the lengths are right. Types that are not
    known are passed over.

    Args:
        data: What came, decrypted.
        discarded: Counts.
    """
    packets: list[AnyRtcpPacket] = []
    at = parts = 0
    while at < len(data):
        parts += 1
        end = at + 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
        if at + 4 > len(data) or end > len(data) or data[at] >> 6 != 2 or parts > MOST_PARTS:
            discarded.rtcp += 1
            logger.debug("rtcp.dropped size=%d reason=framing", len(data))
            break
        try:
            packets += _checked(_bounded(data[at:end]))
        except _ERRORS as error:
            discarded.rtcp += 1
            logger.debug("rtcp.dropped type=%d reason=%s", data[at + 1], error)
        at = end
    return packets


def _bounded(part: bytes) -> bytes:
    """Return a packet without what need not be looked at."""
    kind, count, is_padded = part[1], part[0] & 31, part[0] & 32
    if is_padded:
        return part
    if kind == RTCP_SR:
        most = 28 + 24 * count  # what a profile adds follows (RFC 3550 section 6.4.3)
    elif kind == RTCP_RR:
        most = 8 + 24 * count
    elif kind == RTCP_RTPFB:
        most = 12 + 4 * MOST_REQUESTS
    else:
        return part
    if len(part) <= most:
        return part
    return part[:2] + (most // 4 - 1).to_bytes(2, "big") + part[4:most]


def _checked(part: bytes) -> list[AnyRtcpPacket]:
    """Parse a packet.

    Raises:
        ValueError: It is malformed.
    """
    packets = RtcpPacket.parse(part)
    for packet in packets:
        if isinstance(packet, RtcpRtpfbPacket):
            # The mask may reach over the wrap of the numbers, which aiortc's parser does not.
            packet.lost = [number & 0xFFFF for number in packet.lost[: 17 * MOST_REQUESTS]]
        elif isinstance(packet, RtcpPsfbPacket):
            if packet.fmt == RTCP_PSFB_APP and packet.fci[:4] == _REMB:
                unpack_remb_fci(packet.fci)
            elif packet.fmt == RTCP_PSFB_FIR and len(packet.fci) % 8:
                raise ValueError("a FIR has entries of eight bytes (RFC 5104 section 4.3.1.1)")
    return packets


def asked_for_key_frame(packet: AnyRtcpPacket) -> list[int]:
    """Return the SSRCs of which a FIR wants a key frame; its header has 0 in the place of them."""
    if not isinstance(packet, RtcpPsfbPacket) or packet.fmt != RTCP_PSFB_FIR:
        return []
    return [int.from_bytes(packet.fci[at : at + 4], "big") for at in range(0, len(packet.fci), 8)]

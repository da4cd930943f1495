"""Validation of received RTP and RTCP: what is not authentic or does not parse is dropped.

Every packet passes through here once, before any other code parses it, and what is dropped is
counted. What SRTP has authenticated comes from the remote peer, but that may be any program. Does
no I/O.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from logging import Logger

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
from pylibsrtp import Error as SrtpError, Session

from icefloe.logs import get_logger

from ..congestion.ccfb import FORMAT as STREAM_FEEDBACK
from ..congestion.transport_feedback import FORMAT as TRANSPORT_FEEDBACK
from .ssrc import SsrcTable

MAX_COMPOUND_PARTS = 64
"""Maximum number of packets parsed in a compound packet."""

MAX_NACK_ENTRIES = 512
"""Maximum entries parsed of a NACK, each for 17 packets (RFC 4585 section 6.2.1). No datagram of
1500 bytes has as many."""

_ONE_BYTE_PROFILE, _TWO_BYTE_PROFILE = 0xBEDE, 0x1000
_REMB = b"REMB"
_CONGESTION_FEEDBACK = frozenset({TRANSPORT_FEEDBACK, STREAM_FEEDBACK})
_ERRORS = (ValueError, struct.error, IndexError)

logger: Logger = get_logger(__name__)


@dataclass(slots=True)
class DiscardCounters:
    """Counters of dropped input of one transport.

    Attributes:
        datagrams: Empty datagrams, and those of an unknown protocol (RFC 7983).
        rtp: RTP packets that are not authentic, replayed, malformed, without a receiver, or could
            not be handled.
        rtcp: RTCP packets likewise; each part of a compound packet counts.
        extensions: Elements of RTP header extensions; the rest of their packet is used.
    """

    datagrams: int = 0
    rtp: int = 0
    rtcp: int = 0
    extensions: int = 0


class SrtpReceiver:
    """The SRTP session for received packets; a bounded number of SSRCs is known to it.

    Args:
        session: Decrypts and authenticates packets.
        discarded: Counters.
        forget: Called with an SSRC that is removed because there are too many.
    """

    def __init__(
        self, session: Session, discarded: DiscardCounters, forget: Callable[[int], None]
    ) -> None:
        self._session, self._discarded, self._forget = session, discarded, forget
        self._ssrcs = SsrcTable()

    def unprotect(self, packet: bytes) -> bytes:
        """Return a decrypted RTP packet.

        Raises:
            pylibsrtp.Error: The packet is not authentic, replayed, or larger than pylibsrtp's
                buffer.
        """
        try:
            plain = self._session.unprotect(packet)
        except (SrtpError, ValueError) as error:
            self._discarded.rtp += 1
            raise SrtpError(str(error)) from error
        self._note(plain[8:12])
        return plain

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """Return a decrypted RTCP packet; otherwise like :meth:`unprotect`."""
        try:
            plain = self._session.unprotect_rtcp(packet)
        except (SrtpError, ValueError) as error:
            self._discarded.rtcp += 1
            raise SrtpError(str(error)) from error
        self._note(plain[4:8])
        return plain

    def _note(self, ssrc: bytes) -> None:
        forgotten = self._ssrcs.note(int.from_bytes(ssrc, "big"))
        if forgotten is not None:
            self._session.remove_stream(forgotten)
            self._forget(forgotten)


def read_rtp(
    data: bytes, extensions: HeaderExtensionsMap, discarded: DiscardCounters
) -> RtpPacket | None:
    """Return a parsed packet (RFC 3550 section 5.1); ``None`` if it is malformed.

    Args:
        data: The decrypted packet.
        extensions: Parser of the header extensions; :class:`HeaderExtensionParser` never raises.
        discarded: Counters.
    """
    try:
        return RtpPacket.parse(data, extensions)
    except _ERRORS as error:
        discarded.rtp += 1
        logger.debug("rtp.dropped size=%d reason=%s", len(data), error)
        return None


class HeaderExtensionParser(HeaderExtensionsMap):
    """Lenient parser of the negotiated header extensions.

    An element is ignored if its length is invalid. This happens between an offer and its answer,
    while an id may stand for another extension.

    Args:
        discarded: Counters.
    """

    def __init__(self, discarded: DiscardCounters) -> None:
        super().__init__()
        self._discarded = discarded
        self._readers: dict[int, tuple[str, Callable[[bytes], object]]] = {}

    def configure(self, parameters: RTCRtpParameters) -> None:
        """Add negotiated ids; those added before stay known."""
        super().configure(parameters)
        for extension in parameters.headerExtensions:
            if extension.uri in _READERS:
                self._readers[extension.id] = _READERS[extension.uri]

    def get(self, extension_profile: int, extension_value: bytes) -> HeaderExtensions:
        """Return the header extension values of a packet."""
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
        """Yield the elements of RFC 8285 section 4, up to the first malformed one."""
        one_byte = profile == _ONE_BYTE_PROFILE
        if not one_byte and profile & 0xFFF0 != _TWO_BYTE_PROFILE:
            return  # another format of RFC 3550 section 5.3.1, which may be ignored
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
            raise ValueError(f"{len(value)} bytes instead of {size}")
        return int.from_bytes(value, "big", signed=signed)

    return read


def _level(value: bytes) -> tuple[bool, int]:
    if not value:
        raise ValueError("the audio level is empty")
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


def read_rtcp(
    data: bytes, discarded: DiscardCounters, congestion_feedback: list[bytes] | None = None
) -> list[AnyRtcpPacket]:
    """Return the valid packets of a compound packet (RFC 3550 section 6.1).

    A malformed packet is skipped as long as its length is valid. Packets of unknown types are
    ignored.

    Args:
        data: The decrypted compound packet.
        discarded: Counters.
        congestion_feedback: Feedback for congestion control is appended to it unparsed: it is about
            the transport, and aiortc's parser would take it for a NACK. It is ignored if ``None``.
    """
    packets: list[AnyRtcpPacket] = []
    at = parts = 0
    while at < len(data):
        parts += 1
        end = at + 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
        if (
            at + 4 > len(data)
            or end > len(data)
            or data[at] >> 6 != 2
            or parts > MAX_COMPOUND_PARTS
        ):
            discarded.rtcp += 1
            logger.debug("rtcp.dropped size=%d reason=framing", len(data))
            break
        if data[at + 1] == RTCP_RTPFB and data[at] & 31 in _CONGESTION_FEEDBACK:
            if congestion_feedback is not None:
                congestion_feedback.append(data[at:end])
            at = end
            continue
        try:
            packets += _checked(_bounded(data[at:end]))
        except _ERRORS as error:
            discarded.rtcp += 1
            logger.debug("rtcp.dropped type=%d reason=%s", data[at + 1], error)
        at = end
    return packets


def _bounded(part: bytes) -> bytes:
    """Return a packet without profile extensions and excess NACK entries."""
    kind, count, is_padded = part[1], part[0] & 31, part[0] & 32
    if is_padded:
        return part
    if kind == RTCP_SR:
        max_size = 28 + 24 * count  # a profile-specific extension follows (RFC 3550 section 6.4.3)
    elif kind == RTCP_RR:
        max_size = 8 + 24 * count
    elif kind == RTCP_RTPFB:
        max_size = 12 + 4 * MAX_NACK_ENTRIES
    else:
        return part
    if len(part) <= max_size:
        return part
    return part[:2] + (max_size // 4 - 1).to_bytes(2, "big") + part[4:max_size]


def _checked(part: bytes) -> list[AnyRtcpPacket]:
    """Parse a packet, and correct what aiortc's parser misses.

    Raises:
        ValueError: It is malformed.
    """
    packets = RtcpPacket.parse(part)
    for packet in packets:
        if isinstance(packet, RtcpRtpfbPacket):
            # The bit mask may extend beyond 65535, which aiortc's parser does not wrap.
            packet.lost = [number & 0xFFFF for number in packet.lost[: 17 * MAX_NACK_ENTRIES]]
        elif isinstance(packet, RtcpPsfbPacket):
            if packet.fmt == RTCP_PSFB_APP and packet.fci[:4] == _REMB:
                unpack_remb_fci(packet.fci)
            elif packet.fmt == RTCP_PSFB_FIR and len(packet.fci) % 8:
                raise ValueError("the entries of a FIR have eight bytes (RFC 5104 section 4.3.1.1)")
    return packets


def fir_ssrcs(packet: AnyRtcpPacket) -> list[int]:
    """Return the SSRCs requested by a FIR; they are in its entries, not in its header."""
    if not isinstance(packet, RtcpPsfbPacket) or packet.fmt != RTCP_PSFB_FIR:
        return []
    return [int.from_bytes(packet.fci[at : at + 4], "big") for at in range(0, len(packet.fci), 8)]

"""Frame of RTCP transport-layer feedback (RFC 3550 section 6.4, RFC 4585 section 6.1)."""

from .errors import MalformedFeedback

RTPFB = 205
"""Packet type of transport-layer feedback."""

MAX_SIZE = 1200
"""Bytes of a packet that is written, at most: it fits into a datagram with its headers."""

_HEADER = 4
_VERSION = 2 << 6
_PADDED = 0x20


def content_of(packet: bytes, format: int) -> bytes:
    """Return what follows the header of a feedback packet, without its padding.

    Args:
        packet: One RTCP packet; a compound packet is taken apart before.
        format: The feedback message type (FMT) that is expected.

    Raises:
        MalformedFeedback: It is another packet, or its length or padding is invalid.
    """
    size = len(packet)
    if size < _HEADER or packet[0] & 0xC0 != _VERSION:
        raise MalformedFeedback(size, "it has no header of RTCP")
    if packet[1] != RTPFB or packet[0] & 0x1F != format:
        raise MalformedFeedback(size, f"type {packet[1]}, format {packet[0] & 0x1F}")
    if _HEADER + 4 * int.from_bytes(packet[2:4], "big") != size:
        raise MalformedFeedback(size, "its length is another one")
    if not packet[0] & _PADDED:
        return packet[_HEADER:]
    padding = packet[-1]
    if not 0 < padding <= size - _HEADER:
        raise MalformedFeedback(size, f"{padding} bytes of padding")
    return packet[_HEADER : size - padding]


def framed(content: bytes, format: int) -> bytes:
    """Return a feedback packet, padded to a multiple of four bytes.

    Args:
        content: All that follows the header.
        format: The feedback message type (FMT).
    """
    padding = -len(content) % 4
    first = _VERSION | format
    if padding:
        first |= _PADDED
        content += bytes(padding - 1) + bytes((padding,))
    return bytes((first, RTPFB)) + (len(content) // 4).to_bytes(2, "big") + content

"""Header extension with the transport-wide sequence number, in packets as they are on the wire.

The extension is that of draft-holmer-rmcat-transport-wide-cc-extensions-01 section 2, in the
one-byte and the two-byte form of RFC 8285. The number is written when a packet leaves, which may be
long after it was serialized. Does no I/O.
"""

URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
"""The URI of the extension in ``a=extmap`` lines."""

_ONE_BYTE, _TWO_BYTE = 0xBEDE, 0x1000
_HEADER = 12


def transport_sequence_number(packet: bytes, id: int) -> int | None:
    """Return the transport-wide sequence number of an RTP packet.

    Args:
        packet: The packet, not encrypted. Its header is not encrypted by SRTP either.
        id: The negotiated number of the extension, 1 to 255.

    Returns:
        ``None`` if the packet has no such extension, or one of another length, or is malformed.
    """
    at = _find(packet, id)
    return None if at is None else packet[at] << 8 | packet[at + 1]


def with_transport_sequence_number(packet: bytes, id: int, number: int) -> bytes:
    """Return an RTP packet with another transport-wide sequence number.

    Args:
        packet: The packet, not encrypted.
        id: The negotiated number of the extension, 1 to 255.
        number: The number, of which the low 16 bits are written.

    Returns:
        The packet itself if it has no such extension.
    """
    at = _find(packet, id)
    if at is None:
        return packet
    return b"%b%b%b" % (packet[:at], (number & 0xFFFF).to_bytes(2, "big"), packet[at + 2 :])


def _find(packet: bytes, id: int) -> int | None:
    """Return where the two bytes of an element are."""
    if len(packet) < _HEADER or packet[0] & 0xD0 != 0x90:
        return None  # it is no RTP, or has no extension
    at = _HEADER + 4 * (packet[0] & 0x0F)
    if at + 4 > len(packet):
        return None
    profile = packet[at] << 8 | packet[at + 1]
    end = at + 4 + 4 * (packet[at + 2] << 8 | packet[at + 3])
    one_byte = profile == _ONE_BYTE
    if end > len(packet) or not (one_byte or profile & 0xFFF0 == _TWO_BYTE):
        return None
    return _find_element(packet, at + 4, end, id, one_byte=one_byte)


def _find_element(packet: bytes, at: int, end: int, id: int, *, one_byte: bool) -> int | None:
    header = 1 if one_byte else 2
    while at + header <= end:
        if packet[at] == 0:
            at += 1  # padding
            continue
        if one_byte:
            found, length = packet[at] >> 4, (packet[at] & 0x0F) + 1
            if found == 15:
                return None  # reserved: nothing follows (RFC 8285 section 4.2)
        else:
            found, length = packet[at], packet[at + 1]
        at += header
        if found == id:
            return at if length == 2 and at + length <= end else None
        at += length
    return None

"""STUN parser for untrusted datagrams: bounded in size and in time (RFC 8489 section 5). No I/O."""

import struct

from aioice import stun

MAX_PEER_MESSAGE = 2048
"""Maximum size of a STUN message from a peer, in bytes. A connectivity check with the longest
username fragments has about 700."""

MAX_SERVER_MESSAGE = 20 + 65535
"""Maximum size of a STUN message from a TURN server, in bytes. A Data indication carries a whole
datagram, and the length field has 16 bits."""

_FINGERPRINT = struct.pack("!HH", 0x8028, 4)
_ATTRIBUTE = struct.Struct("!HH")


def parse(data: bytes, limit: int = MAX_PEER_MESSAGE) -> stun.Message | None:
    """Parse a STUN message; return ``None`` for anything else.

    Never raises, whatever the bytes are. The time is linear in the size of the message.

    Args:
        data: The datagram.
        limit: Maximum size in bytes; a longer message is not parsed.
    """
    if len(data) > limit or _has_two_fingerprints(data):
        return None
    try:
        return stun.parse_message(data)
    except (ValueError, struct.error, IndexError, TypeError):
        return None


def _has_two_fingerprints(data: bytes) -> bool:
    # FINGERPRINT is the last attribute (RFC 8489 section 14.7). aioice computes the CRC of every
    # FINGERPRINT over all preceding bytes: thousands of them would take quadratic time.
    if data.count(_FINGERPRINT) < 2:
        return False
    found, at = 0, stun.HEADER_LENGTH
    while found < 2 and at <= len(data) - _ATTRIBUTE.size:
        kind, size = _ATTRIBUTE.unpack_from(data, at)
        found += kind == 0x8028
        at += _ATTRIBUTE.size + size + stun.padding_length(size)
    return found > 1

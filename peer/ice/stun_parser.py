"""Reading STUN messages of others (RFC 8489 section 5). No I/O."""

import struct

from aioice import stun

LIMIT = 2048
"""Bytes of a STUN message between peers at most: with the longest user names that there are, a
check has some 700."""

RELAYED_LIMIT = 20 + 65535
"""Bytes of one of a TURN server at most, which may carry a datagram; the length has 16 bits."""

_FINGERPRINT = struct.pack("!HH", 0x8028, 4)
_ATTRIBUTE = struct.Struct("!HH")


def parse(data: bytes, limit: int = LIMIT) -> stun.Message | None:
    """Read a STUN message; ``None`` if it is none, whatever came.

    The time that it takes grows with the size of the message, and with nothing else.

    Args:
        data: What came.
        limit: Bytes that it may have.
    """
    if len(data) > limit or _has_two_fingerprints(data):
        return None
    try:
        return stun.parse_message(data)
    except (ValueError, struct.error, IndexError, TypeError):
        return None


def _has_two_fingerprints(data: bytes) -> bool:
    # It is the last attribute (RFC 8489 section 14.7). aioice computes each that it meets, over all
    # that is before it: with thousands of them the time would grow with the square of the size.
    if data.count(_FINGERPRINT) < 2:
        return False
    found, at = 0, stun.HEADER_LENGTH
    while found < 2 and at <= len(data) - _ATTRIBUTE.size:
        kind, size = _ATTRIBUTE.unpack_from(data, at)
        found += kind == 0x8028
        at += _ATTRIBUTE.size + size + stun.padding_length(size)
    return found > 1

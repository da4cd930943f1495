"""Reads, without parsing the rest, the username fragment that a check is addressed to. No I/O.

A shared port does this for datagrams of everybody, so the cost is bounded: a few attributes of a
message of bounded size.
"""

import struct

from ..stun_parser import MAX_PEER_MESSAGE

BINDING_REQUEST = b"\x00\x01"
"""The first two bytes of a Binding request (RFC 8489 section 5)."""

MAX_ATTRIBUTES_BEFORE_USERNAME = 16
"""Maximum number of attributes before USERNAME; a request with more is not looked at. A check has
seven attributes at most in all that is known."""

MAX_USERNAME = 513
"""Maximum length of USERNAME in bytes: two fragments of 256 characters (RFC 8445 section 5.3)."""

_HEADER_LENGTH = 20
_USERNAME = 0x0006
_ATTRIBUTE = struct.Struct("!HH")


def receiving_fragment(request: bytes) -> bytes | None:
    """Return the receiver's username fragment in a Binding request; ``None`` if it has none.

    Never raises, whatever the bytes are. Nothing is authenticated by this.

    Args:
        request: The datagram, which begins with :data:`BINDING_REQUEST`.
    """
    size = len(request)
    if size > MAX_PEER_MESSAGE:
        return None
    at = _HEADER_LENGTH
    for _ in range(MAX_ATTRIBUTES_BEFORE_USERNAME + 1):
        if at + 4 > size:
            return None
        kind, length = _ATTRIBUTE.unpack_from(request, at)
        at += 4
        if kind == _USERNAME:
            if length > MAX_USERNAME or at + length > size:
                return None
            fragment, colon, _ = request[at : at + length].partition(b":")
            return fragment if colon else None
        at += length + -length % 4
    return None

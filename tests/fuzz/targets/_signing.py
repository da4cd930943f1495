"""STUN messages made whole again after a mutation, as somebody makes them who has the password."""

import struct

from aioice import stun

_ATTRIBUTE = struct.Struct("!HH")


def with_length(data: bytes) -> bytes:
    """Put in the length that a message has."""
    if len(data) < stun.HEADER_LENGTH:
        return data
    return stun.set_body_length(data, (len(data) - stun.HEADER_LENGTH) & 0xFFFF)


def resigned(data: bytes, password: bytes) -> bytes:
    """Sign a message in place of what it has of integrity and fingerprint."""
    if len(data) < stun.HEADER_LENGTH:
        return data
    data = without_end(data)[:65000]
    data += bytes(-len(data) % 4)
    data += struct.pack("!HH", 0x0008, 20) + stun.message_integrity(data, password)
    data += struct.pack("!HHI", 0x8028, 4, stun.message_fingerprint(data))
    return with_length(data)


def without_end(data: bytes) -> bytes:
    """Cut a message off before its integrity and fingerprint."""
    at = stun.HEADER_LENGTH
    while at <= len(data) - _ATTRIBUTE.size:
        kind, size = _ATTRIBUTE.unpack_from(data, at)
        if kind in (0x0008, 0x8028):
            return data[:at]
        at += _ATTRIBUTE.size + size + stun.padding_length(size)
    return data

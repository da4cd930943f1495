"""STUN parser for untrusted datagrams: bounded in size and in time (RFC 8489 section 5). No I/O.

Binding messages that are signed, as connectivity checks and their answers, are parsed here, since
each connection receives them for as long as it lives. aioice parses all others, and those with
anything unusual, with the same result.
"""

import hmac
import ipaddress
import struct
from binascii import crc32
from functools import lru_cache
from typing import Any

from aioice import stun

MAX_PEER_MESSAGE = 2048
"""Maximum size of a STUN message from a peer, in bytes. A connectivity check with the longest
username fragments has about 700."""

MAX_SERVER_MESSAGE = 20 + 65535
"""Maximum size of a STUN message from a TURN server, in bytes. A Data indication carries a whole
datagram, and the length field has 16 bits."""

_COOKIE = struct.pack("!I", stun.COOKIE)
_FINGERPRINT = struct.pack("!HH", 0x8028, 4)
_ATTRIBUTE = struct.Struct("!HH")
_HEADER = struct.Struct("!HHI12s")
_LENGTH = struct.Struct("!H")

_CLASSES = {
    stun.Method.BINDING | each: each
    for each in (stun.Class.REQUEST, stun.Class.RESPONSE, stun.Class.ERROR)
}
_SIGNATURE = stun.INTEGRITY_LENGTH + stun.FINGERPRINT_LENGTH
"""Bytes of MESSAGE-INTEGRITY and FINGERPRINT, the last attributes of a signed message."""
_INTEGRITY = struct.pack("!HH", 0x0008, 20)
_NUMBERS = {
    0x0024: ("PRIORITY", 4),
    0x8029: ("ICE-CONTROLLED", 8),
    0x802A: ("ICE-CONTROLLING", 8),
}
_USERNAME, _XOR_MAPPED_ADDRESS, _USE_CANDIDATE = 0x0006, 0x0020, 0x0025


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
        return _parse_signed(data) or stun.parse_message(data)
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


class _SignedMessage(stun.Message):
    """A Binding message of which the signed part is at hand."""

    def __init__(
        self,
        message_class: stun.Class,
        transaction_id: bytes,
        attributes: dict[str, Any],
        signed: bytes,
    ) -> None:
        super().__init__(stun.Method.BINDING, message_class, transaction_id, attributes)
        self._signed: bytes | None = signed

    def add_message_integrity(self, key: bytes) -> None:
        self._signed = None
        super().add_message_integrity(key)

    def check_message_integrity(self, key: bytes) -> bool:
        if self._signed is None:
            return super().check_message_integrity(key)
        digest = hmac.digest(key, self._signed, "sha1")
        return hmac.compare_digest(self.attributes["MESSAGE-INTEGRITY"], digest)


def _parse_signed(data: bytes) -> _SignedMessage | None:
    """Parse a Binding message that ends with MESSAGE-INTEGRITY and FINGERPRINT.

    Returns:
        ``None`` for another message, and for one with attributes that such messages do not have.

    Raises:
        ValueError: The fingerprint is wrong, or the user name is not UTF-8.
    """
    end = len(data) - _SIGNATURE
    if end < stun.HEADER_LENGTH:
        return None
    kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
    if (
        kind not in _CLASSES
        or cookie != stun.COOKIE
        or length != len(data) - stun.HEADER_LENGTH
        or data[end : end + 4] != _INTEGRITY
        or data[-8:-4] != _FINGERPRINT
    ):
        return None
    attributes: dict[str, Any] = {}
    position = stun.HEADER_LENGTH
    while position < end:
        number, size = _ATTRIBUTE.unpack_from(data, position)
        start = position + _ATTRIBUTE.size
        position = start + size + -size % 4
        if position > end or not _take(attributes, number, data[start : start + size], data):
            return None
    attributes["MESSAGE-INTEGRITY"] = data[end + 4 : -8]
    attributes["FINGERPRINT"] = found = int.from_bytes(data[-4:], "big")
    if crc32(data[:-8]) ^ stun.FINGERPRINT_XOR != found:
        raise ValueError("STUN message fingerprint does not match")
    signed = data[:2] + _LENGTH.pack(length - stun.FINGERPRINT_LENGTH) + data[4:end]
    return _SignedMessage(_CLASSES[kind], transaction_id, attributes, signed)


def _take(attributes: dict[str, Any], number: int, value: bytes, message: bytes) -> bool:
    """Add an attribute to those of a message; return false if it is an unusual one."""
    if number == _USERNAME:
        attributes["USERNAME"] = value.decode()
    elif number in _NUMBERS:
        name, size = _NUMBERS[number]
        if len(value) != size:
            return False
        attributes[name] = int.from_bytes(value, "big")
    elif number == _USE_CANDIDATE:
        attributes["USE-CANDIDATE"] = None
    elif number == _XOR_MAPPED_ADDRESS:
        address = _address(value, message)
        if address is None:
            return False
        attributes["XOR-MAPPED-ADDRESS"] = address
    else:
        return number not in stun.ATTRIBUTES_BY_TYPE  # what aioice does not know, it passes over
    return True


def _address(value: bytes, message: bytes) -> tuple[str, int] | None:
    """Decode XOR-MAPPED-ADDRESS; ``None`` if it is malformed."""
    mask = message[4 : stun.HEADER_LENGTH]  # the cookie and the transaction ID
    port = int.from_bytes(value[2:4], "big") ^ stun.COOKIE >> 16
    if len(value) == 8 and value[1] == stun.IPV4_PROTOCOL:
        packed = int.from_bytes(value[4:], "big") ^ stun.COOKIE
        return ".".join(map(str, packed.to_bytes(4, "big"))), port
    if len(value) == 20 and value[1] == stun.IPV6_PROTOCOL:
        number = int.from_bytes(value[4:], "big") ^ int.from_bytes(mask, "big")
        return _ipv6_text(number), port
    return None


@lru_cache(maxsize=256)
def _ipv6_text(number: int) -> str:
    return str(ipaddress.IPv6Address(number))


def is_stun(packet: bytes) -> bool:
    """Return whether a datagram is STUN (RFC 7983 section 7, RFC 8489 section 5)."""
    return len(packet) >= stun.HEADER_LENGTH and packet[0] < 4 and packet[4:8] == _COOKIE

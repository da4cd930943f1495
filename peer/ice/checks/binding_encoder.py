"""Encoder of the STUN Binding messages that established paths need all the time. No I/O.

It makes the same bytes as aioice's ``stun.Message``, at a fraction of the time: each connection
sends and answers checks for as long as it lives (RFC 7675).
"""

import hmac
import struct
from binascii import crc32
from secrets import token_bytes

from aioice import stun

from .address_scope import packed_address

_HEADER = struct.Struct("!HHI12s")
_UNSIGNED = struct.Struct("!HHI")
_UNSIGNED_64 = struct.Struct("!HHQ")
_ATTRIBUTE = struct.Struct("!HH")
_XOR_IPV4 = struct.Struct("!HHBBHI")
_XOR_IPV6 = struct.Struct("!HHBBH")

_REQUEST = stun.Method.BINDING | stun.Class.REQUEST
_SUCCESS = stun.Method.BINDING | stun.Class.RESPONSE
_USERNAME, _PRIORITY, _USE_CANDIDATE = 0x0006, 0x0024, 0x0025
_INTEGRITY, _XOR_MAPPED_ADDRESS, _FINGERPRINT = 0x0008, 0x0020, 0x8028
_CONTROLLED, _CONTROLLING = 0x8029, 0x802A
_NOMINATES = _ATTRIBUTE.pack(_USE_CANDIDATE, 0)
_SIGNS = _ATTRIBUTE.pack(_INTEGRITY, 20)


def encode_request(
    username: str,
    password: str,
    *,
    priority: int,
    controlling: bool,
    tie_breaker: int,
    use_candidate: bool,
) -> tuple[bytes, bytes]:
    """Encode a Binding request; return the transaction ID and the message.

    Args:
        username: USERNAME.
        password: The key of MESSAGE-INTEGRITY.
        priority: PRIORITY.
        controlling: True for ICE-CONTROLLING, false for ICE-CONTROLLED.
        tie_breaker: The value of that attribute.
        use_candidate: True to add USE-CANDIDATE.
    """
    transaction_id = token_bytes(12)
    attributes = (
        _encoded_username(username)
        + _UNSIGNED.pack(_PRIORITY, 4, priority)
        + _UNSIGNED_64.pack(_CONTROLLING if controlling else _CONTROLLED, 8, tie_breaker)
        + (_NOMINATES if use_candidate else b"")
    )
    return transaction_id, _signed(_REQUEST, transaction_id, attributes, password)


def encode_success(transaction_id: bytes, mapped: tuple[str, int], password: str) -> bytes:
    """Encode the success response to a Binding request.

    Args:
        transaction_id: That of the request.
        mapped: The source address of the request, for XOR-MAPPED-ADDRESS.
        password: The key of MESSAGE-INTEGRITY.
    """
    port = mapped[1] ^ stun.COOKIE >> 16
    packed = packed_address(mapped[0])
    if len(packed) == 4:
        address = int.from_bytes(packed, "big") ^ stun.COOKIE
        attribute = _XOR_IPV4.pack(_XOR_MAPPED_ADDRESS, 8, 0, stun.IPV4_PROTOCOL, port, address)
    else:
        mask = stun.COOKIE << 96 | int.from_bytes(transaction_id, "big")
        address = int.from_bytes(packed, "big") ^ mask
        head = _XOR_IPV6.pack(_XOR_MAPPED_ADDRESS, 20, 0, stun.IPV6_PROTOCOL, port)
        attribute = head + address.to_bytes(16, "big")
    return _signed(_SUCCESS, transaction_id, attribute, password)


def _signed(kind: int, transaction_id: bytes, attributes: bytes, password: str) -> bytes:
    size = len(attributes) + stun.INTEGRITY_LENGTH
    signed = _HEADER.pack(kind, size, stun.COOKIE, transaction_id) + attributes
    body = attributes + _SIGNS + hmac.digest(password.encode(), signed, "sha1")
    size += stun.FINGERPRINT_LENGTH
    message = _HEADER.pack(kind, size, stun.COOKIE, transaction_id) + body
    return message + _UNSIGNED.pack(_FINGERPRINT, 4, crc32(message) ^ stun.FINGERPRINT_XOR)


def _encoded_username(username: str) -> bytes:
    value = username.encode()
    return _ATTRIBUTE.pack(_USERNAME, len(value)) + value + bytes(-len(value) % 4)

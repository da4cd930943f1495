"""Data Channel Establishment Protocol (RFC 8832), and decoding of messages (RFC 8831).

Lengths are in bytes, as labels and protocols are UTF-8. Does no I/O.
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct, error as StructError

from .packet import Malformed

ACK = b"\x02"
"""DATA_CHANNEL_ACK (RFC 8832 section 5.2)."""

_OPEN = 3
_PRIORITY = 0
_UNORDERED = 0x80
_REXMIT, _TIMED = 1, 2
_open_fields = Struct("!BBHLHH")


class Protocol(IntEnum):
    """Payload protocol identifiers (RFC 8831 section 8)."""

    DCEP = 50
    STRING = 51
    BINARY = 53
    STRING_EMPTY = 56
    BINARY_EMPTY = 57


EMPTY = (Protocol.STRING_EMPTY, Protocol.BINARY_EMPTY)
"""Identifiers of empty messages, which are sent as one byte (RFC 8831 section 6.6)."""


@dataclass(frozen=True, slots=True)
class Open:
    """DATA_CHANNEL_OPEN (RFC 8832 section 5.1).

    Attributes:
        label: The label.
        protocol: The subprotocol.
        ordered: Whether messages are delivered in order.
        max_retransmits: Maximum retransmissions of a message; ``None`` for no limit.
        max_packet_life_time: Milliseconds for which a message is sent; ``None`` for no limit.
    """

    label: str
    protocol: str
    ordered: bool = True
    max_retransmits: int | None = None
    max_packet_life_time: int | None = None

    def encode(self) -> bytes:
        """Encode the message."""
        kind, reliability = 0 if self.ordered else _UNORDERED, 0
        if self.max_retransmits is not None:
            kind, reliability = kind | _REXMIT, self.max_retransmits
        elif self.max_packet_life_time is not None:
            kind, reliability = kind | _TIMED, self.max_packet_life_time
        label, protocol = self.label.encode(), self.protocol.encode()
        lengths = len(label), len(protocol)
        return _open_fields.pack(_OPEN, kind, _PRIORITY, reliability, *lengths) + label + protocol

    @classmethod
    def decode(cls, message: bytes) -> "Open":
        """Decode the message.

        Raises:
            Malformed: It is truncated, or its texts are not UTF-8.
        """
        try:
            _, kind, _, reliability, length, rest = _open_fields.unpack_from(message)
            texts = message[_open_fields.size :]
            if len(texts) < length + rest:
                raise Malformed("a DATA_CHANNEL_OPEN is truncated")
            label, protocol = _split(texts, length, rest)
        except (StructError, UnicodeDecodeError) as error:
            raise Malformed(str(error)) from error
        return cls(
            label,
            protocol,
            ordered=not kind & _UNORDERED,
            max_retransmits=reliability if kind & 3 == _REXMIT else None,
            max_packet_life_time=reliability if kind & 3 == _TIMED else None,
        )


def _split(texts: bytes, length: int, rest: int) -> tuple[str, str]:
    """Return the label and the protocol, whose lengths are in bytes (RFC 8832 section 5.1)."""
    if len(texts) > length + rest:
        # aiortc 1.16 counts characters instead, which are fewer in most scripts.
        characters = texts.decode()
        if len(characters) == length + rest:
            return characters[:length], characters[length:]
    return texts[:length].decode(), texts[length : length + rest].decode()


def is_open(message: bytes) -> bool:
    """Return whether a DCEP message is a DATA_CHANNEL_OPEN."""
    return message[:1] == bytes([_OPEN])


def decode(protocol: int, data: bytes) -> str | bytes:
    """Return the decoded message.

    Raises:
        Malformed: A text is not UTF-8, or the payload protocol identifier is not one of WebRTC.
    """
    match protocol:
        case Protocol.BINARY:
            return data
        case Protocol.STRING:
            try:
                return data.decode()
            except UnicodeDecodeError as error:
                raise Malformed(str(error)) from error
        case Protocol.STRING_EMPTY:
            return ""
        case Protocol.BINARY_EMPTY:
            return b""
    raise Malformed(f"a message has the unknown payload protocol {protocol}")

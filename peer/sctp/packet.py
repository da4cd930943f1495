"""SCTP packets and chunks: encoding and decoding.

RFC 9260 section 3, RFC 3758 section 3.2, RFC 4820, RFC 6525 sections 3 and 4, RFC 8260 section 2.
All lengths of received data are validated here. Does no I/O.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct, error as StructError

from google_crc32c import extend, value

from icefloe.text import PrintableError

HEADER = 12
"""Bytes of the common header."""

DATA_HEADER = 16
"""Bytes of a DATA chunk before its user data."""

I_DATA_HEADER = 20
"""Bytes of an I-DATA chunk before its user data."""


class Kind(IntEnum):
    """Chunk types."""

    DATA = 0
    INIT = 1
    INIT_ACK = 2
    SACK = 3
    HEARTBEAT = 4
    HEARTBEAT_ACK = 5
    ABORT = 6
    SHUTDOWN = 7
    SHUTDOWN_ACK = 8
    ERROR = 9
    COOKIE_ECHO = 10
    COOKIE_ACK = 11
    SHUTDOWN_COMPLETE = 14
    I_DATA = 64
    RE_CONFIG = 130
    PAD = 132
    FORWARD_TSN = 192
    I_FORWARD_TSN = 194


class Parameter(IntEnum):
    """Parameter types."""

    HEARTBEAT_INFO = 1
    STATE_COOKIE = 7
    OUTGOING_RESET_REQUEST = 13
    INCOMING_RESET_REQUEST = 14
    RESET_RESPONSE = 16
    ADD_OUTGOING_STREAMS = 17
    SUPPORTED_EXTENSIONS = 0x8008
    STRETCHED_SACKS = 0xBFCE
    """Private parameter of icefloe, which others skip without a report (RFC 9260 section 3.2.1)."""
    FORWARD_TSN_SUPPORTED = 0xC000


class Cause(IntEnum):
    """Error causes (RFC 9260 section 3.3.10)."""

    STALE_COOKIE = 3
    NO_USER_DATA = 9
    PROTOCOL_VIOLATION = 13


LAST = 0x01
"""E bit: the last fragment of a message."""
FIRST = 0x02
"""B bit: the first fragment of a message."""
UNORDERED = 0x04
"""U bit: an unordered message."""
IMMEDIATE = 0x08
"""I bit: the receiver should not delay its SACK (RFC 7053)."""

chunk_header: Struct = Struct("!BBH")
data_header: Struct = Struct("!BBHLHHL")
data_fields: Struct = Struct("!LHHL")
i_data_header: Struct = Struct("!BBHLHHLL")
i_data_fields: Struct = Struct("!LHHLL")
sack_fields: Struct = Struct("!LLHH")
gap_block: Struct = Struct("!HH")
_init_fields = Struct("!LLHHL")
_ports_and_tag = Struct("!HHL")
_checksum = Struct("<L")
_long = Struct("!L")
_parameter_header = Struct("!HH")

_NOTHING = bytes(4)
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class Malformed(PrintableError):
    """A packet or chunk is malformed."""


class Fatal(Malformed):
    """A violation of the protocol that ends the association.

    Args:
        cause: Error cause of the ABORT (RFC 9260 section 3.3.10).
        reason: A description.
        information: Content of the error cause; the reason if ``None``.
    """

    def __init__(self, cause: Cause, reason: str, information: bytes | None = None) -> None:
        super().__init__(reason)
        self.cause = cause
        self.information: bytes = reason.encode() if information is None else information


class Header:
    """Common header of the packets in one direction.

    Args:
        source: Port of the sender.
        destination: Port of the receiver.
        tag: Verification tag of the receiver.
    """

    __slots__ = ("_base", "_start")

    def __init__(self, source: int, destination: int, tag: int) -> None:
        self._start = _ports_and_tag.pack(source, destination, tag)
        self._base = value(self._start + _NOTHING)

    def seal(self, chunks: bytes) -> bytes:
        """Return a packet with the given chunks."""
        return self._start + _checksum.pack(extend(self._base, chunks)) + chunks

    def fits(self, packet: bytes) -> bool:
        """Return whether a packet has this header and a valid checksum."""
        return (
            packet[:8] == self._start
            and len(packet) >= HEADER
            and _checksum.unpack_from(packet, 8)[0] == extend(self._base, packet[HEADER:])
        )


def chunk(kind: int, flags: int, body: bytes) -> bytes:
    """Return a chunk, padded to a multiple of four bytes."""
    return chunk_header.pack(kind, flags, len(body) + 4) + body + _PADDING[len(body) & 3]


def padding(length: int) -> bytes:
    """Return the padding of ``length`` bytes to a multiple of four."""
    return _PADDING[length & 3]


def chunks(packet: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, flags and body of each chunk.

    Raises:
        Malformed: The length of a chunk is invalid.
    """
    position, end = HEADER, len(packet)
    while position + 4 <= end:
        kind, flags, length = chunk_header.unpack_from(packet, position)
        if length < 4 or position + length > end:
            raise Malformed(f"a chunk of {length} bytes at {position} of {end}")
        yield kind, flags, packet[position + 4 : position + length]
        position += (length + 3) & ~3


def unwrap(number: int, reference: int, bits: int = 32) -> int:
    """Return the number closest to a reference that is congruent to ``number``.

    TSNs, SSNs and MIDs wrap (RFC 9260 section 1.6); internally they do not.
    """
    half = 1 << (bits - 1)
    return reference + ((number - reference + half) & ((1 << bits) - 1)) - half


def parameters(body: bytes, start: int = 0) -> list[tuple[int, bytes]]:
    """Decode parameters or error causes.

    Raises:
        Malformed: The length of one is invalid.
    """
    found = []
    while start + 4 <= len(body):
        kind, length = _parameter_header.unpack_from(body, start)
        if length < 4 or start + length > len(body):
            raise Malformed(f"a parameter of {length} bytes at {start} of {len(body)}")
        found.append((kind, body[start + 4 : start + length]))
        start += (length + 3) & ~3
    return found


def encode_parameters(given: Iterable[tuple[int, bytes]]) -> bytes:
    """Encode parameters; all but the last are padded."""
    written = b""
    for kind, content in given:
        written += padding(len(written))
        written += _parameter_header.pack(kind, len(content) + 4) + content
    return written


@dataclass(frozen=True, slots=True)
class Init:
    """INIT and INIT ACK (RFC 9260 sections 3.3.2 and 3.3.3).

    Attributes:
        tag: Verification tag of the sender.
        window: Its receive window, in bytes.
        outbound: Number of its outbound streams.
        inbound: Maximum number of its inbound streams.
        tsn: Its initial TSN.
        parameters: Types and contents of its parameters.
    """

    tag: int
    window: int
    outbound: int
    inbound: int
    tsn: int
    parameters: list[tuple[int, bytes]]

    @classmethod
    def decode(cls, body: bytes) -> "Init":
        """Decode a body.

        Raises:
            Malformed: It is too short, or a field has an invalid value.
        """
        try:
            tag, window, outbound, inbound, tsn = _init_fields.unpack_from(body)
        except StructError as error:
            raise Malformed(str(error)) from error
        if not tag or not outbound or not inbound:
            raise Malformed("the tag or a number of streams of an INIT is zero")
        rest = parameters(body, _init_fields.size)
        return cls(tag, window, outbound, inbound, tsn, rest)

    def encode(self) -> bytes:
        """Encode the body."""
        fields = _init_fields.pack(self.tag, self.window, self.outbound, self.inbound, self.tsn)
        return fields + encode_parameters(self.parameters)

    def get(self, kind: Parameter) -> bytes | None:
        """Return the content of a parameter, or ``None``."""
        return next((content for given, content in self.parameters if given == kind), None)


def decode_sack(body: bytes) -> tuple[int, int, list[tuple[int, int]], list[int]]:
    """Decode a SACK: cumulative TSN, window in bytes, gap blocks (offsets), duplicate TSNs.

    Raises:
        Malformed: It is truncated, or its gap blocks overlap or are not ascending.
    """
    if len(body) < 12:
        raise Malformed("a SACK is too short")
    tsn, window, blocks, duplicates = sack_fields.unpack_from(body)
    if not blocks and not duplicates:
        return tsn, window, [], []
    middle = 12 + 4 * blocks
    if middle + 4 * duplicates > len(body):
        raise Malformed("a SACK is truncated")
    gaps = list(gap_block.iter_unpack(body[12:middle]))
    before = 0
    for first, last in gaps:
        if not before < first <= last:
            raise Malformed("gap blocks overlap or are not ascending")
        before = last
    repeated = [found for (found,) in _long.iter_unpack(body[middle : middle + 4 * duplicates])]
    return tsn, window, gaps, repeated


def encode_sack(
    tsn: int, window: int, gaps: Iterable[tuple[int, int]], duplicates: Iterable[int]
) -> bytes:
    """Encode a SACK chunk; the arguments are those that :func:`decode_sack` returns."""
    blocks = b"".join([gap_block.pack(*gap) for gap in gaps])
    repeated = b"".join([_long.pack(duplicate) for duplicate in duplicates])
    fields = sack_fields.pack(tsn, window, len(blocks) // 4, len(repeated) // 4)
    return chunk(Kind.SACK, 0, fields + blocks + repeated)


def decode_forward_tsn(body: bytes) -> tuple[int, list[tuple[int, int]]]:
    """Decode a FORWARD TSN: the new cumulative TSN, and the last skipped SSN of each stream.

    Raises:
        Malformed: Its length is invalid.
    """
    if len(body) < 4 or len(body) & 3:
        raise Malformed("the length of a FORWARD TSN is invalid")
    return _long.unpack_from(body)[0], list(gap_block.iter_unpack(body[4:]))


def encode_forward_tsn(tsn: int, streams: Iterable[tuple[int, int]]) -> bytes:
    """Encode a FORWARD TSN chunk."""
    skipped = b"".join([gap_block.pack(*stream) for stream in streams])
    return chunk(Kind.FORWARD_TSN, 0, _long.pack(tsn) + skipped)


_skipped_message = Struct("!HHL")


def decode_i_forward_tsn(body: bytes) -> tuple[int, list[tuple[int, bool, int]]]:
    """Decode an I-FORWARD-TSN: cumulative TSN; stream, unordered flag and last skipped MID.

    Raises:
        Malformed: Its length is invalid.
    """
    if len(body) < 4 or (len(body) - 4) & 7:
        raise Malformed("the length of an I-FORWARD-TSN is invalid")
    skipped = [
        (stream, bool(flags & 1), message)
        for stream, flags, message in _skipped_message.iter_unpack(body[4:])
    ]
    return _long.unpack_from(body)[0], skipped


def encode_i_forward_tsn(tsn: int, skipped: Iterable[tuple[int, bool, int]]) -> bytes:
    """Encode an I-FORWARD-TSN chunk."""
    entries = b"".join([_skipped_message.pack(s, unordered, mid) for s, unordered, mid in skipped])
    return chunk(Kind.I_FORWARD_TSN, 0, _long.pack(tsn) + entries)

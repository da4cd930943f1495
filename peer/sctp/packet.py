"""SCTP packets and chunks: bytes to numbers and back.

RFC 9260 section 3, RFC 3758 section 3.2, RFC 4820, RFC 6525 sections 3 and 4, RFC 8260 section 2.
What comes from outside is checked here: whoever reads a chunk may trust its lengths.
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
    """icefloe's own, which others skip and do not report (RFC 9260 section 3.2.1)."""
    FORWARD_TSN_SUPPORTED = 0xC000


class Cause(IntEnum):
    """Error causes (RFC 9260 section 3.3.10)."""

    STALE_COOKIE = 3
    NO_USER_DATA = 9
    PROTOCOL_VIOLATION = 13


LAST = 0x01
"""The chunk is a message's last (the E bit)."""
FIRST = 0x02
"""It is its first (the B bit)."""
UNORDERED = 0x04
"""The U bit."""
IMMEDIATE = 0x08
"""The I bit: the receiver should not delay its SACK."""

chunk_header = Struct("!BBH")
data_header = Struct("!BBHLHHL")
data_fields = Struct("!LHHL")
i_data_header = Struct("!BBHLHHLL")
i_data_fields = Struct("!LHHLL")
sack_fields = Struct("!LLHH")
gap_block = Struct("!HH")
_init_fields = Struct("!LLHHL")
_ports_and_tag = Struct("!HHL")
_checksum = Struct("<L")
_long = Struct("!L")
_parameter_header = Struct("!HH")

_NOTHING = bytes(4)
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class Malformed(PrintableError):
    """A packet or chunk that does not keep to its format."""


class Fatal(Malformed):
    """What the other side did ends the association.

    Args:
        cause: The cause that an ABORT tells it (RFC 9260 section 3.3.10).
        reason: What it did.
        information: What the cause carries; the reason if ``None``.
    """

    def __init__(self, cause: Cause, reason: str, information: bytes | None = None) -> None:
        super().__init__(reason)
        self.cause = cause
        self.information = reason.encode() if information is None else information


class Header:
    """The common header of all packets that go one way.

    Args:
        source: The sender's port.
        destination: The receiver's port.
        tag: The receiver's verification tag.
    """

    __slots__ = ("_base", "_start")

    def __init__(self, source: int, destination: int, tag: int) -> None:
        self._start = _ports_and_tag.pack(source, destination, tag)
        self._base = value(self._start + _NOTHING)

    def seal(self, chunks: bytes) -> bytes:
        """Make a packet of chunks."""
        return self._start + _checksum.pack(extend(self._base, chunks)) + chunks

    def fits(self, packet: bytes) -> bool:
        """Whether a packet has this header and a checksum that is right."""
        return (
            packet[:8] == self._start
            and len(packet) >= HEADER
            and _checksum.unpack_from(packet, 8)[0] == extend(self._base, packet[HEADER:])
        )


def chunk(kind: int, flags: int, body: bytes) -> bytes:
    """Make a chunk, padded to a multiple of four bytes."""
    return chunk_header.pack(kind, flags, len(body) + 4) + body + _PADDING[len(body) & 3]


def padding(length: int) -> bytes:
    """Return what pads so many bytes to a multiple of four."""
    return _PADDING[length & 3]


def chunks(packet: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, flags and body of each chunk.

    Raises:
        Malformed: A chunk is longer than what is left, or shorter than its header.
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

    TSNs, SSNs and MIDs wrap around (RFC 9260 section 1.6); inside they are counted on.
    """
    half = 1 << (bits - 1)
    return reference + ((number - reference + half) & ((1 << bits) - 1)) - half


def parameters(body: bytes, start: int = 0) -> list[tuple[int, bytes]]:
    """Read parameters, or error causes.

    Raises:
        Malformed: One is longer than what is left, or shorter than its header.
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
    """Write parameters; all but the last are padded."""
    written = b""
    for kind, content in given:
        written += padding(len(written))
        written += _parameter_header.pack(kind, len(content) + 4) + content
    return written


@dataclass(frozen=True, slots=True)
class Init:
    """INIT and INIT ACK (RFC 9260 sections 3.3.2 and 3.3.3).

    Attributes:
        tag: The sender's verification tag.
        window: Bytes that it takes.
        outbound: Streams that it sends on.
        inbound: Streams that it takes.
        tsn: Its first TSN.
        parameters: Types and contents of what else it says.
    """

    tag: int
    window: int
    outbound: int
    inbound: int
    tsn: int
    parameters: list[tuple[int, bytes]]

    @classmethod
    def decode(cls, body: bytes) -> "Init":
        """Read a body.

        Raises:
            Malformed: It is too short, or a field has a value that it must not have.
        """
        try:
            tag, window, outbound, inbound, tsn = _init_fields.unpack_from(body)
        except StructError as error:
            raise Malformed(str(error)) from error
        if not tag or not outbound or not inbound:
            raise Malformed("an INIT with a tag or a number of streams of zero")
        rest = parameters(body, _init_fields.size)
        return cls(tag, window, outbound, inbound, tsn, rest)

    def encode(self) -> bytes:
        """Write a body."""
        fields = _init_fields.pack(self.tag, self.window, self.outbound, self.inbound, self.tsn)
        return fields + encode_parameters(self.parameters)

    def get(self, kind: Parameter) -> bytes | None:
        """Return the content of a parameter, if it is there."""
        return next((content for given, content in self.parameters if given == kind), None)


def decode_sack(body: bytes) -> tuple[int, int, list[tuple[int, int]], list[int]]:
    """Read a SACK: cumulative TSN, window in bytes, gap blocks (offsets), duplicate TSNs.

    Raises:
        Malformed: It is shorter than it says, or its blocks are not ascending and apart.
    """
    if len(body) < 12:
        raise Malformed("a SACK that is too short")
    tsn, window, blocks, duplicates = sack_fields.unpack_from(body)
    if not blocks and not duplicates:
        return tsn, window, [], []
    middle = 12 + 4 * blocks
    if middle + 4 * duplicates > len(body):
        raise Malformed("a SACK that is shorter than it says")
    gaps = list(gap_block.iter_unpack(body[12:middle]))
    before = 0
    for first, last in gaps:
        if not before < first <= last:
            raise Malformed("gap blocks that are not ascending and apart")
        before = last
    told = [found for (found,) in _long.iter_unpack(body[middle : middle + 4 * duplicates])]
    return tsn, window, gaps, told


def encode_sack(
    tsn: int, window: int, gaps: Iterable[tuple[int, int]], duplicates: Iterable[int]
) -> bytes:
    """Write a SACK chunk; the arguments are what :func:`decode_sack` returns."""
    blocks = b"".join([gap_block.pack(*gap) for gap in gaps])
    told = b"".join([_long.pack(duplicate) for duplicate in duplicates])
    fields = sack_fields.pack(tsn, window, len(blocks) // 4, len(told) // 4)
    return chunk(Kind.SACK, 0, fields + blocks + told)


def decode_forward_tsn(body: bytes) -> tuple[int, list[tuple[int, int]]]:
    """Read a FORWARD TSN: the new cumulative TSN, and the last SSN skipped of each stream.

    Raises:
        Malformed: It is cut off.
    """
    if len(body) < 4 or len(body) & 3:
        raise Malformed("a FORWARD TSN of a wrong length")
    return _long.unpack_from(body)[0], list(gap_block.iter_unpack(body[4:]))


def encode_forward_tsn(tsn: int, streams: Iterable[tuple[int, int]]) -> bytes:
    """Write a FORWARD TSN chunk."""
    skipped = b"".join([gap_block.pack(*stream) for stream in streams])
    return chunk(Kind.FORWARD_TSN, 0, _long.pack(tsn) + skipped)


_skipped_message = Struct("!HHL")


def decode_i_forward_tsn(body: bytes) -> tuple[int, list[tuple[int, bool, int]]]:
    """Read an I-FORWARD-TSN: the new cumulative TSN; stream, unordered, and the last MID skipped.

    Raises:
        Malformed: It is cut off.
    """
    if len(body) < 4 or (len(body) - 4) & 7:
        raise Malformed("an I-FORWARD-TSN of a wrong length")
    skipped = [
        (stream, bool(flags & 1), message)
        for stream, flags, message in _skipped_message.iter_unpack(body[4:])
    ]
    return _long.unpack_from(body)[0], skipped


def encode_i_forward_tsn(tsn: int, skipped: Iterable[tuple[int, bool, int]]) -> bytes:
    """Write an I-FORWARD-TSN chunk."""
    told = b"".join([_skipped_message.pack(s, unordered, mid) for s, unordered, mid in skipped])
    return chunk(Kind.I_FORWARD_TSN, 0, _long.pack(tsn) + told)

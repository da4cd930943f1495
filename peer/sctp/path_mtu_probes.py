"""The packets by which packet sizes are tried, and their answers (RFC 8899 section 6.2).

A probe is a HEARTBEAT, which comes back, with padding behind it. A side that says so in its INIT
knows the PAD chunk (RFC 4820). Others are not sent what they may not know, although RFC 9260
section 3.2 would have them skip it: there are stacks that end with it. For them the padding is a
DATA chunk with the last TSN that they have acknowledged. All drop that as a duplicate (RFC 9260
section 6.2), and at most tell of it in a SACK. The HEARTBEAT's own information is no place for
padding: answers that are larger than their packets usrsctp and dcsctp never send.
"""

from .packet import (
    FIRST,
    HEADER,
    LAST,
    UNORDERED,
    Header,
    Kind,
    Parameter,
    chunk,
    data_fields,
    encode_parameters,
    i_data_fields,
    parameters,
)


def encode(header: Header, size: int, *, pads: bool, interleaves: bool, acknowledged: int) -> bytes:
    """Write a probe.

    Args:
        header: The packets' header.
        size: Bytes that the packet is to have.
        pads: Whether the other side has said that it knows PAD.
        interleaves: Whether I-DATA is used.
        acknowledged: The TSN up to which the other side has everything, counted on.
    """
    told = encode_parameters([(Parameter.HEARTBEAT_INFO, size.to_bytes(4, "big"))])
    heartbeat = chunk(Kind.HEARTBEAT, 0, told)
    rest = size - HEADER - len(heartbeat) - 4
    if pads:
        return header.seal(heartbeat + chunk(Kind.PAD, 0, bytes(rest)))
    tsn = acknowledged & 0xFFFFFFFF
    if interleaves:
        kind, fields = Kind.I_DATA, i_data_fields.pack(tsn, 0, 0, 0, 0)
    else:
        kind, fields = Kind.DATA, data_fields.pack(tsn, 0, 0, 0)
    padding = chunk(kind, FIRST | LAST | UNORDERED, fields + bytes(rest - len(fields)))
    return header.seal(heartbeat + padding)


def answered(body: bytes) -> int | None:
    """Return the size of the probe that a HEARTBEAT ACK answers; ``None`` if it answers none.

    Raises:
        Malformed: It is cut off.
    """
    told = next((c for kind, c in parameters(body) if kind == Parameter.HEARTBEAT_INFO), b"")
    return int.from_bytes(told, "big") if len(told) == 4 else None

"""Probe packets of path MTU discovery, and their answers (RFC 8899 section 6.2).

A probe is a HEARTBEAT, which is answered, followed by padding. If the remote peer announces PAD
(RFC 4820) in its INIT, the padding is a PAD chunk. Others should skip it by RFC 9260 section 3.2,
but some implementations abort. For them the padding is a DATA chunk with the last TSN they have
acknowledged: all of them drop it as a duplicate (RFC 9260 section 6.2), and at most report it in a
SACK. The HEARTBEAT information cannot be padded: usrsctp and dcsctp never send an answer that is
larger than their packets.
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
    """Encode a probe.

    Args:
        header: The packet's header.
        size: Size of the packet, in bytes.
        pads: Whether the remote peer supports PAD.
        interleaves: Whether I-DATA is used.
        acknowledged: The cumulative TSN that the remote peer has acknowledged, unwrapped.
    """
    info = encode_parameters([(Parameter.HEARTBEAT_INFO, size.to_bytes(4, "big"))])
    heartbeat = chunk(Kind.HEARTBEAT, 0, info)
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
        Malformed: It is truncated.
    """
    info = next((c for kind, c in parameters(body) if kind == Parameter.HEARTBEAT_INFO), b"")
    return int.from_bytes(info, "big") if len(info) == 4 else None

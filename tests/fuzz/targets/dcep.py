"""Data channels that the other side opens and closes, from its SCTP packets on.

An input is a sequence of packets: of each the first byte says what comes (the payload protocol, or
a reset) and whether the loop has a turn before the next one, two say for which stream, and the rest
is the message, or in a packet of many, all of them. The association is established, and the tag and
the checksum of each packet are right.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from struct import pack

from icefloe.peer import PeerConnection
from icefloe.peer._aiortc import SctpTransport
from icefloe.peer.sctp import dcep
from icefloe.peer.sctp.handshake import init
from icefloe.peer.sctp.packet import (
    FIRST,
    LAST,
    UNORDERED,
    Header,
    Init,
    Kind,
    Parameter,
    chunk,
    chunks,
    data_header,
    encode_parameters,
    padding,
)
from tests.fuzz.target import Target, event_loop, join, split

MOST = 8
"""Channels that the peer may have open."""

TAG, TSN = 0xAAAA0001, 1000
LARGEST = 16384
_PROTOCOLS = (*dcep.Protocol, 0, 52, 1 << 31)
RESET, MANY, CLOSES = len(_PROTOCOLS), len(_PROTOCOLS) + 1, len(_PROTOCOLS) + 2
_KINDS = CLOSES + 1
TURN, LOOSE = 0x80, 0x40
"""Bits of the first byte: the loop has a turn after it; the message is unordered."""
_LEAST = 3


class Transport(SctpTransport):
    """The SCTP transport of a peer connection, with nothing below: the packets are kept."""

    sent: list[bytes]

    def send_all(self, packets: list[bytes]) -> None:
        self.sent += packets

    def send_probe(self, packet: bytes) -> bool:
        return True

    def init_chunk(self, kind: Kind) -> Init:
        """Return the INIT, or the INIT ACK, that was sent."""
        found = (part for packet in self.sent for part in chunks(packet))
        return next(Init.decode(body) for told, _, body in found if told == kind)


class Peer:
    """A peer that speaks to a transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._tsn, self._request = TSN, TSN
        self._numbers: dict[int, int] = {}

    async def establish(self) -> None:
        """Do the handshake (RFC 9260 section 5.1)."""
        transport = self._transport
        transport.sent = []
        transport.begin(MOST)
        transport.shell.start(5000, transport)
        await asyncio.sleep(0)
        self._seal = Header(5000, 5000, transport.init_chunk(Kind.INIT).tag).seal
        body = init(TAG, TSN, 1 << 20, interleaves=False)
        transport.shell.receive(Header(5000, 5000, 0).seal(chunk(Kind.INIT, 0, body)))
        await asyncio.sleep(0)
        cookie = transport.init_chunk(Kind.INIT_ACK).get(Parameter.STATE_COOKIE)
        assert cookie is not None
        self.take(chunk(Kind.COOKIE_ECHO, 0, cookie))
        assert transport.shell.state == "connected"

    def take(self, parts: bytes) -> None:
        """Have the transport take a packet of these chunks."""
        self._transport.shell.receive(self._seal(parts))

    def data(self, stream: int, protocol: int, message: bytes, *, loose: bool = False) -> bytes:
        """Return the chunk of a message."""
        number = self._numbers.get(stream, 0)
        if not loose:
            self._numbers[stream] = number + 1
        flags = FIRST | LAST | (UNORDERED if loose else 0)
        fields = (Kind.DATA, flags, 16 + len(message), self._tsn, stream, number & 0xFFFF, protocol)
        self._tsn += 1
        return data_header.pack(*fields) + message + padding(len(message))

    def reset(self, *streams: int) -> bytes:
        """Return a request to reset streams, of which nothing more is sent before."""
        content = pack("!LLL", self._request, 0, self._tsn - 1)
        content += b"".join(stream.to_bytes(2, "big") for stream in streams)
        self._request += 1
        for stream in streams:
            self._numbers.pop(stream, None)
        parameter = (Parameter.OUTGOING_RESET_REQUEST, content)
        return chunk(Kind.RE_CONFIG, 0, encode_parameters([parameter]))


async def _meet(transport: Transport, data: bytes) -> int:
    peer = Peer(transport)
    await peer.establish()
    for part in split(data):
        if len(part) < _LEAST:
            continue
        kind = (part[0] & 0x3F) % _KINDS
        stream, said = int.from_bytes(part[1:3], "big"), part[_LEAST:LARGEST]
        if kind == RESET:
            more = (int.from_bytes(said[at : at + 2], "big") for at in range(0, len(said) - 1, 2))
            peer.take(peer.reset(stream, *more))
        elif kind == MANY:
            ids = range(stream, stream + 2 * min(len(said), 64), 2)
            peer.take(b"".join(peer.data(id & 0xFFFF, dcep.Protocol.DCEP, said) for id in ids))
        elif kind == CLOSES:
            for channel in list(transport.channels):
                channel.close()
        elif said:
            loose = bool(part[0] & LOOSE)
            peer.take(peer.data(stream, _PROTOCOLS[kind], said, loose=loose))
        if part[0] & TURN:
            await asyncio.sleep(0)
        assert len(transport.channels) <= MOST
    await asyncio.sleep(0)
    transport.shell.stop()
    return len(transport.channels)


@contextmanager
def start() -> Iterator[Callable[[bytes], object]]:
    """Yield what gives one input to the data channels of a peer connection."""
    with event_loop() as run:

        async def made() -> tuple[PeerConnection, Transport]:
            connection = PeerConnection()
            connection.createDataChannel("own")
            assert connection.sctp is not None
            transport = Transport(connection.sctp.transport)
            return connection, transport

        made_here = run(made())
        assert isinstance(made_here, tuple)
        connection, transport = made_here
        try:
            yield lambda data: run(_meet(transport, data))
        finally:
            run(connection.close())


def step(
    kind: int, stream: int, said: bytes = b"", *, turn: bool = True, loose: bool = False
) -> bytes:
    """Return one packet of an input."""
    first = kind | (TURN if turn else 0) | (LOOSE if loose else 0)
    return bytes([first]) + stream.to_bytes(2, "big") + said


def seeds() -> Sequence[bytes]:
    """Return channels that open, say something and close, well and badly."""
    kinds = {protocol: at for at, protocol in enumerate(_PROTOCOLS)}
    control, text, binary = (kinds[p] for p in (50, 51, 53))
    opened = dcep.Open("chat", "p").encode()
    others = [
        dcep.Open("\u00e4" * 20, "\u00fc", ordered=False, max_retransmits=3).encode(),
        dcep.Open("", "", max_packet_life_time=500).encode(),
        dcep.Open("x" * 1100, "").encode(),
        opened[:-1],
        opened + b"more",
    ]
    hello = [step(text, 0, b"hello"), step(binary, 0, b"\xff\0"), step(kinds[56], 0, b"\0")]
    return [
        join([step(control, 0, opened), *hello, step(RESET, 0), step(control, 0, opened)]),
        join([step(control, 1, opened), step(text, 1, b"\xff"), step(RESET, 1)]),
        join(step(control, 2 * n, said, turn=False) for n, said in enumerate(others)),
        join([step(control, 0, opened, loose=True), step(control, 0, opened), *hello]),
        join([step(control, id, opened) for id in (1, 65534, 65535, 3)]),
        join([step(MANY, 0, opened), step(CLOSES, 0), step(MANY, 1, opened), step(RESET, 1)]),
        join([step(control, 0, opened), step(control, 0, dcep.ACK), step(control, 4, b"\x07")]),
        join([step(control, 0, opened), step(CLOSES, 0, b"x"), step(RESET, 0, b"\0\2\0\4")]),
    ]


TARGET = Target(
    name="dcep",
    seeds=seeds,
    tokens=(
        b"\x02",
        b"\x03",
        b"\x03\x80",
        b"\x03\x81",
        b"\xff\xff",
        b"\xff\xfe",
        b"\0\1",
        b"\xc3\xa4",
    ),
    documented=(),
    start=start,
)

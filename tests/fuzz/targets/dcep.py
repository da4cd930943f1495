"""Data channels that the other side opens and closes, from its SCTP packets on.

An input is a sequence of messages: a byte for the kind (payload protocol, or a reset of the
stream), two for the stream, and what the message says. They come over an association that is
established, in packets whose tag and checksum are right.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from struct import pack

from icefloe.peer._aiortc import SctpTransport
from icefloe.peer.connection import PeerConnection
from icefloe.peer.sctp import dcep
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
from icefloe.peer.sctp.handshake import init
from tests.fuzz.target import Target, event_loop, join, settled, split

MOST = 8
"""Channels that the peer may have open."""

_TAG, _TSN = 0xAAAA0001, 1000
_PROTOCOLS = (*dcep.Protocol, 0, 52, 54, 1 << 31)
_RESET = 0x0F
_LEAST = 3


class _Transport(SctpTransport):
    """The SCTP transport, whose packets go nowhere."""

    sent: list[bytes]

    def transmit(self, packets: list[bytes]) -> None:
        self.sent += packets

    def transmit_probe(self, packet: bytes) -> bool:
        return True

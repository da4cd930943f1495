"""Multicast DNS (RFC 6762), with one socket shared by all connections of an event loop.

aioice shares a socket per thread, which breaks when another event loop runs in that thread. Any
host that can reach this machine can send to the socket, so messages are bounded before they are
parsed.
"""

import asyncio
import socket
import struct
from logging import Logger
from typing import Any

from aioice import mdns
from dns.exception import DNSException

from icefloe.logs import get_logger

logger: Logger = get_logger(__name__)

MAX_MESSAGE_SIZE = 9000
"""Maximum size of a message in bytes (RFC 6762 section 17)."""

MAX_RECORDS = 32
"""Maximum number of questions and records in a message. Parsing one takes up to 250 µs, and 1,000
bytes can contain a hundred of them. A query or an answer for mDNS candidates needs a few."""

_HEADER = struct.Struct("!2H4H")

QUERY_TIMEOUTS = (1.0, 2.0)
"""Seconds that each query waits for an answer. Multicast is lossy, especially over Wi-Fi, so a
second query follows. RFC 6762 section 5.2: at least one second between the first two queries, then
twice as long."""


class Protocol(mdns.MDnsProtocol):
    """aioice's multicast DNS protocol, hardened against malformed and oversized messages."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        packet = data if isinstance(data, bytes) else data.encode("latin-1")
        if len(packet) > MAX_MESSAGE_SIZE or record_count(packet) > MAX_RECORDS:
            return
        try:
            super().datagram_received(packet, addr)
        except (DNSException, ValueError, LookupError, struct.error) as error:
            logger.debug("ignored a malformed multicast DNS message from %s: %r", addr, error)


def record_count(packet: bytes) -> int:
    """Return the number of questions and records that a message's header declares."""
    if len(packet) < _HEADER.size:
        return 0
    return sum(_HEADER.unpack_from(packet)[2:])


class _SharedSocket:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.protocol: Protocol | None = None
        self.holders: set[MulticastDns] = set()


_sockets: dict[asyncio.AbstractEventLoop, _SharedSocket] = {}


class MulticastDns:
    """A reference to the shared socket, which is opened on demand and closed with the last one."""

    async def open(self) -> Protocol:
        """Return the protocol of the shared socket; open the socket if it is closed.

        Raises:
            OSError: Another program uses the port exclusively, or multicast is unavailable.

        Cancellation: safe.
        """
        for loop in [loop for loop in _sockets if loop.is_closed()]:
            del _sockets[loop]
        port = _sockets.setdefault(asyncio.get_running_loop(), _SharedSocket())
        async with port.lock:
            if port.protocol is None:
                port.protocol = await _open()
            port.holders.add(self)
            return port.protocol

    async def resolve(self, name: str) -> str | None:
        """Resolve a ``.local`` name; return ``None`` if no host answers.

        Raises:
            OSError: As for :meth:`open`.

        Cancellation: safe.
        """
        protocol = await self.open()
        for timeout in QUERY_TIMEOUTS:
            address = await protocol.resolve(name, timeout=timeout)
            if address is not None:
                return address
        return None

    async def close(self) -> None:
        """Release the reference to the socket; a second call does nothing."""
        port = _sockets.get(asyncio.get_running_loop())
        if port is None:
            return
        async with port.lock:
            port.holders.discard(self)
            if not port.holders and port.protocol is not None:
                protocol, port.protocol = port.protocol, None
                await protocol.close()


async def _open() -> Protocol:
    """Open the socket.

    aioice's own function leaks the socket if it cannot be bound.

    Raises:
        OSError: Another program uses the port exclusively, or multicast is unavailable.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("", mdns.MDNS_PORT))
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_datagram_endpoint(Protocol, sock=sock)
    except BaseException:
        sock.close()
        raise
    return protocol

"""Multicast DNS: one socket for all connections of an event loop (RFC 6762).

aioice has one for each thread, which is of no use once another event loop runs there. Whoever can
send to this machine can send to the socket: messages are bounded before they are read.
"""

import asyncio
import socket
import struct
from typing import Any

from aioice import mdns
from dns.exception import DNSException

from icefloe.logs import get_logger

logger = get_logger(__name__)

LONGEST = 9000
"""Bytes of a message at most (RFC 6762 section 17)."""

RECORDS = 32
"""Questions and records of a message at most: to read one takes up to a quarter of a millisecond,
and a kilobyte may have a hundred of them. Who asks for a name, or tells an address, needs a few."""

_HEADER = struct.Struct("!2H4H")

QUERY_TIMEOUTS = (1.0, 2.0)
"""Seconds that each query waits for an answer; multicast is lossy, most of all over Wi-Fi. RFC 6762
section 5.2: a second at least between the first two, and twice as long after that."""


class Protocol(mdns.MDnsProtocol):
    """aioice's, which errs on nothing that comes in."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        packet = data if isinstance(data, bytes) else data.encode("latin-1")
        if len(packet) > LONGEST or count(packet) > RECORDS:
            return
        try:
            super().datagram_received(packet, addr)
        except (DNSException, ValueError, LookupError, struct.error) as error:
            logger.debug("ignored a message of multicast DNS from %s: %r", addr, error)


def count(packet: bytes) -> int:
    """Return how many questions and records a message says that it has."""
    if len(packet) < _HEADER.size:
        return 0
    return sum(_HEADER.unpack_from(packet)[2:])


class _Port:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.protocol: Protocol | None = None
        self.holders: set[MulticastDns] = set()


_ports: dict[asyncio.AbstractEventLoop, _Port] = {}


class MulticastDns:
    """A hold on the socket, which is opened when it is needed and closed with its last holder."""

    async def open(self) -> Protocol:
        """Return the socket's protocol.

        Raises:
            OSError: Another program has the port to itself, or there is no multicast.

        Cancellation: safe.
        """
        for loop in [loop for loop in _ports if loop.is_closed()]:
            del _ports[loop]
        port = _ports.setdefault(asyncio.get_running_loop(), _Port())
        async with port.lock:
            if port.protocol is None:
                port.protocol = await _open()
            port.holders.add(self)
            return port.protocol

    async def resolve(self, name: str) -> str | None:
        """Return the address that a name stands for; ``None`` if nobody says.

        Raises:
            OSError: As :meth:`open`.

        Cancellation: safe.
        """
        protocol = await self.open()
        for timeout in QUERY_TIMEOUTS:
            address = await protocol.resolve(name, timeout=timeout)
            if address is not None:
                return address
        return None

    async def close(self) -> None:
        """Let go of the socket; a second call does nothing."""
        port = _ports.get(asyncio.get_running_loop())
        if port is None:
            return
        async with port.lock:
            port.holders.discard(self)
            if not port.holders and port.protocol is not None:
                protocol, port.protocol = port.protocol, None
                await protocol.close()


async def _open() -> Protocol:
    """Open the socket as aioice does, which leaks it where the port is not to be had.

    Raises:
        OSError: Another program has it to itself.
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

"""Multicast DNS: one socket for all connections of an event loop (RFC 6762).

aioice has one for each thread, which is of no use once another event loop runs there.
"""

import asyncio
import socket

from aioice import mdns

QUERY_TIMEOUTS = (1.0, 2.0)
"""Seconds that each query waits for an answer; multicast is lossy, most of all over Wi-Fi. RFC 6762
section 5.2: a second at least between the first two, and twice as long after that."""


class _Port:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.protocol: mdns.MDnsProtocol | None = None
        self.holders: set[MulticastDns] = set()


_ports: dict[asyncio.AbstractEventLoop, _Port] = {}


class MulticastDns:
    """A hold on the socket, which is opened when it is needed and closed with its last holder."""

    async def open(self) -> mdns.MDnsProtocol:
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
                _try_port()
                port.protocol = await mdns.create_mdns_protocol()
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


def _try_port() -> None:
    """Bind the port as aioice does, which leaks its socket where that fails.

    Raises:
        OSError: Another program has it to itself.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("", mdns.MDNS_PORT))

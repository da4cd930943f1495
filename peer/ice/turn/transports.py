"""How a TURN server is reached: a UDP socket, or a TCP or TLS connection, as one thing.

A link carries messages, STUN or ChannelData, each as one piece of bytes. It is a datagram service
over whatever lies below: what cannot be sent now is dropped, and never waits without a bound.
"""

import asyncio
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from icefloe.logs import get_logger

from ..server_urls import Transport
from ..udp import TURN
from .tcp import Persistence

logger = get_logger(__name__)

MAX_QUEUED = 1024 * 1024
"""Bytes that may wait to be sent; more datagrams are dropped."""

UDP_RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes asked of the kernel for what arrives while the event loop is busy; it may give less."""

_MAGIC_COOKIE = 0x2112A442


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how a TURN server is spoken to.

    Attributes:
        address: IP address.
        port: Port number.
        transport: UDP, TCP or TLS.
        name: The name against which the certificate is checked.
        context: How the certificate is verified; needed for TLS.
    """

    address: str
    port: int
    transport: Transport
    name: str
    context: ssl.SSLContext | None = None


class Framer:
    """Cuts a byte stream into STUN messages and ChannelData (RFC 8656 section 3.1); no I/O."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes as they came.

        Returns:
            The messages that are complete now, ChannelData without its padding.

        Raises:
            ValueError: What came is neither; there is no way back into step.
        """
        self._buffer += data
        messages, start, end = [], 0, len(self._buffer)
        while end - start >= 4:
            kind, length = struct.unpack_from("!HH", self._buffer, start)
            if kind >> 14 == 1:
                size = 4 + length
                padded = size + -size % 4
            elif kind >> 14 == 0 and length % 4 == 0:
                size = padded = 20 + length
                cookie = self._buffer[start + 4 : start + 8]
                if len(cookie) == 4 and int.from_bytes(cookie) != _MAGIC_COOKIE:
                    raise ValueError("not a STUN message")
            else:
                raise ValueError("neither STUN nor ChannelData")
            if end - start < padded:
                break
            messages.append(bytes(self._buffer[start : start + size]))
            start += padded
        del self._buffer[:start]
        return messages


class Link:
    """One way to a server."""

    def __init__(
        self, receive: Callable[[bytes], None], lost: Callable[[Exception | None], None]
    ) -> None:
        self._receive = receive
        self._lost = lost
        self._over = False

    @property
    def transport(self) -> asyncio.Transport | asyncio.DatagramTransport:
        """asyncio's transport below."""
        raise NotImplementedError

    def send(self, message: bytes, *, urgent: bool = False) -> None:
        """Send a message; drop it if the link is closed.

        Args:
            message: STUN or ChannelData.
            urgent: Whether it is sent although :data:`MAX_QUEUED` bytes wait already.
        """
        raise NotImplementedError

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio, once."""
        self._end(exc)

    def close(self) -> None:
        """Close at once; what was handed to the kernel is still sent."""
        self._over = True
        self.transport.abort()

    def _end(self, reason: Exception | None) -> None:
        if not self._over:
            self._over = True
            self._lost(reason)

    @property
    def local_address(self) -> tuple[str, int] | None:
        """Address and port of this end; ``None`` if it is closed."""
        name = self.transport.get_extra_info("sockname")
        return (name[0], name[1]) if name else None


class UdpLink(Link, asyncio.DatagramProtocol):
    """A UDP socket that is connected to the server: the kernel drops what others send to it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.DatagramTransport, transport)
        # Every loop has it; the abstract class does not.
        self._queued: Callable[[], int] = getattr(transport, "get_write_buffer_size", lambda: 0)

    @property
    def transport(self) -> asyncio.DatagramTransport:
        """asyncio's transport below."""
        return self._transport

    def send(self, message: bytes, *, urgent: bool = False) -> None:
        """Send a message, see :meth:`Link.send`."""
        if self._over:
            return
        if urgent or self._queued() <= MAX_QUEUED:
            self._transport.sendto(message)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Called by asyncio."""
        if not self._over:
            self._receive(data)

    def error_received(self, exc: Exception) -> None:
        """Called by asyncio with what ICMP said; a server that is away may come back."""
        logger.debug("%s: %s", self.local_address, exc)


class StreamLink(Link, asyncio.Protocol):
    """A TCP or TLS connection."""

    def __init__(
        self, receive: Callable[[bytes], None], lost: Callable[[Exception | None], None]
    ) -> None:
        super().__init__(receive, lost)
        self._framer = Framer()
        self._heard: deque[bytes] = deque()
        self._goes_on: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)
        self._persistence = Persistence(self._transport)

    @property
    def transport(self) -> asyncio.Transport:
        """asyncio's transport below."""
        return self._transport

    def send(self, message: bytes, *, urgent: bool = False) -> None:
        """Send a message, see :meth:`Link.send`."""
        transport = self._transport
        if self._over or transport.is_closing():
            return
        if urgent or transport.get_write_buffer_size() <= MAX_QUEUED:
            # RFC 8656 section 12.5: over a stream ChannelData is padded to four bytes.
            transport.write(message + bytes(-len(message) % 4))
            self._persistence.sent()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio, once."""
        self._persistence.close()
        super().connection_lost(exc)

    def close(self) -> None:
        """Close at once; what was handed to the kernel is still sent."""
        self._persistence.close()
        super().close()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self._over:
            return
        try:
            messages = self._framer.feed(data)
        except ValueError as error:
            self._transport.abort()
            self._end(ConnectionError(f"the server does not speak TURN: {error}"))
            return
        self._heard += messages
        if self._goes_on is None:
            self._hear()

    def _hear(self) -> None:
        """Hand on what came, for as long as a turn of the event loop may take."""
        was_behind, self._goes_on = self._goes_on is not None, None
        until = time.monotonic() + TURN
        while self._heard and not self._over:
            if time.monotonic() >= until:
                self._goes_on = asyncio.get_running_loop().call_soon(self._hear)
                if not was_behind and not self._transport.is_closing():
                    self._transport.pause_reading()
                return
            self._receive(self._heard.popleft())
        if was_behind and not self._transport.is_closing():
            self._transport.resume_reading()


Connect = Callable[
    [Endpoint, Callable[[bytes], None], Callable[[Exception | None], None]], Awaitable[Link]
]
"""Opens a link, as :func:`open_link` does."""


async def open_link(
    endpoint: Endpoint,
    receive: Callable[[bytes], None],
    lost: Callable[[Exception | None], None],
) -> Link:
    """Open a link to a server.

    Args:
        endpoint: The server.
        receive: Called with each message from it.
        lost: Called once if it ends before :meth:`Link.close`, with the reason if there is one.

    Raises:
        OSError: It cannot be reached, or its certificate is not trusted.

    Cancellation: safe; the socket is closed.
    """
    loop = asyncio.get_running_loop()
    address = (endpoint.address, endpoint.port)
    if endpoint.transport is Transport.UDP:
        datagrams, udp = await loop.create_datagram_endpoint(
            lambda: UdpLink(receive, lost), remote_addr=address
        )
        sock: socket.socket = datagrams.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BUFFER)
        return udp
    secure = endpoint.transport is Transport.TLS
    _, tcp = await loop.create_connection(
        lambda: StreamLink(receive, lost),
        *address,
        ssl=endpoint.context if secure else None,
        server_hostname=endpoint.name if secure else None,
    )
    return tcp

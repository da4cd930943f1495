"""Links to a TURN server over UDP, TCP or TLS, with one message interface.

A link carries STUN and ChannelData messages, one ``bytes`` object each. It is unreliable over every
transport: when :data:`MAX_QUEUED` bytes are queued, further messages are dropped.
"""

import asyncio
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from logging import Logger
from typing import cast

from icefloe.logs import get_logger

from ..server_urls import Transport
from ..udp import TIME_SLICE
from .tcp import RetransmissionTuner

logger: Logger = get_logger(__name__)

MAX_QUEUED = 1024 * 1024
"""Maximum size of the send queue in bytes; further messages are dropped."""

UDP_RECEIVE_BUFFER = 4 * 1024 * 1024
"""Requested socket receive buffer in bytes, for packets that arrive while the event loop is busy.
The kernel may grant less."""

_MAGIC_COOKIE = 0x2112A442


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address and transport of a TURN server.

    Attributes:
        address: IP address.
        port: Port number.
        transport: UDP, TCP or TLS.
        name: Host name for the verification of the certificate.
        context: TLS context; required for TLS.
    """

    address: str
    port: int
    transport: Transport
    name: str
    context: ssl.SSLContext | None = None


class Framer:
    """Splits a byte stream into STUN and ChannelData messages (RFC 8656 section 3.1). No I/O."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add received bytes.

        Returns:
            The messages that are now complete; ChannelData without its padding.

        Raises:
            ValueError: The stream is neither STUN nor ChannelData; it cannot be resynchronised.
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
    """A link to a TURN server.

    Args:
        receive: Called with each message from the server.
        lost: Called once if the link ends before :meth:`close`, with the error if there is one.
    """

    def __init__(
        self, receive: Callable[[bytes], None], lost: Callable[[Exception | None], None]
    ) -> None:
        self._receive = receive
        self._lost = lost
        self._is_closed = False

    @property
    def transport(self) -> asyncio.Transport | asyncio.DatagramTransport:
        """The underlying asyncio transport."""
        raise NotImplementedError

    def send(self, message: bytes, *, urgent: bool = False) -> None:
        """Send a message; drop it if the link is closed.

        Args:
            message: A STUN or ChannelData message.
            urgent: True to send even if more than :data:`MAX_QUEUED` bytes are queued.
        """
        raise NotImplementedError

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio, once."""
        self._end(exc)

    def close(self) -> None:
        """Close at once; data in the kernel's buffer is still sent."""
        self._is_closed = True
        self.transport.abort()

    def _end(self, reason: Exception | None) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._lost(reason)

    @property
    def local_address(self) -> tuple[str, int] | None:
        """Local address and port; ``None`` if the socket is closed."""
        name = self.transport.get_extra_info("sockname")
        return (name[0], name[1]) if name else None


class UdpLink(Link, asyncio.DatagramProtocol):
    """A connected UDP socket: the kernel drops datagrams from other addresses."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.DatagramTransport, transport)
        # All event loops provide it, but the abstract class does not declare it.
        self._queued: Callable[[], int] = getattr(transport, "get_write_buffer_size", lambda: 0)

    @property
    def transport(self) -> asyncio.DatagramTransport:
        """asyncio's transport below."""
        return self._transport

    def send(self, message: bytes, *, urgent: bool = False) -> None:
        """Send a message, see :meth:`Link.send`."""
        if self._is_closed:
            return
        if urgent or self._queued() <= MAX_QUEUED:
            self._transport.sendto(message)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Called by asyncio."""
        if not self._is_closed:
            self._receive(data)

    def error_received(self, exc: Exception) -> None:
        """Called by asyncio with an ICMP error; the link stays open, as the server may recover."""
        logger.debug("%s: %s", self.local_address, exc)


class StreamLink(Link, asyncio.Protocol):
    """A TCP or TLS connection."""

    def __init__(
        self, receive: Callable[[bytes], None], lost: Callable[[Exception | None], None]
    ) -> None:
        super().__init__(receive, lost)
        self._framer = Framer()
        self._received: deque[bytes] = deque()
        self._resumption: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)
        self._tuner = RetransmissionTuner(self._transport)

    @property
    def transport(self) -> asyncio.Transport:
        """asyncio's transport below."""
        return self._transport

    def send(self, message: bytes, *, urgent: bool = False) -> None:
        """Send a message, see :meth:`Link.send`."""
        transport = self._transport
        if self._is_closed or transport.is_closing():
            return
        if urgent or transport.get_write_buffer_size() <= MAX_QUEUED:
            # RFC 8656 section 12.5: over a stream ChannelData is padded to four bytes.
            transport.write(message + bytes(-len(message) % 4))
            self._tuner.sent()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio, once."""
        self._tuner.close()
        super().connection_lost(exc)

    def close(self) -> None:
        """Close at once; data in the kernel's buffer is still sent."""
        self._tuner.close()
        super().close()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self._is_closed:
            return
        try:
            messages = self._framer.feed(data)
        except ValueError as error:
            self._transport.abort()
            self._end(ConnectionError(f"the server does not speak TURN: {error}"))
            return
        self._received += messages
        if self._resumption is None:
            self._deliver()

    def _deliver(self) -> None:
        """Deliver received messages for at most :data:`~icefloe.peer.ice.udp.TIME_SLICE` seconds.

        The rest is delivered in later turns of the event loop, and reading is paused meanwhile.
        """
        was_behind, self._resumption = self._resumption is not None, None
        until = time.monotonic() + TIME_SLICE
        while self._received and not self._is_closed:
            if time.monotonic() >= until:
                self._resumption = asyncio.get_running_loop().call_soon(self._deliver)
                if not was_behind and not self._transport.is_closing():
                    self._transport.pause_reading()
                return
            self._receive(self._received.popleft())
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
    """Open a link to a TURN server.

    Args:
        endpoint: The server.
        receive: Called with each message from the server.
        lost: Called once if the link ends before :meth:`Link.close`, with the error if there is
            one.

    Raises:
        OSError: The server is unreachable, or its certificate is not trusted.

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

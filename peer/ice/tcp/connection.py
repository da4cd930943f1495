"""One TCP connection of ICE: an asyncio protocol that carries datagrams (RFC 4571, RFC 6544)."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from typing import cast

from ..stun_parser import MAX_PEER_MESSAGE
from ..turn.tcp import RetransmissionTuner
from ..udp import TIME_SLICE
from .framing import MAX_FRAME, Deframer, FrameTooLong, SendQueue

UNSENT_LIMIT = 64 * 1024
"""Bytes that the kernel holds and has not sent, above which it takes no more (TCP_NOTSENT_LOWAT).
More than that would be delay for media, and out of reach: it could be neither dropped nor
overtaken by a check."""

Address = tuple[str, int]


class TcpConnection(asyncio.Protocol):
    """A connection that carries datagrams; whatever waits for it is bounded.

    Args:
        received: Called with each datagram.

    Attributes:
        received: As above; may be replaced.
        watchers: Called with the connection when it is closed.
        remote: Address and port of the other end, once connected.
        local: Address and port of this end, once connected.
        heard_at: Time of the last datagram, in seconds of the monotonic clock.
    """

    def __init__(self, received: Callable[[bytes], None]) -> None:
        self.received = received
        self.watchers: list[Callable[[TcpConnection], None]] = []
        self.remote: Address = ("", 0)
        self.local: Address = ("", 0)
        self.heard_at: float = time.monotonic()
        self._deframer = Deframer(MAX_PEER_MESSAGE)
        self._queue = SendQueue()
        self._transport: asyncio.Transport | None = None
        self._tuner: RetransmissionTuner | None = None
        self._is_closed = False
        self._is_writable = True
        self._resumption: asyncio.Handle | None = None

    @property
    def dropped(self) -> int:
        """Number of datagrams that were not sent, because the connection is too slow."""
        return self._queue.dropped

    @property
    def is_closed(self) -> bool:
        """True once the connection is closed or being closed."""
        return self._is_closed

    def trust(self) -> None:
        """Take frames of any size from now on: the other end has authenticated itself."""
        self._deframer.limit = MAX_FRAME

    # --- sending

    def send_check(self, message: bytes) -> None:
        """Send a STUN message, before the data that waits."""
        if not self._is_closed:
            self._queue.put_check(message)
            self._write()

    def send_all(self, datagrams: list[bytes]) -> None:
        """Send datagrams in order; drop what exceeds the queue."""
        if not self._is_closed:
            self._queue.put(datagrams, time.monotonic())
            self._write()

    def _write(self) -> None:
        transport = self._transport
        if transport is None or not (self._is_writable and self._queue):
            return
        while self._is_writable and self._queue and not transport.is_closing():
            transport.write(self._queue.take(time.monotonic()))
        if self._tuner is not None:
            self._tuner.sent()

    def pause_writing(self) -> None:
        """Called by asyncio: the kernel takes no more."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """Called by asyncio: the kernel has taken everything."""
        self._is_writable = True
        if not self._is_closed:
            self._write()

    # --- receiving

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self._is_closed:
            return
        self._deframer.feed(data)
        if self._resumption is None:
            self._deliver()

    def _deliver(self) -> None:
        """Deliver datagrams for at most :data:`~icefloe.peer.ice.udp.TIME_SLICE` seconds.

        The rest is delivered in later turns of the event loop, and reading is paused meanwhile.
        """
        assert self._transport is not None
        was_behind, self._resumption = self._resumption is not None, None
        until = time.monotonic() + TIME_SLICE
        try:
            while not self._is_closed and (datagram := self._deframer.next()) is not None:
                self.heard_at = time.monotonic()
                if datagram:
                    self.received(datagram)
                if self.heard_at >= until:
                    self._resumption = asyncio.get_running_loop().call_soon(self._deliver)
                    if not was_behind and not self._transport.is_closing():
                        self._transport.pause_reading()
                    return
        except FrameTooLong:
            self.abort()
            return
        if was_behind and not self._transport.is_closing():
            self._transport.resume_reading()

    # --- the beginning and the end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)
        remote, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if self._is_closed or not remote or not local:
            self._transport.abort()  # it was reset before it was accepted
            return
        self.remote, self.local = (remote[0], remote[1]), (local[0], local[1])
        self._transport.set_write_buffer_limits(high=0)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with contextlib.suppress(OSError):  # only delay would be lost
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_LIMIT)
        self._tuner = RetransmissionTuner(self._transport)
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio, once."""
        self._stop()
        for watcher in self.watchers:
            watcher(self)

    def close(self) -> None:
        """Close, and let the kernel send what it takes now; a second call does nothing."""
        if self._is_closed:
            return
        self._write()
        self._stop()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._stop()
        if self._transport is not None:
            self._transport.abort()

    def _stop(self) -> None:
        self._is_closed = True
        if self._tuner is not None:
            self._tuner.close()
        if self._resumption is not None:
            self._resumption.cancel()
            self._resumption = None

"""The socket of a local candidate: demultiplexes STUN from DTLS and SRTP (RFC 7983).

:class:`ReceiveQueue` has what is not STUN, of all sockets.
"""

import asyncio
from collections.abc import Callable, Sized
from typing import Any, Protocol

from aioice import stun
from aioice.ice import StunProtocol

from .checks.pair import Address
from .stun_parser import is_stun, parse
from .turn.channels import ChannelRefused
from .udp import TIME_SLICE

MAX_DATAGRAMS = 2048
"""Maximum number of datagrams in the receive queue; further ones are dropped."""


class Receiver(Protocol):
    """The receiver of a socket's messages and datagrams."""

    def stun_received(self, message: stun.Message, source: Address, base: "IceSocket") -> None:
        """Handle a STUN message that does not answer a request to a STUN server."""

    def packet_received(self, data: bytes, source: Address, base: "IceSocket") -> None:
        """Handle a datagram that is not STUN."""

    def socket_lost(self, base: "IceSocket") -> None:
        """Handle the closing of the socket."""


class IceSocket(StunProtocol):
    """aioice's ``StunProtocol``, for a receiver with a check list of its own.

    :meth:`request`, inherited from aioice, runs transactions with STUN servers.

    Args:
        receiver: The receiver.
        on_refused: Called with an address that a TURN server refuses to relay to, and its code.
    """

    def __init__(
        self, receiver: Receiver, on_refused: Callable[[str, int], None] | None = None
    ) -> None:
        self._on_refused = on_refused
        super().__init__(receiver)  # type: ignore[arg-type]
        self._receiver = receiver
        self._is_lost = False
        self._loss: asyncio.Event | None = None

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        source = (addr[0], addr[1])
        packet = data if isinstance(data, bytes) else bytes(data, "latin-1")
        if not is_stun(packet):
            self._receiver.packet_received(packet, source, self)
            return
        message = parse(packet)
        if message is None:
            return  # malformed STUN is neither a check nor data
        transaction = self.transactions.get(message.transaction_id)
        if message.message_class is stun.Class.REQUEST or transaction is None:
            self._receiver.stun_received(message, source, self)
        else:
            transaction.response_received(message, source)

    def error_received(self, exc: Exception) -> None:
        super().error_received(exc)
        if isinstance(exc, ChannelRefused) and self._on_refused is not None:
            self._on_refused(exc.address, exc.code)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_lost:
            self._is_lost = True
            if self._loss is not None:
                self._loss.set()
            self._receiver.socket_lost(self)

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram; a datagram that cannot be sent is dropped."""
        self.transport.sendto(data, address)

    async def lost(self) -> None:
        """Wait until the socket is closed.

        Cancellation: safe.
        """
        if self._is_lost:
            return
        if self._loss is None:
            self._loss = asyncio.Event()
        await self._loss.wait()


class ReceiveQueue:
    """The datagrams of an agent that are not STUN: taken at once, or queued for one reader.

    The queue is bounded, and fair to other tasks of the event loop.

    Args:
        restarts: The generations that may replace the one in use. While there are any, a datagram
            may be the sign that the remote peer has switched to one of them.
        changed: Called before each datagram then.

    Attributes:
        take: Called with each datagram; returns true if it has handled it. Others are queued.
    """

    def __init__(self, restarts: Sized, changed: Callable[[], None]) -> None:
        self.take: Callable[[bytes], bool] = lambda datagram: False
        self._restarts, self._changed = restarts, changed
        self._datagrams: list[bytes] = []
        self._arrival: asyncio.Future[None] | None = None
        self._slice_began_at = float("-inf")
        self._is_closed = False

    def put(self, datagram: bytes) -> None:
        """Have a datagram taken, or append it; drop it if the queue is full."""
        if self._restarts:
            self._changed()
        if self.take(datagram):
            return
        if len(self._datagrams) < MAX_DATAGRAMS:
            self._datagrams.append(datagram)
            self._wake()

    async def get(self) -> bytes:
        """Return the next datagram; wait for one if the queue is empty.

        Raises:
            ConnectionError: The queue is closed and empty.

        Cancellation: safe; no datagram is lost.
        """
        loop = asyncio.get_running_loop()
        if self._datagrams and loop.time() - self._slice_began_at > TIME_SLICE:
            await asyncio.sleep(0)  # a full queue must not starve the other tasks
            self._slice_began_at = loop.time()
        while not self._datagrams:
            if self._is_closed:
                raise ConnectionError("the ICE agent is closed")
            self._arrival = loop.create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
            self._slice_began_at = loop.time()
        return self._datagrams.pop(0)

    def close(self) -> None:
        """Let a waiting reader end with ``ConnectionError``; a second call does nothing."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

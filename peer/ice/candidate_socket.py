"""The socket of a local candidate: demultiplexes STUN from DTLS and SRTP (RFC 7983)."""

import asyncio
import struct
from typing import Any, Protocol

from aioice import stun
from aioice.ice import StunProtocol

from .checks.pair import Address
from .stun_parser import parse

_COOKIE = struct.pack("!I", stun.COOKIE)


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
    """

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(receiver)  # type: ignore[arg-type]
        self._receiver = receiver
        self._lost = asyncio.Event()

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

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._lost.is_set():
            self._lost.set()
            self._receiver.socket_lost(self)

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram; a datagram that cannot be sent is dropped."""
        self.transport.sendto(data, address)

    async def lost(self) -> None:
        """Wait until the socket is closed.

        Cancellation: safe.
        """
        await self._lost.wait()


def is_stun(packet: bytes) -> bool:
    """Return whether a datagram is STUN (RFC 7983 section 7, RFC 8489 section 5)."""
    return len(packet) >= stun.HEADER_LENGTH and packet[0] < 4 and packet[4:8] == _COOKIE

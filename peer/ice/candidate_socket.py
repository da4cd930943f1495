"""The socket of a local candidate: tells STUN from data, and errs on nothing that comes in."""

import asyncio
import struct
from typing import Any, Protocol

from aioice import stun
from aioice.ice import StunProtocol

from .checks.pair import Address
from .stun_parser import parse

_COOKIE = struct.pack("!I", stun.COOKIE)


class Receiver(Protocol):
    """Whom a socket tells of what comes in."""

    def stun_received(self, message: stun.Message, source: Address, base: "IceSocket") -> None:
        """Take a STUN message that is no answer of a server."""

    def packet_received(self, data: bytes, source: Address, base: "IceSocket") -> None:
        """Take a datagram that is no STUN message."""

    def socket_lost(self, base: "IceSocket") -> None:
        """Note that the socket is closed."""


class IceSocket(StunProtocol):
    """aioice's ``StunProtocol``, for a receiver that has a check list of its own.

    It still executes transactions with STUN servers: :meth:`request`.
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
            return  # looks like STUN and is not: nobody's packet
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
        """Send a datagram; one that cannot be sent is lost, as on any network."""
        self.transport.sendto(data, address)

    async def lost(self) -> None:
        """Wait until the socket is closed.

        Cancellation: safe.
        """
        await self._lost.wait()


def is_stun(packet: bytes) -> bool:
    """Tell STUN from DTLS, SRTP and anything else (RFC 7983 section 7, RFC 8489 section 5)."""
    return len(packet) >= stun.HEADER_LENGTH and packet[0] < 4 and packet[4:8] == _COOKIE

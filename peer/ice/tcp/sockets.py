"""The sockets of a generation's TCP candidates, and the admission of connections to them."""

from logging import Logger
from typing import Protocol

from aioice import stun

from icefloe.logs import get_logger

from ..candidate_socket import IceSocket, Receiver
from ..checks.binding import Credentials, request_error
from ..configuration import IceConfiguration
from ..errors import FragmentInUse
from ..stun_parser import parse
from .connection import Address
from .listening import Listening
from .transport import ConnectBudget, TcpTransport

logger: Logger = get_logger(__name__)

ACTIVE_PORT = 9
"""The port of an active candidate, which stands for none (RFC 6544 section 4.5)."""


class TcpReceiver(Receiver, Protocol):
    """The receiver of what happens on TCP sockets."""

    def remote_lost(self, base: IceSocket, address: Address) -> None:
        """Handle the end of the connection of a socket with a remote address."""


class TcpSockets:
    """Opens the sockets of the TCP candidates of one generation.

    Args:
        receiver: The generation.
        credentials: Its credentials.
        configuration: Its settings: the listener for passive candidates, and whether it may open
            connections.
    """

    def __init__(
        self,
        receiver: TcpReceiver,
        credentials: Credentials,
        configuration: IceConfiguration,
    ) -> None:
        self._receiver = receiver
        self._credentials = credentials
        self._listening: Listening | None = configuration.tcp_mux
        self._budget = ConnectBudget() if configuration.active_tcp else None
        self._passive: dict[str, TcpTransport] = {}
        self._is_registered = False

    def ensure_usable(self) -> None:
        """Do nothing if the listener can be used, or if there is none.

        Raises:
            TcpMuxUnusable: It is closed, or belongs to another event loop.
        """
        if self._listening is not None:
            self._listening.ensure_usable()

    def open_active(self, host: str) -> IceSocket | None:
        """Return a socket that opens connections from a local address; ``None`` if it may not."""
        if self._budget is None:
            return None
        return self._open((host, ACTIVE_PORT), self._budget)[0]

    def open_passive(self, host: str) -> IceSocket | None:
        """Return the socket of the connections accepted at a local address.

        Returns:
            ``None`` if nothing listens there.
        """
        port = self._listening.port_for(host) if self._listening is not None else None
        if self._listening is None or port is None:
            return None
        if not self._is_registered:
            try:
                self._listening.register(self._credentials.local_username, self)
            except FragmentInUse as error:
                logger.warning("no passive TCP candidates: %s", error)
                return None
            self._is_registered = True
        protocol, self._passive[_bare(host)] = self._open((host, port), None)
        return protocol

    def _open(
        self, address: Address, budget: ConnectBudget | None
    ) -> tuple[IceSocket, TcpTransport]:
        protocol = IceSocket(self._receiver)
        return protocol, TcpTransport(protocol, address, self._receiver.remote_lost, budget)

    def find(self, request: bytes, host: str) -> TcpTransport | None:
        """Return the transport for a connection that begins with a check.

        Args:
            request: The first datagram.
            host: The local address that was connected to.

        Returns:
            ``None`` if the request is not an authentic one of the remote peer.
        """
        message = parse(request)
        if (
            message is None
            or message.message_class is not stun.Class.REQUEST
            or request_error(message, self._credentials) is not None
        ):
            return None
        transport = self._passive.get(_bare(host))
        return None if transport is None or transport.is_closing() else transport

    def close(self) -> None:
        """Accept no further connections; a second call does nothing."""
        if self._is_registered and self._listening is not None:
            self._is_registered = False
            self._listening.unregister(self)


def _bare(host: str) -> str:
    """Return an address without its scope, which sockets report or not."""
    return host.partition("%")[0]

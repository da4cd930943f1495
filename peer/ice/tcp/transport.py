"""The TCP connections of one local candidate, as a transport of datagrams (RFC 6544).

A check list has one socket for a local candidate, and tells paths apart by the remote address. This
transport has a TCP connection for each remote address in place of the one UDP socket. A datagram
for an address without a connection opens one if the candidate is active.
"""

import asyncio
import ipaddress
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable
from logging import Logger
from typing import Any

from icefloe.logs import get_logger

from ..candidate_socket import IceSocket
from ..mux.first_check import BINDING_REQUEST
from ..stun_parser import is_stun
from .connection import Address, TcpConnection

logger: Logger = get_logger(__name__)

MAX_CONNECTS = 16
"""Maximum number of TCP connections that a generation tries to open: the remote peer decides where
to. UDP checks have the limit of the check list, but a TCP connection does more to who is at its
other end."""

MAX_CONCURRENT_CONNECTS = 8
"""Maximum number of connections of a generation that are being opened at a time; others wait."""

CONNECT_TIMEOUT = 5.0
"""Seconds after which an attempt to open a connection is given up."""

MAX_WAITING_CHECKS = 8
"""Maximum number of messages that wait for a connection to be opened."""

MAX_CONNECTIONS = 16
"""Maximum number of connections of a candidate that the remote peer has opened; for a further one
the one that has been silent for longest is closed."""


class ConnectBudget:
    """The connections that a generation may open."""

    def __init__(self) -> None:
        self._left = MAX_CONNECTS
        self.slots: asyncio.Semaphore = asyncio.Semaphore(MAX_CONCURRENT_CONNECTS)
        """Held while a connection is being opened."""

    def take(self) -> bool:
        """Count an attempt; return ``False`` if there were too many."""
        if self._left <= 0:
            return False
        self._left -= 1
        return True


class TcpTransport(asyncio.DatagramTransport):
    """The connections of a local candidate.

    Args:
        protocol: Receives the datagrams.
        address: Local address and port; the port is 9 for an active candidate.
        lost: Called with the protocol and the remote address when a connection has ended, or could
            not be opened.
        budget: Of an active candidate, the connections that it may open; ``None`` for a passive
            one.
    """

    def __init__(
        self,
        protocol: IceSocket,
        address: Address,
        lost: Callable[[IceSocket, Address], None],
        budget: ConnectBudget | None = None,
    ) -> None:
        super().__init__({"sockname": address})
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._host = address[0]
        self._on_lost = lost
        self._budget = budget
        self._connections: dict[Address, TcpConnection] = {}
        self._ending: set[TcpConnection] = set()
        self._waiting: dict[Address, deque[bytes]] = {}
        self._dropped: Counter[Address] = Counter()
        self._dials: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._has_ended = False
        protocol.connection_made(self)

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    def dropped(self, remote: Address) -> int:
        """Return how many datagrams for an address were dropped: TCP did not take them in time."""
        connection = self._connections.get(remote)
        return self._dropped[remote] + (connection.dropped if connection is not None else 0)

    # --- sending

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram; open a connection for a check if the candidate is active."""
        connection = self._connections.get(addr)
        if connection is None:
            if data.startswith(BINDING_REQUEST):
                self._dial(data, addr)
        elif is_stun(data):
            connection.send_check(data)
        else:
            connection.send_all([data])

    def send_all(self, datagrams: list[bytes], addr: Address) -> None:
        """Send datagrams in order over the connection with an address; drop them without one."""
        connection = self._connections.get(addr)
        if connection is not None:
            connection.send_all(datagrams)

    # --- connections that others open

    def accept(self, connection: TcpConnection) -> None:
        """Take a connection that the remote peer has opened."""
        if self._is_closing:
            connection.abort()
            return
        known = self._connections.pop(connection.remote, None)
        if known is None and len(self._connections) >= MAX_CONNECTIONS:
            known = min(self._connections.values(), key=lambda c: c.heard_at)
        if known is not None:
            self._end(known)
        self._take(connection, connection.remote)

    def _take(self, connection: TcpConnection, remote: Address) -> None:
        self._connections[remote] = connection
        connection.trust()
        connection.received = lambda datagram: self._protocol.datagram_received(datagram, remote)
        connection.watchers.append(lambda ended: self._on_ended(ended, remote))

    # --- connections that this side opens

    def _dial(self, message: bytes, remote: Address) -> None:
        if self._is_closing or self._budget is None:
            return
        waiting = self._waiting.get(remote)
        if waiting is not None:
            if len(waiting) < MAX_WAITING_CHECKS:
                waiting.append(message)
            return
        if not self._budget.take():
            logger.info("more than %d TCP connections: no further ones", MAX_CONNECTS)
            self._loop.call_soon(self._report_lost, remote)
            return
        self._waiting[remote] = deque([message])
        dial = self._loop.create_task(self._open(remote, self._budget), name="icefloe-ice-tcp")
        self._dials.add(dial)
        dial.add_done_callback(self._on_dialed)

    async def _open(self, remote: Address, budget: ConnectBudget) -> None:
        connection = TcpConnection(lambda datagram: None)
        try:
            async with budget.slots, asyncio.timeout(CONNECT_TIMEOUT):
                await _connect(self._loop, self._host, remote, connection)
        except OSError as error:  # TimeoutError is one
            logger.debug("no TCP connection with %s:%d: %s", *remote, error)
            del self._waiting[remote]
            self._report_lost(remote)
            return
        except asyncio.CancelledError:
            connection.abort()
            raise
        self._take(connection, remote)
        for message in self._waiting.pop(remote):
            connection.send_check(message)

    def _on_dialed(self, dial: asyncio.Task[None]) -> None:
        self._dials.discard(dial)
        self._maybe_end()

    def _report_lost(self, remote: Address) -> None:
        if not self._is_closing:
            self._on_lost(self._protocol, remote)

    # --- the end

    def _on_ended(self, connection: TcpConnection, remote: Address) -> None:
        self._ending.discard(connection)
        if self._connections.get(remote) is connection:
            del self._connections[remote]
            if self._budget is not None:  # another connection with the same address may follow
                self._dropped[remote] += connection.dropped
            self._report_lost(remote)
        self._maybe_end()

    def _end(self, connection: TcpConnection) -> None:
        """Abort a connection in favour of another one."""
        self._ending.add(connection)
        connection.abort()

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """Close all connections; what they still queue is sent. A second call does nothing."""
        self._stop(TcpConnection.close)

    def abort(self) -> None:
        """Close all connections at once."""
        self._stop(TcpConnection.abort)

    def _stop(self, how: Callable[[TcpConnection], None]) -> None:
        self._is_closing = True
        for dial in self._dials:
            dial.cancel()
        for connection in self._all():
            how(connection)
        self._maybe_end()

    def _all(self) -> Iterable[TcpConnection]:
        return [*self._connections.values(), *self._ending]

    def _maybe_end(self) -> None:
        if self._is_closing and not (
            self._has_ended or self._connections or self._ending or self._dials
        ):
            self._has_ended = True
            self._loop.call_soon(self._protocol.connection_lost, None)


async def _connect(
    loop: asyncio.AbstractEventLoop, local: str, remote: Address, connection: TcpConnection
) -> None:
    """Open a connection from a local address.

    Raises:
        OSError: It cannot be opened.

    Cancellation: safe; the socket is closed.
    """
    ip = ipaddress.ip_address(local)
    scope = 0
    if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id:
        scope = socket.if_nametoindex(ip.scope_id)
    is_ipv4 = ip.version == 4
    host = local.partition("%")[0]
    sock = socket.socket(socket.AF_INET if is_ipv4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind((host, 0) if is_ipv4 else (host, 0, 0, scope))
        await loop.sock_connect(sock, remote if is_ipv4 else (*remote, 0, scope))
        await loop.create_connection(lambda: connection, sock=sock)
    except BaseException:
        sock.close()
        raise

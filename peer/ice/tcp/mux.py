"""``TcpMux``: one TCP port on which many connections take passive candidates (RFC 6544)."""

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from logging import Logger
from types import TracebackType

from icefloe.logs import get_logger

from ..errors import TcpMuxUnusable, TcpPortUnavailable
from ..mux.first_check import BINDING_REQUEST, receiving_fragment
from ..mux.table import MuxTable
from .admission import Admission
from .connection import TcpConnection
from .sockets import TcpSockets

logger: Logger = get_logger(__name__)

BACKLOG = 128
"""Connections that the kernel keeps until they are accepted, and that are accepted in one turn of
the event loop; the kernel drops further ones."""

_ANY = {4: "0.0.0.0", 6: "::"}

_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
"""Errors of a machine that lacks an IP version."""

_TRIES = 8
"""Attempts to find a port that is free for both IP versions."""


@dataclass(frozen=True, slots=True)
class TcpMuxStats:
    """The counters of a :class:`TcpMux`.

    Attributes:
        port: The port.
        local_addresses: The local addresses that are listened on.
        generations: Number of ICE generations that use the port: one for each connection, and one
            more for some seconds after an ICE restart.
        connections: TCP connections that are open.
        accepted: Connections that were accepted.
        authenticated: Those of them whose first check was authentic.
        refused: Those that ended because it was not, or did not come in time.
        displaced: Those that were closed before, because too many had not authenticated.
    """

    port: int
    local_addresses: tuple[str, ...]
    generations: int
    connections: int
    accepted: int
    authenticated: int
    refused: int
    displaced: int


class TcpMux:
    """A TCP port that any number of peer connections share, for peers whose networks block UDP.

    Given as ``PeerConfiguration(tcp_mux=mux)``, each connection announces *passive* candidates with
    its port, and the remote peer, such as a browser, opens a TCP connection to it (RFC 6544). It is
    used if there is no path over UDP, and left when there is one. The port may be that of a
    ``UdpMux``. An accepted connection belongs to the peer connection whose username fragment and
    password its first STUN message has; without such a message it is closed within five seconds.

    Attributes:
        port: The port that is listened on.
        addresses: The local addresses that are listened on; ``0.0.0.0`` and ``::`` are all of an IP
            version.
    """

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        names = [sock.getsockname() for sock in sockets]
        self.port: int = names[0][1]
        self.addresses: tuple[str, ...] = tuple(str(ipaddress.ip_address(n[0])) for n in names)
        self._accepted = self._authenticated = self._refused = self._displaced = 0
        self._loop = asyncio.get_running_loop()
        self._servers: list[asyncio.Server] = []
        self._table: MuxTable[TcpSockets] = MuxTable()
        self._admission: Admission[TcpConnection] = Admission()
        self._connections: set[TcpConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._all_ended = asyncio.Event()

    @classmethod
    async def open(cls, port: int = 0, *, addresses: Sequence[str] = ()) -> "TcpMux":
        """Listen on a port.

        Args:
            port: The port; 0 for any that is free.
            addresses: The local IP addresses; by default all, of both IP versions where the machine
                has them.

        Raises:
            TcpPortUnavailable: The port is in use, or an address is not one of this machine; an
                ``OSError``.
            ValueError: The port is none, or an address is not an IP address.

        Cancellation: safe; nothing stays open.
        """
        if not 0 <= port <= 65535:
            raise ValueError(f"{port} is no TCP port; give one from 1 to 65535, or 0 for any")
        if isinstance(addresses, str):
            raise ValueError(f"give a sequence of addresses, for example ({addresses!r},)")
        try:
            sockets = _listen(port, addresses)
        except OSError as error:
            raise TcpPortUnavailable(port, error.strerror or str(error)) from error
        mux = cls(sockets)
        await mux.listen(sockets)
        logger.info("TCP port %d at %s", mux.port, ", ".join(mux.addresses))
        return mux

    async def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Accept connections of bound sockets; :meth:`open` does that.

        Cancellation: safe; the sockets are closed.
        """
        loop = asyncio.get_running_loop()
        try:
            for sock in sockets:
                server = await loop.create_server(self._accept, sock=sock, backlog=BACKLOG)
                self._servers.append(server)
        except BaseException:
            for sock in sockets:
                sock.close()
            await self.close()
            raise

    async def __aenter__(self) -> "TcpMux":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<TcpMux port={self.port} addresses={', '.join(self.addresses)}>"

    @property
    def is_closed(self) -> bool:
        """True once :meth:`close` was called."""
        return self._is_closed

    def stats(self) -> TcpMuxStats:
        """Return the counters."""
        return TcpMuxStats(
            port=self.port,
            local_addresses=self.addresses,
            generations=len(self._table),
            connections=len(self._connections),
            accepted=self._accepted,
            authenticated=self._authenticated,
            refused=self._refused,
            displaced=self._displaced,
        )

    async def close(self) -> None:
        """Stop listening and close all connections that were accepted; never waits for the network.

        Peer connections that use one lose that path. A second call waits for the first.

        Cancellation: safe; everything is closed.
        """
        self._is_closed = True
        for server in self._servers:
            server.close()
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._connections):
            connection.abort()
        if self._connections:
            await self._all_ended.wait()

    # --- generations

    def ensure_usable(self) -> None:
        """Do nothing if the mux can be used.

        Raises:
            TcpMuxUnusable: It is closed, or belongs to another event loop.
        """
        if self._is_closed or asyncio.get_running_loop() is not self._loop:
            raise TcpMuxUnusable(self.port, is_closed=self._is_closed)

    def port_for(self, host: str) -> int | None:
        """Return the port that is listened on at a local address; ``None`` for none."""
        ip = ipaddress.ip_address(host.partition("%")[0])
        return self.port if {str(ip), _ANY[ip.version]} & {*self.addresses} else None

    def register(self, fragment: str, sockets: TcpSockets) -> None:
        """Hand connections with a username fragment to the sockets of a generation.

        Raises:
            FragmentInUse: Another generation has it.
        """
        self._table.register(fragment, sockets, sockets)

    def unregister(self, sockets: TcpSockets) -> None:
        """Hand a generation no further connections; those that it has are its own."""
        self._table.unregister(sockets)

    # --- connections

    def _accept(self) -> TcpConnection:
        return _Accepted(self)

    def arrived(self, connection: TcpConnection) -> None:
        """Take a connection that has just been accepted."""
        if self._is_closed:
            connection.abort()
            return
        self._accepted += 1
        self._connections.add(connection)
        self._all_ended.clear()
        connection.watchers.append(self._on_ended)
        connection.received = lambda datagram: self._on_first(connection, datagram)
        now = self._loop.time()
        displaced = self._admission.admit(connection, connection.remote[0], now)
        if displaced is not None:
            self._displaced += 1
            displaced.abort()
        self._arm()

    def _on_first(self, connection: TcpConnection, datagram: bytes) -> None:
        self._admission.forget(connection)
        sockets = None
        if datagram.startswith(BINDING_REQUEST):
            fragment = receiving_fragment(datagram)
            sockets = self._table.find_fragment(fragment) if fragment is not None else None
        transport = sockets.find(datagram, connection.local[0]) if sockets is not None else None
        if transport is None:
            self._refuse(connection)
            return
        self._authenticated += 1
        transport.accept(connection)
        connection.received(datagram)

    def _refuse(self, connection: TcpConnection) -> None:
        self._refused += 1
        logger.debug("refused a TCP connection from %s:%d", *connection.remote)
        connection.abort()

    def _on_ended(self, connection: TcpConnection) -> None:
        if self._admission.forget(connection):
            self._refused += 1  # by its own end, or by a frame that is too long
        self._connections.discard(connection)
        if not self._connections:
            self._all_ended.set()

    def _arm(self) -> None:
        if self._timer is None and len(self._admission) and not self._is_closed:
            self._timer = self._loop.call_at(self._admission.deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        for connection in self._admission.expired(self._loop.time()):
            self._refuse(connection)
        self._arm()


class _Accepted(TcpConnection):
    """A connection that tells its listener when it is there."""

    def __init__(self, mux: TcpMux) -> None:
        super().__init__(lambda datagram: None)
        self._mux = mux

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        super().connection_made(transport)
        if not self.is_closed:
            self._mux.arrived(self)


def _listen(port: int, addresses: Sequence[str]) -> list[socket.socket]:
    """Bind sockets to a port at addresses; with port 0 all have one that is free at all of them.

    Raises:
        OSError: One cannot be bound; without addresses, none can.
        ValueError: An address is not an IP address.
    """
    for _ in range(_TRIES if port == 0 else 1):
        try:
            return _listen_once(port, addresses)
        except OSError as error:
            reason = error
            if error.errno != errno.EADDRINUSE:
                break
    raise reason


def _listen_once(port: int, addresses: Sequence[str]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for ip in [ipaddress.ip_address(address) for address in addresses or _ANY.values()]:
            try:
                sockets.append(_bound(ip, sockets[0].getsockname()[1] if sockets else port))
            except OSError as error:
                missing = error
                if addresses or error.errno not in _NO_FAMILY:
                    raise
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    if not sockets and missing is not None:
        raise missing
    return sockets


def _bound(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> socket.socket:
    name: tuple[str, int] | tuple[str, int, int, int] = (str(ip), port)
    family = socket.AF_INET
    if isinstance(ip, ipaddress.IPv6Address):
        family = socket.AF_INET6
        scope = socket.if_nametoindex(ip.scope_id) if ip.scope_id else 0
        name = (str(ip).partition("%")[0], port, 0, scope)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if os.name == "posix":  # elsewhere it would let another program take the port as well
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(name)
    except BaseException:
        sock.close()
        raise
    return sock

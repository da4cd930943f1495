"""``UdpMux``: one UDP port for any number of connections.

Each local address has a socket of its own on that port, rather than all addresses of an IP version
one unspecific socket (``0.0.0.0``). The kernel then sends from the address that a candidate stands
for, without a control message on each packet, which would cost a system call's worth of work and
take the place of the one for segmentation (GSO); a candidate of one interface never answers from
another; and other programs may have the port on the addresses that ``addresses`` leaves out. A
container or a cloud machine has one address or two, which is all that its connections announce,
by ``external_addresses`` as what others see of them. Addresses that come later get a socket when
the next connection, or the ICE restart that they cause, gathers candidates; sockets of addresses
that are gone are closed then.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from logging import Logger
from types import TracebackType
from weakref import WeakKeyDictionary

from aioice.ice import StunProtocol

from icefloe.logs import get_logger

from ..errors import UdpMuxUnusable, UdpPortUnavailable
from ..gather.interfaces import Selection, choose, read_interfaces
from .shared_socket import SharedSocket, Sharing, open_shared

logger: Logger = get_logger(__name__)

CLOSE_TIMEOUT = 1.0
"""Seconds that closing waits at most for the event loop to give the sockets back."""

_PORT_ATTEMPTS = 32
"""Number of ports to try until one is free on all addresses, if any will do."""


_shared_sockets: WeakKeyDictionary["UdpMux", "SharedSockets"] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class UdpMuxStats:
    """The counters of a :class:`UdpMux`, of all its sockets together.

    Attributes:
        port: The port.
        local_addresses: The local addresses with a socket.
        generations: Number of ICE generations that use the port: one for each connection, and one
            more for some seconds after an ICE restart. On a machine with several addresses a
            generation counts once.
        remote_addresses: Number of remote addresses that belong to a generation.
        requests: Number of STUN requests that wait for a response.
        foreign_datagrams: Number of datagrams that were for nobody, and were dropped.
        overflowed_datagrams: Number of datagrams that were dropped because their connection had not
            handled those before them.
        contested_messages: Number of authentic messages from the address of another connection's
            peer, which were ignored; see the page about scale.
    """

    port: int
    local_addresses: tuple[str, ...]
    generations: int
    remote_addresses: int
    requests: int
    foreign_datagrams: int
    overflowed_datagrams: int
    contested_messages: int


class UdpMux:
    """One UDP port for any number of connections of one event loop.

    Give it to each of them as :attr:`PeerConfiguration.udp_mux`, and close it after them::

        async with await UdpMux.open(7000) as mux:
            connection = PeerConnection(PeerConfiguration(udp_mux=mux))

    Connections are told apart by the username fragment of the first check that comes from an
    address, and by that address from then on. Two peers can therefore not use the same address of
    theirs: of several connections between the same two ports only the first goes from port to port,
    and the others use a port of their own on one side, which is not announced.

    Sockets that speak to TURN servers are not shared, since nothing comes in to them unasked.
    """

    def __init__(self, shared: "SharedSockets") -> None:
        self._shared = shared
        _shared_sockets[self] = shared

    @classmethod
    async def open(
        cls,
        port: int = 0,
        *,
        interfaces: Sequence[str] | Callable[[str], bool] = (),
        addresses: Sequence[str] = (),
    ) -> "UdpMux":
        """Open the port on the addresses of this machine, the loopback addresses included.

        Connections announce those of them that their own configuration selects.

        Args:
            port: The port; 0 for any that is free.
            interfaces: The interfaces to use, as :attr:`PeerConfiguration.interfaces`.
            addresses: The networks to use, as :attr:`PeerConfiguration.addresses`.

        Raises:
            UdpPortUnavailable: The port is not available on any address; an ``OSError``.
            ValueError: The port is none, or an interface or a network is malformed.

        Cancellation: safe; nothing stays open.
        """
        if not 0 <= port <= 65535:
            raise ValueError(f"{port} is no UDP port; give one from 1 to 65535, or 0 for any")
        shared = SharedSockets(port, Selection(interfaces, addresses, loopback=True))
        await shared.open()
        return cls(shared)

    @property
    def port(self) -> int:
        """The port."""
        return self._shared.port

    @property
    def addresses(self) -> tuple[str, ...]:
        """The local addresses that have a socket."""
        return self._shared.addresses

    @property
    def is_closed(self) -> bool:
        """True once :meth:`close` was called."""
        return self._shared.is_closed

    def stats(self) -> UdpMuxStats:
        """Return the counters."""
        return self._shared.stats()

    async def close(self) -> None:
        """Close the port; connections that use it lose this path. A second call does nothing.

        Takes a turn of the event loop, and :data:`CLOSE_TIMEOUT` seconds at most.

        Raises:
            UdpMuxUnusable: The mux belongs to another event loop.
        """
        await self._shared.close()

    async def __aenter__(self) -> "UdpMux":
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = ", closed" if self.is_closed else ""
        return f"<UdpMux port {self.port} on {len(self.addresses)} addresses{state}>"


def sockets_of(mux: UdpMux) -> "SharedSockets":
    """Return what an ICE agent uses of a mux."""
    return _shared_sockets[mux]


class SharedSockets:
    """The sockets of a :class:`UdpMux`, one for each local address.

    Args:
        port: The port; 0 for any.
        selection: The interfaces and addresses that may be used.

    Attributes:
        port: The port, also if it was 0.
        is_closed: True once :meth:`close` was called.
    """

    def __init__(self, port: int, selection: Selection) -> None:
        self._loop = asyncio.get_running_loop()
        self._selection = selection
        self._sockets: dict[str, SharedSocket] = {}
        self._closing: list[SharedSocket] = []
        self._counted = [0, 0, 0]
        """Foreign, overflowed and contested datagrams of sockets that are closed."""
        self.port: int = port
        self.is_closed: bool = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """The local addresses that have a socket."""
        return tuple(self._sockets)

    async def open(self) -> None:
        """Open a socket for each address of the machine.

        Raises:
            UdpPortUnavailable: The port is not available on any address.

        Cancellation: safe; nothing stays open.
        """
        wanted = [str(address) for address in choose(read_interfaces(), self._selection)]
        any_port = self.port == 0
        reason = "no address of this machine is selected"
        try:
            for attempt in range(_PORT_ATTEMPTS if any_port else 1):
                self._drop_all()
                for address in wanted:
                    try:
                        socket = await open_shared(address, self.port)
                    except OSError as error:
                        reason = error.strerror or str(error)
                        if any_port and self._sockets and attempt + 1 < _PORT_ATTEMPTS:
                            break  # the next port may be free on all of them
                        logger.warning("no UDP port %d on %s: %s", self.port, address, reason)
                        continue
                    self._sockets[address] = socket
                    self.port = socket.name[1]
                else:
                    break
                self.port = 0
        except BaseException:
            self._drop_all()
            raise
        if not self._sockets:
            self.is_closed = True
            raise UdpPortUnavailable(self.port, reason)

    def ensure_usable(self) -> None:
        """Check that the mux may be used in this event loop.

        Raises:
            UdpMuxUnusable: The mux is closed, or belongs to another event loop.
        """
        if self.is_closed or asyncio.get_running_loop() is not self._loop:
            raise UdpMuxUnusable(self.port, is_closed=self.is_closed)

    async def attach(
        self, address: str, protocol_factory: Callable[[], StunProtocol], sharing: Sharing
    ) -> StunProtocol | None:
        """Return a protocol with a transport on the shared socket of a local address.

        Returns:
            The protocol; ``None`` if the mux does not use the address.

        Raises:
            OSError: The port is not available on the address.
            FragmentInUse: Another agent has the same username fragment.
            UdpMuxUnusable: The mux is closed, or belongs to another event loop.

        Cancellation: safe.
        """
        self.ensure_usable()
        socket = self._sockets.get(address)
        if socket is None:
            present = {str(each): each for each in read_interfaces()}
            self._prune(set(present))
            if address not in present or not self._selection.allows(present[address]):
                return None
            socket = await open_shared(address, self.port)
            if self.is_closed or address in self._sockets:
                socket.transport.abort()  # another connection was faster, or close() was called
                self._closing.append(socket)
                self.ensure_usable()
                socket = self._sockets[address]
            self._sockets[address] = socket
        protocol = protocol_factory()
        socket.attach(protocol, sharing)
        return protocol

    def stats(self) -> UdpMuxStats:
        """Return the counters of all sockets."""
        sockets = list(self._sockets.values())
        foreign, overflowed, contested = self._counted
        return UdpMuxStats(
            port=self.port,
            local_addresses=self.addresses,
            generations=len({m.sharing.fragment for s in sockets for m in s.table.members}),
            remote_addresses=sum(s.table.addresses for s in sockets),
            requests=sum(s.table.transactions for s in sockets),
            foreign_datagrams=foreign + sum(s.foreign for s in sockets),
            overflowed_datagrams=overflowed + sum(s.overflowed for s in sockets),
            contested_messages=contested + sum(s.contested for s in sockets),
        )

    async def close(self) -> None:
        """Close all sockets; see :meth:`UdpMux.close`."""
        if asyncio.get_running_loop() is not self._loop:
            raise UdpMuxUnusable(self.port, is_closed=False)
        self.is_closed = True
        self._drop_all()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                for socket in self._closing:
                    await socket.lost.wait()
        except TimeoutError:
            logger.warning("the sockets of UDP port %d are still open", self.port)

    def _prune(self, present: set[str]) -> None:
        """Close the sockets of addresses that are gone and that no generation uses."""
        for address, socket in list(self._sockets.items()):
            if address not in present and not len(socket.table):
                self._drop(address)

    def _drop_all(self) -> None:
        for address in list(self._sockets):
            self._drop(address)

    def _drop(self, address: str) -> None:
        socket = self._sockets.pop(address)
        for index, count in enumerate((socket.foreign, socket.overflowed, socket.contested)):
            self._counted[index] += count
        socket.transport.abort()
        self._closing = [one for one in self._closing if not one.lost.is_set()] + [socket]

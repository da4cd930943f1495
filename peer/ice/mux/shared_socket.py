"""The socket of a shared port on one local address, and its transport for a connection.

Reading and working are apart: what has arrived is sorted into fair queues, at the cost of a
dictionary look-up for what is nobody's, and then members have their datagrams in turn, for one time
slice before others on the event loop have theirs.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aioice.ice import StunProtocol

from ..stun_parser import is_stun
from ..udp import TIME_SLICE, UdpTransport, open_udp
from .first_check import BINDING_REQUEST, receiving_fragment
from .inboxes import DATAGRAM_COST, Batch, Inboxes
from .table import Address, Claim, MuxTable

READ_AHEAD = 262144
"""Bytes that are read in one turn of the event loop before the first of them is handled."""

READING_SLICE = TIME_SLICE / 2
"""Maximum duration of reading in one turn of the event loop, in seconds."""

RECEIVE_BUFFER = 8 * 1024 * 1024
"""Requested size of the buffers of a shared socket in bytes; the kernel may give less."""

CONFIRM_INTERVAL = 1.0
"""Seconds after which the next authentic message from an address confirms it again."""

_SO_RCVBUFFORCE = 33
_RESPONSES = (b"\x01\x01", b"\x01\x11")
"""The first two bytes of a Binding success and a Binding error response."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """A generation, as the shared port knows it.

    Attributes:
        fragment: Its local username fragment.
        owner: The agent, which all its generations have in common.
        contested: Called when the peer of another agent has authenticated itself from an address
            of this one; its paths are to be probed.
        crowded: Called with a local address if a remote address cannot be reached from its shared
            socket, because it is another agent's.
    """

    fragment: str
    owner: object
    contested: Callable[[], None]
    crowded: Callable[[str], None]


class SharedSocket(asyncio.DatagramProtocol):
    """A socket that many members share.

    Attributes:
        table: Who receives what.
        foreign: Number of datagrams that were nobody's.
        contested: Number of authentic messages from an address of another agent.
    """

    transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self.table: MuxTable[MemberTransport] = MuxTable()
        self.foreign: int = 0
        self.contested: int = 0
        self._inboxes: Inboxes[MemberTransport] = Inboxes()
        self._is_working_later = False
        self.lost: asyncio.Event = asyncio.Event()

    @property
    def overflowed(self) -> int:
        """Number of datagrams that found the queue of their member full."""
        return self._inboxes.dropped

    @property
    def name(self) -> Address:
        """The local address and port."""
        host, port = self.transport.get_extra_info("sockname")[:2]
        return host, port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        for member in self.table.members:
            member.close()

    # --- members

    def attach(self, protocol: StunProtocol, sharing: Sharing) -> None:
        """Add a member; its transport is given to ``protocol.connection_made()``.

        Raises:
            FragmentInUse: Another member has the same username fragment.
        """
        member = MemberTransport(self, protocol, sharing)
        self.table.register(sharing.fragment, member, sharing.owner)
        protocol.connection_made(member)

    def detach(self, member: "MemberTransport") -> None:
        """Forget a member and what waits for it."""
        self.table.unregister(member)
        self._inboxes.forget(member)

    def claim(self, source: Address, member: "MemberTransport", now: float) -> bool:
        """Return whether a member may use the path to an address that its peer wrote from.

        If another agent has the address, that agent is asked to probe its path.
        """
        result = Claim.REFUSED if source == self.name else self.table.claim(source, member, now)
        if result is Claim.GRANTED:
            return True
        self.contested += 1
        if result is Claim.CONTESTED:
            holder = self.table.find_address(source)
            if holder is not None:
                holder.sharing.contested()
        return False

    def is_taken(self, address: Address, member: "MemberTransport") -> bool:
        """Return whether packets to and from an address would be another agent's."""
        return self.table.is_taken(address, member) or address == self.name

    # --- receiving

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Handle a datagram of asyncio's own transport."""
        self.sort(data, 0, addr)
        if not self._is_working_later:
            self.work(time.monotonic() + TIME_SLICE)

    def sort(self, data: bytes, size: int, addr: tuple[Any, ...]) -> bool:
        """Queue a datagram, or a batch of datagrams of ``size`` bytes, for whom it is.

        Returns:
            ``False`` if nothing was queued.
        """
        if 0 < size < len(data):
            return self._sort_batch(Batch(data, 0, size, addr))
        member = self._receiver_of(data, (addr[0], addr[1]))
        if member is None:
            self.foreign += 1
            return False
        return self._inboxes.put(member, Batch(data, 0, 0, addr))

    def _sort_batch(self, batch: Batch) -> bool:
        data, size = batch.data, batch.size
        holder = self.table.find_address((batch.source[0], batch.source[1]))
        if holder is not None and min(data[::size]) > 3:
            # One source, and no STUN: all is for one member.
            return self._inboxes.put(holder, batch)
        parts = [data[start : start + size] for start in range(0, len(data), size)]
        queued = [self.sort(part, 0, batch.source) for part in parts]
        return any(queued)

    def _receiver_of(self, data: bytes, source: Address) -> "MemberTransport | None":
        if is_stun(data):
            kind = data[:2]
            if kind == BINDING_REQUEST:
                fragment = receiving_fragment(data)
                return self.table.find_fragment(fragment) if fragment else None
            if kind in _RESPONSES:
                return self.table.take_transaction(data[8:20])
        return self.table.find_address(source)

    def work(self, until: float) -> None:
        """Hand out what waits, in turn, until a time; the rest follows in later turns."""
        self._is_working_later = False
        while (item := self._inboxes.next()) is not None:
            member, batch = item
            data, start, size, source = batch
            received = member.protocol.datagram_received
            if not size:
                received(data, source)
            else:
                end = len(data)
                while start < end and not member.is_closing():
                    received(data[start : start + size], source)
                    start += size
                    if time.monotonic() >= until:
                        break
                if start < end and not member.is_closing():
                    self._inboxes.put_back(member, Batch(data, start, size, source))
            if time.monotonic() >= until:
                break
        if len(self._inboxes):
            self._is_working_later = True
            asyncio.get_running_loop().call_soon(self._work_later)

    def _work_later(self) -> None:
        self.work(time.monotonic() + TIME_SLICE)

    @property
    def is_working_later(self) -> bool:
        """True if :meth:`work` has been scheduled."""
        return self._is_working_later


class SharedTransport(UdpTransport):
    """A transport that reads into the queues of a :class:`SharedSocket`."""

    _protocol: SharedSocket

    def _on_readable(self) -> None:
        shared = self._protocol
        begun = time.monotonic()
        ahead = 0
        # What is nobody's is read on for as long as there is time: a flood of it must not fill the
        # kernel's buffer, in which the packets of others wait.
        while ahead < READ_AHEAD and time.monotonic() < begun + READING_SLICE:
            batch = self._read()
            if batch is None:
                break
            if shared.sort(*batch):
                ahead += len(batch[0]) + DATAGRAM_COST
        if not shared.is_working_later:
            shared.work(begun + TIME_SLICE)


class MemberTransport(asyncio.DatagramTransport):
    """The transport of one generation on a shared socket.

    Args:
        shared: The socket.
        protocol: Receives what is for the generation.
        sharing: The generation.

    Attributes:
        protocol: As above.
        sharing: As above.
    """

    def __init__(self, shared: SharedSocket, protocol: StunProtocol, sharing: Sharing) -> None:
        super().__init__({"sockname": shared.transport.get_extra_info("sockname")})
        self._shared = shared
        self._wire = shared.transport
        self._udp = self._wire if isinstance(self._wire, UdpTransport) else None
        self._is_closing = False
        self.protocol = protocol
        self.sharing = sharing

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram; the response to a Binding request is received here."""
        if self._is_closing:
            return
        if data[:2] == BINDING_REQUEST:
            self._shared.table.expect(bytes(data[8:20]), self)
            if self._shared.is_taken(addr, self):
                self.sharing.crowded(self._shared.name[0])
        self._wire.sendto(data, addr)

    def send_all(self, datagrams: list[bytes], addr: Address) -> None:
        """Send datagrams in order, none of them a request."""
        if self._is_closing:
            return
        if self._udp is not None:
            self._udp.send_all(datagrams, addr)
        else:
            for datagram in datagrams:
                self._wire.sendto(datagram, addr)

    def send_probe(self, data: bytes, addr: Address) -> bool:
        """Send a datagram that must not be fragmented; see :meth:`.UdpTransport.send_probe`."""
        if self._is_closing:
            return True
        if self._udp is not None:
            return self._udp.send_probe(data, addr)
        self._wire.sendto(data, addr)
        return True

    def admits(self, source: Address, now: float, is_authentic: Callable[[], bool]) -> bool:
        """Return whether a STUN message may change anything.

        Args:
            source: Its source address.
            now: The time of the event loop.
            is_authentic: Returns whether its MESSAGE-INTEGRITY is valid. What is not authentic is
                admitted, since it changes nothing.
        """
        if now - self._shared.table.confirmed_at(source, self) < CONFIRM_INTERVAL:
            return True
        if not is_authentic() or self._shared.claim(source, self, now):
            return True
        self.sharing.crowded(self._shared.name[0])
        return False

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """Leave the shared socket, which stays open. A second call does nothing."""
        if self._is_closing:
            return
        self._is_closing = True
        self._shared.detach(self)
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close


async def open_shared(address: str, port: int) -> SharedSocket:
    """Open a shared socket.

    Raises:
        OSError: The address or port is not available.

    Cancellation: safe; the socket is closed.
    """
    shared = await open_udp(SharedSocket, address, port, RECEIVE_BUFFER, transport=SharedTransport)
    sock = shared.transport.get_extra_info("socket")
    if sys.platform == "linux":
        # Beyond the system's limit (net.core.rmem_max), as far as this process may (CAP_NET_ADMIN).
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    return shared

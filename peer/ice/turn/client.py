"""The TURN client: an allocation (RFC 8656) that looks like a datagram socket.

Once a channel is bound, a datagram costs a header and a ``send``; channels, permissions and the
allocation are kept up by timers. Whatever the server sends, nothing is raised into the event loop.
"""

import asyncio
import errno
import ipaddress
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from aioice import stun
from aioice.turn import UDP_TRANSPORT

from ..._util.peer_logger import NamingLogger
from ..server_urls import Transport, refusal
from ..stun_parser import RELAYED_LIMIT, parse
from .attributes import REQUESTED_ADDRESS_FAMILY
from .channels import Bindings, NoChannelLeft, Peer
from .transactions import ALLOCATION_MISMATCH, Credentials, Transactions, binding_indication, within
from .transports import Connect, Endpoint, Link, UdpLink, open_link

logger = NamingLogger(__name__)

LIFETIME = 600
"""Seconds asked for an allocation, the default of RFC 8656 section 7.2."""

REFRESH_AHEAD = 60.0
"""Seconds before its end an allocation is refreshed, or after half its lifetime if that is later:
so long may the network be away just then."""

KEEPALIVE = 15.0
"""Seconds without a packet to the server after which a NAT is reminded (RFC 8445 section 11)."""

MAX_DATAGRAM = 65535
"""Bytes; the length field of ChannelData has 16 bits."""

MAX_WAITING = 32
"""Datagrams to one peer that wait for its channel; the oldest are dropped."""

RETRY_REFRESH = 5.0
"""Seconds after a server error before a refresh is tried again."""

_FAMILIES = {4: 0x01000000, 6: 0x02000000}
"""Values of REQUESTED-ADDRESS-FAMILY (RFC 8656 section 18.6)."""

_HEADER = struct.Struct("!HH")

_ProtocolT = TypeVar("_ProtocolT", bound=asyncio.DatagramProtocol)


class RelayTransport(asyncio.DatagramTransport):
    """A datagram transport whose datagrams go by way of a TURN server.

    Made by :func:`allocate`. What is received goes to the protocol's ``datagram_received`` with the
    peer's address, what cannot be sent to its ``error_received``.

    Args:
        lifetime: Seconds asked for the allocation.
        close_timeout: Seconds that closing waits at most for the server.
        on_lost: Called once, with a sentence, if the allocation ends before :meth:`close`.
    """

    def __init__(
        self, *, lifetime: int, close_timeout: float, on_lost: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._lifetime = lifetime
        self._close_timeout = close_timeout
        self._on_lost = on_lost
        self._bindings = Bindings()
        self._waiting: dict[Peer, deque[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._protocol: asyncio.DatagramProtocol | None = None
        self._relayed: Peer | None = None
        self._mapped: Peer | None = None
        self._expires = 0.0
        self._last_sent = 0.0
        self._closing = False
        self._ended = False
        self._link: Link | None = None
        self._transactions: Transactions

    # --- the allocation

    async def open(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        address_family: int | None,
        *,
        connect: Connect = open_link,
    ) -> None:
        """Reach the server by a link and get an allocation from it; see :func:`allocate`."""
        server = (endpoint.address, endpoint.port)
        reliable = endpoint.transport is not Transport.UDP
        self._transactions = Transactions(
            self._send_request, server, credentials, reliable=reliable
        )
        self._link = await connect(endpoint, self._received, self._link_lost)
        attributes: dict[str, Any] = {
            "LIFETIME": self._lifetime,
            "REQUESTED-TRANSPORT": UDP_TRANSPORT,
        }
        if address_family is not None:
            attributes[REQUESTED_ADDRESS_FAMILY] = _FAMILIES[address_family]
        asked = self._loop.time()
        response = await self._transactions.request(stun.Method.ALLOCATE, attributes)
        try:
            relayed = response.attributes["XOR-RELAYED-ADDRESS"]
            self._mapped = response.attributes["XOR-MAPPED-ADDRESS"]
            lifetime = response.attributes["LIFETIME"]
        except KeyError as error:
            raise ConnectionError(f"the Allocate response has no {error.args[0]}") from error
        if not (relayed[1] and lifetime) or ipaddress.ip_address(relayed[0]).is_unspecified:
            raise ConnectionError(
                f"the Allocate response is of no use: {relayed[0]}:{relayed[1]} for {lifetime} s"
            )
        self._relayed = relayed
        self._expires = asked + lifetime

    def start(self, protocol: asyncio.DatagramProtocol) -> None:
        """Hand over to a protocol, and keep the allocation up from now on."""
        self._protocol = protocol
        protocol.connection_made(self)
        self._spawn(self._keep_refreshed(self._expires - self._loop.time()), "refresh")
        if isinstance(self._link, UdpLink):
            self._keep_nat_open()

    async def _keep_refreshed(self, lifetime: float) -> None:
        while True:
            await asyncio.sleep(max(lifetime - REFRESH_AHEAD, lifetime / 2))
            asked = self._loop.time()
            try:
                left = max(self._expires - asked, 1.0)
                attributes = {"LIFETIME": self._lifetime}
                request = self._transactions.request(stun.Method.REFRESH, attributes)
                response = await within(left, request)
                lifetime = response.attributes.get("LIFETIME", 0)
            except stun.TransactionFailed as error:
                code = error.response.error_code or 500
                if code < 500 or self._loop.time() + RETRY_REFRESH > self._expires:
                    self._lose(f"the server refused to refresh the allocation: {_named(error)}")
                    return
                await asyncio.sleep(RETRY_REFRESH)
                lifetime = 0
                continue
            except stun.TransactionTimeout:
                if self._loop.time() < self._expires:
                    lifetime = 0
                    continue
                self._lose("the server did not answer the refresh of the allocation")
                return
            if not lifetime:
                self._lose("the server ended the allocation")
                return
            self._expires = asked + lifetime

    def _keep_nat_open(self) -> None:
        idle = self._loop.time() - self._last_sent
        if idle >= KEEPALIVE:
            self._send(binding_indication(), urgent=True)
            idle = 0.0
        self._at("keepalive", KEEPALIVE - idle, self._keep_nat_open)

    # --- sending

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram; the first to a peer waits until its channel is bound.

        What is over :data:`MAX_DATAGRAM` bytes, or cannot be sent, is reported to the protocol's
        ``error_received``. Once the transport is closed, data is ignored.

        Args:
            data: The datagram.
            addr: IP address and port of the peer.
        """
        if self._closing or self._ended:
            return
        size = len(data)
        if size > MAX_DATAGRAM:
            self._report(OSError(errno.EMSGSIZE, f"a datagram of {size} bytes can't be relayed"))
            return
        number = self._bindings.ready.get(addr)
        if number is None:
            self._send_when_bound(bytes(data), addr)
            return
        self._bindings.mark_used(addr)
        self._send(_HEADER.pack(number, size) + data)

    def _send_when_bound(self, data: bytes, addr: Any) -> None:
        try:
            peer = (str(ipaddress.ip_address(addr[0])), int(addr[1]))
        except (TypeError, ValueError) as error:
            self._report(OSError(errno.EDESTADDRREQ, f"{addr!r} is no address: {error}"))
            return
        if peer != addr and peer in self._bindings.ready:
            self.sendto(data, peer)
            return
        now = self._loop.time()
        if self._bindings.may_begin(peer, now):
            try:
                number = self._bindings.begin(peer, now)
            except NoChannelLeft as error:
                self._report(error)
                return
            self._spawn(self._bind(peer, number), "bind")
        if self._bindings.is_under_way(peer):
            self._waiting.setdefault(peer, deque(maxlen=MAX_WAITING)).append(data)

    async def _bind(self, peer: Peer, number: int) -> None:
        attributes = {"CHANNEL-NUMBER": number, "XOR-PEER-ADDRESS": peer}
        waiting: Iterable[bytes] = ()
        try:
            await self._transactions.request(stun.Method.CHANNEL_BIND, attributes)
        except stun.TransactionError as error:
            self._bindings.fail(peer, self._loop.time())
            if isinstance(error, stun.TransactionFailed) and (
                error.response.error_code == ALLOCATION_MISMATCH
            ):
                self._lose(f"the server knows the allocation no more: {_named(error)}")
                return
            logger.debug("no channel for %s: %s", peer, error)
            self._report(ConnectionError(f"no channel for {peer[0]}:{peer[1]}: {error}"))
        else:
            self._bindings.succeed(peer)
            waiting = self._waiting.get(peer, ())
        finally:
            self._waiting.pop(peer, None)
        for data in waiting:
            self.sendto(data, peer)
        self._schedule_rebinding()

    def _schedule_rebinding(self) -> None:
        due = self._bindings.next_time()
        if due is not None and not self._ended:
            self._at("rebind", due - self._loop.time(), self._rebind)

    def _rebind(self) -> None:
        now = self._loop.time()
        for peer in self._bindings.due(now):
            self._spawn(self._bind(peer, self._bindings.begin(peer, now)), "rebind")
        self._schedule_rebinding()

    def _send(self, message: bytes, *, urgent: bool = False) -> None:
        self._last_sent = self._loop.time()
        if self._link is not None:
            self._link.send(message, urgent=urgent)

    def _send_request(self, message: bytes) -> None:
        self._send(message, urgent=True)

    # --- receiving

    def _received(self, data: bytes) -> None:
        if data and data[0] >> 6 == 1:
            if len(data) < _HEADER.size:
                return
            number, size = _HEADER.unpack_from(data)
            peer = self._bindings.peer_of(number)
            if peer is not None and len(data) >= _HEADER.size + size:
                self._deliver(data[_HEADER.size : _HEADER.size + size], peer)
            return
        message = parse(data, RELAYED_LIMIT)
        if message is None or self._transactions.receive(message):
            return
        if (
            message.message_method == stun.Method.DATA
            and message.message_class == stun.Class.INDICATION
        ):
            payload = message.attributes.get("DATA")
            source = message.attributes.get("XOR-PEER-ADDRESS")
            # RFC 8656 section 11.4: what comes without a permission is dropped.
            if payload is not None and source and self._bindings.has_permission(source[0]):
                self._deliver(payload, source)

    def _deliver(self, data: bytes, peer: Peer) -> None:
        if self._protocol is None or self._closing:
            return
        try:
            self._protocol.datagram_received(data, peer)
        except Exception:
            # A datagram that the receiver stumbles over must not end a TCP connection, as asyncio
            # ends it when its protocol raises.
            logger.exception("dropped a datagram from %s", peer)

    def _report(self, error: OSError) -> None:
        if self._protocol is not None:
            self._protocol.error_received(error)

    # --- the end

    def is_closing(self) -> bool:
        """Whether the transport is closed or being closed."""
        return self._closing or self._ended

    def close(self) -> None:
        """Free the allocation and close; the protocol's ``connection_lost`` tells when it is done.

        It takes at most the close timeout: a server that does not answer lets the allocation expire
        by itself.
        """
        if self._closing or self._ended:
            return
        self._stop()
        self._closing = True
        self._spawn(self._free(), "close")

    async def _free(self) -> None:
        try:
            request = self._transactions.request(stun.Method.REFRESH, {"LIFETIME": 0})
            await within(self._close_timeout, request)
        except stun.TransactionError as error:
            logger.debug("allocation %s not freed: %s", self._relayed, error)
        finally:
            self._finish(None)

    def abort(self) -> None:
        """Close at once; the server lets the allocation expire by itself."""
        self._stop()
        self._finish(None)

    def _link_lost(self, reason: Exception | None) -> None:
        self._lose(f"the connection to the TURN server ended{f': {reason}' if reason else ''}")

    def _lose(self, reason: str) -> None:
        if self._ended:
            return
        was_up = self._protocol is not None and not self._closing
        self._stop()
        self._transactions.fail(reason)
        self._finish(ConnectionError(reason))
        if was_up:
            logger.debug("a TURN allocation is lost: %s", reason)
            self._on_lost(reason)

    def _stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        current = asyncio.current_task(self._loop)
        for task in self._tasks:
            if task is not current:
                task.cancel()
        self._waiting.clear()

    def _finish(self, reason: Exception | None) -> None:
        if self._ended:
            return
        self._ended = True
        if self._link is not None:
            self._link.close()
        if self._protocol is not None:
            self._loop.call_soon(self._protocol.connection_lost, reason)

    # --- the rest

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return ``sockname``, the relayed address; ``related_address``, the one that the server
        saw; or ``local_address``, that of the socket."""
        known = {"sockname": self._relayed, "related_address": self._mapped}
        if name == "local_address":
            return self._link.local_address if self._link is not None else default
        return known.get(name, default)

    def _at(self, name: str, delay: float, call: Callable[[], None]) -> None:
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = self._loop.call_later(max(delay, 0), call)

    def _spawn(self, coroutine: Coroutine[Any, Any, None], what: str) -> None:
        task = self._loop.create_task(coroutine, name=f"icefloe-relay-{what}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def allocate(
    protocol_factory: Callable[[], _ProtocolT],
    endpoint: Endpoint,
    credentials: Credentials,
    *,
    on_lost: Callable[[_ProtocolT, str], None],
    address_family: int | None = None,
    lifetime: int = LIFETIME,
    close_timeout: float = 1.0,
) -> tuple[RelayTransport, _ProtocolT]:
    """Get an allocation from a TURN server (RFC 8656 section 7).

    Args:
        protocol_factory: Makes the protocol that gets the datagrams.
        endpoint: The server.
        credentials: Returns user name and password; asked whenever the server wants them, so that
            they can be replaced while the allocation lives.
        on_lost: Called with the protocol and a sentence if the allocation ends before it is closed.
        address_family: 4 or 6 to ask for a relayed address of this IP version; ``None`` leaves it
            to the server, which is IPv4.
        lifetime: Seconds asked for; it is refreshed until it is closed.
        close_timeout: Seconds that closing waits at most for the server.

    Raises:
        OSError: The server cannot be reached, or what it answers makes no sense.
        stun.TransactionFailed: It refused.
        stun.TransactionTimeout: It did not answer.

    Cancellation: safe; the socket is closed.
    """
    protocols: list[_ProtocolT] = []
    transport = RelayTransport(
        lifetime=lifetime,
        close_timeout=close_timeout,
        on_lost=lambda reason: on_lost(protocols[0], reason),
    )
    try:
        await transport.open(endpoint, credentials, address_family)
        protocols.append(protocol_factory())
        transport.start(protocols[0])
    except BaseException:
        transport.abort()
        raise
    return transport, protocols[0]


def _named(error: stun.TransactionFailed) -> str:
    code, reason = refusal(error, (0, "no error code"))
    return f"{code} {reason}".strip()

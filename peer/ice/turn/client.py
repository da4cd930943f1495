# Longer than 400 lines: one allocation, whose requests and timers share their state.
"""The TURN client: an allocation (RFC 8656) as an asyncio datagram transport.

Data is sent as ChannelData. Timers refresh the allocation and rebind its channels, which renews the
permissions. No message of the server raises into the event loop.
"""

import asyncio
import errno
import ipaddress
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from aioice import stun

from ..._util.peer_logger import NamingLogger
from ..server_urls import Transport
from ..stun_parser import MAX_SERVER_MESSAGE, parse
from .allocation import AllocateResult, keep_refreshed, request_allocation
from .channels import Bindings, ChannelRefused, NoChannelLeft, Peer
from .transactions import (
    ALLOCATION_MISMATCH,
    Credentials,
    Transactions,
    binding_indication,
    describe_error,
    within,
)
from .transports import Connect, Endpoint, Link, UdpLink, open_link

logger: NamingLogger = NamingLogger(__name__)

LIFETIME = 600
"""Requested lifetime of an allocation in seconds, the default of RFC 8656 section 7.2."""

KEEPALIVE_INTERVAL = 15.0
"""Seconds without a packet to the server after which a keep-alive is sent, so that NAT bindings
persist (RFC 8445 section 11)."""

MAX_DATAGRAM = 65535
"""Maximum size of a datagram in bytes; the length field of ChannelData has 16 bits."""

MAX_QUEUED_PER_PEER = 32
"""Maximum number of datagrams to one peer that wait for its channel; the oldest are dropped."""

_HEADER = struct.Struct("!HH")

_ProtocolT = TypeVar("_ProtocolT", bound=asyncio.DatagramProtocol)


class RelayTransport(asyncio.DatagramTransport):
    """A datagram transport relayed by a TURN server; created by :func:`allocate`.

    Received datagrams are passed to the protocol's ``datagram_received`` with the peer's address,
    errors of sending to its ``error_received``.

    Args:
        lifetime: Requested lifetime of the allocation, in seconds.
        close_timeout: Maximum time that closing waits for the server, in seconds.
        on_lost: Called once with the reason if the allocation ends before :meth:`close`. If the
            server refuses to refresh it, it is called at once, and the transport is not closing
            then: it relays until the allocation expires.
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
        self._queued: dict[Peer, deque[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._protocol: asyncio.DatagramProtocol | None = None
        self._allocated: AllocateResult | None = None
        self._last_sent = 0.0
        self._closing = False
        self._ended = False
        self._told_lost = False
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
        """Connect to the server and request an allocation; see :func:`allocate`."""
        server = (endpoint.address, endpoint.port)
        reliable = endpoint.transport is not Transport.UDP
        self._transactions = Transactions(
            self._send_request, server, credentials, reliable=reliable
        )
        self._link = await connect(endpoint, self._on_message, self._link_lost)
        self._allocated = await request_allocation(
            self._transactions, self._lifetime, address_family
        )

    def start(self, protocol: asyncio.DatagramProtocol) -> None:
        """Attach the protocol and start the refresh and keep-alive timers."""
        self._protocol = protocol
        protocol.connection_made(self)
        self._spawn(self._keep_refreshed(), "refresh")
        if isinstance(self._link, UdpLink):
            self._keep_nat_open()

    async def _keep_refreshed(self) -> None:
        if self._allocated is not None:
            expires_at = self._allocated.expires_at
            ended = await keep_refreshed(self._transactions, expires_at, self._lifetime)
            left = ended.expires_at - self._loop.time()
            if left > 0:
                logger.debug("TURN allocation ends in %.0f s: %s", left, ended.reason)
                self._tell_lost(ended.reason)
                await asyncio.sleep(left)
            self._end(ended.reason)

    def _keep_nat_open(self) -> None:
        idle = self._loop.time() - self._last_sent
        if idle >= KEEPALIVE_INTERVAL:
            self._send(binding_indication(), urgent=True)
            idle = 0.0
        self._schedule("keepalive", KEEPALIVE_INTERVAL - idle, self._keep_nat_open)

    # --- sending

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram; datagrams to a new peer wait until its channel is bound.

        A datagram of more than :data:`MAX_DATAGRAM` bytes, or one that cannot be sent, is reported
        to the protocol's ``error_received``. A closed transport ignores data.

        Args:
            data: The datagram.
            addr: IP address and port of the peer.
        """
        if self._closing or self._ended:
            return
        size = len(data)
        if size > MAX_DATAGRAM:
            self._report_error(
                OSError(errno.EMSGSIZE, f"a datagram of {size} bytes can't be relayed")
            )
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
            self._report_error(
                OSError(errno.EDESTADDRREQ, f"{addr!r} is not an IP address and port: {error}")
            )
            return
        if peer != addr and peer in self._bindings.ready:
            self.sendto(data, peer)
            return
        now = self._loop.time()
        if self._bindings.may_begin(peer, now):
            try:
                number = self._bindings.begin(peer, now)
            except NoChannelLeft as error:
                self._report_error(error)
                return
            self._spawn(self._bind(peer, number), "bind")
        if self._bindings.is_pending(peer):
            self._queued.setdefault(peer, deque(maxlen=MAX_QUEUED_PER_PEER)).append(data)

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
                self._end(f"the server lost the allocation: {describe_error(error)}")
                return
            logger.debug("ChannelBind for %s failed: %s", peer, error)
            code = 0
            if isinstance(error, stun.TransactionFailed):
                code, _ = error.response.attributes.get("ERROR-CODE", (0, ""))
            self._report_error(ChannelRefused(peer, code, str(error)))
        else:
            self._bindings.succeed(peer)
            waiting = self._queued.get(peer, ())
        finally:
            self._queued.pop(peer, None)
        for data in waiting:
            self.sendto(data, peer)
        self._schedule_rebinding()

    def _schedule_rebinding(self) -> None:
        deadline = self._bindings.deadline
        if deadline < float("inf") and not self._ended:
            self._schedule("rebind", deadline - self._loop.time(), self._rebind)

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

    def _on_message(self, data: bytes) -> None:
        if data and data[0] >> 6 == 1:
            if len(data) < _HEADER.size:
                return
            number, size = _HEADER.unpack_from(data)
            peer = self._bindings.peer_of(number)
            if peer is not None and len(data) >= _HEADER.size + size:
                self._deliver(data[_HEADER.size : _HEADER.size + size], peer)
            return
        message = parse(data, MAX_SERVER_MESSAGE)
        if message is None or self._transactions.receive(message):
            return
        if (
            message.message_method == stun.Method.DATA
            and message.message_class == stun.Class.INDICATION
        ):
            payload = message.attributes.get("DATA")
            source = message.attributes.get("XOR-PEER-ADDRESS")
            # RFC 8656 section 11.4: data from a peer without a permission is dropped.
            if payload is not None and source and self._bindings.has_permission(source[0]):
                self._deliver(payload, source)

    def _deliver(self, data: bytes, peer: Peer) -> None:
        if self._protocol is None or self._closing:
            return
        try:
            self._protocol.datagram_received(data, peer)
        except Exception:
            # asyncio closes a TCP connection whose protocol raises; one datagram must not do so.
            logger.exception("the receiver raised; dropped a datagram from %s", peer)

    def _report_error(self, error: OSError) -> None:
        if self._protocol is not None:
            self._protocol.error_received(error)

    # --- the end

    def is_closing(self) -> bool:
        """Return whether the transport is closed or closing."""
        return self._closing or self._ended

    def close(self) -> None:
        """Delete the allocation and close; ``connection_lost`` of the protocol follows.

        Takes at most the close timeout: if the server does not answer, the allocation expires by
        itself. A second call does nothing.
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
            logger.debug("allocation %s was not deleted: %s", self._allocated, error)
        finally:
            self._finish(None)

    def abort(self) -> None:
        """Close at once; the allocation expires at the server by itself."""
        self._stop()
        self._finish(None)

    def _link_lost(self, reason: Exception | None) -> None:
        self._end(f"the connection to the TURN server ended{f': {reason}' if reason else ''}")

    def _end(self, reason: str) -> None:
        if self._ended:
            return
        was_up = self._protocol is not None and not self._closing
        self._stop()
        self._transactions.fail(reason)
        self._finish(ConnectionError(reason))
        if was_up:
            logger.debug("TURN allocation lost: %s", reason)
            self._tell_lost(reason)

    def _tell_lost(self, reason: str) -> None:
        if not self._told_lost:
            self._told_lost = True
            self._on_lost(reason)

    def _stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        current = asyncio.current_task(self._loop)
        for task in self._tasks:
            if task is not current:
                task.cancel()
        self._queued.clear()

    def _finish(self, reason: Exception | None) -> None:
        if self._ended:
            return
        self._ended = True
        if self._link is not None:
            self._link.close()
        if self._protocol is not None:
            self._loop.call_soon(self._protocol.connection_lost, reason)

    # --- accessors and helpers

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return an address of the allocation.

        Args:
            name: ``sockname`` for the relayed address, ``related_address`` for the server-reflexive
                one, ``local_address`` for that of the socket to the server.
            default: The result for other names.
        """
        if name == "local_address":
            return self._link.local_address if self._link is not None else default
        allocated = self._allocated
        if name == "sockname":
            return allocated.relayed if allocated is not None else None
        if name == "related_address":
            return allocated.mapped if allocated is not None else None
        return default

    def _schedule(self, name: str, delay: float, call: Callable[[], None]) -> None:
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
    """Create an allocation on a TURN server (RFC 8656 section 7).

    Args:
        protocol_factory: Creates the protocol that receives the datagrams.
        endpoint: The server.
        credentials: Returns user name and password. It is called for every challenge of the server,
            so credentials can be replaced during the lifetime of the allocation.
        on_lost: Called with the protocol and the reason if the allocation ends before it is closed,
            or is to end because the server does not refresh it; see :class:`RelayTransport`.
        address_family: 4 or 6 to request a relayed address of this IP version; ``None`` for the
            server's default, IPv4.
        lifetime: Requested lifetime in seconds; the allocation is refreshed until it is closed.
        close_timeout: Maximum time that closing waits for the server, in seconds.

    Returns:
        The transport and the protocol.

    Raises:
        OSError: The server is unreachable, or its response is unusable.
        stun.TransactionFailed: The server sent an error response.
        stun.TransactionTimeout: The server did not answer.

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

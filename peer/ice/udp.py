"""A high-throughput UDP transport with batched I/O: GSO and GRO on Linux.

asyncio's transport reads one datagram per turn of the event loop, which limits the throughput of a
fast data channel. This transport reads until the socket is empty, within bounds. On Linux 5.0 and
later it sends and receives batches of equally long datagrams with one system call (UDP_SEGMENT,
UDP_GRO); on other systems it uses one system call per datagram.
"""

import asyncio
import errno
import ipaddress
import socket
import struct
import sys
import time
from collections.abc import Callable
from logging import Logger
from typing import Any, TypeVar

from icefloe.logs import get_logger

logger: Logger = get_logger(__name__)

P = TypeVar("P", bound=asyncio.DatagramProtocol)

MAX_READS = 64
"""Maximum number of reads per wake-up, so that other tasks of the event loop can run."""

TIME_SLICE = 0.005
"""Maximum duration, in seconds, of reading and handling datagrams in one turn of the event loop.
One read returns up to 40 datagrams, and the remote peer decides how much work each one causes."""

LONE_AFTER = 0.002
"""Seconds without a datagram after which one is taken to come alone, as those of a voice do, so
that nothing more is read in the same turn."""

MAX_DATAGRAM = 65535
"""Maximum size of a UDP datagram in bytes."""

MAX_QUEUED_BYTES = 1024 * 1024
"""Maximum size of the send queue in bytes while the kernel's buffer is full; further datagrams are
dropped."""

_SOL_UDP = 17
_UDP_SEGMENT = 103
_UDP_GRO = 104
_MAX_SEGMENTS = 44
"""Number of datagrams of 1,472 bytes that fit into one system call."""
_ANCILLARY_SIZE = 64

_MTU_DISCOVERY = {
    # Level, option, IP_PMTUDISC_PROBE (never fragment, ignore the cached path MTU) and
    # IP_PMTUDISC_DONT (fragment if necessary).
    socket.AF_INET: (socket.IPPROTO_IP, 10, 3, 0),  # IP_MTU_DISCOVER
    socket.AF_INET6: (socket.IPPROTO_IPV6, 23, 3, 0),  # IPV6_MTU_DISCOVER
}
"""Linux socket options that forbid or allow fragmentation (ip(7), IP_MTU_DISCOVER)."""

_segment_size = struct.Struct("=H")
_SEGMENTATION_UNSUPPORTED = {errno.EIO, errno.EOPNOTSUPP, errno.ENOPROTOOPT}
_SEGMENT_TOO_LONG = {errno.EINVAL, errno.EMSGSIZE}
"""Errors for datagrams above the known path MTU, which must be sent one by one and fragmented."""

Address = tuple[Any, ...]


class UdpTransport(asyncio.DatagramTransport):
    """A datagram transport over a bound, non-blocking socket.

    Args:
        loop: The event loop; it must support ``add_reader()``.
        sock: The socket; the transport closes it.
        protocol: Receives the datagrams.

    Raises:
        NotImplementedError: The event loop does not support ``add_reader()``.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        protocol: asyncio.DatagramProtocol,
    ) -> None:
        super().__init__({"socket": sock, "sockname": sock.getsockname()})
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._queue: list[tuple[bytes, Address]] = []
        self._queued_bytes = 0
        self._undelivered: tuple[bytes, int, int, Address] | None = None
        """The rest of a received batch: its bytes, the next offset, the segment size and the
        source address."""
        self._is_closing = False
        self._read_at = float("-inf")
        self._can_segment = _has(sock, _UDP_SEGMENT, 0)
        self._can_coalesce = _has(sock, _UDP_GRO, 1)
        self._mtu_option = _MTU_DISCOVERY.get(sock.family) if sys.platform == "linux" else None
        self._allow_fragments(True)
        loop.add_reader(sock.fileno(), self._on_readable)
        protocol.connection_made(self)

    # --- sending

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram; if that fails, drop it and call the protocol's ``error_received``."""
        if self._is_closing:
            return
        if self._queue:
            self._enqueue(bytes(data), addr)
            return
        try:
            self._sock.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            self._enqueue(bytes(data), addr)
        except OSError as error:
            self._protocol.error_received(error)

    def send_probe(self, data: bytes, addr: Address) -> bool:
        """Send a datagram that must not be fragmented, for path MTU discovery.

        Fragmentation is suppressed on Linux only.

        Returns:
            ``False`` if the datagram exceeds the MTU of the outgoing interface. ``True`` does not
            mean that it was sent.
        """
        if self._is_closing or self._queue:
            return True
        self._allow_fragments(False)
        try:
            self._sock.sendto(data, addr)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                return False
            if not isinstance(error, BlockingIOError | InterruptedError):
                self._protocol.error_received(error)
        finally:
            self._allow_fragments(True)
        return True

    def _allow_fragments(self, may: bool) -> None:
        """Allow or forbid the fragmentation of all further datagrams."""
        if self._mtu_option is None:
            return
        level, option, probe, dont = self._mtu_option
        try:
            self._sock.setsockopt(level, option, dont if may else probe)
        except OSError as error:
            self._mtu_option = None
            logger.debug("cannot control fragmentation: %s", error)

    def send_all(self, datagrams: list[bytes], addr: Address) -> None:
        """Send datagrams in order; see :meth:`sendto`."""
        if not self._can_segment or self._queue or len(datagrams) < 2:
            for datagram in datagrams:
                self.sendto(datagram, addr)
            return
        start, count = 0, len(datagrams)
        while start < count:
            # GSO: all segments have the same size, except that the last may be shorter.
            size = len(datagrams[start])
            end = start + 1
            limit = min(count, start + _MAX_SEGMENTS, start + MAX_DATAGRAM // size)
            while end < limit and len(datagrams[end]) == size:
                end += 1
            if end < limit and len(datagrams[end]) < size:
                end += 1
            self._send_batch(datagrams[start:end], size, addr)
            start = end

    def _send_batch(self, train: list[bytes], size: int, addr: Address) -> None:
        if len(train) > 1 and self._can_segment and not self._queue and not self._is_closing:
            control = [(_SOL_UDP, _UDP_SEGMENT, _segment_size.pack(size))]
            try:
                self._sock.sendmsg(train, control, 0, addr)
                return
            except (BlockingIOError, InterruptedError):
                pass  # single datagrams may still fit
            except OSError as error:
                if error.errno in _SEGMENTATION_UNSUPPORTED:
                    self._can_segment = False
                    logger.debug("no UDP segmentation offload, sending one by one: %s", error)
                elif error.errno not in _SEGMENT_TOO_LONG:
                    self._protocol.error_received(error)
                    return
        for datagram in train:
            self.sendto(datagram, addr)

    def _enqueue(self, data: bytes, addr: Address) -> None:
        if self._queued_bytes + len(data) > MAX_QUEUED_BYTES:
            return
        if not self._queue:
            self._loop.add_writer(self._sock.fileno(), self._on_writable)
        self._queue.append((data, addr))
        self._queued_bytes += len(data)

    def _on_writable(self) -> None:
        waiting = self._queue
        while waiting:
            data, addr = waiting[0]
            try:
                self._sock.sendto(data, addr)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._protocol.error_received(error)
            waiting.pop(0)
            self._queued_bytes -= len(data)
        self._loop.remove_writer(self._sock.fileno())

    # --- receiving

    def _on_readable(self) -> None:
        if self._undelivered is not None:
            return  # the rest of the last batch must be delivered first
        received = self._protocol.datagram_received
        now = time.monotonic()
        until, pause, self._read_at = now + TIME_SLICE, now - self._read_at, now
        for _ in range(MAX_READS):
            batch = self._read()
            if batch is None:
                return
            data, size, addr = batch
            if 0 < size < len(data):
                self._undelivered = data, 0, size, addr
                self._deliver_batch(until)
            else:
                received(data, addr)
                if pause > LONE_AFTER:
                    return
            if time.monotonic() >= until:
                return

    def _read(self) -> tuple[bytes, int, Address] | None:
        """Read a datagram or a batch.

        Returns:
            The bytes, the size of each datagram of a batch or 0, and the source address; ``None``
            if nothing is there to be read.
        """
        if self._is_closing:
            return None
        try:
            if not self._can_coalesce:
                data, addr = self._sock.recvfrom(MAX_DATAGRAM)
                return data, 0, addr
            data, ancillary, _, addr = self._sock.recvmsg(MAX_DATAGRAM, _ANCILLARY_SIZE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            self._protocol.error_received(error)
            return None
        return data, _segment_size_of(ancillary), addr

    def _deliver_batch(self, until: float) -> None:
        """Deliver the datagrams of a coalesced batch until ``until``, the rest in later turns."""
        if self._undelivered is None:
            return
        data, start, size, addr = self._undelivered
        while start < len(data) and not self._is_closing:
            if time.monotonic() >= until:
                self._undelivered = data, start, size, addr
                self._loop.call_soon(self._resume_batch)
                return
            self._protocol.datagram_received(data[start : start + size], addr)
            start += size
        self._undelivered = None

    def _resume_batch(self) -> None:
        self._deliver_batch(time.monotonic() + TIME_SLICE)

    # --- the end

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """Close the socket; queued datagrams are dropped. A second call does nothing."""
        if self._is_closing:
            return
        self._is_closing = True
        self._undelivered = None
        file = self._sock.fileno()
        self._loop.remove_reader(file)
        if self._queue:
            self._loop.remove_writer(file)
            self._queue.clear()
        self._loop.call_soon(self._lost)

    abort = close

    def _lost(self) -> None:
        self._protocol.connection_lost(None)
        self._sock.close()


def _has(sock: socket.socket, option: int, value: int) -> bool:
    """Set a UDP socket option; return whether the system supports it."""
    try:
        sock.setsockopt(_SOL_UDP, option, value)
    except OSError:
        return False
    return hasattr(sock, "recvmsg")


def _segment_size_of(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Return the segment size of a coalesced batch in bytes; 0 for a single datagram."""
    for level, kind, content in ancillary:
        if level == _SOL_UDP and kind == _UDP_GRO:
            return int.from_bytes(content[:2], "little" if struct.pack("=H", 1)[0] else "big")
    return 0


async def open_udp(
    protocol_factory: Callable[[], P],
    address: str,
    port: int,
    buffer: int,
    *,
    transport: type[UdpTransport] = UdpTransport,
) -> P:
    """Open a UDP socket.

    Args:
        protocol_factory: Creates the protocol that receives the datagrams.
        address: The local IP address; a link-local IPv6 address needs a scope.
        port: The local port; 0 for any.
        buffer: Requested size of the socket's receive and send buffers, in bytes.
        transport: The class of the transport, where the event loop supports it.

    Returns:
        The protocol.

    Raises:
        OSError: The address or port is not available.

    Cancellation: safe; the socket is closed.
    """
    loop = asyncio.get_running_loop()
    sock = _bound(address, port)
    protocol = protocol_factory()
    try:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, buffer)
        transport(loop, sock, protocol)
    except NotImplementedError:
        # The proactor event loop of Windows has no add_reader(); use asyncio's own transport.
        await loop.create_datagram_endpoint(lambda: protocol, sock=sock)
    except BaseException:
        sock.close()
        raise
    return protocol


def _bound(address: str, port: int) -> socket.socket:
    ip = ipaddress.ip_address(address)
    family = socket.AF_INET
    name: Address = (address, port)
    if isinstance(ip, ipaddress.IPv6Address):
        scope = socket.if_nametoindex(ip.scope_id) if ip.scope_id else 0
        family, name = socket.AF_INET6, (address.partition("%")[0], port, 0, scope)
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind(name)
    except BaseException:
        sock.close()
        raise
    return sock

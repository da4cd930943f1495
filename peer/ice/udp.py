"""A UDP socket for many datagrams: several a wake-up, and several a system call where Linux can.

asyncio's transport takes one datagram for each turn of the event loop, which is what a fast data
channel then spends its time on. This one reads until nothing is left, and hands a train of
datagrams to the kernel as one (UDP_SEGMENT, UDP_GRO; Linux 5.0). Elsewhere it does the same one by
one.
"""

import asyncio
import errno
import ipaddress
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from icefloe.logs import get_logger

logger = get_logger(__name__)

P = TypeVar("P", bound=asyncio.DatagramProtocol)

READS = 64
"""Reads for one wake-up, so that whatever else the loop does has its turn."""

TURN = 0.005
"""Seconds likewise, of reading and of what the protocol does with what was read: one read may give
40 datagrams, and of each the other side decides how much work it makes."""

MAX_DATAGRAM = 65535

MAX_WAITING = 1024 * 1024
"""Bytes that may wait while the kernel's buffer is full; more are lost, as on any network."""

_SOL_UDP = 17
_UDP_SEGMENT = 103
_UDP_GRO = 104
_MAX_SEGMENTS = 44
"""Datagrams of 1,472 bytes that fit what the kernel takes at once."""
_ANCILLARY = 64

_PROBE = {
    # The option, and its values for "never, and whatever is known of the path" and "if it must be".
    socket.AF_INET: (socket.IPPROTO_IP, 10, 3, 0),  # IP_MTU_DISCOVER
    socket.AF_INET6: (socket.IPPROTO_IPV6, 23, 3, 0),  # IPV6_MTU_DISCOVER
}
"""How Linux is told whether a datagram may be fragmented (ip(7), IP_MTU_DISCOVER)."""

_segment_size = struct.Struct("=H")
_NO_SEGMENTS = {errno.EIO, errno.EOPNOTSUPP, errno.ENOPROTOOPT}
_LONG_SEGMENTS = {errno.EINVAL, errno.EMSGSIZE}
"""The datagrams are larger than what the path is known to take: each is fragmented by itself."""

Address = tuple[Any, ...]


class UdpTransport(asyncio.DatagramTransport):
    """A datagram transport over a bound, non-blocking socket.

    Args:
        loop: The loop, which must have ``add_reader()``.
        sock: The socket; closed with the transport.
        protocol: Takes what arrives.

    Raises:
        NotImplementedError: The loop has no ``add_reader()``.
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
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self._waiting_bytes = 0
        self._unread: tuple[bytes, int, int, Address] | None = None
        """The rest of a train: its bytes, where to go on, the size of each, and the sender."""
        self._is_closing = False
        self._segments = _has(sock, _UDP_SEGMENT, 0)
        self._merges = _has(sock, _UDP_GRO, 1)
        self._fragments = _PROBE.get(sock.family) if sys.platform == "linux" else None
        self._may_fragment(True)
        loop.add_reader(sock.fileno(), self._on_readable)
        protocol.connection_made(self)

    # --- sending

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram; one that can't be sent is lost, and the protocol told of it."""
        if self._is_closing:
            return
        if self._waiting:
            self._wait(bytes(data), addr)
            return
        try:
            self._sock.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            self._wait(bytes(data), addr)
        except OSError as error:
            self._protocol.error_received(error)

    def send_probe(self, data: bytes, addr: Address) -> bool:
        """Send a datagram that is not to be fragmented, on Linux; elsewhere like any other.

        Returns:
            ``False`` if it is too large for the network that it goes out to. It is lost like any
            other, for whatever other reason it is not sent.
        """
        if self._is_closing or self._waiting:
            return True
        self._may_fragment(False)
        try:
            self._sock.sendto(data, addr)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                return False
            if not isinstance(error, BlockingIOError | InterruptedError):
                self._protocol.error_received(error)
        finally:
            self._may_fragment(True)
        return True

    def _may_fragment(self, may: bool) -> None:
        """Say whether what is sent from now on may be fragmented."""
        if self._fragments is None:
            return
        level, option, never, must = self._fragments
        try:
            self._sock.setsockopt(level, option, must if may else never)
        except OSError as error:
            self._fragments = None
            logger.debug("fragments are left to the system: %s", error)

    def send_all(self, datagrams: list[bytes], addr: Address) -> None:
        """Send datagrams, in order; see :meth:`sendto`."""
        if not self._segments or self._waiting or len(datagrams) < 2:
            for datagram in datagrams:
                self.sendto(datagram, addr)
            return
        start, count = 0, len(datagrams)
        while start < count:
            # A train: all are as long as the first, but for the last, which may be shorter.
            size = len(datagrams[start])
            end = start + 1
            limit = min(count, start + _MAX_SEGMENTS, start + MAX_DATAGRAM // size)
            while end < limit and len(datagrams[end]) == size:
                end += 1
            if end < limit and len(datagrams[end]) < size:
                end += 1
            self._send_train(datagrams[start:end], size, addr)
            start = end

    def _send_train(self, train: list[bytes], size: int, addr: Address) -> None:
        if len(train) > 1 and self._segments and not self._waiting and not self._is_closing:
            control = [(_SOL_UDP, _UDP_SEGMENT, _segment_size.pack(size))]
            try:
                self._sock.sendmsg(train, control, 0, addr)
                return
            except (BlockingIOError, InterruptedError):
                pass  # one by one, some may still find room
            except OSError as error:
                if error.errno in _NO_SEGMENTS:
                    self._segments = False
                    logger.debug("datagrams are sent one by one: %s", error)
                elif error.errno not in _LONG_SEGMENTS:
                    self._protocol.error_received(error)
                    return
        for datagram in train:
            self.sendto(datagram, addr)

    def _wait(self, data: bytes, addr: Address) -> None:
        if self._waiting_bytes + len(data) > MAX_WAITING:
            return
        if not self._waiting:
            self._loop.add_writer(self._sock.fileno(), self._on_writable)
        self._waiting.append((data, addr))
        self._waiting_bytes += len(data)

    def _on_writable(self) -> None:
        waiting = self._waiting
        while waiting:
            data, addr = waiting[0]
            try:
                self._sock.sendto(data, addr)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._protocol.error_received(error)
            waiting.popleft()
            self._waiting_bytes -= len(data)
        self._loop.remove_writer(self._sock.fileno())

    # --- receiving

    def _on_readable(self) -> None:
        if self._unread is not None:
            return  # its turn comes first
        received = self._protocol.datagram_received
        until = time.monotonic() + TURN
        for _ in range(READS):
            if self._is_closing:
                return
            try:
                if self._merges:
                    data, ancillary, _, addr = self._sock.recvmsg(MAX_DATAGRAM, _ANCILLARY)
                else:
                    ancillary = []
                    data, addr = self._sock.recvfrom(MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._protocol.error_received(error)
                return
            size = _train_size(ancillary)
            if 0 < size < len(data):
                self._unread = data, 0, size, addr
                self._take_train(until)
            else:
                received(data, addr)
            if time.monotonic() >= until:
                return

    def _take_train(self, until: float) -> None:
        """Hand on datagrams that the kernel has merged, for as long as this turn may take."""
        if self._unread is None:
            return
        data, start, size, addr = self._unread
        while start < len(data) and not self._is_closing:
            if time.monotonic() >= until:
                self._unread = data, start, size, addr
                self._loop.call_soon(self._go_on)
                return
            self._protocol.datagram_received(data[start : start + size], addr)
            start += size
        self._unread = None

    def _go_on(self) -> None:
        self._take_train(time.monotonic() + TURN)

    # --- the end

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """Close the socket; what waits is lost. Closing twice does no harm."""
        if self._is_closing:
            return
        self._is_closing = True
        self._unread = None
        file = self._sock.fileno()
        self._loop.remove_reader(file)
        if self._waiting:
            self._loop.remove_writer(file)
            self._waiting.clear()
        self._loop.call_soon(self._lost)

    abort = close

    def _lost(self) -> None:
        self._protocol.connection_lost(None)
        self._sock.close()


def _has(sock: socket.socket, option: int, value: int) -> bool:
    """Set an option of UDP's, if there is one."""
    try:
        sock.setsockopt(_SOL_UDP, option, value)
    except OSError:
        return False
    return hasattr(sock, "recvmsg")


def _train_size(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Return how long the datagrams are that the kernel has merged; 0 if it has not."""
    for level, kind, content in ancillary:
        if level == _SOL_UDP and kind == _UDP_GRO:
            return int.from_bytes(content[:2], "little" if struct.pack("=H", 1)[0] else "big")
    return 0


async def open_udp(protocol_factory: Callable[[], P], address: str, port: int, buffer: int) -> P:
    """Open a UDP socket.

    Args:
        protocol_factory: Makes what takes the datagrams.
        address: The local IP address, with a scope if it needs one.
        port: The local port; 0 is any.
        buffer: Bytes asked of the kernel for what arrives while the loop is busy.

    Returns:
        The protocol.

    Raises:
        OSError: The address or port can't be used.
    """
    loop = asyncio.get_running_loop()
    sock = _bound(address, port)
    protocol = protocol_factory()
    try:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, buffer)
        UdpTransport(loop, sock, protocol)
    except NotImplementedError:
        # Windows' proactor: it has no readers, so asyncio's own transport has to do.
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

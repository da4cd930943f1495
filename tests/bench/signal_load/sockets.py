"""WebSocket clients on plain sockets, as cheap as Python can make them.

The server is to be measured, and not what loads it.

A frame is made once and sent many times. Of what comes only the headers of frames are read, and the
first bytes of each payload are compared.
"""

import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bench.signal_load.dialects import Dialect, Joined

_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
_AT_ONCE = 64
"""Clients that join at a time."""

_SETTLING = 0.3
"""Seconds in which those who joined are told of each other."""

_PATIENCE = 60.0
"""Seconds without anything new after which a load is given up."""


class Refused(Exception):
    """A server did not do what the load needs."""


def frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """Return a frame of a client (RFC 6455 section 5.2)."""
    size = len(payload)
    head = bytes((0x80 | opcode,))
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 65536:
        head += struct.pack("!BH", 0x80 | 126, size)
    else:
        head += struct.pack("!BQ", 0x80 | 127, size)
    mask = os.urandom(4)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


@dataclass(slots=True, eq=False)
class Client:
    """A client of a signaling server.

    Attributes:
        number: Its number among all.
        socket: The socket, which does not block.
        joined: What it was told when it joined.
        rest: The begin of a frame that has not come completely.
        unsent: What the socket has not taken yet.
    """

    number: int
    socket: socket.socket
    joined: Joined | None = None
    rest: bytes = b""
    unsent: bytes = b""
    is_open: bool = False
    pings: list[bytes] = field(default_factory=list)

    def frames(self, data: bytes) -> Iterator[bytes]:
        """Yield the texts of the frames that are complete."""
        data = self.rest + data
        at, end = 0, len(data)
        while end - at >= 2:
            size, begin = data[at + 1], at + 2
            if size == 126:
                begin += 2
                size = int.from_bytes(data[at + 2 : begin], "big")
            elif size == 127:
                begin += 8
                size = int.from_bytes(data[at + 2 : begin], "big")
            if begin > end or begin + size > end:
                break
            opcode = data[at] & 15
            at = begin + size
            if opcode == _TEXT:
                yield data[begin:at]
            elif opcode == _PING:
                self.pings.append(data[begin:at])
            elif opcode == _CLOSE:
                raise Refused(f"closed: {data[begin:at]!r}")
        self.rest = data[at:]

    def count(self, data: bytes, prefix: bytes) -> int:
        """Return how many texts that begin so are complete.

        Raises:
            Refused: Another text came.
        """
        if self.rest:
            data = self.rest + data
        at = found = 0
        end = len(data)
        while end - at >= 2:
            size, begin = data[at + 1], at + 2
            if size == 126:
                begin += 2
                size = data[at + 2] << 8 | data[at + 3] if begin <= end else end
            if begin + size > end:
                break
            if data.startswith(prefix, begin):
                found += 1
            elif data[at] & 15 != _PING:
                raise Refused(f"not expected: {data[begin : begin + 200]!r}")
            else:
                self.pings.append(data[begin : begin + size])
            at = begin + size
        self.rest = data[at:]
        return found

    def send(self, data: bytes) -> None:
        """Send, or keep what the socket does not take."""
        if self.unsent:
            self.unsent += data
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.unsent = data[sent:]

    def answer_pings(self) -> None:
        """Send the pongs that are due."""
        for ping in self.pings:
            self.send(frame(ping, _PONG))
        self.pings.clear()

    def abort(self) -> None:
        """Close the socket with a reset, so that neither side keeps its port busy."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Crowd:
    """Many clients, driven by one ``epoll``.

    Args:
        addresses: Where the servers listen; clients go to them in turn.
        dialect: What the clients say.
        first: The number of the first client; it is even.
    """

    def __init__(self, addresses: list[tuple[str, int]], dialect: Dialect, first: int = 0) -> None:
        self.dialect = dialect
        self.clients: dict[int, Client] = {}
        self._addresses = addresses
        self._first = first
        self._poll = select.epoll()
        self._by_file: dict[int, Client] = {}

    def join(self, count: int, at_once: int = _AT_ONCE) -> tuple[float, list[float]]:
        """Let so many more clients join; return the seconds that all took, and that each did.

        Raises:
            Refused: One was not let in.
        """
        next_number = self._first + len(self.clients)
        numbers = iter(range(next_number, next_number + count))
        begun: dict[Client, float] = {}
        took: list[float] = []
        began = time.monotonic()
        for _ in range(min(at_once, count)):
            self._open(next(numbers), begun)
        quiet_since = time.monotonic()
        while len(took) < count:
            for client, data in self.events(1.0):
                is_in = self._step(client, data)
                client.answer_pings()
                if is_in:
                    quiet_since = now = time.monotonic()
                    took.append(now - begun.pop(client))
                    if (number := next(numbers, None)) is not None:
                        self._open(number, begun)
            if time.monotonic() - quiet_since > _PATIENCE:
                raise Refused(f"{len(took)} of {count} clients have joined")
        seconds = time.monotonic() - began
        self.settle(_SETTLING)
        return seconds, took

    def _open(self, number: int, begun: dict[Client, float]) -> None:
        address = self._addresses[number % len(self._addresses)]
        made = socket.socket(socket.AF_INET)
        made.setblocking(False)
        # One address has some 28,000 ports, those of connections just closed included.
        made.bind((f"127.0.{1 + number // 10000}.1", 0))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = self.clients[number] = Client(number, made)
        begun[client] = time.monotonic()
        made.connect_ex(address)
        path, (host, port) = self.dialect.path(number), address
        # Kept until the connection is there, which makes the socket writable.
        client.unsent = (
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {_KEY.decode()}\r\n\r\n"
        ).encode()
        self._by_file[made.fileno()] = client
        self._poll.register(made.fileno(), select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def _step(self, client: Client, data: bytes) -> bool:
        """Take what came for a client; return whether it has joined by that."""
        if not client.is_open:
            data = client.rest + data
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                client.rest = head
                return False
            if not head.startswith(b"HTTP/1.1 101"):
                raise Refused(head.decode(errors="replace"))
            client.is_open, client.rest = True, b""
            if message := self.dialect.join(client.number):
                client.send(frame(message))
        was_in = client.joined is not None
        for text in client.frames(data):
            if client.joined is None:
                client.joined = self.dialect.joined(text, client.number)
                if client.joined is None:
                    raise Refused(f"client {client.number}: {text.decode()}")
        return not was_in and client.joined is not None

    def events(self, timeout: float) -> Iterator[tuple[Client, bytes]]:
        """Yield what came for clients; sockets that can take more are given it.

        Raises:
            Refused: A server closed a connection.
        """
        for file, event in self._poll.poll(max(0.0, timeout)):
            client = self._by_file[file]
            if event & select.EPOLLOUT and client.unsent:
                waiting, client.unsent = client.unsent, b""
                client.send(waiting)
            if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                data = self._read(client)
                if data:
                    yield client, data

    def _read(self, client: Client) -> bytes:
        pieces = []
        try:
            while piece := client.socket.recv(65536):
                pieces.append(piece)
                if len(piece) < 65536:  # edge-triggered: what comes later is a new event
                    break
            else:
                raise Refused(f"client {client.number} was cut off")
        except BlockingIOError:
            pass
        except ConnectionError as error:
            raise Refused(f"client {client.number} was cut off: {error}") from error
        return b"".join(pieces)

    def settle(self, seconds: float) -> None:
        """Read what comes and answer pings for some time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for client, data in self.events(left):
                for _ in client.frames(data):
                    pass
                client.answer_pings()

    def close(self) -> None:
        """Cut all clients off."""
        for client in self.clients.values():
            client.abort()
        self._poll.close()

"""An attack from one address to keep everybody else out of a signaling server; its own process.

    python -m tests.bench.crowd ws://127.0.0.1:8080/ws "rooms"

It says ``ready`` when it has begun, and goes on until its standard input ends.
"""

import asyncio
import json
import random
import ssl
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.frames import Frame, Opcode

ORIGIN = "127.0.0.2"
"""The address that all of it comes from."""

_LOST = (OSError, WebSocketException, InvalidHandshake, EOFError, TimeoutError)
_RETRY = 0.01
_LARGE = "y" * 65_000

Attack = Callable[["Server"], Coroutine[Any, Any, None]]


class Server:
    """The server that is attacked.

    Args:
        url: Where it takes WebSockets.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.tls: ssl.SSLContext | None = None
        if parts.scheme == "wss":
            self.tls = ssl.create_default_context()
            self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE

    async def open(self, *, tls: bool = False) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a TCP connection, or one of TLS."""
        return await asyncio.open_connection(
            self.host, self.port, local_addr=(ORIGIN, 0), ssl=self.tls if tls else None
        )

    async def websocket(self) -> ClientConnection:
        """Open a WebSocket."""
        return await connect(
            self.url,
            local_addr=(ORIGIN, 0),
            ssl=self.tls,
            compression=None,
            ping_interval=None,
            max_size=None,
        )

    async def join(self, room: str, name: str) -> tuple[ClientConnection, dict[str, Any]]:
        """Join; return what the server said as well."""
        socket = await self.websocket()
        await socket.send(join(room, name))
        return socket, json.loads(await socket.recv())


def join(room: str, name: str) -> str:
    """Return the message that joins."""
    return json.dumps({"type": "join", "version": 1, "room": room, "name": name})


async def _many(count: int, job: Callable[[int], Awaitable[None]]) -> None:
    """Do something again and again, so many at a time; what is refused is tried again."""

    async def again(number: int) -> None:
        while True:
            with suppress(*_LOST):
                await job(number)
            await asyncio.sleep(_RETRY)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(again(number))


async def silent(server: Server) -> None:
    """Connections that say nothing, with TLS or without: as many as the server takes, and more."""

    async def hold(_: int) -> None:
        reader, writer = await server.open()
        try:
            await reader.read(1)
        finally:
            writer.transport.abort()

    await _many(1200, hold)


async def slow(server: Server) -> None:
    """Handshakes of HTTP, or of TLS, a byte at a time."""
    request = b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 4000
    if server.tls is not None:
        request = b"\x16\x03\x01\x02\x00\x01" + bytes(4000)

    async def dribble(_: int) -> None:
        _reader, writer = await server.open()
        try:
            for at in range(len(request)):
                writer.write(request[at : at + 1])
                await writer.drain()
                await asyncio.sleep(0.05)
        finally:
            writer.transport.abort()

    await _many(400, dribble)


async def handshakes(server: Server) -> None:
    """Handshakes to their end, of TLS as well, and nothing after them."""

    async def shake(_: int) -> None:
        _reader, writer = await server.open(tls=True)
        writer.transport.abort()

    await _many(50, shake)


async def rooms(server: Server) -> None:
    """A new room each time, and the connection is dropped."""

    async def enter(_: int) -> None:
        socket, _said = await server.join(f"r{random.getrandbits(40)}", "x")
        socket.transport.abort()

    await _many(50, enter)


async def joins(server: Server) -> None:
    """Joins and leaves."""

    async def visit(number: int) -> None:
        socket, _said = await server.join(f"r{number}", "x")
        await socket.send('{"type":"leave"}')
        await socket.close()

    await _many(50, visit)


async def members(server: Server) -> None:
    """As many participants as there are seats, who come and go."""

    async def sit(number: int) -> None:
        socket, _said = await server.join(f"r{number // 32}", f"n{number}")
        await asyncio.sleep(2 * random.random())
        socket.transport.abort()

    await _many(300, sit)


def _messages(number: int, to: str) -> bytes:
    message = json.dumps({"type": "message", "to": to, "data": "x"}).encode()
    kinds = (
        [Frame(Opcode.TEXT, message)] * 500,
        [Frame(Opcode.TEXT, b"{nonsense")] * 500,
        [Frame(Opcode.PING, b"")] * 500,
        [Frame(Opcode.TEXT, b"[" + b"[]," * 20000 + b"[]]")],
    )
    return b"".join(frame.serialize(mask=True) for frame in kinds[number % len(kinds)])


async def floods(server: Server) -> None:
    """Messages, nonsense, pings and large ones, as fast as the sockets take them."""

    async def flood(number: int) -> None:
        socket, said = await server.join(f"r{number // 2}", f"n{number}")
        blob = _messages(number, said.get("id", ""))
        async with asyncio.TaskGroup() as group:
            group.create_task(_read(socket))
            while True:
                socket.transport.write(blob)
                await socket.drain()

    await _many(190, flood)


async def _read(socket: ClientConnection) -> None:
    async for _ in socket:
        pass


async def unread(server: Server) -> None:
    """Large messages to each other that nobody reads."""
    seats: dict[int, str] = {}

    async def send(number: int) -> None:
        socket, said = await server.join(f"r{number // 2}", f"n{number}")
        seats[number] = said.get("id", "")
        socket.transport.pause_reading()
        try:
            while True:
                to = seats.get(number ^ 1, "")
                await socket.send(json.dumps({"type": "message", "to": to, "data": _LARGE}))
                await asyncio.sleep(0)
        finally:
            socket.transport.abort()

    await _many(190, send)


async def away(server: Server) -> None:
    """Large messages to those who are away, and come back to them and go again."""
    seats: dict[int, str] = {}

    async def send(number: int) -> None:
        socket, said = await server.join(f"r{number // 2}", f"n{random.getrandbits(40)}")
        if number % 2:
            seats[number] = said.get("id", "")
            socket.transport.abort()
            await asyncio.sleep(10)
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(_read(socket))
            while True:
                to = seats.get(number ^ 1, "")
                await socket.send(json.dumps({"type": "message", "to": to, "data": _LARGE}))

    await _many(100, send)


async def pages(server: Server) -> None:
    """Requests for pages and metrics, and nobody reads the answers."""
    requests = b"".join(
        f"GET {path} HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode()
        for path in ("/", "/metrics", "/nothing")
    )

    async def ask(_: int) -> None:
        reader, writer = await server.open(tls=True)
        try:
            writer.write(requests * 100)
            await asyncio.sleep(0.2)
            await reader.read(10)
        finally:
            writer.transport.abort()

    await _many(100, ask)


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        silent,
        slow,
        handshakes,
        rooms,
        joins,
        members,
        floods,
        unread,
        away,
        pages,
    )
}


async def _until_stdin_closes() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()


async def run(url: str, name: str) -> None:
    """Attack until standard input ends."""
    async with AsyncExitStack() as stack:
        task = asyncio.create_task(ATTACKS[name](Server(url)))
        stack.callback(task.cancel)
        print("ready", flush=True)
        ended = asyncio.create_task(_until_stdin_closes())
        await asyncio.wait((task, ended), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:3]))

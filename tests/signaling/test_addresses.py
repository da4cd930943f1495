"""One address that takes what it can get, and others that come all the same."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidMessage

from icefloe.signaling import AddressLimits, Limits, ServerConfiguration, SignalingServer, serve

FEW = ServerConfiguration(
    limits=Limits(address=AddressLimits(sockets=5, seats=3, rooms=2)), shutdown_timeout=2.0
)
ROOT = Path(__file__).resolve().parents[2]
GREEDY, OTHER = "127.0.0.1", "127.0.0.2"


@asynccontextmanager
async def silent(port: int, count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Open TCP connections that say nothing."""
    ends = [
        await asyncio.open_connection("127.0.0.1", port, local_addr=(GREEDY, 0))
        for _ in range(count)
    ]
    try:
        yield [reader for reader, _ in ends]
    finally:
        for _, writer in ends:
            writer.transport.abort()


async def joins(server: SignalingServer, origin: str, tls: ssl.SSLContext | None = None) -> str:
    """Join from an address; return what the server says."""
    async with open_websocket(server.url, local_addr=(origin, 0), ssl=tls) as socket:
        await socket.send(f'{{"type":"join","version":1,"room":"r","name":"{origin}"}}')
        return str(await socket.recv())


def certificates_of(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server and of a client that trusts it."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    return server_side, client_side


@pytest.fixture
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The contexts of a server and of a client that trusts it."""
    return certificates_of(trustme.CA())


async def test_sockets_that_say_nothing_count(stack: AsyncExitStack) -> None:
    server = await stack.enter_async_context(serve("127.0.0.1", 0, configuration=FEW))
    async with silent(server.port, 8) as readers:
        for reader in readers[5:]:
            await cut_off(reader)
        with pytest.raises((OSError, InvalidMessage)):
            await joins(server, GREEDY)
        assert '"joined"' in await joins(server, OTHER)


async def test_sockets_that_begin_no_tls_count_and_leave_nothing_behind(
    stack: AsyncExitStack, certificates: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server_side, client_side = certificates
    server = await stack.enter_async_context(
        serve("127.0.0.1", 0, configuration=FEW, ssl=server_side)
    )
    async with silent(server.port, 5):
        await all_arrived(server, 5)
        async with silent(server.port, 1) as (more,):
            await cut_off(more)
        assert '"joined"' in await joins(server, OTHER, client_side)
    await all_arrived(server, 0)
    assert '"joined"' in await joins(server, GREEDY, client_side)


async def test_what_is_no_tls_is_let_go(
    stack: AsyncExitStack, certificates: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server = await stack.enter_async_context(
        serve("127.0.0.1", 0, configuration=FEW, ssl=certificates[0])
    )
    for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(500)):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(nonsense)
        writer.write_eof()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
    await all_arrived(server, 0)


async def test_the_server_closes_while_handshakes_wait(
    certificates: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            serve("127.0.0.1", 0, configuration=FEW, ssl=certificates[0])
        )
        readers = await stack.enter_async_context(silent(server.port, 3))
        await all_arrived(server, 3)
        await server.close()
        for reader in readers:
            await cut_off(reader)


async def cut_off(reader: asyncio.StreamReader) -> None:
    """Wait until the server has ended a connection."""
    with suppress(ConnectionError):
        assert await reader.read(1) == b""


async def all_arrived(server: SignalingServer, count: int) -> None:
    """Wait until the server has as many sockets."""
    while len(server._sockets) != count:
        await asyncio.sleep(0.01)


async def scenario() -> None:
    """See that connections without a handshake count, and that those with one are served."""
    server_side, client_side = certificates_of(trustme.CA())
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            serve("127.0.0.1", 0, configuration=FEW, ssl=server_side)
        )
        for _ in range(5):
            assert '"joined"' in await joins(server, OTHER, client_side)
        async with silent(server.port, 5):
            await all_arrived(server, 5)
            assert '"joined"' in await joins(server, OTHER, client_side)
        await all_arrived(server, 0)


def test_tls_begins_after_the_connection_counts_on_uvloop_too() -> None:
    code = f"import uvloop; from {__name__} import scenario; uvloop.run(scenario())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")

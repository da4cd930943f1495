"""Real servers and sockets on loopback for the tests of the shells."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect as open_websocket

from icefloe.signaling import ServerConfiguration, SignalingServer
from tests.signaling import shells


class RawClient:
    """A client that sends and receives whatever it is told to."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, message: dict[str, Any] | str | bytes) -> None:
        text = json.dumps(message) if isinstance(message, dict) else message
        await self.socket.send(text)

    async def hear(self) -> dict[str, Any]:
        heard = json.loads(await self.socket.recv())
        assert isinstance(heard, dict)
        return heard

    async def hear_until(self, type: str) -> dict[str, Any]:
        while (heard := await self.hear())["type"] != type:
            pass
        return heard

    async def join(self, name: str, room: str = "lobby", **more: Any) -> dict[str, Any]:
        await self.say({"type": "join", "version": 1, "room": room, "name": name, **more})
        joined = await self.hear()
        assert joined["type"] == "joined", joined
        return joined


class Proxy:
    """A TCP proxy whose connections can be broken, and made to swallow what is sent over them.

    Attributes:
        swallowed: Can be acquired once for each piece that was swallowed.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.swallows = False
        self.refuses = False
        self.swallowed = asyncio.Semaphore(0)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def cut(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def run(self, ready: asyncio.Event) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            self.cut()
            while self._tasks:
                await asyncio.wait(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        onward = None
        try:
            if self.refuses:
                return
            back, onward = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(onward)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, onward))
                group.create_task(self._pump(back, writer))
        except OSError:
            return
        finally:
            for end in (writer, onward):
                if end is not None:
                    end.transport.abort()
                    self._writers.discard(end)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if not self.swallows:
                    writer.write(data)
                    await writer.drain()
                else:
                    self.swallowed.release()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("shells")
    if mark is not None and inspect.iscoroutinefunction(metafunc.function):
        metafunc.parametrize("shell", mark.args, indirect=True)


@pytest.fixture(autouse=True)
def shell(request: pytest.FixtureRequest) -> Iterator[str]:
    """The shell that :func:`shells.serve` starts."""
    name: str = getattr(request, "param", shells.OWN)
    with shells.using(name):
        yield name


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def server(stack: AsyncExitStack) -> SignalingServer:
    configuration = ServerConfiguration(shutdown_timeout=2.0)
    server = shells.serve(port=0, configuration=configuration)
    started: SignalingServer = await stack.enter_async_context(server)
    return started


@pytest.fixture
def open_raw(stack: AsyncExitStack, server: SignalingServer) -> Callable[..., Any]:
    """Open a WebSocket to the server, or to another URL."""

    async def open_(url: str | None = None, **options: Any) -> RawClient:
        opening = open_websocket(url or server.url, compression=None, close_timeout=1, **options)
        return RawClient(await stack.enter_async_context(opening))

    return open_


@asynccontextmanager
async def proxy_on(target: int) -> AsyncIterator[Proxy]:
    proxy, ready = Proxy(target), asyncio.Event()
    running = asyncio.create_task(proxy.run(ready))
    await ready.wait()
    yield proxy
    running.cancel()
    await asyncio.wait((running,))


@pytest.fixture
def proxy_to(stack: AsyncExitStack) -> Callable[[SignalingServer], Awaitable[Proxy]]:
    """Put a proxy in front of a server."""
    return lambda server: stack.enter_async_context(proxy_on(server.port))


@pytest.fixture
async def proxy(server: SignalingServer, stack: AsyncExitStack) -> Proxy:
    """A proxy in front of the server."""
    return await stack.enter_async_context(proxy_on(server.port))

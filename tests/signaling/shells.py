"""The signaling server in each of its shells: its own, and uvicorn and hypercorn with the app.

A test or a module that is marked with ``shells`` runs with each of those named; :func:`serve` then
starts the one of the moment. They listen on a port of loopback, in the process of the test.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Self

import hypercorn
import hypercorn.asyncio
import uvicorn

from icefloe.signaling import ServerConfiguration, SignalingApp, TokenKeys, serve as serve_alone
from icefloe.signaling.codec import DESCRIPTION_LIMIT
from icefloe.signaling.hub import Hub
from icefloe.signaling.quotas import Tally

OWN = "own"
ASGI = ("uvicorn", "uvicorn-wsproto", "hypercorn")
ALL = (OWN, *ASGI)
BY_WSPROTO = ("uvicorn-wsproto", "hypercorn")
"""Those that read frames with wsproto, which closes with other codes, or none."""

_IMPLEMENTATIONS = {"uvicorn": "websockets-sansio", "uvicorn-wsproto": "wsproto"}
_current = [OWN]


@contextmanager
def using(shell: str) -> Iterator[None]:
    """Have :func:`serve` start this shell."""
    _current.append(shell)
    try:
        yield
    finally:
        _current.pop()


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    configuration: ServerConfiguration | None = None,
    **options: Any,
) -> Any:
    """Return a server of the shell of the moment, to be entered."""
    if _current[-1] == OWN:
        return serve_alone(host, port, configuration=configuration, **options)
    assert not options and host == "127.0.0.1"
    return AppServer(_current[-1], port, configuration or ServerConfiguration())


class AppServer:
    """An ASGI server with the signaling application; it looks like a ``SignalingServer``."""

    def __init__(self, shell: str, port: int, configuration: ServerConfiguration) -> None:
        self.port = port
        self._shell = shell
        self._configuration = configuration
        self.app = SignalingApp(configuration)
        self._running: AbstractAsyncContextManager[int] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def page_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def _hub(self) -> Hub:
        return self.app._hub

    @property
    def _sockets_of(self) -> Tally:
        return self.app._sockets_of

    def use_token_keys(self, keys: TokenKeys) -> None:
        self.app.use_token_keys(keys)

    async def __aenter__(self) -> Self:
        settings: dict[str, Any] = {
            "ping_interval": self._configuration.ping_interval,
            "ping_timeout": self._configuration.ping_timeout,
        }
        self._running = run(self.app, self._shell, self.port, **settings)
        self.port = await self._running.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        running, self._running = self._running, None
        if running is not None:
            # As a program does that has the application tell its clients before the server ends.
            await self.app.close()
            await running.__aexit__(kind, error, traceback)

    async def close(self) -> None:
        await self.__aexit__(None, None, None)


@asynccontextmanager
async def run(
    app: Any,
    shell: str,
    port: int = 0,
    *,
    max_size: int = DESCRIPTION_LIMIT,
    ping_interval: float = 20.0,
    ping_timeout: float = 40.0,
) -> AsyncIterator[int]:
    """Run an ASGI application, and yield its port."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    port = listening.getsockname()[1]
    if shell == "hypercorn":
        async with _run_hypercorn(app, listening, max_size):
            yield port
        return
    config = uvicorn.Config(
        app,
        ws=_IMPLEMENTATIONS[shell],
        lifespan="on",
        proxy_headers=False,  # the default believes whatever is on this machine
        log_config=None,
        ws_max_size=max_size,
        ws_per_message_deflate=False,
        ws_ping_interval=ping_interval,
        ws_ping_timeout=ping_timeout,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve([listening]))
    try:
        while not server.started and not running.done():
            await asyncio.sleep(0.01)
        yield port
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def _run_hypercorn(app: Any, listening: socket.socket, max_size: int) -> AsyncIterator[None]:
    config = hypercorn.Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.websocket_max_message_size = max_size
    # No pings: the task that sends them outlives its connection by the interval.
    config.graceful_timeout = 2
    config.errorlog = None
    over, ready = asyncio.Event(), asyncio.Event()

    async def trigger() -> None:
        ready.set()
        await over.wait()

    running = asyncio.create_task(
        hypercorn.asyncio.serve(app, config, shutdown_trigger=trigger, mode="asgi")
    )
    try:
        entered = asyncio.create_task(ready.wait())
        await asyncio.wait((running, entered), return_when=asyncio.FIRST_COMPLETED)
        entered.cancel()
        yield
    finally:
        over.set()
        await running

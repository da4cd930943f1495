# Longer than 400 lines: one public class; the sockets, the hub and the pages have modules.
"""The signaling server as an ASGI application, for the port of a web application.

It serves what :mod:`.server` serves, and shares the hub, the pages and the checks with it. The ASGI
server has the sockets: see :mod:`.asgi_socket` for what that means for reading and writing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from logging import Logger
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from websockets.datastructures import Headers

from icefloe.logs import get_logger

from .asgi_socket import AsgiSocket, Receive, Send, WriteBudget
from .configuration import Admission, ServerConfiguration
from .forwarded import ForwardedAddresses
from .http import WEBSOCKET_PATH, Answer, Site, is_allowed_host, is_allowed_origin, own_hosts, text
from .hub import Hub
from .messages import CloseCode, Join
from .metrics_access import MetricsGuard
from .quotas import Tally, network_of
from .token_keys import TokenKeys

logger: Logger = get_logger(__name__)

_NOT_STARTED = (
    "The signaling application was not started. An application that is mounted in another one gets "
    "no lifespan events: use `async with` with it, or its `lifespan`, in the lifespan of the other."
)


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """A ``join``, with the request that opened its WebSocket.

    Attributes:
        join: The message.
        scope: The ASGI scope of the WebSocket, with what middleware has put there, such as ``user``
            and ``session``. It is that of the handshake: a later log-out does not change it.
        address: The IP address of the client; empty if it is unknown.
    """

    join: Join
    scope: Mapping[str, Any] = field(repr=False)
    address: str

    @property
    def headers(self) -> Headers:
        """The headers of the request; names in any case."""
        return _headers(self.scope)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies of the request, by name, as they came; the first if a name is there twice."""
        cookies: dict[str, str] = {}
        for header in self.headers.get_all("Cookie"):
            for pair in header.split(";"):
                name, _, value = pair.strip().partition("=")
                cookies.setdefault(name.strip(), value.strip())
        return cookies


AdmitRequest = Callable[[AdmissionRequest], Admission | Awaitable[Admission | None] | None]
"""A function, or a coroutine function, that decides who may join, and sees the request."""

_request: ContextVar[tuple[Mapping[str, Any], str]] = ContextVar("_request")
"""The scope and the address of the connection whose message is being handled."""


class SignalingApp:
    """A signaling server as an ASGI application.

    An ASGI server starts and closes it by lifespan events. Mounted in another application it gets
    none; then enter it with ``async with`` in the lifespan of that application, or pass
    :meth:`lifespan` to it. Rooms are in the memory of the process, so the ASGI server must have one
    worker.

    Args:
        configuration: The settings. ``ping_interval`` and ``ping_timeout`` are those of the ASGI
            server instead, and ``hosts`` has no name for what the server listens on.
        admit: Like ``admit`` of the configuration, except that it is given an
            :class:`AdmissionRequest`.

    Raises:
        ValueError: Both ``admit`` and that of the configuration are given.
    """

    def __init__(
        self,
        configuration: ServerConfiguration | None = None,
        *,
        admit: AdmitRequest | None = None,
    ) -> None:
        configuration = configuration or ServerConfiguration()
        if admit is not None:
            if configuration.admit is not None:
                raise ValueError("`admit` is given twice: for the application, and in its settings")
            configuration = replace(configuration, admit=partial(_admit, admit))
        self._configuration = configuration
        proxies = configuration.proxies
        self._forwarded = None if proxies is None else ForwardedAddresses(proxies)
        guard = MetricsGuard(configuration.metrics, knows_proxies=proxies is not None)
        self._site = Site(is_ready=lambda: self._is_ready, measure=self._measure, metrics=guard)
        self._origins = frozenset(origin.lower() for origin in configuration.origins)
        self._hosts = own_hosts("localhost") | {name.lower() for name in configuration.hosts}
        self._sockets_of = Tally(configuration.limits.address.sockets)
        self._budget = WriteBudget()
        self._sockets: set[AsgiSocket] = set()
        self._socket_ended = asyncio.Event()
        self._drains: set[asyncio.Task[None]] = set()
        self._is_abandoning = False
        self._hub = self._new_hub()
        self._is_started = False
        self._is_open = False

    def _new_hub(self) -> Hub:
        return Hub(self._configuration, can_accept=lambda: self._is_open)

    @property
    def _is_ready(self) -> bool:
        # A connection that was cut off has left the hub, and the ASGI server may still have it.
        return self._hub.is_ready and len(self._sockets) < self._configuration.connections

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve what an ASGI server asks for.

        Args:
            scope: The connection.
            receive: Returns the next event.
            send: Takes an event.

        Spec: ASGI 3.0.
        """
        match scope["type"]:
            case "http":
                await _send_answer(send, self._answer(scope))
            case "websocket":
                await self._serve_websocket(scope, receive, send)
            case "lifespan":
                await self._run_lifespan(receive, send)
            case other:
                raise ValueError(f"the signaling application serves no ASGI scope {other!r}")

    # ---- start and end -------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._is_started:
            raise RuntimeError("the signaling application was started already")
        self._is_started = self._is_open = True
        self._hub.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Start the application, and close it at the end; a lifespan of Starlette and FastAPI.

        Args:
            app: The application whose lifespan it is; not used.
        """
        async with self:
            yield

    def use_token_keys(self, keys: TokenKeys) -> None:
        """Verify join tokens with other keys from now on; whoever has a seat keeps it.

        Args:
            keys: The keys.

        Raises:
            ValueError: The application was made without token keys.
        """
        self._hub.use_token_keys(keys)
        self._configuration = replace(self._configuration, token_keys=keys)

    async def close(self) -> None:
        """Close all WebSockets (code 1001). It can be started again.

        It takes at most ``shutdown_timeout`` seconds. Further calls have no effect. An ASGI server
        that ends closes the WebSockets itself, before it says so to its applications.

        Cancellation: safe; the clients are let go at once.
        """
        if not self._is_open:
            return
        self._is_open = False
        try:
            for socket in self._sockets:
                socket.close_soon(CloseCode.GOING_AWAY, "the server shuts down")
            async with asyncio.timeout(self._configuration.shutdown_timeout):
                await self._wait_for_sockets()
        except TimeoutError:
            logger.warning("signaling application: some clients did not close in time; let go")
        finally:
            self._is_abandoning = True
            for socket in self._sockets:
                socket.abandon()
            for drain in self._drains:
                drain.cancel()
            await self._wait_for_sockets()
            await self._hub.close()
            self._hub = self._new_hub()
            self._is_started = self._is_abandoning = False

    async def _wait_for_sockets(self) -> None:
        while self._sockets:
            self._socket_ended.clear()
            await self._socket_ended.wait()

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        try:
            await self.__aenter__()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown
        finally:
            await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    # ---- HTTP ----------------------------------------------------------------------------------

    def _answer(self, scope: Mapping[str, Any]) -> Answer:
        """Return the response to a request for something else than the WebSocket."""
        headers = _headers(scope)
        if refusal := self._refuse_host(headers):
            return refusal
        path = _path(scope)
        if not path:  # the links of the page are relative to the folder
            answer = text(HTTPStatus.PERMANENT_REDIRECT, "The page is at the address with a slash.")
            answer.headers["Location"] = f"{quote(scope['path'].rpartition('/')[2])}/"
            return answer
        answer_or_none = self._site.respond(
            scope["method"], path, headers, self._client_of(scope, headers)[0]
        )
        if answer_or_none is None:
            answer = text(HTTPStatus.UPGRADE_REQUIRED, "This is the address of the WebSocket.")
            answer.headers["Upgrade"] = "websocket"
            return answer
        return answer_or_none

    def _refuse_host(self, headers: Headers) -> Answer | None:
        if is_allowed_host(headers, self._hosts):
            return None
        sentence = "This server is not configured for this host name. Add it to the allowed hosts."
        return text(HTTPStatus.MISDIRECTED_REQUEST, sentence)

    def _measure(self) -> bytes:
        return self._hub.measure(
            refused_sockets=self._sockets_of.refused, most_sockets=self._sockets_of.most
        )

    # ---- WebSockets ----------------------------------------------------------------------------

    async def _serve_websocket(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        headers = _headers(scope)
        address, is_counted = self._client_of(scope, headers)
        network = network_of(address) if is_counted else ""
        if refusal := self._refuse(scope, headers, network):
            await _send_denial(scope, send, refusal)
            return
        socket = AsgiSocket(
            receive,
            send,
            budget=self._budget,
            rate=self._configuration.rate,
            burst=self._configuration.burst,
            close_timeout=self._configuration.shutdown_timeout / 2,
            on_throttled=self._hub.report_throttled,
        )
        self._sockets.add(socket)
        self._sockets_of.add(network)
        token = _request.set((scope, address))
        try:
            await self._serve_socket(socket, send, address if is_counted else "")
        finally:
            _request.reset(token)
            if socket.is_disconnected or self._is_abandoning:
                self._release(socket, network)
            else:
                drain = asyncio.create_task(socket.drain(), name=f"drain {socket.number}")
                self._drains.add(drain)
                drain.add_done_callback(partial(self._drained, socket, network))

    def _drained(self, socket: AsgiSocket, network: str, drain: asyncio.Task[None]) -> None:
        self._drains.discard(drain)
        self._release(socket, network)
        if not drain.cancelled() and (error := drain.exception()) is not None:
            logger.debug("connection %s: its ASGI server raised %s", socket.number, error)

    def _release(self, socket: AsgiSocket, network: str) -> None:
        """Stop counting a connection."""
        self._sockets_of.remove(network)
        self._sockets.discard(socket)
        self._socket_ended.set()

    async def _serve_socket(self, socket: AsgiSocket, send: Send, address: str) -> None:
        try:
            await send({"type": "websocket.accept"})
        except (OSError, RuntimeError):
            return  # the client is gone, or the application closes
        hub = self._hub
        hub.connect(socket, address)
        await socket.serve(
            lambda frame: hub.receive(socket, frame, address), lambda: hub.disconnect(socket)
        )

    def _refuse(self, scope: Mapping[str, Any], headers: Headers, network: str) -> Answer | None:
        """Return the response to a request for a WebSocket that is refused."""
        if not self._sockets_of.has_room(network):
            sentence = "This address has too many connections. Try again later."
            return text(HTTPStatus.TOO_MANY_REQUESTS, sentence)
        if refusal := self._refuse_host(headers):
            return refusal
        if _path(scope) != WEBSOCKET_PATH:
            return text(HTTPStatus.NOT_FOUND, f"The WebSocket is at {WEBSOCKET_PATH}.")
        if not is_allowed_origin(headers, self._origins):
            sentence = "Pages of this origin may not connect. Add it to the allowed origins."
            return text(HTTPStatus.FORBIDDEN, sentence)
        if not self._is_started:
            logger.error("%s", _NOT_STARTED)
            return text(HTTPStatus.SERVICE_UNAVAILABLE, "The server was not started.")
        if not self._is_ready:
            return text(HTTPStatus.SERVICE_UNAVAILABLE, "The server is full. Try again later.")
        return None

    def _client_of(self, scope: Mapping[str, Any], headers: Headers) -> tuple[str, bool]:
        """Return the address of the client, and whether it is counted: that of a proxy is not."""
        client = scope.get("client")
        address = str(client[0]) if client else ""
        if self._forwarded is None:
            return address, True
        address = self._forwarded.client(address, headers)
        return address, not self._forwarded.is_proxy(address)


def _admit(admit: AdmitRequest, join: Join) -> Admission | Awaitable[Admission | None] | None:
    scope, address = _request.get()
    return admit(AdmissionRequest(join, scope, address))


def _headers(scope: Mapping[str, Any]) -> Headers:
    headers = Headers()
    for name, value in scope["headers"]:
        headers[bytes(name).decode("latin-1")] = bytes(value).decode("latin-1")
    return headers


def _path(scope: Mapping[str, Any]) -> str:
    """Return the path below the one at which the application is mounted; empty for that itself.

    ``path`` begins with ``root_path``. Some routers leave it out, and Django Channels has a field
    of its own.
    """
    remaining = scope.get("path_remaining")
    if remaining is not None:
        return f"/{str(remaining).removeprefix('/')}"
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    below = path.removeprefix(root)
    return below if not below or below.startswith("/") else path


async def _send_answer(send: Send, answer: Answer, prefix: str = "") -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    start = f"{prefix}http.response.start"
    await send({"type": start, "status": answer.status.value, "headers": headers})
    await send({"type": f"{prefix}http.response.body", "body": answer.body})


async def _send_denial(scope: Mapping[str, Any], send: Send, answer: Answer) -> None:
    """Refuse a WebSocket. Without the extension the ASGI server answers with 403."""
    try:
        if "websocket.http.response" in (scope.get("extensions") or {}):
            await _send_answer(send, answer, "websocket.")
        else:
            await send({"type": "websocket.close"})
    except OSError:
        logger.debug("a client that was refused a WebSocket is gone")

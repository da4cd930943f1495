# Longer than 400 lines: one public class; the rooms, the reading and the writing have modules.
"""The signaling server: WebSocket signaling, the call page, health checks and metrics on one port.

:mod:`.hub` has the rooms, admission and timers; this module has the sockets. Sending never waits:
messages go to the socket's write buffer, and a client that lets more than a bounded number of bytes
wait there is cut off.
"""

import asyncio
import itertools
import random
import ssl
from collections.abc import Iterable
from http import HTTPStatus
from logging import Logger
from socket import SO_RCVBUF, SOL_SOCKET, fromfd, socket as Socket
from types import TracebackType
from typing import Any, Self, cast

from websockets.asyncio.server import Server, ServerConnection, serve as listen
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from icefloe.logs import get_logger

from .codec import CLIENT_LIMIT, DESCRIPTION_LIMIT
from .configuration import ServerConfiguration
from .errors import ListenFailed
from .forwarded import ForwardedAddresses
from .http import (
    WEBSOCKET_PATH,
    Answer,
    Site,
    is_allowed_host,
    is_allowed_origin,
    own_hosts,
    text,
    unavailable,
)
from .hub import Hub
from .messages import CloseCode
from .metrics_access import MetricsGuard
from .quotas import Tally, network_of
from .reading import RECEIVE_BUFFER, FairConnection
from .sockets import QuietLogger, cut_off
from .token_keys import TokenKeys
from .write_buffers import WriteBuffers

logger: Logger = get_logger(__name__)

_ACCEPT_BATCH = 8
"""Connections accepted in one turn of the event loop."""

_BACKLOG = 512
"""Connections that the kernel queues until they are accepted."""

_EXTRA_SOCKETS = 64
"""TCP connections beyond the limit on WebSockets, so that clients can be told (503)."""


_READY_SECONDS = 5.0
"""Seconds that entering the server waits for Redis. Without it the server is not ready yet."""


def serve(
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    configuration: ServerConfiguration | None = None,
    ssl: ssl.SSLContext | None = None,
) -> "SignalingServer":
    """Serve signaling and the call page; use it with ``async with``.

    Args:
        host: The address to listen on; ``""`` for all addresses of this machine.
        port: The TCP port; 0 lets the system choose one.
        configuration: The settings of the server.
        ssl: The TLS context with the certificate; without it the server speaks ``ws://`` and
            ``http://``.

    Returns:
        The server. Entering it raises :exc:`ListenFailed` if the server cannot listen on the port.
    """
    return SignalingServer(host, port, configuration or ServerConfiguration(), ssl)


class SignalingServer:
    """A signaling server; made by :func:`serve`."""

    def __init__(
        self,
        host: str,
        port: int,
        configuration: ServerConfiguration,
        ssl: ssl.SSLContext | None,
    ) -> None:
        self._host = host
        self._port = port
        self._configuration = configuration
        self._ssl = ssl
        self._hub = Hub(configuration, can_accept=lambda: not self._is_closing)
        proxies = configuration.proxies
        self._forwarded = None if proxies is None else ForwardedAddresses(proxies)
        guard = MetricsGuard(configuration.metrics, knows_proxies=proxies is not None)
        self._site = Site(is_ready=lambda: self._hub.is_ready, measure=self._measure, metrics=guard)
        self._origins = frozenset(origin.lower() for origin in configuration.origins)
        self._hosts = own_hosts(host) | {name.lower() for name in configuration.hosts}
        self._sockets_of = Tally(configuration.limits.address.sockets)
        self._write_buffers = WriteBuffers()
        self._numbers = itertools.count(1)
        self._sockets: set[FairConnection] = set()
        self._connections: dict[int, FairConnection] = {}
        self._progress = asyncio.Event()
        self._closings: set[asyncio.Task[None]] = set()
        self._server: Server | None = None
        self._close_lock = asyncio.Lock()
        self._is_closing = False

    @property
    def port(self) -> int:
        """The TCP port on which the server listens."""
        return self._port

    @property
    def url(self) -> str:
        """The WebSocket URL for clients."""
        return f"ws{self._suffix}{WEBSOCKET_PATH}"

    @property
    def page_url(self) -> str:
        """The HTTP URL of the call page."""
        return f"http{self._suffix}/"

    @property
    def _suffix(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host or "localhost"
        return f"{'s' if self._ssl else ''}://{host}:{self._port}"

    async def __aenter__(self) -> Self:
        configuration = self._configuration
        try:
            self._server = await listen(
                self._handle,
                self._host or None,
                self._port,
                process_request=self._process_request,
                create_connection=cast(type[ServerConnection], self._create_connection),
                # Messages are small, and decompression is not bounded by the size received.
                compression=None,
                max_size=CLIENT_LIMIT,  # until it has joined
                max_queue=None,  # FairConnection bounds the queue
                ping_interval=configuration.ping_interval,
                ping_timeout=configuration.ping_timeout,
                close_timeout=configuration.shutdown_timeout / 2,
                server_header="icefloe",
                logger=QuietLogger(f"{__name__}.websockets"),
                start_serving=False,
                backlog=_ACCEPT_BATCH,
                reuse_port=configuration.reuse_port or None,
            )
        except OSError as error:
            raise ListenFailed(self._host, self._port, error) from error
        try:
            for socket in self._server.sockets:
                # Accepted sockets inherit this option.
                socket.setsockopt(SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER)
            self._port = self._server.sockets[0].getsockname()[1]
            await self._server.start_serving()
            for socket in self._server.sockets:
                _set_backlog(socket)
        except BaseException:
            self._server.close()
            raise
        self._hub.start()
        try:
            await self._hub.wait_ready(_READY_SECONDS)
        except BaseException:
            await self.close()
            raise
        logger.info("signaling server listening on %s", self.url)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def use_certificate(self, ssl: ssl.SSLContext) -> None:
        """Use another TLS context for new connections; those that are open go on with theirs.

        Args:
            ssl: The context with the certificate.

        Raises:
            ValueError: The server was started without TLS.
        """
        if self._ssl is None:
            raise ValueError("a server that was started without TLS cannot get a certificate")
        self._ssl = ssl

    def use_token_keys(self, keys: TokenKeys) -> None:
        """Verify join tokens with other keys from now on; whoever has a seat keeps it.

        Args:
            keys: The keys.

        Raises:
            ValueError: The server was started without token keys.
        """
        self._hub.use_token_keys(keys)

    async def drain(self, seconds: float | None = None) -> None:
        """Send all clients to the next server, spread over some seconds, and take in no more.

        ``/readyz`` answers 503 at once, and so does the WebSocket, with ``Retry-After``. What a
        client has sent is handed on before its socket is closed, with 1012; calls go on. With
        ``reuse_port`` the server stops listening at once, so that the next one gets all
        connections. Call :meth:`close` afterwards.

        Args:
            seconds: The seconds; ``None`` for ``drain_seconds`` of the configuration.

        Cancellation: safe; the clients that are left stay until :meth:`close`.
        """
        if self._server is None:
            return
        over = self._configuration.drain_seconds if seconds is None else seconds
        self._hub.drain()
        if self._configuration.reuse_port:
            self._server.close(close_connections=False)
        sockets = list(self._connections.values())
        random.shuffle(sockets)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(over + self._configuration.shutdown_timeout):
                async with asyncio.TaskGroup() as group:
                    for number, socket in enumerate(sockets):
                        due = begun + over * number / len(sockets)
                        await asyncio.sleep(max(due - loop.time(), 0))
                        group.create_task(self._send_away(socket))
        except TimeoutError:
            logger.warning("signaling server: some clients did not leave in time")

    async def _send_away(self, socket: FairConnection) -> None:
        await self._handle_received((socket,))
        await socket.close(CloseCode.SERVICE_RESTART, "the server restarts")

    async def close(self) -> None:
        """Stop the server: process the messages received, then close all WebSockets (code 1001).

        It takes at most ``shutdown_timeout`` seconds. Further calls have no effect.

        Cancellation: safe; the clients are cut off at once.
        """
        async with self._close_lock:
            server = self._server
            if server is None:
                return
            self._is_closing = True
            server.close(close_connections=False)
            try:
                async with asyncio.timeout(self._configuration.shutdown_timeout):
                    await self._handle_received(self._connections.values())
                    await self._close_connections()
            except TimeoutError:
                logger.warning("signaling server: some clients did not close in time; cut off")
            finally:
                self._server = None
                handshakes = {s.encryption for s in self._sockets if s.encryption is not None}
                for handshake in handshakes:
                    handshake.cancel()
                for socket in list(self._sockets):
                    cut_off(socket)
                if handshakes:
                    await asyncio.wait(handshakes)
                await self._hub.close()
                if self._closings:
                    await asyncio.wait(self._closings)
                await server.wait_closed()
            logger.info("signaling server closed")

    # ---- connections ---------------------------------------------------------------------------

    def _create_connection(self, *arguments: Any, **options: Any) -> FairConnection:
        return FairConnection(
            *arguments,
            **options,
            number=next(self._numbers),
            rate=self._configuration.rate,
            burst=self._configuration.burst,
            on_throttled=self._report_throttled,
            on_open=self._socket_opened,
            on_lost=self._socket_lost,
            tls=self._ssl,
        )

    def _socket_opened(self, socket: FairConnection) -> bool:
        if len(self._sockets) >= self._configuration.connections + _EXTRA_SOCKETS:
            return False
        is_proxy = self._forwarded is not None and self._forwarded.is_proxy(socket.peer_host)
        if not is_proxy and not self._count(socket):
            return False
        self._sockets.add(socket)
        return True

    def _count(self, socket: FairConnection) -> bool:
        """Count a connection against the address of its client; return whether it may stay."""
        network = network_of(socket.client_host)
        if not self._sockets_of.has_room(network):
            return False
        self._sockets_of.add(network)
        socket.counted_as = network
        return True

    def _socket_lost(self, socket: FairConnection) -> None:
        self._write_buffers.remove(socket)
        if socket in self._sockets:
            self._sockets.discard(socket)
            if socket.counted_as:
                self._sockets_of.remove(socket.counted_as)

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        answer = self._answer(connection, request)
        if answer is None:
            return None
        headers = Headers({**answer.headers, "Connection": "close"})
        return Response(answer.status.value, answer.status.phrase, headers, answer.body)

    def _answer(self, connection: ServerConnection, request: Request) -> Answer | None:
        if not self._is_within_limits(cast(FairConnection, connection), request):
            sentence = "This address has too many connections. Try again later."
            return text(HTTPStatus.TOO_MANY_REQUESTS, sentence)
        if not is_allowed_host(request.headers, self._hosts):
            sentence = (
                "This server is not configured for this host name. Add it with --allowed-host."
            )
            return text(HTTPStatus.MISDIRECTED_REQUEST, sentence)
        # websockets 15 accepts only GET, and its requests have no such attribute.
        method = getattr(request, "method", "GET")
        path, client = request.path.partition("?")[0], cast(FairConnection, connection).client_host
        if answer := self._site.respond(method, path, request.headers, client):
            return answer
        if not is_allowed_origin(request.headers, self._origins):
            sentence = "Pages of this origin may not connect. Add it with --allowed-origin."
            return text(HTTPStatus.FORBIDDEN, sentence)
        if not self._hub.is_ready:
            return unavailable("The server is full, or ends. Try again in a moment.")
        return None

    def _is_within_limits(self, socket: FairConnection, request: Request) -> bool:
        """Return whether a request of a proxy is within the limits of its client's address."""
        if self._forwarded is None or not self._forwarded.is_proxy(socket.peer_host):
            return True  # counted when the connection was opened
        socket.client_host = self._forwarded.client(socket.peer_host, request.headers)
        return self._forwarded.is_proxy(socket.client_host) or self._count(socket)

    async def _handle(self, connection: ServerConnection) -> None:
        socket = cast(FairConnection, connection)
        client = _SocketClient(socket, self._hub, self._write_buffers, self._closings)
        address = self._client_of(socket)
        self._connections[socket.number] = socket
        self._hub.connect(client, address)
        try:
            while True:
                frame = await socket.recv()
                try:
                    await self._hub.receive(client, frame, address)
                finally:
                    socket.mark_handled()
                    self._tell_progress()
                # One message per turn of the loop: recv() does not wait while more are queued.
                await asyncio.sleep(0)
        except ConnectionClosed:
            logger.debug("connection %s closed", socket.number)
        finally:
            del self._connections[socket.number]
            self._tell_progress()
            self._hub.disconnect(client)

    def _tell_progress(self) -> None:
        """Wake those who wait until messages are handled."""
        self._progress.set()
        self._progress = asyncio.Event()

    def _client_of(self, socket: FairConnection) -> str:
        """Return the address that joins are counted against; empty if it is that of a proxy."""
        is_proxy = self._forwarded is not None and self._forwarded.is_proxy(socket.client_host)
        return "" if is_proxy else socket.client_host

    def _report_throttled(self, socket: FairConnection) -> None:
        self._hub.report_throttled(socket.number)

    # ---- shutdown ------------------------------------------------------------------------------

    async def _handle_received(self, sockets: Iterable[FairConnection]) -> None:
        """Wait until all messages that have been received so far are handled."""
        sockets = list(sockets)
        for socket in sockets:
            socket.read_rest()
        goals = {socket: socket.received for socket in sockets}
        while any(
            socket.handled < goal
            for socket, goal in goals.items()
            if socket.number in self._connections
        ):
            await self._progress.wait()

    async def _close_connections(self) -> None:
        async with asyncio.TaskGroup() as group:
            for socket in self._connections.values():
                group.create_task(socket.close(CloseCode.GOING_AWAY, "the server shuts down"))

    def _measure(self) -> bytes:
        sockets = self._connections.values()
        return self._hub.measure(
            refused_sockets=self._sockets_of.refused,
            most_sockets=self._sockets_of.most,
            queued_bytes={
                "receive": sum(socket.unparsed for socket in sockets),
                "write": sum(socket.transport.get_write_buffer_size() for socket in sockets),
            },
            queued_messages={
                "unhandled": sum(socket.received - socket.handled for socket in sockets)
            },
        )


class _SocketClient:
    """A client of the hub on a WebSocket of this server."""

    __slots__ = ("_buffers", "_closings", "_hub", "_socket", "number")

    def __init__(
        self,
        socket: FairConnection,
        hub: Hub,
        buffers: WriteBuffers,
        closings: set[asyncio.Task[None]],
    ) -> None:
        self.number = socket.number
        self._hub = hub
        self._socket = socket
        self._buffers = buffers
        self._closings = closings

    def write(self, payloads: tuple[bytes, ...]) -> bool:
        return self._buffers.write(self._socket, payloads)

    def close_soon(self, code: CloseCode, reason: str) -> None:
        task = asyncio.create_task(self._socket.close(code, reason), name=f"close {self.number}")
        self._closings.add(task)
        task.add_done_callback(self._closings.discard)

    def cut_off(self) -> None:
        cut_off(self._socket)

    def charge(self, tokens: float) -> None:
        self._socket.charge(tokens)

    def allow_descriptions(self) -> None:
        self._socket.protocol.max_message_size = DESCRIPTION_LIMIT
        self._socket.hand_texts_over(self._receive_texts)

    def _receive_texts(self, texts: list[bytes]) -> int:
        if len(texts) == 1:
            return int(self._hub.receive_text(self, texts[0]) is None)
        self._buffers.hold()
        try:
            for count, text in enumerate(texts):
                if self._hub.receive_text(self, text) is not None:
                    return count
        finally:
            self._buffers.release()
        return len(texts)

    async def wait_closed(self) -> None:
        await self._socket.wait_closed()


def _set_backlog(socket: Socket) -> None:
    """Set the length of the kernel's accept queue.

    asyncio uses its ``backlog`` both for this and for the connections accepted in one turn.
    """
    with fromfd(socket.fileno(), socket.family, socket.type) as same:
        same.listen(_BACKLOG)

"""The signaling server: WebSockets, the call page, health and metrics on one port.

What messages mean is decided in :mod:`icefloe.signaling.rooms`; here is what needs sockets and
time. Sending never waits: what is written goes to the socket's buffer, and a client that lets more
than a bounded amount pile up there loses its connection.
"""

import asyncio
import itertools
import secrets
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from socket import SO_RCVBUF, SOL_SOCKET, fromfd, socket as Socket
from types import TracebackType
from typing import Any, Self, cast

from msgspec import UNSET
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve as listen
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from icefloe.logs import get_logger

from .codec import CLIENT_LIMIT, DESCRIPTION_LIMIT, decode_client
from .errors import ErrorCode, ListenFailed, MessageError
from .http import WEBSOCKET_PATH, Site, is_allowed_host, is_allowed_origin, own_hosts, text
from .messages import CloseCode, IceServer, Join
from .metrics import Metric
from .quotas import Tally, network_of
from .reading import RECEIVE_BUFFER, FairConnection
from .rooms import Admission, Close, Effect, Limits, Rooms, Send
from .sockets import QuietLogger, cut_off

logger = get_logger(__name__)

WRITE_LIMIT = 1024 * 1024
"""Bytes that may wait in the buffer of a socket; a client that does not read them is let go."""

WRITE_LIMIT_IN_ALL = 64 * 1024 * 1024
"""Bytes that may wait in the buffers of all sockets together, about."""

WRITE_LIMIT_SCARCE = 64 * 1024
"""Bytes that may wait in each of them while half of that does."""

_ACCEPTED_AT_ONCE = 8  # connections, in one turn of the loop
_BACKLOG = 512  # connections that the kernel keeps until they are accepted
_EXTRA_SOCKETS = 64  # beyond the limit, so that whoever is too many can be told
_COST_OF_NONSENSE = 9.0  # tokens, on top of those of the message


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfiguration:
    """How the server behaves.

    Attributes:
        limits: How much room there is.
        connections: WebSocket connections in all.
        origins: Origins whose pages may connect besides the server's own, as
            ``https://example.org``. Programs that are no browsers always may.
        hosts: Names by which the server is known, as ``call.example.org`` or ``*.example.org``,
            besides that of this machine, that which it listens at, ``localhost``, and all
            addresses. Requests for other names are refused, pages and metrics included; ``*`` is
            every name.
        ice_servers: The STUN and TURN servers that everybody is told to use.
        admit: Asked at each ``join``, also one that resumes: returns what whoever joins is given,
            or ``None`` if it may not. By default everybody may, and is given ``ice_servers``.
            It is called on the event loop, so it must be quick.
        rate: Messages a second that a connection may send in the long run; one that sends faster is
            read more slowly. A message counts once more for every 2048 bytes.
        burst: Messages that it may send at once.
        ping_interval: Seconds between the pings to a client.
        ping_timeout: Seconds to wait for the answer to a ping.
        shutdown_timeout: Seconds that closing the server may take.
    """

    limits: Limits = field(default_factory=Limits)
    connections: int = 1000
    origins: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    ice_servers: tuple[IceServer, ...] = ()
    admit: Callable[[Join], Admission | None] | None = None
    rate: float = 30.0
    burst: float = 300.0
    ping_interval: float = 20.0
    ping_timeout: float = 40.0
    shutdown_timeout: float = 5.0

    def __post_init__(self) -> None:
        numbers = (self.rate, self.burst, self.ping_interval, self.ping_timeout)
        if min(*numbers, self.shutdown_timeout) <= 0 or self.connections < 1:
            raise ValueError("rates, times and limits of the signaling server must be positive")


def serve(
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    configuration: ServerConfiguration | None = None,
    ssl: ssl.SSLContext | None = None,
) -> "SignalingServer":
    """Serve signaling and the call page; use it with ``async with``.

    Args:
        host: The address to listen at; ``""`` for all of this machine.
        port: The TCP port; 0 lets the system choose.
        configuration: How the server behaves.
        ssl: The certificate; without one the server speaks ``ws://`` and ``http://``.
    Returns:
        The server. Entering it raises :exc:`ListenFailed` if the port cannot be had.
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
        self._rooms = Rooms(
            configuration.limits,
            new_id=partial(secrets.token_urlsafe, 9),
            new_token=partial(secrets.token_urlsafe, 24),
        )
        self._site = Site(is_ready=self._is_ready, measure=self._measure)
        self._origins = frozenset(origin.lower() for origin in configuration.origins)
        self._hosts = own_hosts(host) | {name.lower() for name in configuration.hosts}
        self._sockets_of = Tally(configuration.limits.address.sockets)
        self._unsent: dict[FairConnection, int] = {}
        self._numbers = itertools.count(1)
        self._sockets: set[FairConnection] = set()
        self._connections: dict[int, FairConnection] = {}
        self._opened = 0
        self._stalled = 0
        self._deadline: float | None = None
        self._changed = asyncio.Event()
        self._progress = asyncio.Event()
        self._goodbyes: set[asyncio.Task[None]] = set()
        self._server: Server | None = None
        self._running: asyncio.Task[None] | None = None
        self._closing = asyncio.Lock()
        self._is_closing = False

    @property
    def port(self) -> int:
        """The TCP port at which the server listens."""
        return self._port

    @property
    def url(self) -> str:
        """What a client connects to."""
        return f"ws{self._suffix}{WEBSOCKET_PATH}"

    @property
    def page_url(self) -> str:
        """Where a browser finds the call page."""
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
                # What was said is not worth packing, and unpacking it is not bounded by its size.
                compression=None,
                max_size=CLIENT_LIMIT,  # until it has joined
                max_queue=None,  # FairConnection sees to it
                ping_interval=configuration.ping_interval,
                ping_timeout=configuration.ping_timeout,
                close_timeout=configuration.shutdown_timeout / 2,
                server_header="icefloe",
                logger=QuietLogger(f"{__name__}.websockets"),
                start_serving=False,
                backlog=_ACCEPTED_AT_ONCE,
            )
        except OSError as error:
            raise ListenFailed(self._host, self._port, error) from error
        try:
            for socket in self._server.sockets:
                # Inherited by the sockets that it accepts.
                socket.setsockopt(SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER)
            self._port = self._server.sockets[0].getsockname()[1]
            await self._server.start_serving()
            for socket in self._server.sockets:
                _lengthen_queue(socket)
        except BaseException:
            self._server.close()
            raise
        self._running = asyncio.create_task(self._run(), name=f"signaling server {self._port}")
        logger.info("signaling server listening at %s", self.url)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop: hand on what was received, tell the clients (close code 1001), let them go.

        It takes at most ``shutdown_timeout`` seconds. Calling it again is harmless.

        Cancellation: safe; the clients are cut off at once.
        """
        async with self._closing:
            server, running = self._server, self._running
            if server is None or running is None:
                return
            self._is_closing = True
            server.close(close_connections=False)
            try:
                async with asyncio.timeout(self._configuration.shutdown_timeout):
                    await self._hand_on()
                    await self._say_goodbye()
            except TimeoutError:
                logger.warning("signaling server: some clients did not say goodbye in time")
            finally:
                self._server = self._running = None
                handshakes = {s.encryption for s in self._sockets if s.encryption is not None}
                for handshake in handshakes:
                    handshake.cancel()
                for socket in list(self._sockets):
                    cut_off(socket)
                if handshakes:
                    await asyncio.wait(handshakes)
                running.cancel()
                await asyncio.wait((running,))
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
            on_throttled=self._tell_throttled,
            on_open=self._socket_opened,
            on_lost=self._socket_lost,
            tls=self._ssl,
        )

    def _socket_opened(self, socket: FairConnection) -> bool:
        network = network_of(socket.peer_host)
        if len(self._sockets) >= self._configuration.connections + _EXTRA_SOCKETS:
            return False
        if not self._sockets_of.has_room(network):
            return False
        self._sockets.add(socket)
        self._sockets_of.add(network)
        return True

    def _socket_lost(self, socket: FairConnection) -> None:
        self._unsent.pop(socket, None)
        if socket in self._sockets:
            self._sockets.discard(socket)
            self._sockets_of.remove(network_of(socket.peer_host))

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        if not is_allowed_host(request.headers, self._hosts):
            sentence = "This server does not go by this name; it can be told to: --allowed-host."
            return text(HTTPStatus.MISDIRECTED_REQUEST, sentence)
        if response := self._site.respond(request):
            return response
        if not is_allowed_origin(request.headers, self._origins):
            sentence = "Pages from this origin may not connect; the server can be told to let them."
            return text(HTTPStatus.FORBIDDEN, sentence)
        if not self._is_ready():
            return text(HTTPStatus.SERVICE_UNAVAILABLE, "The server is full. Try again later.")
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        socket = cast(FairConnection, connection)
        self._connections[socket.number] = socket
        self._opened += 1
        self._rooms.connect(socket.number, self._now(), socket.peer_host)
        self._replan()
        try:
            while True:
                frame = await socket.recv()
                try:
                    self._receive(socket, frame)
                finally:
                    socket.handled()
                    self._progress.set()
                # One message a turn: recv() does not wait while there are more.
                await asyncio.sleep(0)
        except ConnectionClosed:
            logger.debug("connection %s closed", socket.number)
        finally:
            del self._connections[socket.number]
            self._progress.set()
            self._apply(self._rooms.disconnect(socket.number, self._now()))

    def _receive(self, socket: FairConnection, frame: str | bytes) -> None:
        try:
            if isinstance(frame, bytes):
                raise MessageError("Messages are text frames; this one was binary.")
            message = decode_client(frame)
        except MessageError as error:
            socket.charge(_COST_OF_NONSENSE)
            ref = UNSET if error.ref is None else error.ref
            self._apply([self._rooms.refuse(socket.number, error.code, error.reason, ref)])
            return
        admission = self._admit(message) if isinstance(message, Join) else None
        self._apply(self._rooms.receive(socket.number, message, self._now(), admission))
        if admission is not None and self._rooms.has_seat(socket.number):
            # Who is admitted may send descriptions, and nobody else makes the server keep as much.
            socket.protocol.max_message_size = DESCRIPTION_LIMIT

    def _admit(self, join: Join) -> Admission | None:
        if self._configuration.admit is None:
            return Admission(ice_servers=self._configuration.ice_servers, rename=True)
        return self._configuration.admit(join)

    def _tell_throttled(self, socket: FairConnection) -> None:
        reason = (
            "You send too fast. What you send is read more slowly for a while; nothing is lost."
        )
        self._apply([self._rooms.refuse(socket.number, ErrorCode.RATE_LIMITED, reason)])

    # ---- effects and time ----------------------------------------------------------------------

    def _apply(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            socket = self._connections.get(effect.connection)
            if socket is None:
                continue
            match effect:
                case Send():
                    self._write(socket, effect.payloads)
                case Close():
                    self._close_soon(socket, effect.code, effect.reason)
        self._replan()

    def _write(self, socket: FairConnection, payloads: tuple[bytes, ...]) -> None:
        waiting = socket.transport.get_write_buffer_size()
        if waiting > self._write_limit():
            self._stalled += 1
            cut_off(socket)
            return
        for payload in payloads:
            # Not send(), which waits for this one client; the limit above takes its place.
            broadcast((socket,), payload.decode())
        waiting = socket.transport.get_write_buffer_size()
        if waiting:
            self._unsent[socket] = waiting
        else:
            self._unsent.pop(socket, None)

    def _write_limit(self) -> int:
        """Return how many bytes may wait in one socket: fewer, while many wait in all."""
        if sum(self._unsent.values()) <= WRITE_LIMIT_IN_ALL // 2:
            return WRITE_LIMIT
        # What was noted when it was written may have gone out since.
        now = ((s, s.transport.get_write_buffer_size()) for s in self._unsent)
        self._unsent = {socket: size for socket, size in now if size}
        scarce = sum(self._unsent.values()) > WRITE_LIMIT_IN_ALL // 2
        return WRITE_LIMIT_SCARCE if scarce else WRITE_LIMIT

    def _close_soon(self, socket: FairConnection, code: CloseCode, reason: str) -> None:
        task = asyncio.create_task(socket.close(code, reason), name=f"close {socket.number}")
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)

    async def _run(self) -> None:
        """Do what is due when it is due."""
        try:
            while True:
                self._deadline = self._rooms.next_deadline()
                self._changed.clear()
                try:
                    async with asyncio.timeout_at(self._deadline):
                        await self._changed.wait()
                except TimeoutError:
                    self._apply(self._rooms.tick(self._now()))
        finally:
            if self._goodbyes:
                await asyncio.wait(self._goodbyes)

    def _replan(self) -> None:
        deadline = self._rooms.next_deadline()
        if deadline is not None and (self._deadline is None or deadline < self._deadline):
            self._changed.set()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # ---- shutting down -------------------------------------------------------------------------

    async def _hand_on(self) -> None:
        """Wait until everything that was received before is handled."""
        goals = {socket: socket.received for socket in self._connections.values()}
        while any(
            socket.answered < goal
            for socket, goal in goals.items()
            if socket.number in self._connections
        ):
            self._progress.clear()
            await self._progress.wait()

    async def _say_goodbye(self) -> None:
        async with asyncio.TaskGroup() as group:
            for socket in self._connections.values():
                group.create_task(socket.close(CloseCode.GOING_AWAY, "the server shuts down"))

    # ---- state ---------------------------------------------------------------------------------

    def _is_ready(self) -> bool:
        return not self._is_closing and len(self._connections) < self._configuration.connections

    def _measure(self) -> list[Metric]:
        prefix = "icefloe_signaling_"
        return [
            Metric(f"{prefix}connections", "gauge", "Open WebSockets.", len(self._connections)),
            Metric(f"{prefix}connections_total", "counter", "WebSockets so far.", self._opened),
            Metric(f"{prefix}rooms", "gauge", "Rooms.", self._rooms.rooms),
            Metric(f"{prefix}seats", "gauge", "Participants.", self._rooms.seats),
            Metric(f"{prefix}seats_away", "gauge", "Participants away.", self._rooms.away),
            Metric(
                f"{prefix}stalled_total",
                "counter",
                "Connections cut off because the client did not read.",
                self._stalled,
            ),
            Metric(
                f"{prefix}kept_bytes",
                "gauge",
                "Bytes of messages kept for participants away, or whose socket is lost.",
                self._rooms.kept_bytes,
            ),
            Metric(
                f"{prefix}address_refused_total",
                "counter",
                "Refused because an address has as much as it may.",
                label="what",
                values={"sockets": self._sockets_of.refused, **self._rooms.refused_by_address},
            ),
            Metric(
                f"{prefix}messages_total",
                "counter",
                "Messages handed on from peer to peer.",
                label="type",
                values=self._rooms.routed,
            ),
            Metric(
                f"{prefix}errors_total",
                "counter",
                "Errors sent to clients.",
                label="code",
                values=self._rooms.refused,
            ),
        ]


def _lengthen_queue(socket: Socket) -> None:
    """Let more connections wait to be accepted; asyncio takes one number for this and the other."""
    with fromfd(socket.fileno(), socket.family, socket.type) as same:
        same.listen(_BACKLOG)

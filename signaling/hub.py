"""The signaling hub: rooms, admission and ICE access, for the connections of any shell.

A shell has the sockets: :mod:`.server` those of the ``websockets`` library. It tells the hub of
each connection, passes it the frames that arrive, and gives it a :class:`Client` to write to. The
hub passes messages to the log (:mod:`.command_log`), which calls :class:`.rooms.Rooms`; that
decides what a message does, and the hub carries out its effects.
"""

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from msgspec import UNSET

from icefloe.logs import fields, get_logger

from .admitting import Admitting
from .codec import decode_client, encode_server
from .command_log import CommandLog, open_log
from .configuration import Admission, Refusal, ServerConfiguration
from .effects import Close, Effect, Send
from .errors import ErrorCode, MessageError
from .ice_access_service import IceAccessService
from .loop_delay import LoopDelay
from .messages import ClientMessage, CloseCode, Error, Join, NewIceServers
from .rooms import Rooms
from .token_keys import TokenKeys
from .webhook_delivery import WebhookDelivery

if TYPE_CHECKING:
    from .metrics import ServerMetrics

logger: logging.Logger = get_logger(__name__)

_INVALID_MESSAGE_COST = 9.0
"""Tokens of the rate limit that an invalid message costs in addition to those for its size."""


class Client(Protocol):
    """The connection of a client, as a shell has it."""

    @property
    def number(self) -> int:
        """The number of the connection; never the same twice in a process."""
        ...

    def write(self, payloads: tuple[bytes, ...]) -> bool:
        """Write text frames, without waiting.

        Args:
            payloads: The messages, in UTF-8.

        Returns:
            Whether they were written; if not, too many bytes already wait for this client.
        """
        ...

    def close_soon(self, code: CloseCode, reason: str) -> None:
        """Begin to close the connection; what was written before arrives."""

    def cut_off(self) -> None:
        """Abort the connection."""

    def charge(self, tokens: float) -> None:
        """Take tokens from the rate limit of the connection."""

    def allow_descriptions(self) -> None:
        """Accept messages as large as descriptions from now on."""

    async def wait_closed(self) -> None:
        """Wait until the connection is closed. Cancellation: safe."""


class Hub:
    """Rooms of a signaling server, with the clock, admission and ICE access that they need.

    Args:
        configuration: The settings of the server.
        can_accept: Returns whether the shell accepts connections, for the readiness check.
    """

    def __init__(
        self, configuration: ServerConfiguration, can_accept: Callable[[], bool] = lambda: True
    ) -> None:
        self._configuration = configuration
        self._can_accept = can_accept
        self._webhooks = WebhookDelivery(configuration.webhooks)
        self._log: CommandLog = open_log(
            configuration, self._own_rooms, self._carry_out, self._cut_all, self._webhooks.report
        )
        self._admitting = Admitting(configuration)
        self._ice_access = IceAccessService(configuration, self._renew_ice_servers)
        self._clients: dict[int, Client] = {}
        self._seated: set[int] = set()
        self._opened = 0
        self._is_draining = False
        self._stalled = 0
        self._received: Counter[type[ClientMessage]] = Counter()
        self._invalid = 0
        self._loop_delay = LoopDelay()
        self._metrics: ServerMetrics | None = None

    @property
    def rooms(self) -> Rooms:
        """The rooms."""
        return self._log.rooms

    @property
    def ice_access_outcomes(self) -> Mapping[str, int]:
        """The number of times that participants were given ICE servers, by outcome."""
        return self._ice_access.outcomes

    @property
    def is_ready(self) -> bool:
        """True if another client may connect."""
        has_room = len(self._clients) < self._configuration.connections
        return self._can_accept() and has_room and self._log.is_ready and not self._is_draining

    def start(self) -> None:
        """Start the log and the timers."""
        self._log.start()
        self._ice_access.start()
        self._webhooks.start()
        self._loop_delay.start()

    async def wait_ready(self, seconds: float) -> None:
        """Wait until the log takes connections, or for a time. Cancellation: safe."""
        await self._log.wait_ready(seconds)

    async def close(self) -> None:
        """Stop log and timers; the shell has closed its connections. A second call has no effect.

        Cancellation: safe.
        """
        self._loop_delay.stop()
        try:
            await self._log.close()
        finally:
            await self._ice_access.close()
            await self._webhooks.close()

    def drain(self) -> None:
        """Be not ready any more; the shell sends its clients away."""
        self._is_draining = True
        logger.info("draining", extra=fields(connections=len(self._clients)))

    def use_token_keys(self, keys: TokenKeys) -> None:
        """Verify join tokens with other keys from now on; whoever has a seat keeps it.

        Args:
            keys: The keys.

        Raises:
            ValueError: The server was started without token keys.
        """
        if self._admitting.keys is None:
            raise ValueError("a server that was started without token keys cannot get any")
        self._admitting.keys = keys

    # ---- connections ---------------------------------------------------------------------------

    def connect(self, client: Client, address: str) -> None:
        """Add a connection.

        Args:
            client: The connection.
            address: The IP address that joins are counted against; empty if it is unknown.
        """
        self._clients[client.number] = client
        self._opened += 1
        self._log.connect(client.number, address)
        self._note("connected", client.number, logging.DEBUG)

    def disconnect(self, client: Client) -> None:
        """Remove a connection that was closed or lost. A second call has no effect."""
        if self._clients.pop(client.number, None) is None:
            return
        self._ice_access.forget(client.number)
        # Connections without a seat come as often as strangers want.
        level = logging.INFO if client.number in self._seated else logging.DEBUG
        self._seated.discard(client.number)
        self._note("disconnected", client.number, level)
        self._log.disconnect(client.number)

    async def receive(self, client: Client, frame: str | bytes, address: str) -> None:
        """Process a frame from a client; a ``join`` may wait for the application's ``admit``.

        Args:
            client: The connection.
            frame: The frame.
            address: The IP address as in :meth:`connect`.

        Cancellation: safe; the ``join`` is not carried out.
        """
        if isinstance(frame, bytes):
            self._refuse(client, MessageError("Messages are text frames; this one was binary."))
            return
        join = self.receive_text(client, frame)
        if join is None:
            return
        self._received[Join] += 1
        if self._is_draining:
            client.close_soon(CloseCode.SERVICE_RESTART, "the server restarts")
        else:
            await self._join(client, join, address)

    def receive_text(self, client: Client, text: str | bytes) -> Join | None:
        """Process a text, for which nothing has to be awaited unless it is a ``join``.

        Args:
            client: The connection.
            text: The text; bytes are UTF-8.

        Returns:
            The ``join`` of a client that has no seat, which was not processed: it is passed to
            :meth:`receive`.
        """
        try:
            message = decode_client(text)
        except MessageError as error:
            self._refuse(client, error)
            return None
        if isinstance(message, Join):
            if not self._log.has_seat(client.number):
                return message
            client.charge(_INVALID_MESSAGE_COST)
        self._received[type(message)] += 1
        self._log.receive(client.number, message, text)
        return None

    def _refuse(self, client: Client, error: MessageError) -> None:
        self._invalid += 1
        client.charge(_INVALID_MESSAGE_COST)
        ref = UNSET if error.ref is None else error.ref
        self._say(client, Error(error.code, error.reason, ref))

    def _say(self, client: Client, error: Error) -> None:
        """Send an error that has nothing to do with the rooms, and count it."""
        self.rooms.refused[error.code] += 1
        self._write(client, (encode_server(error),))

    def report_throttled(self, number: int) -> None:
        """Tell the client of a connection that it sends faster than the rate limit allows."""
        reason = "You send too fast. The server reads more slowly for a while; nothing is lost."
        if client := self._clients.get(number):
            self._say(client, Error(ErrorCode.RATE_LIMITED, reason))

    async def _join(self, client: Client, join: Join, address: str) -> None:
        decided = self._admitting.decide(join, client, time.time())
        if decided is None or isinstance(decided, Admission | Refusal):
            decision = decided
        else:
            decision = await decided
        if isinstance(decision, Admission):
            decision = await self._ice_access.grant(client.number, join, decision, address)
        else:
            client.charge(_INVALID_MESSAGE_COST)  # a signature costs more than another message
        self._log.receive(client.number, join, None, decision)

    def _note(self, event: str, connection: int, level: int = logging.INFO) -> None:
        """Log what happened to a connection."""
        if logger.isEnabledFor(level):
            counts = fields(
                connection=connection, connections=len(self._clients), rooms=self.rooms.rooms
            )
            logger.log(level, "%s", event, extra=counts)

    def _renew_ice_servers(self, connection: int, message: NewIceServers) -> bool:
        """Send new ICE servers to a client; return whether it has joined."""
        client = self._clients.get(connection)
        if client is None or not self._log.has_seat(connection):
            return False
        self._write(client, (encode_server(message),))
        return True

    # ---- effects -------------------------------------------------------------------------------

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            client = self._clients.get(effect.connection)
            if client is None:
                continue
            if isinstance(effect, Send):
                self._write(client, effect.payloads)
            elif isinstance(effect, Close):
                client.close_soon(effect.code, effect.reason)
            else:
                # Only admitted participants may send descriptions: these are large, and are kept.
                client.allow_descriptions()
                self._seated.add(effect.connection)
                self._note("joined", effect.connection)

    def _cut_all(self) -> None:
        for client in list(self._clients.values()):
            client.close_soon(CloseCode.GOING_AWAY, "connect again and resume")

    def _write(self, client: Client, payloads: tuple[bytes, ...]) -> None:
        if not client.write(payloads):
            self._stalled += 1
            self._note("cut off, since it does not read", client.number)
            client.cut_off()

    def _own_rooms(self) -> Rooms:
        """Return the rooms of a server that runs alone."""
        return Rooms(
            self._configuration.limits,
            new_id=partial(secrets.token_urlsafe, 9),
            new_token=partial(secrets.token_urlsafe, 24),
            first_moderates=self._configuration.first_moderates,
            takes_reports=self._configuration.client_reports,
            keeps_events=self._configuration.webhooks is not None,
        )

    # ---- metrics -------------------------------------------------------------------------------

    def measure(
        self,
        *,
        refused_sockets: int = 0,
        most_sockets: int = 0,
        queued_bytes: Mapping[str, int] = MappingProxyType({}),
        queued_messages: Mapping[str, int] = MappingProxyType({}),
    ) -> bytes:
        """Return the metrics, in the text format of Prometheus.

        Args:
            refused_sockets: Connections that the shell refused because their address had reached
                its limit.
            most_sockets: Connections of the address that has most of them.
            queued_bytes: Bytes that wait in the shell's sockets, by queue.
            queued_messages: Messages that wait there, by queue.
        """
        from .metrics import ServerMetrics, ServerState  # clients need no prometheus_client

        if self._metrics is None:
            self._metrics = ServerMetrics()
        received = {str(kind.__struct_config__.tag): n for kind, n in self._received.items()}
        state = ServerState(
            configuration=self._configuration,
            rooms=self.rooms,
            connections=len(self._clients),
            connections_total=self._opened,
            stalled=self._stalled,
            received={"invalid": self._invalid, **received},
            ice_access=self._ice_access.outcomes,
            loop_delay=self._loop_delay.seconds,
            is_draining=self._is_draining,
            refused_sockets=refused_sockets,
            most_sockets=most_sockets,
            queued_bytes=queued_bytes,
            queued_messages=queued_messages,
            log=self._log.measure(),
            webhooks=self._webhooks.outcomes,
            webhooks_waiting=self._webhooks.waiting,
        )
        return self._metrics.render(state)

"""The signaling hub: rooms, admission, ICE access and timers, for the connections of any shell.

A shell has the sockets: :mod:`.server` those of the ``websockets`` library. It tells the hub of
each connection, passes it the frames that arrive, and gives it a :class:`Client` to write to. The
hub calls :class:`.rooms.Rooms`, which decides what a message does, and carries out its effects.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from msgspec import UNSET

from icefloe._util.deadlines import timeout_at

from .admitting import Admitting
from .codec import decode_client, encode_server
from .configuration import Admission, Refusal, ServerConfiguration
from .effects import Close, Send
from .errors import ErrorCode, MessageError
from .ice_access_service import IceAccessService
from .messages import CloseCode, Join, NewIceServers
from .metrics import Metric, server_metrics, webhook_metrics
from .rooms import Rooms
from .token_keys import TokenKeys
from .webhook_delivery import WebhookDelivery

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
        self._rooms = Rooms(
            configuration.limits,
            new_id=partial(secrets.token_urlsafe, 9),
            new_token=partial(secrets.token_urlsafe, 24),
            first_moderates=configuration.first_moderates,
            keeps_events=configuration.webhooks is not None,
        )
        self._webhooks = WebhookDelivery(configuration.webhooks)
        self._admitting = Admitting(configuration)
        self._ice_access = IceAccessService(configuration, self._renew_ice_servers)
        self._clients: dict[int, Client] = {}
        self._opened = 0
        self._stalled = 0
        self._deadline = float("inf")
        self._deadline_changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def rooms(self) -> Rooms:
        """The rooms."""
        return self._rooms

    @property
    def ice_access_outcomes(self) -> Mapping[str, int]:
        """The number of times that participants were given ICE servers, by outcome."""
        return self._ice_access.outcomes

    @property
    def is_ready(self) -> bool:
        """True if another client may connect."""
        return self._can_accept() and len(self._clients) < self._configuration.connections

    def start(self) -> None:
        """Start the timers."""
        self._running = asyncio.create_task(self._run_timers(), name="signaling hub")
        self._ice_access.start()
        self._webhooks.start()

    async def close(self) -> None:
        """Stop the timers; the shell has closed its connections. A second call has no effect.

        Cancellation: safe.
        """
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait((running,))
        await self._ice_access.close()
        await self._webhooks.close()

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
        self._rooms.connect(client.number, self._now(), address)
        self._update_deadline()

    def disconnect(self, client: Client) -> None:
        """Remove a connection that was closed or lost. A second call has no effect."""
        if self._clients.pop(client.number, None) is None:
            return
        self._ice_access.forget(client.number)
        self._rooms.disconnect(client.number, self._now())
        self._apply()

    async def receive(self, client: Client, frame: str | bytes, address: str) -> None:
        """Process a frame from a client; a ``join`` may wait for the application's ``admit``.

        Args:
            client: The connection.
            frame: The frame.
            address: The IP address as in :meth:`connect`.

        Cancellation: safe; the ``join`` is not carried out.
        """
        try:
            if isinstance(frame, bytes):
                raise MessageError("Messages are text frames; this one was binary.")
            message = decode_client(frame)
        except MessageError as error:
            client.charge(_INVALID_MESSAGE_COST)
            ref = UNSET if error.ref is None else error.ref
            self._rooms.refuse(client.number, error.code, error.reason, ref)
            self._apply()
            return
        if isinstance(message, Join):
            await self._join(client, message, address)
        else:
            self._rooms.receive(client.number, message, self._now())
        self._apply()

    def report_throttled(self, number: int) -> None:
        """Tell the client of a connection that it sends faster than the rate limit allows."""
        reason = "You send too fast. The server reads more slowly for a while; nothing is lost."
        self._rooms.refuse(number, ErrorCode.RATE_LIMITED, reason)
        self._apply()

    async def _join(self, client: Client, join: Join, address: str) -> None:
        decision: Admission | Refusal | None = None
        if not self._rooms.has_seat(client.number):
            decided = self._admitting.decide(join, client, time.time())
            if decided is None or isinstance(decided, Admission | Refusal):
                decision = decided
            else:
                decision = await decided
        if isinstance(decision, Admission):
            decision = await self._ice_access.grant(client.number, join, decision, address)
        else:
            client.charge(_INVALID_MESSAGE_COST)  # a signature costs more than another message
        self._rooms.receive(client.number, join, self._now(), decision)
        if self._rooms.has_seat(client.number):
            # Only admitted participants may send descriptions: these are large, and are kept.
            client.allow_descriptions()

    def _renew_ice_servers(self, connection: int, message: NewIceServers) -> bool:
        """Send new ICE servers to a client; return whether it has joined."""
        client = self._clients.get(connection)
        if client is None or not self._rooms.has_seat(connection):
            return False
        self._write(client, (encode_server(message),))
        return True

    # ---- effects and timers --------------------------------------------------------------------

    def _apply(self) -> None:
        for effect in self._rooms.take_effects():
            client = self._clients.get(effect.connection)
            if client is None:
                continue
            match effect:
                case Send():
                    self._write(client, effect.payloads)
                case Close():
                    client.close_soon(effect.code, effect.reason)
        for event in self._rooms.take_events():
            self._webhooks.report(event)
        self._update_deadline()

    def _write(self, client: Client, payloads: tuple[bytes, ...]) -> None:
        if not client.write(payloads):
            self._stalled += 1
            client.cut_off()

    async def _run_timers(self) -> None:
        """Call ``handle_timeout()`` of the rooms at each of their deadlines."""
        while True:
            self._deadline = self._rooms.deadline
            self._deadline_changed.clear()
            try:
                async with timeout_at(self._deadline):
                    await self._deadline_changed.wait()
            except TimeoutError:
                self._rooms.handle_timeout(self._now())
                self._apply()

    def _update_deadline(self) -> None:
        if self._rooms.deadline < self._deadline:
            self._deadline_changed.set()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # ---- metrics -------------------------------------------------------------------------------

    def measure(self, *, refused_sockets: int = 0) -> list[Metric]:
        """Return the metrics.

        Args:
            refused_sockets: Connections that the shell refused because their address had reached
                its limit.
        """
        metrics = server_metrics(
            self._rooms,
            connections=len(self._clients),
            connections_total=self._opened,
            stalled=self._stalled,
            refused_sockets=refused_sockets,
            ice_access=self._ice_access.outcomes,
        )
        return metrics + webhook_metrics(self._webhooks.outcomes, self._webhooks.waiting)

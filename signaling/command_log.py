"""The log that everything passes that happens to connections, on its way to the rooms.

A server that runs alone has :class:`LocalLog`, which applies everything at once. Several servers
have :class:`.cluster.redis_log.RedisLog` and see everything in the same order.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from icefloe._util.deadlines import timeout_at

from .configuration import Admission, Refusal, ServerConfiguration
from .effects import Effect
from .messages import ClientMessage
from .room_events import RoomEvent
from .rooms import Rooms

CarryOut = Callable[[Iterable[Effect]], None]
"""A function that carries out effects on connections of this server."""


ReportEvent = Callable[[RoomEvent], None]
"""A function that is told what has happened in a room."""

CutAll = Callable[[], None]
"""A function that closes all connections of this server; their clients come back and resume."""


@dataclass(frozen=True, slots=True)
class LogMetric:
    """A number of the log for the metrics.

    Attributes:
        name: Its name, without the prefix of the server's metrics.
        help: The description, in one line.
        value: The number now.
        counts: Whether it is a counter; else it is a gauge.
    """

    name: str
    help: str
    value: float
    counts: bool = False


class CommandLog(Protocol):
    """A log of what happens to connections; a connection has the number that its shell gave it."""

    @property
    def rooms(self) -> Rooms:
        """The rooms, after everything that the log has applied."""
        ...

    @property
    def is_ready(self) -> bool:
        """True if connections can be added."""
        ...

    def start(self) -> None:
        """Start the tasks."""

    async def wait_ready(self, seconds: float) -> None:
        """Wait until connections can be added, or for a time. Cancellation: safe."""

    async def close(self) -> None:
        """Stop the tasks. A second call has no effect. Cancellation: safe."""

    def has_seat(self, connection: int) -> bool:
        """Return whether a connection has joined."""
        ...

    def connect(self, connection: int, address: str) -> None:
        """Add a connection."""

    def disconnect(self, connection: int) -> None:
        """Remove a connection."""

    def receive(
        self,
        connection: int,
        message: ClientMessage,
        frame: str | bytes | None = None,
        decision: Admission | Refusal | None = None,
    ) -> None:
        """Process a message.

        Args:
            connection: The connection.
            message: The message.
            frame: The text of it, if it is at hand.
            decision: For a ``join`` the permission or the reason against it.
        """

    def measure(self) -> list[LogMetric]:
        """Return metrics of the log."""
        ...


class LocalLog:
    """The log of a server that runs alone: it applies everything at once.

    Args:
        rooms: The rooms.
        carry_out: Carries out their effects.
        report: Called with what has happened in rooms, if these keep events.

    Attributes:
        rooms: The rooms.
        is_ready: True.
    """

    is_ready: bool = True

    def __init__(self, rooms: Rooms, carry_out: CarryOut, report: ReportEvent) -> None:
        self.rooms: Rooms = rooms
        self._carry_out = carry_out
        self._report = report
        self._deadline = float("inf")
        self._deadline_changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._clock: Callable[[], float] | None = None

    def start(self) -> None:
        """Start the timer of the rooms."""
        self._clock = asyncio.get_running_loop().time
        self._running = asyncio.create_task(self._run_timers(), name="signaling timers")

    async def wait_ready(self, seconds: float) -> None:
        """Return at once."""

    async def close(self) -> None:
        """Stop the timer."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait((running,))

    def has_seat(self, connection: int) -> bool:
        """Return whether a connection has joined."""
        return self.rooms.has_seat(connection)

    def connect(self, connection: int, address: str) -> None:
        """Add a connection."""
        self.rooms.connect(connection, self._now(), address)
        self._update_deadline()

    def disconnect(self, connection: int) -> None:
        """Remove a connection."""
        self.rooms.disconnect(connection, self._now())
        self._apply()

    def receive(
        self,
        connection: int,
        message: ClientMessage,
        frame: str | bytes | None = None,
        decision: Admission | Refusal | None = None,
    ) -> None:
        """Process a message."""
        self.rooms.receive(connection, message, self._now(), decision)
        self._apply()

    def measure(self) -> list[LogMetric]:
        """Return nothing."""
        return []

    def _apply(self) -> None:
        self._carry_out(self.rooms.take_effects())
        if self.rooms.has_events:
            for event in self.rooms.take_events():
                self._report(event)
        self._update_deadline()

    async def _run_timers(self) -> None:
        """Call ``handle_timeout()`` of the rooms at each of their deadlines."""
        while True:
            self._deadline = self.rooms.deadline
            self._deadline_changed.clear()
            try:
                async with timeout_at(self._deadline):
                    await self._deadline_changed.wait()
            except TimeoutError:
                self.rooms.handle_timeout(self._now())
                self._apply()

    def _update_deadline(self) -> None:
        if self.rooms.deadline < self._deadline:
            self._deadline_changed.set()

    def _now(self) -> float:
        # get_running_loop() asks the system for the process's id each time.
        return asyncio.get_running_loop().time() if self._clock is None else self._clock()


def open_log(
    configuration: ServerConfiguration,
    rooms: Callable[[], Rooms],
    carry_out: CarryOut,
    cut_all: CutAll,
    report: ReportEvent,
) -> CommandLog:
    """Return the log for a server.

    Args:
        configuration: The settings of the server.
        rooms: Makes the rooms of a server that runs alone.
        carry_out: Carries out effects.
        cut_all: Closes all connections; their clients come back and resume.
        report: Called with what has happened in rooms, by one of several servers.
    """
    if configuration.redis is None:
        return LocalLog(rooms(), carry_out, report)
    from .cluster.redis_log import RedisLog  # the library is needed by none but these

    return RedisLog(configuration, configuration.redis, carry_out, cut_all, report)

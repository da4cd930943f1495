# Longer than 400 lines: the tasks of a node share its queue, its replica and its place in the log.
"""The log of a signaling server that shares its rooms with others through Redis.

What happens to a connection is numbered and put into a queue; one task writes the queue to the log,
another reads the log and applies every entry to this node's replica. Effects on connections of this
node are carried out, others belong to other nodes. While Redis is away the queue grows and nothing
is applied; connections stay open.
"""

import asyncio
import random
import secrets
from logging import Logger

import msgspec
from redis.exceptions import RedisError

from icefloe._util.deadlines import timeout_at
from icefloe.logs import get_logger
from icefloe.text import PrintableError

from ..codec import encode_server
from ..command_log import CarryOut, CutAll, LogMetric, ReportEvent
from ..configuration import Admission, RedisConfiguration, Refusal, ServerConfiguration
from ..effects import Close, Send
from ..errors import ErrorCode
from ..messages import ClientMessage, CloseCode, Error, Join
from ..rooms import Rooms
from .agreement import Agreement, OtherRules
from .commands import (
    SEED_BYTES,
    Command,
    Connected,
    Disconnected,
    Entry,
    InvalidEntry,
    NodeAlive,
    NodeLeft,
    NodeStarted,
    encode_command,
    global_number,
    joining,
    received,
)
from .epochs import Epoch
from .log_metrics import LogCounts, log_metrics
from .pending_commands import PendingCommands
from .replica import ALIVE_SECONDS, MAX_GAP_SECONDS, InvalidSnapshot, Replica, effects_on
from .store import Store

logger: Logger = get_logger(__name__)

MAX_RETRY_PAUSE = 0.5
"""Seconds between two attempts to reach Redis, at most."""

SNAPSHOT_SECONDS = 30.0
"""Seconds between two snapshots."""

SNAPSHOT_BYTES = 16 * 1024 * 1024
"""Bytes of entries after which a snapshot is due earlier."""

CLOSE_SECONDS = 1.0
"""Seconds that the last commands of a server that ends have to reach Redis."""

_TICK_DELAY = 0.002
"""Seconds after a deadline at which it is looked at: two clocks do not run alike."""

_NODE_BITS = 31

_CANCEL_SECONDS = 0.1
"""Seconds after which a task that goes on is cancelled again."""


class _Changed(PrintableError):
    """The log is not the one that this node knows: it looks at the head again."""


class RedisLog:
    """A log in Redis, and this node's replica of the rooms.

    Args:
        configuration: The settings of the server.
        redis: Where Redis is.
        carry_out: Carries out effects on connections of this server.
        cut_all: Closes all connections of this server; their clients come back and resume.
        report: Called with what has happened in rooms, while this node is the leader.
    """

    def __init__(
        self,
        configuration: ServerConfiguration,
        redis: RedisConfiguration,
        carry_out: CarryOut,
        cut_all: CutAll,
        report: ReportEvent,
    ) -> None:
        limits = configuration.limits
        self._replica = Replica(
            limits,
            first_moderates=configuration.first_moderates,
            takes_reports=configuration.client_reports,
            keeps_events=configuration.webhooks is not None,
        )
        rules = msgspec.json.encode(
            (limits, configuration.first_moderates, configuration.client_reports)
        )
        self._agreement = Agreement(self._replica, rules)
        self._redis = redis
        self._carry_out = carry_out
        self._cut_all = cut_all
        self._report = report
        self._pending = PendingCommands()
        self._connections: set[int] = set()
        self._node = 0
        self._is_registered = False
        self._is_connected = False
        self._away_since: float | None = None
        self._applied_at = 0.0
        self._has_work = asyncio.Event()
        self._became_ready = asyncio.Event()
        self._has_left = asyncio.Event()
        self._snapshot_due = asyncio.Event()
        self._snapshot_at = 0.0
        self._bytes_since = 0
        self._trim_before = "0-0"
        self._counts = LogCounts()
        self._running: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closing = False
        self._register()

    # ---- what the hub calls --------------------------------------------------------------------

    @property
    def rooms(self) -> Rooms:
        """The rooms of all nodes, as this one has read of them."""
        return self._replica.rooms

    @property
    def is_ready(self) -> bool:
        """True if Redis answers, and the other nodes know of this one."""
        return self._is_connected and self._is_registered and not self._is_closing

    def start(self) -> None:
        """Start the tasks."""
        self._running = asyncio.create_task(self._run(), name="signaling log")
        self._running.add_done_callback(self._ended)

    async def wait_ready(self, seconds: float) -> None:
        """Wait until connections can be added, or for a time. Cancellation: safe."""
        try:
            async with asyncio.timeout(seconds):
                await self._became_ready.wait()
        except TimeoutError:
            logger.warning("Redis did not answer within %g s; the server waits for it", seconds)

    async def close(self) -> None:
        """Tell the other nodes that this one ends, and stop. A second call has no effect.

        Cancellation: safe; then the other nodes find out by themselves.
        """
        running, self._running = self._running, None
        if running is None:
            return
        self._is_closing = True
        try:
            if self._is_connected and self._is_registered:
                self._submit(NodeLeft())
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._has_left.wait()
        except TimeoutError:
            logger.warning("Redis did not take the last commands in time")
        finally:
            await _end(running, *self._tasks)

    def has_seat(self, connection: int) -> bool:
        """Return whether a connection has joined."""
        return self.rooms.has_seat(global_number(self._node, connection))

    def connect(self, connection: int, address: str) -> None:
        """Add a connection; it is closed again if the other nodes do not know of this one."""
        if not self._is_registered:
            self._close(connection)
            return
        self._connections.add(connection)
        self._submit(Connected(connection, address))

    def disconnect(self, connection: int) -> None:
        """Remove a connection."""
        if connection in self._connections:
            self._connections.discard(connection)
            self._submit(Disconnected(connection))

    def receive(
        self,
        connection: int,
        message: ClientMessage,
        frame: str | bytes | None = None,
        decision: Admission | Refusal | None = None,
    ) -> None:
        """Put a message into the queue.

        If that is full the connection is closed; the message comes again when its client resumes.
        """
        if connection not in self._connections:
            return  # it is being closed
        if self._pending.is_full:
            self._counts.cut_off += 1
            # Nothing more of it is taken: a later message would pass those that come again.
            self.disconnect(connection)
            self._close(connection)
            return
        command: Command
        if isinstance(message, Join):
            seed = secrets.token_bytes(SEED_BYTES)
            command = joining(connection, message, decision, seed)
        else:
            command = received(connection, message, frame)
        try:
            self._submit(command, message)
        except InvalidEntry as error:
            logger.error("a message was refused: %s", error)
            ref = message.ref
            refusal = Error(ErrorCode.BAD_MESSAGE, "The servers cannot pass this on.", ref)
            self._carry_out((Send(connection, (encode_server(refusal),)),))

    def measure(self) -> list[LogMetric]:
        """Return metrics of the log."""
        return log_metrics(
            self._counts,
            is_up=self.is_ready,
            nodes=len(self._replica.nodes),
            pending=len(self._pending),
        )

    # ---- this node among the others ------------------------------------------------------------

    def _submit(self, command: Command, message: ClientMessage | None = None) -> None:
        self._pending.add(encode_command(command), message)
        self._has_work.set()

    def _close(self, connection: int) -> None:
        reason = "this server cannot go on; connect again"
        self._carry_out((Close(connection, CloseCode.GOING_AWAY, reason),))

    def _register(self) -> None:
        """Begin anew, as a node that the others do not know."""
        # Random: a number that Redis counts is lost with its data.
        self._node = secrets.randbits(_NODE_BITS)
        self._is_registered = False
        self._became_ready.clear()
        self._connections.clear()
        self._pending = PendingCommands()
        self._submit(NodeStarted(secrets.token_bytes(SEED_BYTES)))

    def _begin_anew(self, reason: str) -> None:
        """Close all connections, whose clients resume, and register again."""
        if self._is_registered:
            logger.warning("all participants of this server have to resume: %s", reason)
        self._register()
        self._cut_all()

    # ---- the connection to Redis ---------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            pause = MAX_RETRY_PAUSE
            store = Store(self._redis)
            try:
                if await self._agreement.reach(store):
                    self._counts.restores += 1
                    self._begin_anew("the log went on without it")
                await self._take_part(store)
            except _Changed:
                pause /= 10
            except (RedisError, OSError, TimeoutError, InvalidSnapshot) as error:
                self._lost(error)
            except OtherRules:
                self._lost(None)
            finally:
                self._is_connected = False
                await store.close()
            await asyncio.sleep(pause * random.uniform(0.4, 1))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the log has failed; this server cannot go on", exc_info=error)
            self._register()
            self._cut_all()

    async def _take_part(self, store: Store) -> None:
        """Write and read until the log fails, or turns out to be another one.

        Raises:
            _Changed: It is another one.
        """
        self._back()
        self._pending.send_again()
        self._trim_before = "0-0"
        tasks = self._tasks = [
            asyncio.create_task(work(store), name=f"signaling log {name}")
            for name, work in (
                ("reads", self._read),
                ("writes", self._write),
                ("snapshots", self._save),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._is_connected = False
            await _end(*tasks)
        errors = [error for task in done if (error := task.exception()) is not None]
        raise next((error for error in errors if not isinstance(error, _Changed)), errors[0])

    def _lost(self, error: Exception | None) -> None:
        if self._away_since is not None:
            return
        self._away_since = asyncio.get_running_loop().time()
        self._counts.outages += 1
        if error is None:
            logger.error(
                "the servers that share this Redis have other limits: start all with the same "
                "ones, or give this one another prefix"
            )
            return
        logger.warning(
            "Redis is away (%s: %s): participants stay connected, and what they send waits",
            type(error).__name__,
            error,
        )

    def _back(self) -> None:
        self._is_connected = True
        self._update_ready()
        if self._away_since is not None:
            away = asyncio.get_running_loop().time() - self._away_since
            logger.info("Redis is back after %.1f s", away)
            self._away_since = None

    def _update_ready(self) -> None:
        if self.is_ready:
            self._became_ready.set()

    # ---- writing -------------------------------------------------------------------------------

    async def _write(self, store: Store) -> None:
        loop = asyncio.get_running_loop()
        epoch = self._epoch
        alive_at = 0.0
        while True:
            self._has_work.clear()
            if not self._pending.has_unsent:
                try:
                    async with timeout_at(min(alive_at, self._tick_at)):
                        await self._has_work.wait()
                except TimeoutError:
                    self._submit(NodeAlive())
            pending = self._pending
            batch = pending.batch()
            if batch is None:
                continue
            if not await store.add(epoch, self._replica.position, self._node, batch):
                raise _Changed
            pending.sent(batch)
            alive_at = loop.time() + ALIVE_SECONDS

    @property
    def _tick_at(self) -> float:
        """The time on the loop's clock at which the log has to move on for a deadline.

        One node does that; if it is dead the others move the log on by being alive.
        """
        if self._replica.leader != self._node or len(self._pending):
            return float("inf")
        left = self.rooms.deadline - self._replica.now + _TICK_DELAY
        return self._applied_at + left if left <= MAX_GAP_SECONDS else float("inf")

    @property
    def _epoch(self) -> Epoch:
        epoch = self._agreement.epoch
        if epoch is None:
            raise _Changed
        return epoch

    # ---- reading -------------------------------------------------------------------------------

    async def _read(self, store: Store) -> None:
        epoch = self._epoch
        while True:
            for id, entry in await store.read(epoch, self._agreement.last_id):
                if entry is not None:
                    if entry.position != self._replica.position + 1:
                        self._agreement.diverged = True
                        raise _Changed
                    self._apply(entry)
                self._agreement.last_id = id
                await asyncio.sleep(0)
            if self._tick_at < float("inf"):
                self._has_work.set()

    def _apply(self, entry: Entry) -> None:
        replica = self._replica
        is_own = entry.node == self._node
        replica.apply(entry, self._pending.messages if is_own else {})
        self._applied_at = asyncio.get_running_loop().time()
        self._counts.entries += 1
        effects = effects_on(self._node, replica.rooms.take_effects())
        if effects:
            self._carry_out(effects)
        if replica.rooms.has_events:
            events = replica.rooms.take_events()
            # All nodes have the same events, and one of them tells.
            for event in events if replica.leader == self._node else ():
                self._report(event)
        known = replica.nodes.get(self._node)
        if known is not None:
            if is_own:
                self._pending.applied(known.applied)
            if not self._is_registered:
                self._is_registered = True
                self._update_ready()
        elif self._is_closing:
            self._has_left.set()
        elif self._is_registered:
            self._begin_anew("the other servers had heard nothing of it for a while")
        elif is_own and entry.first > 1:
            self._register()  # it was not taken in: there were too many
        self._note_size(entry)

    # ---- snapshots -----------------------------------------------------------------------------

    def _note_size(self, entry: Entry) -> None:
        self._bytes_since += entry.size
        is_due = (
            self._bytes_since >= SNAPSHOT_BYTES
            or self._replica.now >= self._snapshot_at + SNAPSHOT_SECONDS
        )
        if is_due and self._replica.leader == self._node:
            self._snapshot_due.set()

    async def _save(self, store: Store) -> None:
        epoch = self._epoch
        has_warned = False
        while True:
            await self._snapshot_due.wait()
            self._snapshot_due.clear()
            self._bytes_since, self._snapshot_at = 0, self._replica.now
            position, id = self._replica.position, self._agreement.last_id
            try:
                snapshot = self._replica.take()
            except InvalidSnapshot as error:
                if not has_warned:
                    logger.error("no snapshot was written: %s", error)
                has_warned = True
                continue
            if await store.save(epoch, position, id, snapshot, self._trim_before):
                self._counts.snapshots += 1
                # Nodes that lag behind find the entries since the snapshot before this one.
                self._trim_before = id


async def _end(*tasks: "asyncio.Task[None]") -> None:
    """Cancel tasks until they end.

    redis-py uses ``asyncio.wait_for()``, which in Python 3.11 may swallow a cancellation.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=_CANCEL_SECONDS)

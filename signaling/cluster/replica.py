"""One node's copy of the rooms, which the entries of the log move on. No I/O.

All replicas that have applied the same entries are equal: time is that of the log, ids and secrets
come from random bytes in it, and nothing else decides. Time passes only by entries, and by at most
:data:`MAX_GAP_SECONDS` from one to the next: while the log is away, nobody's time runs out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from icefloe.text import PrintableError

from ..codec import decode_client
from ..configuration import Limits
from ..effects import Close, Effect, Seated, Send
from ..errors import MessageError
from ..messages import ClientMessage
from ..rooms import Rooms
from .commands import (
    Command,
    Connected,
    Disconnected,
    Entry,
    Joining,
    NodeAlive,
    NodeLeft,
    NodeStarted,
    Received,
    global_number,
    local_number,
    node_of,
)
from .fresh_ids import FreshIds
from .rooms_state import RoomsState, put_state, take_state

FORMAT = 1
"""The version of commands and snapshots, and of what they do. Nodes of different versions do not
share a log."""

ALIVE_SECONDS = 1.0
"""Seconds after which a node that has written nothing writes that it is alive."""

MAX_GAP_SECONDS = 1.5
"""Seconds that pass in the log from one entry to the next, at most."""

DEAD_SECONDS = 3.0
"""Seconds of the log after which a node that wrote nothing is taken for dead."""

MAX_NODES = 256
"""The most nodes; a further one is not taken in."""

MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024
"""The largest snapshot. Messages kept for participants are its greatest part, 64 MiB at most."""


class InvalidSnapshot(PrintableError):
    """A snapshot is too large, or not one that this version of icefloe has written."""


class _State(Struct, frozen=True, array_like=True):
    version: int
    position: int
    clock: int
    stream: int
    ids: bytes
    nodes: list[tuple[int, int, int]]
    rooms: RoomsState


_states: msgspec.msgpack.Decoder[_State] = msgspec.msgpack.Decoder(_State)


@dataclass(slots=True)
class Node:
    """A node as the log shows it.

    Attributes:
        applied: The number of its last command.
        seen: The time of its last entry, in milliseconds on the clock of the log.
    """

    applied: int
    seen: int


class Replica:
    """The rooms, and the nodes that have connections to them.

    Args:
        limits: The limits on rooms and participants, the same on all nodes.
        first_moderates: As for :class:`.rooms.Rooms`, likewise.
        takes_reports: The same.
        keeps_events: Whether the rooms keep events, for this node.

    Attributes:
        rooms: The rooms. Take their effects after each entry.
        nodes: The nodes that are alive.
        position: The number of the last entry.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        first_moderates: bool = False,
        takes_reports: bool = False,
        keeps_events: bool = False,
    ) -> None:
        self._ids = FreshIds()
        self.rooms: Rooms = Rooms(
            limits,
            new_id=self._ids.new_id,
            new_token=self._ids.new_secret,
            first_moderates=first_moderates,
            takes_reports=takes_reports,
            keeps_events=keeps_events,
        )
        self.nodes: dict[int, Node] = {}
        self.position: int = 0
        self._clock = 0  # milliseconds, integers so that all nodes have the same sums
        self._stream = 0

    @property
    def now(self) -> float:
        """The time of the log, in seconds; it begins at 0 and has no gaps."""
        return self._clock / 1000

    @property
    def leader(self) -> int | None:
        """The node that writes snapshots."""
        return min(self.nodes, default=None)

    def apply(self, entry: Entry, messages: Mapping[int, ClientMessage] = {}) -> None:
        """Apply the next entry.

        Args:
            entry: The entry, at the next position.
            messages: Messages that the node has decoded already, by the numbers of their commands;
                for its own entries.
        """
        self.position = entry.position
        self._pass_time(entry)
        node = self.nodes.get(entry.node)
        if node is None:
            starts = bool(entry.commands) and isinstance(entry.commands[0], NodeStarted)
            if not starts or entry.first != 1 or len(self.nodes) >= MAX_NODES:
                return  # of a node that was taken for dead
            node = self.nodes[entry.node] = Node(0, self._clock)
        node.seen = self._clock
        for number, command in enumerate(entry.commands, entry.first):
            if number <= node.applied:
                continue  # written again, since the answer was lost
            if number > node.applied + 1:
                self._remove(entry.node)  # it misses some, and is to begin anew
                return
            node.applied = number
            if isinstance(command, NodeLeft):
                self._remove(entry.node)
                return
            self._carry_out(entry.node, command, messages.get(number))

    def take(self) -> bytes:
        """Return a snapshot.

        Raises:
            InvalidSnapshot: It is too large.
        """
        nodes = [(number, node.applied, node.seen) for number, node in self.nodes.items()]
        state = _State(
            FORMAT,
            self.position,
            self._clock,
            self._stream,
            self._ids.state,
            nodes,
            take_state(self.rooms),
        )
        snapshot = msgspec.msgpack.encode(state)
        _check_size(snapshot)
        return snapshot

    def put(self, snapshot: bytes) -> None:
        """Take over the state of another replica.

        Raises:
            InvalidSnapshot: It is too large, or of another version; nothing was changed.
        """
        _check_size(snapshot)
        try:
            state = _states.decode(snapshot)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise InvalidSnapshot(f"the snapshot in Redis cannot be read: {error}") from error
        if state.version != FORMAT:
            raise InvalidSnapshot(f"the snapshot in Redis has version {state.version}")
        self.position, self._clock, self._stream = state.position, state.clock, state.stream
        self._ids.state = state.ids
        self.nodes.clear()
        self.nodes.update({number: Node(applied, seen) for number, applied, seen in state.nodes})
        put_state(self.rooms, state.rooms)

    def _pass_time(self, entry: Entry) -> None:
        gap = max(entry.milliseconds - self._stream, 0)
        # The first entry after a loss of data may be older: another Redis has another clock.
        self._clock += min(gap, round(MAX_GAP_SECONDS * 1000))
        self._stream = entry.milliseconds
        if self.rooms.deadline <= self.now:
            self.rooms.handle_timeout(self.now)
        oldest = self._clock - round(DEAD_SECONDS * 1000)
        dead = [n for n, node in self.nodes.items() if node.seen < oldest and n != entry.node]
        for number in dead:
            self._remove(number)

    def _remove(self, node: int) -> None:
        """Forget a node; its participants are away."""
        del self.nodes[node]
        for connection in sorted(self.rooms.connections()):
            if node_of(connection) == node:
                self.rooms.disconnect(connection, self.now)

    def _carry_out(self, node: int, command: Command, message: ClientMessage | None) -> None:
        match command:
            case Received() | Joining():
                self._receive(node, command, message)
            case Connected():
                number = global_number(node, command.connection)
                self.rooms.connect(number, self.now, command.address)
            case Disconnected():
                self.rooms.disconnect(global_number(node, command.connection), self.now)
            case NodeStarted():
                self._ids.mix(command.seed)
            case NodeAlive() | NodeLeft():
                pass  # time has passed; the other one was handled before

    def _receive(
        self, node: int, command: Received | Joining, message: ClientMessage | None
    ) -> None:
        try:
            message = decode_client(command.frame) if message is None else message
        except MessageError:
            return  # its node has decoded it, so this is no entry of a node
        decision = None
        if isinstance(command, Joining):
            self._ids.mix(command.seed)
            decision = command.refusal if command.admission is None else command.admission
        self.rooms.receive(global_number(node, command.connection), message, self.now, decision)


def effects_on(node: int, effects: list[Effect]) -> list[Effect]:
    """Return the effects on connections of a node, with the numbers that they have there."""
    own: list[Effect] = []
    for effect in effects:
        if node_of(effect.connection) != node:
            continue
        number = local_number(effect.connection)
        match effect:
            case Send():
                own.append(Send(number, effect.payloads))
            case Close():
                own.append(Close(number, effect.code, effect.reason))
            case Seated():
                own.append(Seated(number))
    return own


def _check_size(snapshot: bytes) -> None:
    if len(snapshot) > MAX_SNAPSHOT_BYTES:
        raise InvalidSnapshot(
            f"the snapshot has {len(snapshot)} bytes; at most {MAX_SNAPSHOT_BYTES} are allowed"
        )

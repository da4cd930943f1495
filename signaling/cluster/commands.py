"""Commands of the log that several signaling servers share, and entries of several of them. No I/O.

A server, here called a node, puts everything that happens to its connections into the log, and each
node applies all of it in the order of the log. A node numbers its commands from 1, so that one
whose answer was lost and that is written again is applied once.
"""

from dataclasses import dataclass

import msgspec
from msgspec import UNSET, Raw, Struct, structs

from icefloe.text import PrintableError

from ..codec import encode_client
from ..configuration import Admission, Refusal
from ..messages import ClientMessage, Join

MAX_COMMAND_BYTES = 768 * 1024
"""The largest command; a description is at most 256 KiB."""

MAX_ENTRY_BYTES = 1024 * 1024
"""The largest entry of the log."""

MAX_ENTRY_COMMANDS = 1000
"""The most commands of one entry."""

SEED_BYTES = 32
"""Random bytes in a command that may need a new id or secret."""

LOCAL_BITS = 32
"""Bits of the number that a connection has on its node; those above it are the node's number."""

_LOCAL_MASK = (1 << LOCAL_BITS) - 1


class InvalidEntry(PrintableError):
    """An entry of the log is not one that this version of icefloe has written."""


class NodeStarted(Struct, frozen=True, array_like=True, tag=0):
    """A node takes part from now on; its first command."""

    seed: bytes


class NodeAlive(Struct, frozen=True, array_like=True, tag=1):
    """A node that has nothing else to say is alive, and time has passed."""


class NodeLeft(Struct, frozen=True, array_like=True, tag=2):
    """A node ends: its connections are closed."""


class Connected(Struct, frozen=True, array_like=True, tag=3):
    """A client has connected.

    Attributes:
        connection: The number of the connection on its node.
        address: The IP address of the client; empty if unknown.
    """

    connection: int
    address: str


class Disconnected(Struct, frozen=True, array_like=True, tag=4):
    """A connection was closed or lost."""

    connection: int


class Received(Struct, frozen=True, array_like=True, tag=5):
    """A client has sent a message, other than a ``join``.

    Attributes:
        connection: The number of the connection on its node.
        frame: The message as it came, in UTF-8.
    """

    connection: int
    frame: bytes


class Joining(Struct, frozen=True, array_like=True, tag=6):
    """A client has sent a ``join``, and its node has decided about it.

    Attributes:
        connection: The number of the connection on its node.
        frame: The message, without its token.
        admission: The permission to join.
        refusal: The reason why it may not join, if there is another one than its token.
        seed: Random bytes, of which each node makes the same id and secrets.
    """

    connection: int
    frame: bytes
    admission: Admission | None
    refusal: Refusal | None
    seed: bytes

    def __repr__(self) -> str:
        return f"Joining(connection={self.connection!r})"  # no secrets in logs


Command = NodeStarted | NodeAlive | NodeLeft | Connected | Disconnected | Received | Joining

_commands: msgspec.msgpack.Decoder[list[Command]] = msgspec.msgpack.Decoder(list[Command])
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the log.

    Attributes:
        position: Its number in the log, from 1.
        milliseconds: The time at which the log took it.
        node: The node that wrote it.
        first: The number of its first command among those of the node.
        commands: The commands.
        size: The bytes of the commands.
    """

    position: int
    milliseconds: int
    node: int
    first: int
    commands: tuple[Command, ...]
    size: int = 0


def joining(
    connection: int, join: Join, decision: Admission | Refusal | None, seed: bytes
) -> Joining:
    """Return the command for a ``join``. Its token has done its work, and is left out."""
    frame = encode_client(structs.replace(join, token=UNSET))
    admission = decision if isinstance(decision, Admission) else None
    refusal = decision if isinstance(decision, Refusal) else None
    return Joining(connection, frame, admission, refusal, seed)


def received(connection: int, message: ClientMessage, frame: str | bytes | None) -> Received:
    """Return the command for a message; ``frame`` is what it was decoded from, if that is known."""
    if frame is None:
        frame = encode_client(message)
    return Received(connection, frame.encode() if isinstance(frame, str) else frame)


def encode_command(command: Command) -> bytes:
    """Encode a command.

    Raises:
        InvalidEntry: It is too large.
    """
    encoded = _encoder.encode(command)
    if len(encoded) > MAX_COMMAND_BYTES:
        raise InvalidEntry(
            f"a command for the log has {len(encoded)} bytes; at most {MAX_COMMAND_BYTES} are "
            "allowed"
        )
    return encoded


def encode_body(commands: list[bytes]) -> bytes:
    """Return the body of an entry with these encoded commands."""
    return _encoder.encode([Raw(command) for command in commands])


def decode_body(body: bytes) -> tuple[Command, ...]:
    """Decode the body of an entry.

    Raises:
        InvalidEntry: It is too large, or of another version.
    """
    if len(body) > 2 * MAX_ENTRY_BYTES:
        raise InvalidEntry(f"an entry of the log has {len(body)} bytes")
    try:
        commands = tuple(_commands.decode(body))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidEntry(f"an entry of the log cannot be read: {error}") from error
    if len(commands) > MAX_ENTRY_COMMANDS:
        raise InvalidEntry(f"an entry of the log has {len(commands)} commands")
    return commands


def global_number(node: int, connection: int) -> int:
    """Return the number of a connection among those of all nodes."""
    return node << LOCAL_BITS | connection & _LOCAL_MASK


def node_of(connection: int) -> int:
    """Return the node that has a connection, by its number among those of all nodes."""
    return connection >> LOCAL_BITS


def local_number(connection: int) -> int:
    """Return the number of a connection on its node."""
    return connection & _LOCAL_MASK

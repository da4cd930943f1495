"""Effects that :class:`.rooms.Rooms` asks the server to carry out on connections."""

from dataclasses import dataclass

from .messages import CloseCode


@dataclass(frozen=True, slots=True)
class Send:
    """Write messages to a connection, in order."""

    connection: int
    payloads: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection. Its further messages are ignored."""

    connection: int
    code: CloseCode
    reason: str


@dataclass(frozen=True, slots=True)
class Seated:
    """A connection has a seat from now on, and may send descriptions."""

    connection: int


Effect = Send | Close | Seated

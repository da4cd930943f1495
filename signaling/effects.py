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


Effect = Send | Close

"""Effects that :class:`.rooms.Rooms` asks the server to carry out on connections."""

from typing import NamedTuple

from .messages import CloseCode


class Send(NamedTuple):
    """Write messages to a connection, in order."""

    connection: int
    payloads: tuple[bytes, ...]


class Close(NamedTuple):
    """Close a connection. Its further messages are ignored."""

    connection: int
    code: CloseCode
    reason: str


Effect = Send | Close

"""Effects that :class:`.rooms.Rooms` asks the server to carry out on connections."""

from msgspec import Struct

from .messages import CloseCode


class Send(Struct, frozen=True):
    """Write messages to a connection, in order."""

    connection: int
    payloads: tuple[bytes, ...]


class Close(Struct, frozen=True):
    """Close a connection. Its further messages are ignored."""

    connection: int
    code: CloseCode
    reason: str


class Seated(Struct, frozen=True):
    """A connection has a seat from now on, and may send descriptions."""

    connection: int


Effect = Send | Close | Seated

"""Effects that :class:`.rooms.Rooms` asks the server to carry out on connections."""

from dataclasses import dataclass

from .codec import encode_server
from .messages import CloseCode, ServerMessage


@dataclass(frozen=True, slots=True)
class Send:
    """Write messages to a connection, in order."""

    connection: int
    payloads: tuple[bytes, ...]

    @classmethod
    def of(cls, connection: int, message: ServerMessage) -> "Send":
        """Return the effect that sends one message."""
        return cls(connection, (encode_server(message),))


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection. Its further messages are ignored."""

    connection: int
    code: CloseCode
    reason: str


Effect = Send | Close

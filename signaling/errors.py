"""What can go wrong in signaling.

::

    SignalingError
    ├── InvalidUrl (also ValueError)
    ├── MessageError (also ValueError)
    ├── ListenFailed (also OSError)
    ├── Unreachable (also ConnectionError)
    ├── JoinRefused
    ├── SendQueueFull
    ├── SignalingLost
    └── SignalingClosed

A server answers a message that it cannot accept with an ``error`` message; the errors here are what
a program sees.
"""

from enum import StrEnum

from icefloe import text
from icefloe.text import printable, public_url, quoted


class ErrorCode(StrEnum):
    """Why the server did not do what a message asked for: the ``code`` of an ``error`` message."""

    BAD_MESSAGE = "bad-message"
    """Not a message of this protocol."""

    NOT_JOINED = "not-joined"
    """The first message must be ``join``."""

    ALREADY_JOINED = "already-joined"
    """A connection joins once."""

    VERSION = "version"
    """The server does not speak the version that was asked for."""

    UNAUTHORIZED = "unauthorized"
    """The token does not admit to this room under this name."""

    ROOM_FULL = "room-full"
    """The room, or the server, has as many participants or rooms as it may."""

    NAME_TAKEN = "name-taken"
    """Somebody else in the room has this name."""

    RESUME_FAILED = "resume-failed"
    """The seat is gone; join anew."""

    PEER_UNAVAILABLE = "peer-unavailable"
    """No such peer in the room, or more waits for it than is kept; nothing was sent."""

    RATE_LIMITED = "rate-limited"
    """The connection sends too fast and is read more slowly now; nothing was dropped."""


class SignalingError(text.PrintableError):
    """The root of every error that ``icefloe.signaling`` defines."""


class InvalidUrl(SignalingError, ValueError):
    """The address of the signaling server is not a WebSocket URL.

    Attributes:
        url: The URL as it was given.
        reason: What is wrong with it; may be empty.
    """

    def __init__(self, url: str, reason: str = "") -> None:
        self.url = url
        self.reason = reason
        super().__init__(
            f"{quoted(public_url(url))} is not the URL of a signaling server"
            f"{': ' if reason else ''}{printable(reason)}. Write "
            "it like ws://host:8080/ws, or wss://host/ws for a server with TLS"
        )


class MessageError(SignalingError, ValueError):
    """Something is not a message of the protocol, whether it was received or is to be sent.

    Attributes:
        code: The code with which a server answers it.
        reason: A sentence for the sender.
        ref: The ``ref`` of the message, if it has one that can be read.
    """

    def __init__(
        self,
        reason: str,
        *,
        code: ErrorCode = ErrorCode.BAD_MESSAGE,
        ref: str | float | None = None,
    ) -> None:
        self.code = code
        self.reason = reason
        self.ref = ref
        super().__init__(reason)


class ListenFailed(SignalingError, OSError):
    """The server could not listen where it was told to.

    Attributes:
        host: The address or name it was to listen at.
        port: The port.
    """

    def __init__(self, host: str, port: int, cause: OSError) -> None:
        self.host = host
        self.port = port
        super().__init__(
            f"The signaling server cannot listen at {host} port {port}: {cause.strerror or cause}. "
            "Choose another port, or stop what uses this one"
        )


class Unreachable(SignalingError, ConnectionError):
    """No WebSocket could be opened to the signaling server.

    Attributes:
        url: The URL of the server.
    """

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(
            f"The signaling server at {printable(public_url(url))} cannot be reached: "
            f"{printable(reason)}. "
            "Check the address, its path, and that the server runs"
        )


_REMEDIES = {
    ErrorCode.UNAUTHORIZED: "Ask for a new token",
    ErrorCode.ROOM_FULL: "Try again later, or take another room",
    ErrorCode.NAME_TAKEN: "Take another name",
    ErrorCode.VERSION: "Use versions of client and server that belong together",
}


class JoinRefused(SignalingError):
    """The server did not let this client into the room.

    Attributes:
        code: Why, as in :class:`ErrorCode`; a newer server may know more codes.
        reason: The server's sentence, as it came.
    """

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        self.reason = reason
        remedy = next((words for known, words in _REMEDIES.items() if known == code), "")
        super().__init__(
            f"Joining was refused ({printable(code, 64)}): {printable(reason)} {remedy}".rstrip()
        )


class SendQueueFull(SignalingError):
    """The connection is down and as many messages wait for it as are kept.

    Attributes:
        waiting: How many messages wait.
    """

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        super().__init__(
            f"The signaling connection is down and {waiting} messages wait for it already. "
            "This one was not sent; send it again when the connection is back"
        )


class SignalingLost(SignalingError):
    """The seat in the room is lost for good; what was in progress does not go on by itself.

    Attributes:
        reason: What happened.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"The seat in the room is lost: {printable(reason)}. Connect again to join anew"
        )


class SignalingClosed(SignalingError):
    """The client is not open: it was closed, has lost its seat for good, or was never entered."""

    def __init__(self) -> None:
        super().__init__(
            "This signaling client is not open: it was closed, has lost its seat for good, or was "
            "never entered. Use it inside `async with connect(...)`"
        )

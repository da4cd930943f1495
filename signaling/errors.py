"""Errors of the signaling client and server.

::

    SignalingError
    ├── InvalidUrl (also ValueError)
    ├── MessageError (also ValueError)
    ├── ListenFailed (also OSError)
    ├── Unreachable (also ConnectionError)
    ├── JoinRefused
    ├── TokenRefused
    ├── TokenUnavailable
    ├── InvalidTokenKeys (also ValueError)
    ├── InvalidWebhook (also ValueError)
    ├── ModerationRefused
    ├── SendQueueFull
    ├── SignalingLost
    │   ├── RemovedFromRoom
    │   └── RoomClosed
    └── SignalingClosed

A server answers an invalid message with an ``error`` message (:class:`.messages.Error`). The
exceptions here are raised in the program that uses this package.
"""

from enum import StrEnum

from icefloe import text
from icefloe.text import printable, public_url, quoted


class ErrorCode(StrEnum):
    """The ``code`` of an ``error`` message: the reason why the server refused a message."""

    BAD_MESSAGE = "bad-message"
    """It is not a valid message of this protocol."""

    NOT_JOINED = "not-joined"
    """The first message must be ``join``."""

    ALREADY_JOINED = "already-joined"
    """The connection has joined before; a connection joins only once."""

    VERSION = "version"
    """The server does not support the protocol version of the ``join``."""

    UNAUTHORIZED = "unauthorized"
    """The token does not admit to this room under this name."""

    TOKEN_MISSING = "token-missing"
    """The server admits by tokens, and the ``join`` has none."""

    TOKEN_MALFORMED = "token-malformed"
    """The token is too long, not a JSON Web Token, or a claim is missing or of the wrong type."""

    TOKEN_ALGORITHM = "token-algorithm"
    """The token names an algorithm that the server has no key for, such as ``none``."""

    TOKEN_SIGNATURE = "token-signature"
    """No key of the server has signed the token."""

    TOKEN_EXPIRED = "token-expired"
    """The token has expired."""

    TOKEN_NOT_YET = "token-not-yet"
    """The token is not valid yet."""

    TOKEN_AUDIENCE = "token-audience"
    """The token is for another server."""

    TOKEN_ROOM = "token-room"
    """The token is for another room."""

    TOKEN_NAME = "token-name"
    """The token is for another name."""

    TOKEN_RIGHTS = "token-rights"
    """The token does not give the right to join."""

    REMOVED = "removed"
    """The holder of the token was removed from the room."""

    ADMISSION_FAILED = "admission-failed"
    """The server could not decide: its database or service has failed or was too slow."""

    ROOM_LOCKED = "room-locked"
    """The room is locked: only moderators enter it."""

    ROOM_CLOSED = "room-closed"
    """The room was closed a moment ago."""

    NOT_ALLOWED = "not-allowed"
    """The participant does not have the right to moderate."""

    ROOM_FULL = "room-full"
    """The room, the server or the client's address has reached a limit."""

    NAME_TAKEN = "name-taken"
    """Another participant of the room has this name."""

    RESUME_FAILED = "resume-failed"
    """The seat is gone; join without ``resume``."""

    PEER_UNAVAILABLE = "peer-unavailable"
    """The peer is not in the room, or its queue of messages is full; the message was not sent."""

    RATE_LIMITED = "rate-limited"
    """The connection sends too fast and is now read more slowly; no message was dropped."""


class SignalingError(text.PrintableError):
    """The base class of all errors of ``icefloe.signaling``."""


class InvalidUrl(SignalingError, ValueError):
    """The address of the signaling server is not a WebSocket URL.

    Attributes:
        url: The invalid URL.
        reason: The reason why it is invalid; may be empty.
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
    """A received message, or a message to be sent, is not valid in the signaling protocol.

    Attributes:
        code: The error code with which a server answers it.
        reason: A sentence for the sender.
        ref: The ``ref`` of the message; ``None`` if it has no valid one.
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
    """The server could not listen on its address and port.

    Attributes:
        host: The address or host name.
        port: The TCP port.
    """

    def __init__(self, host: str, port: int, cause: OSError) -> None:
        self.host = host
        self.port = port
        super().__init__(
            f"The signaling server cannot listen on {host} port {port}: {cause.strerror or cause}. "
            "Choose another port, or stop the program that uses this one"
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
    ErrorCode.TOKEN_MISSING: "Ask for a token",
    ErrorCode.TOKEN_EXPIRED: "Ask for a new token",
    ErrorCode.ADMISSION_FAILED: "Try again later",
    ErrorCode.ROOM_LOCKED: "Ask a moderator of the room to unlock it",
    ErrorCode.ROOM_FULL: "Try again later, or take another room",
    ErrorCode.NAME_TAKEN: "Take another name",
    ErrorCode.VERSION: "Use versions of client and server that belong together",
}


class JoinRefused(SignalingError):
    """The server did not let this client into the room.

    Attributes:
        code: The error code, as in :class:`ErrorCode`; a newer server may send other codes.
        reason: The sentence from the server, unescaped.
    """

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        self.reason = reason
        remedy = next((words for known, words in _REMEDIES.items() if known == code), "")
        super().__init__(
            f"Joining was refused ({printable(code, 64)}): {printable(reason)} {remedy}".rstrip()
        )


class TokenRefused(SignalingError):
    """A join token does not admit to a room; raised by :func:`.verify_token`.

    Attributes:
        code: The reason.
        reason: The reason as a sentence.
    """

    def __init__(self, code: ErrorCode, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


class TokenUnavailable(SignalingError):
    """The function that gives the client its token has failed, or took too long.

    Attributes:
        reason: The cause.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"There is no token to join with: {printable(reason)}. See to what gives it, and "
            "connect again"
        )


class InvalidTokenKeys(SignalingError, ValueError):
    """The keys of join tokens cannot be used.

    Attributes:
        reason: The cause.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"These are no keys for join tokens: {printable(reason)}. Give a secret of at least 32 "
            "characters a line, or Ed25519 keys in PEM"
        )


class InvalidWebhook(SignalingError, ValueError):
    """The URL or the secret of a webhook cannot be used.

    Attributes:
        reason: The cause; it quotes neither.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"This is no webhook: {reason}")


class ModerationRefused(SignalingError):
    """The server did not remove a participant, lock or close the room, or hand the right over.

    Attributes:
        code: The error code, as in :class:`ErrorCode`; a newer server may send other codes.
        reason: The sentence from the server, unescaped.
    """

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"The server refused ({printable(code, 64)}): {printable(reason)}")


class SendQueueFull(SignalingError):
    """The signaling connection is down, and the queue of messages for it is full.

    Attributes:
        waiting: The number of messages that wait.
    """

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        super().__init__(
            f"The signaling connection is down and {waiting} messages wait for it already. "
            "This one was not sent; send it again when the connection is back"
        )


class SignalingLost(SignalingError):
    """The client has lost its seat in the room for good and does not reconnect.

    Attributes:
        reason: The cause.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"The seat in the room is lost: {printable(reason)}. Connect again to join anew"
        )


class RemovedFromRoom(SignalingLost):
    """A moderator has removed this client from the room."""

    def __init__(self) -> None:
        super().__init__("a moderator has removed this participant from the room")


class RoomClosed(SignalingLost):
    """A moderator has closed the room."""

    def __init__(self) -> None:
        super().__init__("a moderator has closed the room")


class SignalingClosed(SignalingError):
    """The client is not open: it was closed, has lost its seat for good, or was never entered."""

    def __init__(self) -> None:
        super().__init__(
            "This signaling client is not open: it was closed, has lost its seat for good, or was "
            "never entered. Use it inside `async with connect(...)`"
        )

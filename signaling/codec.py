"""JSON codec of the signaling messages: decoding with validation and limits, encoding. No I/O.

For any input, :func:`decode_client` and :func:`decode_server` return a message or raise
:exc:`MessageError`.
"""

import json
import re
from typing import Any, get_args

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from icefloe._util.foreign_json import decode

from .errors import ErrorCode, MessageError, SignalingLost
from .messages import (
    VERSION,
    Bye,
    Candidate,
    ClientMessage,
    Description,
    Id,
    Join,
    Leave,
    Message,
    Ref,
    Report,
    Seq,
    ServerMessage,
    ToModerate,
)

CLIENT_LIMIT = 64 * 1024
"""The largest message from a client, except for descriptions, in bytes of UTF-8."""

DESCRIPTION_LIMIT = 256 * 1024
"""The largest ``description`` message from a client, in bytes of UTF-8; enough for 300 tracks. It
is a quarter of the bytes kept for a receiver (:data:`.outbox.BYTES_KEPT`), so that one message
never fills them."""

SERVER_LIMIT = 1024 * 1024
"""The largest message from a server, in bytes of UTF-8."""

DEPTH_LIMIT = 64
"""The deepest nesting of objects and arrays, including the message itself."""

_REASON_LIMIT = 200  # characters of an error that may quote the received message


class _RawMessage(Struct, frozen=True, tag="message"):
    to: Id
    data: Raw
    ref: Ref = UNSET
    seq: Seq = UNSET


_Received = Join | Description | Candidate | _RawMessage | Bye | Leave | ToModerate | Report


class _Outline(Struct):
    """The fields of an invalid message that its error needs."""

    type: Any = None
    version: Any = None
    ref: Ref = UNSET


_client: msgspec.json.Decoder[_Received] = msgspec.json.Decoder(_Received)
_server: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)
_outline = msgspec.json.Decoder(_Outline)
_anything = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_dumps = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode

_SERVER_TYPES = {str(member.__struct_config__.tag) for member in get_args(ServerMessage)}

# A string without a closing quote matches to the end of the text. Otherwise the search would start
# again at each quote in it, and its time would grow with the square of the length.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BRACES_TO_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def is_too_deep(text: bytes) -> bool:
    """Return whether JSON is nested more deeply than :data:`DEPTH_LIMIT`.

    The result for text that is not JSON is unspecified.
    """
    third = text.find(b"{", text.find(b"{", text.find(b"{") + 1) + 1)
    if third < 0 and b"[" not in text:
        return False  # nearly all messages, without a look at each byte
    if text.count(b"[") + text.count(b"{") <= DEPTH_LIMIT:
        return False
    brackets = _STRING.sub(b"", text).translate(_BRACES_TO_BRACKETS, _NOT_BRACKETS)
    for _ in range(DEPTH_LIMIT):
        # Removes the innermost level everywhere.
        before, brackets = brackets, brackets.replace(b"[]", b"")
        if not brackets:
            return False
        if len(brackets) == len(before):
            break
    return True


def decode_client(frame: str | bytes) -> ClientMessage:
    """Decode and validate a message from a client.

    Args:
        frame: One WebSocket message.

    Returns:
        The message; the ``data`` of a :class:`Message` is :class:`msgspec.Raw`.

    Raises:
        MessageError: The message is invalid; ``code`` is ``bad-message`` or ``version``.
    """
    text = frame if isinstance(frame, bytes) else _encoded(frame)
    _check(text, DESCRIPTION_LIMIT)
    try:
        received = _client.decode(text)
        if isinstance(received, Description):
            return received
        _check_size(text, CLIENT_LIMIT)
        if isinstance(received, Candidate):
            return received
        message = _from_received(received)
    except MessageError:
        raise
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _explain(text, error) from error
    if isinstance(message, Join) and message.version != VERSION:
        raise _wrong_version(message.ref)
    return message


def decode_server(frame: str | bytes) -> ServerMessage:
    """Decode and validate a message from the server.

    Args:
        frame: One WebSocket message.

    Raises:
        MessageError: The message is invalid.
    """
    text = frame if isinstance(frame, bytes) else _encoded(frame)
    _check(text, SERVER_LIMIT)
    try:
        return decode(text, _server)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _explain(text, error) from error


def receive_server(frame: str | bytes) -> ServerMessage | None:
    """Decode a message of the server for a client; ``None`` if only newer clients know its type.

    Raises:
        SignalingLost: The message is invalid.
    """
    try:
        return decode_server(frame)
    except MessageError as error:
        if is_of_unknown_type(frame):
            return None
        raise SignalingLost(f"the server does not keep to the protocol: {error}") from error


def is_of_unknown_type(frame: str | bytes) -> bool:
    """Return whether a message that :func:`decode_server` refused has an unknown ``type``.

    Such messages come from newer servers and are to be ignored.
    """
    try:
        outline = _outline.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return isinstance(outline.type, str) and outline.type not in _SERVER_TYPES


def encode_client(message: ClientMessage) -> bytes:
    """Encode a message from a client.

    Returns:
        JSON in UTF-8 that :func:`decode_client` accepts.

    Raises:
        MessageError: A field or the application's data cannot be sent; the error names it.
    """
    try:
        if isinstance(message, Message) and not isinstance(message.data, Raw):
            # The json module refuses NaN and bytes, which msgspec would convert.
            data = _dumps(message.data).encode()
            message = Message(message.to, Raw(data), message.ref, message.seq)
        text = _encoder.encode(message)
    except (TypeError, ValueError, RecursionError) as error:
        raise MessageError(f"This message cannot be expressed in JSON: {error}.") from error
    decode_client(text)
    return text


def encode_server(message: ServerMessage) -> bytes:
    """Encode a message from the server, as JSON in UTF-8."""
    return _encoder.encode(message)


def _from_received(received: _Received) -> ClientMessage:
    if not isinstance(received, _RawMessage):
        return received
    # The server forwards the data as it came, so it must be JSON that the receiver can decode.
    decode(bytes(received.data), _anything)
    return Message(received.to, received.data, received.ref, received.seq)


def _encoded(frame: str) -> bytes:
    try:
        return frame.encode()
    except UnicodeEncodeError as error:
        raise MessageError("The message is not valid Unicode.") from error


def _check(text: bytes, limit: int) -> None:
    if len(text) > limit:
        _check_size(text, limit)
    if is_too_deep(text):
        raise MessageError(f"The message is nested more than {DEPTH_LIMIT} levels deep.")


def _check_size(text: bytes, limit: int) -> None:
    if len(text) > limit:
        raise MessageError(f"The message has {len(text)} bytes; at most {limit} are allowed.")


def _explain(text: bytes, error: Exception) -> MessageError:
    try:
        outline = _outline.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        outline = _Outline()
    if outline.type == "join" and type(outline.version) is int and outline.version != VERSION:
        return _wrong_version(outline.ref)
    reason = str(error).rstrip(".")
    if len(reason) > _REASON_LIMIT:
        reason = reason[:_REASON_LIMIT] + "…"
    return MessageError(f"This is not a message of the protocol: {reason}.", ref=_echo(outline.ref))


def _wrong_version(ref: Ref) -> MessageError:
    return MessageError(
        f"This server speaks version {VERSION} of the protocol.",
        code=ErrorCode.VERSION,
        ref=_echo(ref),
    )


def _echo(ref: Ref) -> str | float | None:
    return None if isinstance(ref, UnsetType) else ref

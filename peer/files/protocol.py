"""Messages of the file transfer protocol, version 1, their limits and their codec. No I/O.

One data channel, ordered and reliable, with the subprotocol :data:`PROTOCOL`, carries one transfer.
Text messages are JSON objects with a ``type``; binary messages are data. In order:

====================  ====================================================================
``entries``  S → R    files and folders, in batches
``offer``    S → R    the offer is complete; number of entries and bytes
``decline``  R → S    the receiver declines; the transfer ends
``kept``     R → S    parts kept from an earlier attempt, in batches: length and hash
``accept``   R → S    the receiver accepts
``begin``    S → R    data of a file follows, from an offset on
data         S → R    :data:`HEADER`, then bytes of the file
``end``      S → R    the file is complete; its length, and the hash of all of it
``ack``      R → S    the bytes of a file up to an offset are written
``done``     R → S    a file is verified and in its place
``finish``   S → R    all files were sent
``finished`` R → S    all files are in their places; the transfer ends
``failed``   both     the transfer ends with an error
====================  ====================================================================

Hashes are BLAKE2b with 32 bytes (RFC 7693) from the first byte of a file on. At most
:data:`WINDOW` bytes are sent without being acknowledged, which bounds the memory of the receiver
and the data lost when the connection breaks.
"""

import hashlib
import struct
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from .errors import TransferErrorCode, TransferFailed

PROTOCOL: Final = "icefloe-transfer-1"
"""The subprotocol of the data channel."""

WINDOW: Final = 4 * 1024 * 1024
"""Bytes that may be sent without being acknowledged."""

FILE_COST: Final = 4096
"""Bytes that a file counts in the window until it is done, in addition to its data."""

BLOCK: Final = 64 * 1024
"""The largest data message, in bytes, including its header; less if the remote peer takes less."""

ACK_EVERY: Final = 256 * 1024
"""Bytes of a file after which the receiver acknowledges them."""

BATCH: Final = 24 * 1024
"""Bytes of the entries in one message, approximately."""

MAX_ENTRIES: Final = 100_000
"""Files and folders in one transfer."""

MAX_OFFER_BYTES: Final = 16 * 1024 * 1024
"""Bytes of the paths of all entries in UTF-8, with :data:`ENTRY_COST` for each."""

ENTRY_COST: Final = 64
"""Bytes that an entry counts in an offer in addition to its path."""

MESSAGE_LIMIT: Final = 256 * 1024
"""The largest message accepted, in bytes; for text in UTF-8."""

MAX_PATH_BYTES: Final = 4096
"""Bytes of a path in UTF-8."""

STOPPED: Final = "the receiver stopped it"
"""The detail that the sender gets in place of a private error of the receiver."""

EARLIEST: Final = -(2**62)
"""The earliest modification time in a message, in nanoseconds since the epoch (in 1823)."""

LATEST: Final = 2**62 - 1
"""The latest modification time in a message (in 2116)."""

HEADER: Final = struct.Struct("!IQ")
"""The header of a data message: index of the file, offset of the data in it."""

_Index = Annotated[int, Meta(ge=0, lt=MAX_ENTRIES)]
_Length = Annotated[int, Meta(ge=0, le=2**53)]  # exact in a JavaScript number
_Name = Annotated[str, Meta(min_length=1, max_length=MAX_PATH_BYTES)]
_Hash = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Detail = Annotated[str, Meta(max_length=1000)]


class Entry(Struct, frozen=True, omit_defaults=True):
    """A file or a folder.

    Attributes:
        path: Its path relative to the folder of the receiver, with ``/`` between folders.
        size: Its size in bytes when it was offered; ``None`` for a folder, and for a stream of
            unknown size.
        folder: Whether it is a folder.
        mode: POSIX permission bits; ``None`` if there are none.
        mtime: The modification time in nanoseconds since the epoch; ``None`` if it is unknown,
            before :data:`EARLIEST` or after :data:`LATEST`.
    """

    path: _Name
    size: _Length | None = None
    folder: bool = False
    mode: Annotated[int, Meta(ge=0, le=0o777)] | None = None
    mtime: Annotated[int, Meta(ge=EARLIEST, le=LATEST)] | None = None


class Entries(Struct, frozen=True, tag="entries"):
    """A batch of the offered entries."""

    entries: Annotated[list[Entry], Meta(max_length=5000)]


class Offer(Struct, frozen=True, tag="offer"):
    """The end of the offer.

    Attributes:
        count: The number of entries.
        size: Bytes of all files whose size is known.
    """

    count: Annotated[int, Meta(ge=0, le=MAX_ENTRIES)]
    size: _Length


class Decline(Struct, frozen=True, tag="decline"):
    """The receiver declines the files.

    Attributes:
        reason: A sentence for the sender.
    """

    reason: _Detail = ""


class Kept(Struct, frozen=True):
    """The part of a file that the receiver has kept from an earlier attempt.

    Attributes:
        index: The index of the file among the entries.
        size: Bytes from the beginning of the file.
        hash: The hash of these bytes.
    """

    index: _Index
    size: _Length
    hash: _Hash


class Have(Struct, frozen=True, tag="kept"):
    """A batch of kept parts."""

    kept: Annotated[list[Kept], Meta(max_length=5000)]


class Accept(Struct, frozen=True, tag="accept"):
    """The receiver accepts the files."""


class Begin(Struct, frozen=True, tag="begin"):
    """The beginning of the data of a file.

    Attributes:
        index: The index of the file.
        offset: The offset of the first byte that is sent: the size of the kept part if that part is
            valid, otherwise 0.
    """

    index: _Index
    offset: _Length


class End(Struct, frozen=True, tag="end"):
    """The end of the data of a file.

    Attributes:
        index: The index of the file.
        size: Its size in bytes.
        hash: The hash of the whole file.
    """

    index: _Index
    size: _Length
    hash: _Hash


class Ack(Struct, frozen=True, tag="ack"):
    """Acknowledges data that is written.

    Attributes:
        index: The index of the file.
        offset: All bytes before this offset are written.
    """

    index: _Index
    offset: _Length


class Done(Struct, frozen=True, tag="done"):
    """A file is verified and in its place."""

    index: _Index


class Finish(Struct, frozen=True, tag="finish"):
    """All files were sent."""


class Finished(Struct, frozen=True, tag="finished"):
    """All files are in place."""


class Failed(Struct, frozen=True, tag="failed"):
    """The transfer cannot be completed.

    Attributes:
        code: The reason, as in :class:`TransferErrorCode`.
        detail: A description of what happened.
        path: The file that the error is about; empty if it is about none.
    """

    code: Annotated[str, Meta(max_length=64)]
    detail: _Detail = ""
    path: Annotated[str, Meta(max_length=MAX_PATH_BYTES)] = ""

    def error(self) -> TransferFailed:
        """Return the exception for the program that receives this message."""
        return TransferFailed(self.code, self.path, self.detail, here=False)

    @classmethod
    def of(cls, error: TransferFailed) -> "Failed":
        """Return the message for an error, without private details of this machine."""
        if error.private:
            return cls(TransferErrorCode.CANCELLED, STOPPED)
        # File names of this system need not be valid Unicode.
        detail, path = (
            text.encode(errors="replace").decode() for text in (error.detail, error.path)
        )
        return cls(error.code, detail[:1000], path[:MAX_PATH_BYTES])


class Data(Struct, frozen=True):
    """Bytes of a file, as a binary message.

    Attributes:
        index: The index of the file.
        offset: The offset of the bytes in the file.
        data: The bytes.
    """

    index: int
    offset: int
    data: bytes


FromSender: TypeAlias = Entries | Offer | Begin | End | Finish | Failed
FromReceiver: TypeAlias = Decline | Have | Accept | Ack | Done | Finished | Failed

_from_sender: msgspec.json.Decoder[FromSender] = msgspec.json.Decoder(FromSender)
_from_receiver: msgspec.json.Decoder[FromReceiver] = msgspec.json.Decoder(FromReceiver)
_encoder = msgspec.json.Encoder()
_DECODE_ERRORS = msgspec.DecodeError, RecursionError  # the latter for deeply nested JSON


def encode(message: FromSender | FromReceiver | Data) -> str | bytes:
    """Encode a message: text for a JSON message, bytes for data."""
    if isinstance(message, Data):
        return HEADER.pack(message.index, message.offset) + message.data
    return _encoder.encode(message).decode()


def decode_from_sender(message: str | bytes) -> FromSender | Data:
    """Decode and validate a message from a sender.

    Raises:
        TransferFailed: The message is invalid.
    """
    _check_size(message)
    if isinstance(message, bytes):
        if len(message) <= HEADER.size:
            raise _invalid("a data message without data")
        index, offset = HEADER.unpack_from(message)
        return Data(index, offset, message[HEADER.size :])
    try:
        decoded = _from_sender.decode(message)
    except _DECODE_ERRORS as error:
        raise _invalid(str(error)) from error
    if isinstance(decoded, Entries) and any(
        len(entry.path) * 4 > MAX_PATH_BYTES and len(entry.path.encode()) > MAX_PATH_BYTES
        for entry in decoded.entries
    ):
        raise _invalid(f"a path has more than {MAX_PATH_BYTES} bytes")
    return decoded


def decode_from_receiver(message: str | bytes) -> FromReceiver:
    """Decode and validate a message from a receiver.

    Raises:
        TransferFailed: The message is invalid.
    """
    if isinstance(message, bytes):
        raise _invalid("a receiver sends no data")
    _check_size(message)
    try:
        return _from_receiver.decode(message)
    except _DECODE_ERRORS as error:
        raise _invalid(str(error)) from error


def _check_size(message: str | bytes) -> None:
    size = len(message)
    if isinstance(message, str) and size <= MESSAGE_LIMIT < size * 4:
        size = len(message.encode(errors="replace"))
    if size > MESSAGE_LIMIT:
        raise _invalid(f"it has more than {MESSAGE_LIMIT} bytes")


def cost(entry: Entry) -> int:
    """Return the bytes that an entry counts in an offer."""
    return len(entry.path.encode(errors="replace")) + ENTRY_COST


def violation(detail: str) -> TransferFailed:
    """Return the error for a message that violates the protocol."""
    return TransferFailed(TransferErrorCode.PROTOCOL, "", detail)


def _invalid(reason: str) -> TransferFailed:
    return violation(f"a message cannot be read: {reason[:300]}")


def batches(entries: list[Entry]) -> list[Entries]:
    """Return messages that offer the entries, each of about :data:`BATCH` bytes."""
    found: list[Entries] = []
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += len(_encoder.encode(entry))
        if size >= BATCH:
            found.append(Entries(batch))
            batch, size = [], 0
    if batch:
        found.append(Entries(batch))
    return found


def new_hash() -> "hashlib.blake2b":
    """Return a new BLAKE2b hash object with a digest of 32 bytes."""
    return hashlib.blake2b(digest_size=32)

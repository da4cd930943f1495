"""What the two ends of a transfer say to each other, version 1. No I/O.

One data channel, ordered and reliable, with the subprotocol :data:`PROTOCOL`, carries one transfer.
Text messages are JSON objects with a ``type``; binary messages are data. In order:

====================  ====================================================================
``entries``  S → R    files and folders, in batches
``offer``    S → R    that was all; how much it is
``decline``  R → S    the end
``kept``     R → S    what of them is there already, in batches: a length and a hash of it
``accept``   R → S    that was all
``begin``    S → R    a file follows, from an offset on
data         S → R    :data:`HEADER`, then bytes of the file
``end``      S → R    its length, and the hash of all of it
``ack``      R → S    so many bytes of a file are written
``done``     R → S    a file is verified and in its place
``finish``   S → R    all files were sent
``finished`` R → S    all are in place; the end
``failed``   both     the end, and why
====================  ====================================================================

Hashes are BLAKE2b with 32 bytes (RFC 7693) from the first byte of a file on. At most
:data:`WINDOW` bytes that were sent are not acknowledged: this bounds the memory of the receiver
and what a break can cost.
"""

import hashlib
import struct
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from .errors import Failure, TransferFailed

PROTOCOL: Final = "icefloe-transfer-1"
"""The subprotocol of the data channel."""

WINDOW: Final = 4 * 1024 * 1024
"""Bytes that may be sent and not acknowledged."""

FILE_COST: Final = 4096
"""What a file counts in the window until it is done, beside its bytes: a name, a sync."""

BLOCK: Final = 64 * 1024
"""The largest data message, in bytes, header included; smaller if the other side takes less."""

ACK_EVERY: Final = 256 * 1024
"""Bytes of a file after which the receiver acknowledges; at the end of a file in any case."""

BATCH: Final = 24 * 1024
"""Bytes of entries in one message, about."""

MOST_ENTRIES: Final = 100_000
"""Files and folders in one transfer."""

MOST_OFFERED: Final = 16 * 1024 * 1024
"""Bytes of the paths of all entries in UTF-8, with :data:`ENTRY_COST` for each."""

ENTRY_COST: Final = 64
"""Bytes that an entry counts in an offer beside its path."""

MESSAGE_LIMIT: Final = 256 * 1024
"""The largest message taken, in bytes; of text in UTF-8."""

LONGEST_PATH: Final = 4096
"""Bytes of a path in UTF-8."""

STOPPED: Final = "the receiver stopped it"
"""Said where the receiver does not go on and the reason is its own affair."""

EARLIEST: Final = -(2**62)
"""The earliest time of change that can be said, in nanoseconds since the epoch: in 1823."""

LATEST: Final = 2**62 - 1
"""The latest one: in 2116."""

HEADER: Final = struct.Struct("!IQ")
"""Index of the file, and offset of the data in it."""

_Index = Annotated[int, Meta(ge=0, lt=MOST_ENTRIES)]
_Length = Annotated[int, Meta(ge=0, le=2**53)]  # exact in a JavaScript number
_Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_PATH)]
_Hash = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Words = Annotated[str, Meta(max_length=1000)]


class Entry(Struct, frozen=True, omit_defaults=True):
    """A file or a folder.

    Attributes:
        path: Its name below what is received, with ``/`` between folders.
        size: Bytes when it was offered; ``None`` for a folder, and for a stream that ends when it
            ends.
        folder: Whether it is a folder.
        mode: Permission bits, as of POSIX; ``None`` if there are none.
        mtime: When it was changed, in nanoseconds since the epoch; ``None`` if that is unknown, or
            before :data:`EARLIEST` or after :data:`LATEST`.
    """

    path: _Name
    size: _Length | None = None
    folder: bool = False
    mode: Annotated[int, Meta(ge=0, le=0o777)] | None = None
    mtime: Annotated[int, Meta(ge=EARLIEST, le=LATEST)] | None = None


class Entries(Struct, frozen=True, tag="entries"):
    """A part of what is offered."""

    entries: Annotated[list[Entry], Meta(max_length=5000)]


class Offer(Struct, frozen=True, tag="offer"):
    """All was offered.

    Attributes:
        count: How many entries there were.
        size: Bytes of all files whose size is known.
    """

    count: Annotated[int, Meta(ge=0, le=MOST_ENTRIES)]
    size: _Length


class Decline(Struct, frozen=True, tag="decline"):
    """The files are not wanted."""

    reason: _Words = ""


class Kept(Struct, frozen=True):
    """What of a file is there already.

    Attributes:
        index: Which file, in the order of the entries.
        size: How many bytes from its beginning on.
        hash: The hash of these.
    """

    index: _Index
    size: _Length
    hash: _Hash


class Have(Struct, frozen=True, tag="kept"):
    """A part of what is there already."""

    kept: Annotated[list[Kept], Meta(max_length=5000)]


class Accept(Struct, frozen=True, tag="accept"):
    """The files are wanted."""


class Begin(Struct, frozen=True, tag="begin"):
    """Data of a file follows.

    Attributes:
        index: Which file.
        offset: From where on; what was kept of it is right up to here, or 0.
    """

    index: _Index
    offset: _Length


class End(Struct, frozen=True, tag="end"):
    """A file is complete.

    Attributes:
        index: Which file.
        size: Its bytes.
        hash: The hash of all of them.
    """

    index: _Index
    size: _Length
    hash: _Hash


class Ack(Struct, frozen=True, tag="ack"):
    """Data is written.

    Attributes:
        index: Of which file.
        offset: Up to where.
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
    """It cannot be completed.

    Attributes:
        code: As in :class:`Failure`.
        detail: What happened.
        path: The file it is about.
    """

    code: Annotated[str, Meta(max_length=64)]
    detail: _Words = ""
    path: Annotated[str, Meta(max_length=LONGEST_PATH)] = ""

    def error(self) -> TransferFailed:
        """Return it as the error that the other side's program gets."""
        return TransferFailed(self.code, self.path, self.detail, here=False)

    @classmethod
    def of(cls, error: TransferFailed) -> "Failed":
        """Return an error as the message that tells of it, but not of what is on this machine."""
        if error.private:
            return cls(Failure.CANCELLED, STOPPED)
        # A name of this system need not be Unicode, and then it cannot be said as it is.
        detail, path = (
            text.encode(errors="replace").decode() for text in (error.detail, error.path)
        )
        return cls(error.code, detail[:1000], path[:LONGEST_PATH])


class Data(Struct, frozen=True):
    """Bytes of a file; a binary message.

    Attributes:
        index: Which file.
        offset: Where they belong.
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
_UNREADABLE = msgspec.DecodeError, RecursionError  # the latter of what is nested too deeply


def encode(message: FromSender | FromReceiver | Data) -> str | bytes:
    """Return a message as it goes over the channel."""
    if isinstance(message, Data):
        return HEADER.pack(message.index, message.offset) + message.data
    return _encoder.encode(message).decode()


def decode_from_sender(message: str | bytes) -> FromSender | Data:
    """Read what a sender sent.

    Raises:
        TransferFailed: It is no message of this protocol.
    """
    _check_size(message)
    if isinstance(message, bytes):
        if len(message) <= HEADER.size:
            raise _nonsense("a data message without data")
        index, offset = HEADER.unpack_from(message)
        return Data(index, offset, message[HEADER.size :])
    try:
        decoded = _from_sender.decode(message)
    except _UNREADABLE as error:
        raise _nonsense(str(error)) from error
    if isinstance(decoded, Entries) and any(
        len(entry.path) * 4 > LONGEST_PATH and len(entry.path.encode()) > LONGEST_PATH
        for entry in decoded.entries
    ):
        raise _nonsense(f"a path has more than {LONGEST_PATH} bytes")
    return decoded


def decode_from_receiver(message: str | bytes) -> FromReceiver:
    """Read what a receiver sent.

    Raises:
        TransferFailed: It is no message of this protocol.
    """
    if isinstance(message, bytes):
        raise _nonsense("a receiver sends no data")
    _check_size(message)
    try:
        return _from_receiver.decode(message)
    except _UNREADABLE as error:
        raise _nonsense(str(error)) from error


def _check_size(message: str | bytes) -> None:
    size = len(message)
    if isinstance(message, str) and size <= MESSAGE_LIMIT < size * 4:
        size = len(message.encode(errors="replace"))
    if size > MESSAGE_LIMIT:
        raise _nonsense(f"it has more than {MESSAGE_LIMIT} bytes")


def cost(entry: Entry) -> int:
    """Return how many bytes an entry counts in an offer."""
    return len(entry.path.encode(errors="replace")) + ENTRY_COST


def violation(detail: str) -> TransferFailed:
    """Return the error for a message that does not belong where it came."""
    return TransferFailed(Failure.PROTOCOL, "", detail)


def _nonsense(reason: str) -> TransferFailed:
    return violation(f"a message cannot be read: {reason[:300]}")


def batches(entries: list[Entry]) -> list[Entries]:
    """Return entries in messages of a moderate size."""
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
    """Return the hash of no bytes."""
    return hashlib.blake2b(digest_size=32)

"""State machine of the sender of a file transfer. No I/O.

Pass the messages of the receiver to :meth:`Sender.receive`. Carry out the steps that
:meth:`Sender.poll_step` returns, one after the other, until it returns ``None``; then wait for the
next message. The steps never exceed the window, which bounds the memory of the caller.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from .errors import TransferDeclined, TransferError, TransferFailed
from .protocol import (
    FILE_COST,
    HEADER,
    MESSAGE_LIMIT,
    WINDOW,
    Accept,
    Ack,
    Begin,
    Data,
    Decline,
    Done,
    End,
    Entry,
    Failed,
    Finish,
    Finished,
    FromReceiver,
    FromSender,
    Have,
    Kept,
    Offer,
    batches,
    violation,
)

_READ_BATCH = 8
"""Data messages read from a file in one call of the disk thread: each call costs as much as several
messages."""


class SenderState(StrEnum):
    """The state of a sender."""

    OFFERING = "offering"
    """The receiver has not accepted or declined the files yet."""

    SENDING = "sending"
    """The receiver has accepted the files."""

    FINISHING = "finishing"
    """All files are sent; the receiver has not confirmed that all are complete."""

    FINISHED = "finished"
    """The receiver has confirmed that all files are complete."""

    FAILED = "failed"
    """The transfer failed or was declined."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message."""

    message: FromSender | Data


@dataclass(frozen=True, slots=True)
class Open:
    """Open a file, and hash its kept part if there is one; then call :meth:`Sender.opened`.

    Attributes:
        index: The index of the file.
        kept: The part of it that the receiver has kept from an earlier attempt.
    """

    index: int
    kept: Kept | None


@dataclass(frozen=True, slots=True)
class Read:
    """Read the next bytes of the open file; then call :meth:`Sender.read`.

    Attributes:
        index: The index of the file.
        size: The largest number of bytes to read.
    """

    index: int
    size: int


Step = Send | Open | Read


class Sender:
    """The sender of a transfer, which sends one file after the other.

    Args:
        entries: The files and folders to send, in this order; a folder precedes its content.
        block: The largest data message, in bytes, including its header.
        window: Bytes that may be sent without being acknowledged.

    Attributes:
        entries: The entries.
        state: The state of the transfer.
        error: The reason of the failure, in state ``FAILED``.
        acknowledged: Bytes that the receiver has, including those kept from an earlier attempt.
        sent: Bytes sent in this attempt.
    """

    def __init__(self, entries: Sequence[Entry], *, block: int, window: int = WINDOW) -> None:
        self.entries: list[Entry] = list(entries)
        self.state: SenderState = SenderState.OFFERING
        self.error: TransferError | None = None
        self.acknowledged: int = 0
        self.sent: int = 0
        self._payload = min(block, MESSAGE_LIMIT) - HEADER.size
        self._window = window
        self._min_read = min(_READ_BATCH * self._payload, window // 4)
        size = sum(entry.size or 0 for entry in self.entries)
        self._waiting: deque[Step] = deque(Send(batch) for batch in batches(self.entries))
        self._waiting.append(Send(Offer(count=len(self.entries), size=size)))
        self._kept: dict[int, Kept] = {}
        self._files = iter([i for i, entry in enumerate(self.entries) if not entry.folder])
        self._open: int | None = None
        self._is_step_pending = False
        self._offset = 0
        self._unfinished: dict[int, _Unfinished] = {}

    @property
    def in_flight(self) -> int:
        """The part of the window in use: unacknowledged bytes, and a cost for each open file."""
        return sum(file.sent - file.acknowledged + FILE_COST for file in self._unfinished.values())

    def poll_step(self) -> Step | None:
        """Return the next step, or ``None`` if there is none until the receiver sends a message.

        After an :class:`Open` or :class:`Read`, call :meth:`opened` or :meth:`read` before calling
        this again.
        """
        if self._waiting:
            return self._waiting.popleft()
        if self.state is not SenderState.SENDING or self._is_step_pending:
            return None
        left = self._window - self.in_flight
        if self._open is None:
            if self._unfinished and left < FILE_COST:
                return None
            index = next(self._files, None)
            if index is None:
                self.state = SenderState.FINISHING
                return Send(Finish())
            self._is_step_pending = True
            return Open(index, self._kept.get(index))
        if left < self._min_read and self._unfinished[self._open].in_flight:
            return None
        self._is_step_pending = True
        messages = max(1, min(left // self._payload, _READ_BATCH))
        return Read(self._open, messages * self._payload)

    # --- results of steps

    def opened(self, index: int, *, kept_is_right: bool) -> None:
        """Record that a file is open.

        Args:
            index: The index of the file.
            kept_is_right: Whether the part that the receiver has kept has the same hash as the
                beginning of the file.
        """
        self._is_step_pending = False
        if self.state is not SenderState.SENDING:
            return
        kept = self._kept.get(index)
        self._offset = kept.size if kept is not None and kept_is_right else 0
        self._open = index
        self._unfinished[index] = _Unfinished(self._offset, self._offset)
        self.acknowledged += self._offset
        self._waiting.append(Send(Begin(index, self._offset)))

    def read(self, data: bytes, *, digest: str | None) -> None:
        """Record the bytes that were read from the open file, which are then sent.

        Args:
            data: The bytes.
            digest: The hash of the whole file if these are its last bytes, otherwise ``None``.
        """
        self._is_step_pending = False
        if self.state is not SenderState.SENDING or self._open is None:
            return
        index = self._open
        for start in range(0, len(data), self._payload):
            part = data[start : start + self._payload]
            self._waiting.append(Send(Data(index, self._offset + start, part)))
        self._offset += len(data)
        self.sent += len(data)
        self._unfinished[index].sent = self._offset
        if digest is not None:
            self._waiting.append(Send(End(index, self._offset, digest)))
            self._open = None

    def fail(self, error: TransferFailed) -> None:
        """End the transfer with an error; the receiver is told if it happened on this side."""
        if self.state in (SenderState.FINISHED, SenderState.FAILED):
            return
        self.state = SenderState.FAILED
        self.error = error
        self._waiting.clear()
        if error.here:
            self._waiting.append(Send(Failed.of(error)))

    # --- messages of the receiver

    def receive(self, message: FromReceiver) -> None:
        """Process a message of the receiver; one that violates the protocol fails the transfer."""
        if self.state in (SenderState.FINISHED, SenderState.FAILED):
            return
        try:
            self._receive(message)
        except TransferFailed as error:
            self.fail(error)

    def _receive(self, message: FromReceiver) -> None:
        match message:
            case Failed():
                self.fail(message.error())
            case Decline() if self.state is SenderState.OFFERING:
                self.state = SenderState.FAILED
                self.error = TransferDeclined(message.reason)
                self._waiting.clear()
            case Have() if self.state is SenderState.OFFERING:
                for kept in message.kept:
                    self._check_kept(kept)
                    self._kept[kept.index] = kept
            case Accept() if self.state is SenderState.OFFERING and not self._waiting:
                self.state = SenderState.SENDING
            case Ack():
                self._on_ack(message.index, message.offset)
            case Done():
                file = self._file(message.index)
                if message.index == self._open or any(
                    isinstance(step, Send)
                    and isinstance(step.message, End)
                    and step.message.index == message.index
                    for step in self._waiting
                ):
                    raise violation("a file was done before it was sent")
                self.acknowledged += file.in_flight
                del self._unfinished[message.index]
            case Finished() if self.state is SenderState.FINISHING and not self._unfinished:
                self.state = SenderState.FINISHED
            case Decline() | Have() | Accept() | Finished():
                raise violation(f"{type(message).__name__} came while {self.state}")
            case _:
                assert_never(message)

    def _check_kept(self, kept: Kept) -> None:
        if kept.index >= len(self.entries) or self.entries[kept.index].folder:
            raise violation(f"there is no file {kept.index}")

    def _on_ack(self, index: int, offset: int) -> None:
        file = self._file(index)
        if not file.acknowledged <= offset <= file.sent:
            raise violation(f"bytes were acknowledged that were not sent: {offset}")
        self.acknowledged += offset - file.acknowledged
        file.acknowledged = offset

    def _file(self, index: int) -> "_Unfinished":
        try:
            return self._unfinished[index]
        except KeyError:
            raise violation(f"file {index} is not being sent") from None


@dataclass(slots=True)
class _Unfinished:
    sent: int
    acknowledged: int

    @property
    def in_flight(self) -> int:
        return self.sent - self.acknowledged

"""The sending side of a transfer as a state machine. No I/O.

Feed :meth:`Sender.receive` what the receiver says, and do what :meth:`Sender.next` returns, one
after the other, until it returns ``None``: then wait for the next message. It never asks for more
than the window allows, so whoever does what it asks for holds a bounded amount.
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

_AT_ONCE = 8
"""Data messages that are read from a file in one go: each way into the disk's thread costs as much
as some of them."""


class SenderState(StrEnum):
    """How far a sender is."""

    OFFERING = "offering"
    """The receiver has not said yet whether it wants the files."""

    SENDING = "sending"
    """It wants them."""

    FINISHING = "finishing"
    """All is sent; the receiver has not said yet that all is in place."""

    FINISHED = "finished"
    """All is in place."""

    FAILED = "failed"
    """It ended before."""


@dataclass(frozen=True, slots=True)
class Say:
    """Send a message."""

    message: FromSender | Data


@dataclass(frozen=True, slots=True)
class Open:
    """Open a file, and hash the kept part if there is one; then call :meth:`Sender.opened`.

    Attributes:
        index: Which file.
        kept: What the receiver has of it.
    """

    index: int
    kept: Kept | None


@dataclass(frozen=True, slots=True)
class Read:
    """Read on in the open file; then call :meth:`Sender.read`.

    Attributes:
        index: Which file.
        size: How many bytes at most; fewer than these end the file.
    """

    index: int
    size: int


Step = Say | Open | Read


class Sender:
    """Sends entries, each file whole before the next.

    Args:
        entries: What to send, in this order; a folder before what is in it.
        block: The largest data message, in bytes.
        window: Bytes that may be sent and not acknowledged.

    Attributes:
        entries: The entries.
        state: How far it is.
        error: Why it failed, in state ``FAILED``.
        acknowledged: Bytes that the receiver has, with what it kept from before.
        sent: Bytes that were sent this time.
    """

    def __init__(self, entries: Sequence[Entry], *, block: int, window: int = WINDOW) -> None:
        self.entries = list(entries)
        self.state = SenderState.OFFERING
        self.error: TransferError | None = None
        self.acknowledged = 0
        self.sent = 0
        self._payload = min(block, MESSAGE_LIMIT) - HEADER.size
        self._window = window
        self._worthwhile = min(_AT_ONCE * self._payload, window // 4)
        size = sum(entry.size or 0 for entry in self.entries)
        self._waiting: deque[Step] = deque(Say(batch) for batch in batches(self.entries))
        self._waiting.append(Say(Offer(count=len(self.entries), size=size)))
        self._kept: dict[int, Kept] = {}
        self._files = iter([i for i, entry in enumerate(self.entries) if not entry.folder])
        self._open: int | None = None
        self._is_asked = False
        self._offset = 0
        self._unfinished: dict[int, _Unfinished] = {}

    @property
    def in_flight(self) -> int:
        """What the window is charged with: bytes not acknowledged, and files not done."""
        return sum(file.sent - file.acknowledged + FILE_COST for file in self._unfinished.values())

    def next(self) -> Step | None:
        """Return what to do next; ``None`` if there is nothing until the receiver says something.

        A file that was to be opened or read is to be dealt with before it is called again.
        """
        if self._waiting:
            return self._waiting.popleft()
        if self.state is not SenderState.SENDING or self._is_asked:
            return None
        left = self._window - self.in_flight
        if self._open is None:
            if self._unfinished and left < FILE_COST:
                return None
            index = next(self._files, None)
            if index is None:
                self.state = SenderState.FINISHING
                return Say(Finish())
            self._is_asked = True
            return Open(index, self._kept.get(index))
        if left < self._worthwhile and self._unfinished[self._open].in_flight:
            return None
        self._is_asked = True
        messages = max(1, min(left // self._payload, _AT_ONCE))
        return Read(self._open, messages * self._payload)

    # --- what was done

    def opened(self, index: int, *, kept_is_right: bool) -> None:
        """Note that a file is open.

        Args:
            index: Which.
            kept_is_right: Whether the hash of the kept part is that of the source, up to there.
        """
        self._is_asked = False
        if self.state is not SenderState.SENDING:
            return
        kept = self._kept.get(index)
        self._offset = kept.size if kept is not None and kept_is_right else 0
        self._open = index
        self._unfinished[index] = _Unfinished(self._offset, self._offset)
        self.acknowledged += self._offset
        self._waiting.append(Say(Begin(index, self._offset)))

    def read(self, data: bytes, *, digest: str | None) -> None:
        """Note what was read from the open file.

        Args:
            data: The bytes.
            digest: At the end of the file the hash of all of it, and ``None`` before.
        """
        self._is_asked = False
        if self.state is not SenderState.SENDING or self._open is None:
            return
        index = self._open
        for start in range(0, len(data), self._payload):
            part = data[start : start + self._payload]
            self._waiting.append(Say(Data(index, self._offset + start, part)))
        self._offset += len(data)
        self.sent += len(data)
        self._unfinished[index].sent = self._offset
        if digest is not None:
            self._waiting.append(Say(End(index, self._offset, digest)))
            self._open = None

    def fail(self, error: TransferFailed) -> None:
        """Note that it cannot be completed, for a reason on this side; the receiver is told."""
        if self.state in (SenderState.FINISHED, SenderState.FAILED):
            return
        self.state = SenderState.FAILED
        self.error = error
        self._waiting.clear()
        if error.here:
            self._waiting.append(Say(Failed.of(error)))

    # --- what the receiver says

    def receive(self, message: FromReceiver) -> None:
        """Take a message of the receiver; one that does not belong there fails the transfer."""
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
                    isinstance(step, Say)
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

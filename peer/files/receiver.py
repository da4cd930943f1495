"""The receiving side of a transfer as a state machine. No I/O.

Feed :meth:`Receiver.receive` what the sender says, and do what it returns in this order, each after
the one before it is done: to write, to close, to say. What is written is told by
:meth:`Receiver.written`, so that nothing is acknowledged before.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from .errors import TransferFailed
from .protocol import (
    ACK_EVERY,
    MOST_ENTRIES,
    MOST_OFFERED,
    Accept,
    Ack,
    Begin,
    Data,
    Decline,
    Done,
    End,
    Entries,
    Entry,
    Failed,
    Finish,
    Finished,
    FromReceiver,
    FromSender,
    Have,
    Kept,
    Offer,
    cost,
    violation,
)


class ReceiverState(StrEnum):
    """How far a receiver is."""

    LISTENING = "listening"
    """The offer is not complete yet."""

    OFFERED = "offered"
    """It is, and this side has to say whether it wants the files."""

    RECEIVING = "receiving"
    """It does."""

    FINISHED = "finished"
    """All is in place."""

    FAILED = "failed"
    """It ended before."""


@dataclass(frozen=True, slots=True)
class Say:
    """Send a message."""

    message: FromReceiver


@dataclass(frozen=True, slots=True)
class Open:
    """Open a file to be written from an offset on."""

    index: int
    offset: int


@dataclass(frozen=True, slots=True)
class Write:
    """Write at an offset of the open file; then call :meth:`Receiver.written`."""

    index: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Verify the open file, and put it in its place; then call :meth:`Receiver.closed`."""

    index: int
    size: int
    hash: str


@dataclass(frozen=True, slots=True)
class Complete:
    """All files are closed: give the folders their times; then call :meth:`Receiver.completed`."""


Step = Say | Open | Write | Close | Complete


class Receiver:
    """Receives what a :class:`~.sender.Sender` sends.

    Attributes:
        entries: What is offered, complete in state ``OFFERED`` and after.
        size: Bytes of all files whose size is known.
        state: How far it is.
        error: Why it failed, in state ``FAILED``.
        written_bytes: Bytes that are written, with what was kept from before.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._offered = 0
        self.size = 0
        self.state = ReceiverState.LISTENING
        self.error: TransferFailed | None = None
        self.written_bytes = 0
        self._open: int | None = None
        self._offset = 0
        self._written = 0
        self._acknowledged = 0
        self._seen: set[int] = set()
        self._kept: dict[int, int] = {}
        self._to_come = 0
        self._is_finishing = False

    # --- what this side decides and did

    def accept(self, kept: Iterable[Kept]) -> list[Step]:
        """Want the files.

        Args:
            kept: What of them is there already.

        Returns:
            What to do.
        """
        if self.state is not ReceiverState.OFFERED:
            return []
        self.state = ReceiverState.RECEIVING
        have = list(kept)
        self._kept = {one.index: one.size for one in have}
        self._to_come = sum(1 for entry in self.entries if not entry.folder)
        told = [Say(Have(have[i : i + 200])) for i in range(0, len(have), 200)]
        return [*told, Say(Accept())]

    def decline(self, reason: str) -> list[Step]:
        """Do not want the files; return what to do."""
        if self.state is not ReceiverState.OFFERED:
            return []
        self.state = ReceiverState.FAILED
        return [Say(Decline(reason[:1000]))]

    def written(self, index: int, offset: int) -> list[Step]:
        """Note that the open file is written up to an offset; return what to do."""
        self.written_bytes += offset - self._written
        self._written = offset
        if offset - self._acknowledged >= ACK_EVERY:
            self._acknowledged = offset
            return [Say(Ack(index, offset))]
        return []

    def closed(self, index: int) -> list[Step]:
        """Note that a file is verified and in its place; return what to do."""
        return [Say(Done(index))]

    def completed(self) -> list[Step]:
        """Note that everything is in its place; return what to do."""
        self.state = ReceiverState.FINISHED
        return [Say(Finished())]

    def fail(self, error: TransferFailed) -> list[Step]:
        """Note that it cannot be completed; return what to do."""
        if self.state in (ReceiverState.FINISHED, ReceiverState.FAILED):
            return []
        was, self.state = self.state, ReceiverState.FAILED
        self.error = error
        if not error.here:
            return []
        if error.private and was is ReceiverState.OFFERED:
            return [Say(Decline())]
        return [Say(Failed.of(error))]

    # --- what the sender says

    def receive(self, message: FromSender | Data) -> list[Step]:
        """Take a message of the sender; return what to do.

        One that does not belong there fails the transfer.
        """
        if self.state in (ReceiverState.FINISHED, ReceiverState.FAILED):
            return []
        try:
            return self._receive(message)
        except TransferFailed as error:
            return self.fail(error)

    def _receive(self, message: FromSender | Data) -> list[Step]:
        match message:
            case Failed():
                return self.fail(message.error())
            case Entries() if self.state is ReceiverState.LISTENING:
                self._offered += sum(map(cost, message.entries))
                if len(self.entries) + len(message.entries) > MOST_ENTRIES:
                    raise violation(f"more than {MOST_ENTRIES} files are offered")
                if self._offered > MOST_OFFERED:
                    raise violation(f"the names offered take more than {MOST_OFFERED} bytes")
                self.entries += message.entries
                return []
            case Offer() if self.state is ReceiverState.LISTENING:
                self.size = sum(entry.size or 0 for entry in self.entries)
                if (message.count, message.size) != (len(self.entries), self.size):
                    raise violation("the offer does not add up")
                self.state = ReceiverState.OFFERED
                return []
            case _ if self.state is not ReceiverState.RECEIVING or self._is_finishing:
                raise violation(f"{type(message).__name__} came while {self.state}")
            case Data():
                return self._on_data(message)
            case Begin():
                return self._on_begin(message.index, message.offset)
            case End():
                return self._on_end(message)
            case Finish():
                if self._open is not None or self._to_come:
                    raise violation("files are missing")
                self._is_finishing = True
                return [Complete()]
            case Entries() | Offer():
                raise violation("more files are offered after the offer")
            case _:
                assert_never(message)

    def _on_begin(self, index: int, offset: int) -> list[Step]:
        if self._open is not None:
            raise violation("a file begins within another one")
        if index >= len(self.entries) or self.entries[index].folder or index in self._seen:
            raise violation(f"there is no file {index} to begin")
        if offset not in (0, self._kept.get(index, 0)):
            raise violation(f"file {index} cannot go on at {offset}")
        self._seen.add(index)
        self._open, self._offset = index, offset
        self._acknowledged = self._written = offset
        self.written_bytes += offset
        return [Open(index, offset)]

    def _on_data(self, message: Data) -> list[Step]:
        if message.index != self._open or message.offset != self._offset:
            raise violation(f"data for file {message.index} at {message.offset} is out of place")
        self._offset += len(message.data)
        size = self.entries[message.index].size
        if size is not None and self._offset > size:
            raise violation(f"file {message.index} is longer than it was offered")
        return [Write(message.index, message.offset, message.data)]

    def _on_end(self, message: End) -> list[Step]:
        if message.index != self._open or message.size != self._offset:
            raise violation(f"file {message.index} ends where it should not")
        self._open = None
        self._to_come -= 1
        return [Close(message.index, message.size, message.hash)]

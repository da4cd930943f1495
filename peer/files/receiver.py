"""State machine of the receiver of a file transfer. No I/O.

Pass the messages of the sender to :meth:`Receiver.receive`. Carry out the steps that
:meth:`Receiver.poll_step` returns, one after the other, until it returns ``None``; then wait for
the next message. Report the result of each step before the next one: bytes are acknowledged only
after :meth:`Receiver.written`.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from .errors import TransferFailed
from .protocol import (
    ACK_EVERY,
    MAX_ENTRIES,
    MAX_OFFER_BYTES,
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
    """The state of a receiver."""

    LISTENING = "listening"
    """The offer is not complete yet."""

    OFFERED = "offered"
    """The offer is complete; this side has to accept or decline it."""

    RECEIVING = "receiving"
    """This side has accepted the files."""

    FINISHED = "finished"
    """All files are complete and in their places."""

    FAILED = "failed"
    """The transfer failed or was declined."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message."""

    message: FromReceiver


@dataclass(frozen=True, slots=True)
class Open:
    """Open a file for writing, from an offset."""

    index: int
    offset: int


@dataclass(frozen=True, slots=True)
class Write:
    """Write at an offset of the open file; then call :meth:`Receiver.written`.

    It has the bytes of all data messages that came one after the other.
    """

    index: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Verify the open file and move it to its place; then call :meth:`Receiver.closed`."""

    index: int
    size: int
    hash: str


@dataclass(frozen=True, slots=True)
class Complete:
    """Set times and permissions of the new folders; then call :meth:`Receiver.completed`."""


Step = Send | Open | Write | Close | Complete


class Receiver:
    """The receiver of a transfer.

    Attributes:
        entries: The offered files and folders; complete from state ``OFFERED`` on.
        size: Bytes of all files whose size is known.
        state: The state of the transfer.
        error: The reason of the failure, in state ``FAILED``.
        written_bytes: Bytes that are written, including those kept from an earlier attempt.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._offered = 0
        self.size: int = 0
        self.state: ReceiverState = ReceiverState.LISTENING
        self.error: TransferFailed | None = None
        self.written_bytes: int = 0
        self._open: int | None = None
        self._offset = 0
        self._written = 0
        self._acknowledged = 0
        self._seen: set[int] = set()
        self._kept: dict[int, int] = {}
        self._remaining = 0
        self._is_finishing = False
        self._steps: deque[Step] = deque()
        self._write_size = 0

    def poll_step(self) -> Step | None:
        """Return the next step, or ``None`` if there is none until the sender sends a message.

        After a :class:`Write`, :class:`Close` or :class:`Complete`, call the method that it names
        before calling this again.
        """
        if not self._steps:
            return None
        self._write_size = 0
        step = self._steps.popleft()
        if not isinstance(step, Write):
            return step
        pieces = [step.data]
        while self._steps and isinstance(following := self._steps[0], Write):
            pieces.append(following.data)
            self._steps.popleft()
        return Write(step.index, step.offset, b"".join(pieces)) if len(pieces) > 1 else step

    @property
    def write_size(self) -> int:
        """Bytes that the next step writes so far; 0 if further data cannot be added to it."""
        return self._write_size

    # --- decisions of this side, and results of steps

    def accept(self, kept: Iterable[Kept]) -> None:
        """Accept the files; no-op unless they are offered.

        Args:
            kept: The parts of them that are kept from an earlier attempt.
        """
        if self.state is not ReceiverState.OFFERED:
            return
        self.state = ReceiverState.RECEIVING
        have = list(kept)
        self._kept = {one.index: one.size for one in have}
        self._remaining = sum(1 for entry in self.entries if not entry.folder)
        self._steps += [Send(Have(have[i : i + 200])) for i in range(0, len(have), 200)]
        self._add(Send(Accept()))

    def decline(self, reason: str) -> None:
        """Decline the files; no-op unless they are offered.

        Args:
            reason: A sentence for the sender; cut after 1000 characters.
        """
        if self.state is ReceiverState.OFFERED:
            self.state = ReceiverState.FAILED
            self._add(Send(Decline(reason[:1000])))

    def written(self, index: int, offset: int) -> None:
        """Record that the open file is written up to an offset."""
        self.written_bytes += offset - self._written
        self._written = offset
        if offset - self._acknowledged >= ACK_EVERY:
            self._acknowledged = offset
            self._reply(Ack(index, offset))

    def closed(self, index: int) -> None:
        """Record that a file is verified and in its place."""
        self._reply(Done(index))

    def completed(self) -> None:
        """Record that all files and folders are complete."""
        self._reply(Finished())
        if self.state is ReceiverState.RECEIVING:
            self.state = ReceiverState.FINISHED

    def fail(self, error: TransferFailed) -> None:
        """End the transfer with an error; the sender is told if it happened on this side.

        Other messages that wait are dropped. Steps for the disk are kept.
        """
        if self.state in (ReceiverState.FINISHED, ReceiverState.FAILED):
            return
        previous, self.state = self.state, ReceiverState.FAILED
        self.error = error
        self._steps = deque(step for step in self._steps if not isinstance(step, Send))
        if not error.here:
            return
        is_secret = error.private and previous is ReceiverState.OFFERED
        self._add(Send(Decline() if is_secret else Failed.of(error)))

    def _add(self, step: Step) -> None:
        self._steps.append(step)
        self._write_size = 0

    def _reply(self, message: FromReceiver) -> None:
        """Send the result of a step, before the steps that wait."""
        if self.state is ReceiverState.RECEIVING:
            self._steps.appendleft(Send(message))

    # --- messages of the sender

    def receive(self, message: FromSender | Data) -> None:
        """Process a message of the sender; one that violates the protocol fails the transfer."""
        if self.state in (ReceiverState.FINISHED, ReceiverState.FAILED):
            return
        try:
            self._receive(message)
        except TransferFailed as error:
            self.fail(error)

    def _receive(self, message: FromSender | Data) -> None:
        match message:
            case Failed():
                self.fail(message.error())
            case Entries() if self.state is ReceiverState.LISTENING:
                self._offered += sum(map(cost, message.entries))
                if len(self.entries) + len(message.entries) > MAX_ENTRIES:
                    raise violation(f"more than {MAX_ENTRIES} files are offered")
                if self._offered > MAX_OFFER_BYTES:
                    raise violation(f"the names offered take more than {MAX_OFFER_BYTES} bytes")
                self.entries += message.entries
            case Offer() if self.state is ReceiverState.LISTENING:
                self.size = sum(entry.size or 0 for entry in self.entries)
                if (message.count, message.size) != (len(self.entries), self.size):
                    raise violation("the offer does not add up")
                self.state = ReceiverState.OFFERED
            case _ if self.state is not ReceiverState.RECEIVING or self._is_finishing:
                raise violation(f"{type(message).__name__} came while {self.state}")
            case Data():
                self._on_data(message)
            case Begin():
                self._on_begin(message.index, message.offset)
            case End():
                self._on_end(message)
            case Finish():
                if self._open is not None or self._remaining:
                    raise violation("files are missing")
                self._is_finishing = True
                self._add(Complete())
            case Entries() | Offer():
                raise violation("more files are offered after the offer")
            case _:
                assert_never(message)

    def _on_begin(self, index: int, offset: int) -> None:
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
        self._add(Open(index, offset))

    def _on_data(self, message: Data) -> None:
        if message.index != self._open or message.offset != self._offset:
            raise violation(f"data for file {message.index} at {message.offset} is out of place")
        self._offset += len(message.data)
        size = self.entries[message.index].size
        if size is not None and self._offset > size:
            raise violation(f"file {message.index} is longer than it was offered")
        if self._write_size or not self._steps:
            self._write_size += len(message.data)
        self._steps.append(Write(message.index, message.offset, message.data))

    def _on_end(self, message: End) -> None:
        if message.index != self._open or message.size != self._offset:
            raise violation(f"file {message.index} ends where it should not")
        self._open = None
        self._remaining -= 1
        self._add(Close(message.index, message.size, message.hash))

"""Transfers over a data channel: the state machines, the disk and the channel put together."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar, assert_never

from ..connection.data_channel import DataChannel
from ..errors import ChannelClosed, ChannelError, ClosedBy
from . import receiver as receiving, sender as sending
from .destination import Destination
from .disk_thread import Disk
from .errors import Failure, TransferBroken, TransferError, TransferFailed
from .file_names import Source
from .file_source import SourceFile
from .partial_file import PartFile, StreamFile, WholeFile, unwritable
from .protocol import (
    BLOCK,
    STOPPED,
    Entry,
    Kept,
    decode_from_receiver,
    decode_from_sender,
    encode,
    violation,
)
from .receiver import Receiver, ReceiverState
from .sender import Sender, SenderState

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_CLOSE_TIMEOUT = 5.0  # seconds for the other side to take the last words
_WRITE_AT_ONCE = 512 * 1024  # bytes; see _AT_ONCE of the sender


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is.

    Attributes:
        done: Bytes that the receiver has written, with what it kept from before.
        moved: Bytes of these that were sent this time.
        total: Bytes of all files; ``None`` if one is a stream.
        path: The file in the middle of which it is, as the sender named it.
    """

    done: int
    moved: int
    total: int | None
    path: str


OnProgress = Callable[[Progress], None]


def _total(entries: Sequence[Entry]) -> int | None:
    if any(entry.size is None and not entry.folder for entry in entries):
        return None
    return sum(entry.size or 0 for entry in entries)


async def send_sources(
    channel: DataChannel,
    sources: Sequence[Source],
    *,
    stream: BinaryIO | None = None,
    on_progress: OnProgress | None = None,
    on_closed: Callable[[], None] | None = None,
    stop_is_final: bool = True,
) -> int:
    """Send files over a channel of their own, and close it.

    Args:
        channel: The channel, opened for this.
        sources: What to send.
        stream: Where a source without a path is read from.
        on_progress: Called whenever the receiver has acknowledged more.
        on_closed: Called when the channel is closed: reading from ``stream`` should then end, or
            the error waits for it.
        stop_is_final: Whether a cancellation is told to the receiver as the end of the transfer.
            Otherwise it is a break to it, after which it may wait for this side to come back.

    Returns:
        Bytes that were sent; what the receiver had is not among them.

    Raises:
        TransferDeclined: The receiver does not want them.
        TransferFailed: It cannot be completed; the receiver knows why.
        TransferBroken: The connection ended; what arrived is kept.

    Cancellation: safe; the receiver is told and keeps what it has.
    """
    session = _SendingSession(channel, sources, stream, on_progress, on_closed, stop_is_final)
    return await session.run()


class _SendingSession:
    def __init__(
        self,
        channel: DataChannel,
        sources: Sequence[Source],
        stream: BinaryIO | None,
        on_progress: OnProgress | None,
        on_closed: Callable[[], None] | None,
        stop_is_final: bool,
    ) -> None:
        self._channel, self._sources, self._stream = channel, sources, stream
        self._on_progress, self._on_closed = on_progress, on_closed
        self._stop_is_final = stop_is_final
        limit = channel.max_message_size or BLOCK
        self._machine = Sender([s.entry for s in sources], block=min(BLOCK, limit))
        self._disk = Disk()
        self._file: SourceFile | None = None
        self._wake = asyncio.Event()
        self._resumed = 0
        self._path = ""
        self._told = -1
        self._total = _total(self._machine.entries)

    async def run(self) -> int:
        machine = self._machine
        listening = asyncio.create_task(self._listen(), name="transfer replies")
        try:
            while True:
                self._wake.clear()
                while (step := machine.next()) is not None:
                    await self._do(step)
                if machine.state is SenderState.FINISHED:
                    return machine.sent
                if machine.error is not None:
                    raise machine.error
                if listening.done():
                    listening.result()
                await self._wake.wait()
        except ChannelError as error:
            # The receiver's last words may say why.
            await asyncio.wait((listening,), timeout=_CLOSE_TIMEOUT)
            raise self._broken(error) from error
        except asyncio.CancelledError:
            if self._stop_is_final:
                machine.fail(TransferFailed(Failure.CANCELLED, "", "the sender stopped it"))
                self._say_last()
            raise
        finally:
            listening.cancel()
            await asyncio.wait((listening,))
            if self._file is not None:
                await self._disk.run(self._file.close)
            await self._disk.close()
            await self._channel.aclose(_CLOSE_TIMEOUT)

    def _broken(self, error: ChannelError) -> TransferError:
        if self._machine.error is not None:
            return self._machine.error
        return TransferBroken(self._machine.acknowledged, str(error))

    def _say_last(self) -> None:
        while (step := self._machine.next()) is not None:
            if isinstance(step, sending.Say):
                try:
                    self._channel.try_send(encode(step.message))
                except ChannelError:
                    return

    async def _listen(self) -> None:
        try:
            async for message in self._channel:
                try:
                    self._machine.receive(decode_from_receiver(message))
                except TransferFailed as error:
                    self._machine.fail(error)
                self._report()
                self._wake.set()
            if self._on_closed is not None:
                self._on_closed()
            raise ChannelClosed(self._channel.label, self._channel.closed_by or ClosedBy.CONNECTION)
        finally:
            self._wake.set()

    async def _do(self, step: sending.Step) -> None:
        try:
            match step:
                case sending.Say():
                    await self._channel.send(encode(step.message))
                case sending.Open():
                    await self._open(step)
                case sending.Read():
                    assert self._file is not None
                    data, digest = await self._disk.run(self._file.read, step.size)
                    if digest is not None:
                        await self._disk.run(self._file.close)
                        self._file = None
                    self._machine.read(data, digest=digest)
                case _:
                    assert_never(step)
        except TransferFailed as error:
            self._machine.fail(error)

    async def _open(self, step: sending.Open) -> None:
        source = self._sources[step.index]
        self._path = source.entry.path
        self._file = await self._disk.run(SourceFile, source, self._stream, self._disk.stop)
        is_right = step.kept is not None and await self._disk.run(self._file.skip, step.kept)
        if is_right and step.kept is not None:
            self._resumed += step.kept.size
        self._machine.opened(step.index, kept_is_right=is_right)
        self._report()

    def _report(self) -> None:
        done = self._machine.acknowledged
        if self._on_progress is not None and done != self._told:
            self._told = done
            self._on_progress(Progress(done, done - self._resumed, self._total, self._path))


class FileOffer:
    """Files that the other side wants to send; :meth:`accept` or :meth:`decline` them.

    Attributes:
        entries: The files and folders. Their names are the sender's, and nothing is written under
            these as they are.
    """

    def __init__(self, channel: DataChannel, machine: Receiver) -> None:
        self._channel = channel
        self._machine = machine
        self._is_answered = False
        self.entries: tuple[Entry, ...] = tuple(machine.entries)

    def __repr__(self) -> str:
        return f"<FileOffer {len(self.entries)} entries, {self.size} bytes>"

    @property
    def size(self) -> int | None:
        """Bytes of all files; ``None`` if one is a stream whose end is not known."""
        return _total(self.entries)

    @property
    def names(self) -> list[str]:
        """The outermost files and folders, as the sender named them."""
        return list(dict.fromkeys(entry.path.partition("/")[0] for entry in self.entries))

    @classmethod
    async def read(cls, channel: DataChannel) -> "FileOffer":
        """Read an offer from a channel that the other side opened for it.

        Raises:
            TransferFailed: It is none; the sender is told, and the channel closed.
            TransferBroken: The connection ended before.

        Cancellation: safe; the offer is then lost.
        """
        machine = Receiver()
        try:
            while machine.state is ReceiverState.LISTENING:
                await _say_all(channel, _heard(machine, await channel.receive()))
        except ChannelError as error:
            raise TransferBroken(0, str(error)) from error
        if machine.error is not None:
            await channel.aclose(_CLOSE_TIMEOUT)
            raise machine.error
        return cls(channel, machine)

    async def decline(self, reason: str = "") -> None:
        """Say no, and why.

        Args:
            reason: A sentence for the sender.

        Cancellation: safe.
        """
        await self._say_last(self._machine.decline(reason))
        await self._channel.aclose(_CLOSE_TIMEOUT)

    async def accept(
        self,
        folder: Path | str | None = None,
        *,
        overwrite: bool = False,
        stream: BinaryIO | None = None,
        on_progress: OnProgress | None = None,
        stop_is_final: bool = True,
    ) -> list[Path]:
        """Receive the files.

        What is in the folder from an earlier attempt is verified and not sent again. Files are
        written under a name that ends in ``.part`` and renamed when they are verified.

        Args:
            folder: Where to; it is made if it is not there.
            overwrite: Whether files of the same name are replaced; a folder never is.
            stream: Where the one file goes instead of a folder, such as standard output.
            on_progress: Called whenever more is written.
            stop_is_final: Whether a cancellation is told to the sender as the end of the transfer.
                Otherwise it is a break to it, after which it may wait for this side to come back.

        Returns:
            Where the outermost files and folders are now, in the order of :attr:`names`.

        Raises:
            TransferFailed: It cannot be completed. The sender knows why, except for what it would
                learn of this machine's files: then it is told that they were declined, or that
                this side stopped. What arrived is kept.
            TransferBroken: The connection ended; what arrived is kept.
            ValueError: Neither folder nor stream is given, or it was answered before.

        Cancellation: safe; the sender is told, and what arrived is kept.
        """
        if (folder is None) == (stream is None):
            raise ValueError("give either a folder or a stream")
        if self._is_answered:
            raise ValueError("an offer is answered once")
        self._is_answered = True
        session = _ReceivingSession(self._channel, self._machine, on_progress, stop_is_final)
        return await session.run(Path(folder) if folder is not None else None, overwrite, stream)

    async def _say_last(self, steps: Sequence[receiving.Step]) -> None:
        self._is_answered = True
        await _say_all(self._channel, steps)


async def _say_all(channel: DataChannel, steps: Sequence[receiving.Step]) -> None:
    for step in steps:
        if isinstance(step, receiving.Say):
            try:
                await channel.send(encode(step.message))
            except ChannelError:
                return


def _heard(machine: Receiver, message: str | bytes) -> list[receiving.Step]:
    """Take a message of the sender; return what to do, also where it cannot be read."""
    try:
        return machine.receive(decode_from_sender(message))
    except TransferFailed as error:
        return machine.fail(error)


class _ReceivingSession:
    def __init__(
        self,
        channel: DataChannel,
        machine: Receiver,
        on_progress: OnProgress | None,
        stop_is_final: bool,
    ) -> None:
        self._channel, self._machine, self._on_progress = channel, machine, on_progress
        self._stop_is_final = stop_is_final
        self._disk = Disk()
        self._destination: Destination | None = None
        self._total = _total(machine.entries)
        self._stream: BinaryIO | None = None
        self._file: PartFile | WholeFile | StreamFile | None = None
        self._resumed = 0
        self._path = ""

    async def run(
        self, folder: Path | None, overwrite: bool, stream: BinaryIO | None
    ) -> list[Path]:
        machine = self._machine
        self._stream = stream
        try:
            try:
                await self._do(machine.accept(await self._prepare(folder, overwrite)))
                while machine.state is ReceiverState.RECEIVING:
                    await self._do(await self._next())
            except TransferFailed as error:
                await _say_all(self._channel, machine.fail(error))
            if machine.error is not None:
                raise machine.error
        except ChannelError as error:
            raise TransferBroken(machine.written_bytes, str(error)) from error
        except asyncio.CancelledError:
            if self._stop_is_final:
                self._say_cancelled()
            raise
        finally:
            try:
                if self._file is not None:
                    await self._disk.run(self._file.close)
            finally:
                await self._disk.close()
            await self._channel.aclose(_CLOSE_TIMEOUT)
        if folder is None or self._destination is None:
            return []
        return list(dict.fromkeys(folder / place[0] for place in self._destination.places))

    def _say_cancelled(self) -> None:
        cancelled = TransferFailed(Failure.CANCELLED, "", STOPPED)
        for step in self._machine.fail(cancelled):
            if isinstance(step, receiving.Say) and not self._channel.closed:
                self._channel.try_send(encode(step.message))

    async def _next(self) -> list[receiving.Step]:
        """Take a message; return what to do. As much data as is here is written in one go."""
        steps = _heard(self._machine, await self._channel.receive())
        if len(steps) != 1 or not isinstance(steps[0], receiving.Write):
            return steps
        first, rest = steps[0], list[receiving.Step]()
        pieces, size = [first.data], len(first.data)
        while not rest and size < _WRITE_AT_ONCE:
            message = self._channel.try_receive()
            if message is None:
                break
            for step in _heard(self._machine, message):
                if isinstance(step, receiving.Write):
                    pieces.append(step.data)
                    size += len(step.data)
                else:
                    rest.append(step)
        return [receiving.Write(first.index, first.offset, b"".join(pieces)), *rest]

    async def _prepare(self, folder: Path | None, overwrite: bool) -> list[Kept]:
        entries = self._machine.entries
        if folder is None:
            if len(entries) != 1 or entries[0].folder:
                raise TransferFailed(
                    Failure.UNWRITABLE, "", "only a single file can go to standard output"
                )
            return []
        destination = await self._on_disk(
            Destination, folder, entries, overwrite=overwrite, stop=self._disk.stop
        )
        self._destination = destination
        await self._on_disk(destination.check)
        kept = await self._on_disk(destination.kept)
        await self._on_disk(destination.make_folders)
        return kept

    async def _do(self, steps: Sequence[receiving.Step]) -> None:
        machine = self._machine
        for step in steps:
            match step:
                case receiving.Say():
                    # Where it cannot be said, what came before may still say why.
                    await _say_all(self._channel, [step])
                case receiving.Open():
                    await self._open(step)
                case receiving.Write():
                    assert self._file is not None
                    await self._on_disk(self._file.write, step.offset, step.data)
                    await self._do(machine.written(step.index, step.offset + len(step.data)))
                    self._report()
                case receiving.Close():
                    assert self._file is not None
                    await self._on_disk(self._file.finish, step.size, step.hash)
                    await self._on_disk(self._file.close)
                    self._file = None
                    await self._do(machine.closed(step.index))
                case receiving.Complete():
                    if self._destination is not None:
                        await self._on_disk(self._destination.complete)
                    await self._do(machine.completed())
                case _:
                    assert_never(step)

    async def _on_disk(
        self,
        work: Callable[_Parameters, _Result],
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> _Result:
        """Do something with the disk, which may fail wherever it is touched."""
        try:
            return await self._disk.run(work, *args, **kwargs)
        except OSError as error:
            raise unwritable(self._path, error) from error

    async def _open(self, step: receiving.Open) -> None:
        self._path = self._machine.entries[step.index].path
        if self._destination is not None:
            self._file = await self._on_disk(self._destination.open, step.index, step.offset)
        elif self._stream is not None:
            self._file = StreamFile(self._stream, self._path)
        else:
            raise violation("there is nowhere to write to")
        self._resumed += step.offset
        self._report()

    def _report(self) -> None:
        if self._on_progress is not None:
            done = self._machine.written_bytes
            self._on_progress(Progress(done, done - self._resumed, self._total, self._path))

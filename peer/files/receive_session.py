"""Receiving files over a data channel: runs the receiver's state machine, the disk, the channel."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar, assert_never

from ..connection.data_channel import DataChannel
from ..errors import ChannelError
from . import receiver as receiving
from .destination import Destination
from .disk_thread import Disk
from .errors import TransferBroken, TransferErrorCode, TransferFailed
from .partial_file import PartFile, StreamFile, WholeFile, unwritable
from .progress import CLOSE_TIMEOUT, OnProgress, TransferProgress, total_size
from .protocol import STOPPED, Entry, Kept, decode_from_sender, encode, violation
from .receiver import Receiver, ReceiverState

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_WRITE_BATCH = 512 * 1024
"""Bytes written in one call of the disk thread: each call costs as much as several messages."""


class FileOffer:
    """Files that the remote peer wants to send; :meth:`accept` or :meth:`decline` them.

    Attributes:
        entries: The files and folders. Their paths are those of the sender, and are made safe
            before a file is written.
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
        """Bytes of all files; ``None`` if one is a stream of unknown size."""
        return total_size(self.entries)

    @property
    def names(self) -> list[str]:
        """The top-level files and folders, as the sender named them."""
        return list(dict.fromkeys(entry.path.partition("/")[0] for entry in self.entries))

    @classmethod
    async def read(cls, channel: DataChannel) -> "FileOffer":
        """Receive an offer over a channel that the remote peer opened for it.

        Raises:
            TransferFailed: The offer is invalid. The sender is told, and the channel is closed.
            TransferBroken: The connection ended before the offer was complete.

        Cancellation: safe; the offer is then lost.
        """
        machine = Receiver()
        try:
            while machine.state is ReceiverState.LISTENING:
                _process(machine, await channel.receive())
                await _send_rest(channel, machine)
        except ChannelError as error:
            raise TransferBroken(0, str(error)) from error
        if machine.error is not None:
            await channel.aclose(CLOSE_TIMEOUT)
            raise machine.error
        return cls(channel, machine)

    async def decline(self, reason: str = "") -> None:
        """Decline the files and close the channel.

        Args:
            reason: A sentence for the sender.

        Cancellation: safe.
        """
        self._is_answered = True
        self._machine.decline(reason)
        await _send_rest(self._channel, self._machine)
        await self._channel.aclose(CLOSE_TIMEOUT)

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

        Data that an earlier attempt left in the folder is verified and not sent again. A file is
        written under a name that ends in ``.part``, and renamed when it is complete and verified.

        Args:
            folder: The folder to write to, which is created if it does not exist.
            overwrite: Whether existing files of the same name are replaced; folders never are.
            stream: The stream that a single file is written to instead, such as standard output.
            on_progress: Called whenever more bytes are written.
            stop_is_final: Whether a cancellation ends the transfer for the sender. Otherwise the
                sender takes it for a broken connection, and may wait for this side to come back.

        Returns:
            The paths of the top-level files and folders, in the order of :attr:`names`.

        Raises:
            TransferFailed: The transfer cannot be completed; the bytes that arrived are kept. The
                sender is told the reason, unless the reason reveals files of this machine. In that
                case it is told that the files were declined or that the receiver stopped.
            TransferBroken: The connection ended; the bytes that arrived are kept.
            ValueError: Not exactly one of folder and stream is given, or the offer was answered
                before.

        Cancellation: safe; the sender is told, and the bytes that arrived are kept.
        """
        if (folder is None) == (stream is None):
            raise ValueError("give either a folder or a stream")
        if self._is_answered:
            raise ValueError("an offer is answered once")
        self._is_answered = True
        session = _ReceivingSession(self._channel, self._machine, on_progress, stop_is_final)
        return await session.run(Path(folder) if folder is not None else None, overwrite, stream)


async def _send_rest(channel: DataChannel, machine: Receiver) -> None:
    """Send the messages among the remaining steps, until the channel is closed."""
    while (step := machine.poll_step()) is not None:
        if isinstance(step, receiving.Send):
            try:
                await channel.send(encode(step.message))
            except ChannelError:
                return


def _process(machine: Receiver, message: str | bytes) -> None:
    """Pass a message of the sender to the machine; fail if it is invalid."""
    try:
        machine.receive(decode_from_sender(message))
    except TransferFailed as error:
        machine.fail(error)


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
        self._total = total_size(machine.entries)
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
                machine.accept(await self._prepare(folder, overwrite))
                await self._do_steps()
                while machine.state is ReceiverState.RECEIVING:
                    await self._receive()
                    await self._do_steps()
            except TransferFailed as error:
                machine.fail(error)
                await _send_rest(self._channel, machine)
            if machine.error is not None:
                raise machine.error
        except ChannelError as error:
            raise TransferBroken(machine.written_bytes, str(error)) from error
        except asyncio.CancelledError:
            if self._stop_is_final:
                self._send_cancelled()
            raise
        finally:
            try:
                if self._file is not None:
                    await self._disk.run(self._file.close)
            finally:
                await self._disk.close()
            await self._channel.aclose(CLOSE_TIMEOUT)
        if folder is None or self._destination is None:
            return []
        return list(dict.fromkeys(folder / place[0] for place in self._destination.places))

    def _send_cancelled(self) -> None:
        machine = self._machine
        machine.fail(TransferFailed(TransferErrorCode.CANCELLED, "", STOPPED))
        while (step := machine.poll_step()) is not None:
            if isinstance(step, receiving.Send) and not self._channel.closed:
                self._channel.try_send(encode(step.message))

    async def _receive(self) -> None:
        """Process the next message, and data that has already arrived if both make one write."""
        _process(self._machine, await self._channel.receive())
        while 0 < self._machine.write_size < _WRITE_BATCH:
            message = self._channel.try_receive()
            if message is None:
                break
            _process(self._machine, message)

    async def _prepare(self, folder: Path | None, overwrite: bool) -> list[Kept]:
        entries = self._machine.entries
        if folder is None:
            if len(entries) != 1 or entries[0].folder:
                raise TransferFailed(
                    TransferErrorCode.UNWRITABLE, "", "only a single file can go to standard output"
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

    async def _do_steps(self) -> None:
        while (step := self._machine.poll_step()) is not None:
            await self._do(step)

    async def _do(self, step: receiving.Step) -> None:
        machine = self._machine
        match step:
            case receiving.Send():
                # If the channel is closed, messages that arrived before may have the reason.
                with suppress(ChannelError):
                    await self._channel.send(encode(step.message))
            case receiving.Open():
                await self._open(step)
            case receiving.Write():
                assert self._file is not None
                await self._on_disk(self._file.write, step.offset, step.data)
                machine.written(step.index, step.offset + len(step.data))
                self._report()
            case receiving.Close():
                assert self._file is not None
                await self._on_disk(self._file.finish, step.size, step.hash)
                await self._on_disk(self._file.close)
                self._file = None
                machine.closed(step.index)
            case receiving.Complete():
                if self._destination is not None:
                    await self._on_disk(self._destination.complete)
                machine.completed()
            case _:
                assert_never(step)

    async def _on_disk(
        self,
        work: Callable[_Parameters, _Result],
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> _Result:
        """Call a function in the disk thread; turn its ``OSError`` into ``TransferFailed``."""
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
            self._on_progress(TransferProgress(done, done - self._resumed, self._total, self._path))

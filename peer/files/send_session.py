"""Sending files over a data channel: runs the sender's state machine, the disk and the channel."""

import asyncio
from collections.abc import Callable, Sequence
from typing import BinaryIO, assert_never

from ..connection.data_channel import DataChannel
from ..errors import ChannelClosed, ChannelError, ClosedBy
from . import sender as sending
from .disk_thread import Disk
from .errors import TransferBroken, TransferError, TransferErrorCode, TransferFailed
from .file_names import Source
from .file_source import SourceFile
from .progress import CLOSE_TIMEOUT, OnProgress, TransferProgress, total_size
from .protocol import BLOCK, decode_from_receiver, encode
from .sender import Sender, SenderState


async def send_sources(
    channel: DataChannel,
    sources: Sequence[Source],
    *,
    stream: BinaryIO | None = None,
    on_progress: OnProgress | None = None,
    on_closed: Callable[[], None] | None = None,
    stop_is_final: bool = True,
) -> int:
    """Send files over a data channel of their own, and close the channel.

    Args:
        channel: The channel, opened for this transfer.
        sources: The files and folders to send.
        stream: The stream that sources without a path are read from.
        on_progress: Called whenever the receiver has acknowledged more bytes.
        on_closed: Called when the channel is closed. A read from ``stream`` should then end, since
            the error is raised only after it.
        stop_is_final: Whether a cancellation ends the transfer for the receiver. Otherwise the
            receiver takes it for a broken connection, and may wait for this side to come back.

    Returns:
        Bytes that were sent, without those that the receiver had kept.

    Raises:
        TransferDeclined: The receiver declined the files.
        TransferFailed: The transfer cannot be completed; the receiver was told the reason.
        TransferBroken: The connection ended; the receiver keeps the bytes that arrived.

    Cancellation: safe; the receiver is told, and keeps the bytes that arrived.
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
        self._reported = -1
        self._total = total_size(self._machine.entries)

    async def run(self) -> int:
        machine = self._machine
        listening = asyncio.create_task(self._listen(), name="transfer replies")
        try:
            while True:
                self._wake.clear()
                while (step := machine.poll_step()) is not None:
                    await self._do(step)
                if machine.state is SenderState.FINISHED:
                    return machine.sent
                if machine.error is not None:
                    raise machine.error
                if listening.done():
                    listening.result()
                await self._wake.wait()
        except ChannelError as error:
            # The last message from the receiver may have the reason.
            await asyncio.wait((listening,), timeout=CLOSE_TIMEOUT)
            raise self._broken(error) from error
        except asyncio.CancelledError:
            if self._stop_is_final:
                machine.fail(
                    TransferFailed(TransferErrorCode.CANCELLED, "", "the sender stopped it")
                )
                self._send_pending()
            raise
        finally:
            listening.cancel()
            await asyncio.wait((listening,))
            if self._file is not None:
                await self._disk.run(self._file.close)
            await self._disk.close()
            await self._channel.aclose(CLOSE_TIMEOUT)

    def _broken(self, error: ChannelError) -> TransferError:
        if self._machine.error is not None:
            return self._machine.error
        return TransferBroken(self._machine.acknowledged, str(error))

    def _send_pending(self) -> None:
        """Send the remaining messages, as far as the channel takes them without waiting."""
        while (step := self._machine.poll_step()) is not None:
            if isinstance(step, sending.Send):
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
                case sending.Send():
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
        is_valid = step.kept is not None and await self._disk.run(self._file.skip, step.kept)
        if is_valid and step.kept is not None:
            self._resumed += step.kept.size
        self._machine.opened(step.index, kept_is_right=is_valid)
        self._report()

    def _report(self) -> None:
        done = self._machine.acknowledged
        if self._on_progress is not None and done != self._reported:
            self._reported = done
            self._on_progress(TransferProgress(done, done - self._resumed, self._total, self._path))

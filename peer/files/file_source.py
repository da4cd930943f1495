"""Reading and hashing a file that is being sent. All functions block."""

import os
import stat
from typing import BinaryIO

from .disk_thread import Stop
from .errors import TransferErrorCode, TransferFailed
from .file_names import Source, endless, unreadable
from .protocol import Kept, new_hash

_CHUNK = 1024 * 1024


class SourceFile:
    """An open file or stream that is being sent.

    Args:
        source: The source; one without a path is read from ``stream``.
        stream: The stream, such as standard input.
        stop: The flag that stops hashing of the part that the receiver has kept.

    Raises:
        TransferFailed: The file cannot be read, or was changed since it was offered.
    """

    def __init__(
        self, source: Source, stream: BinaryIO | None = None, stop: Stop | None = None
    ) -> None:
        self._stop = stop or Stop()
        self._path, self._entry, self._mtime = source.path, source.entry, source.mtime
        self._hash = new_hash()
        self._offset = 0
        self._file: BinaryIO
        if source.path is None:
            if stream is None:
                raise TransferFailed(
                    TransferErrorCode.UNREADABLE, source.entry.path, "it has no stream"
                )
            self._file = stream
            return
        try:
            self._file = open(source.path, "rb", buffering=0, opener=_open)  # noqa: SIM115
        except OSError as error:
            raise unreadable(source.entry.path, error) from error
        try:
            self._check()
        except BaseException:
            self._file.close()
            raise

    def skip(self, kept: Kept) -> bool:
        """Continue after the part that the receiver has kept, if it is the beginning of this file.

        Returns:
            Whether the part is valid; if not, the file is read from its beginning.

        Raises:
            TransferFailed: The file cannot be read.
            Stopped: The flag was set.
        """
        if self._path is None:
            return False
        size = self._entry.size or 0
        if kept.size <= size:
            left = kept.size
            while left and (data := self._read(min(_CHUNK, left))):
                left -= len(data)
                self._stop.check()
            if not left and self._hash.hexdigest() == kept.hash:
                return True
        try:
            self._file.seek(0)
        except OSError as error:
            raise unreadable(self._entry.path, error) from error
        self._hash, self._offset = new_hash(), 0
        return False

    def read(self, size: int) -> tuple[bytes, str | None]:
        """Read the next bytes.

        Args:
            size: The largest number of bytes.

        Returns:
            The bytes, and the hash of the whole file if these are its last ones, otherwise
            ``None``.

        Raises:
            TransferFailed: The file cannot be read, or was changed since it was offered.
        """
        offered = self._entry.size
        if offered is not None:
            size = min(size, offered - self._offset)
        data = self._read(size) if size else b""
        if offered is None:
            return data, None if data else self._hash.hexdigest()
        if size and not data:
            raise self._changed(f"it ended after {self._offset} of {offered} bytes")
        if self._offset < offered:
            return data, None
        if self._take(1):
            raise self._changed(f"it goes on after {offered} bytes")
        self._check()
        return data, self._hash.hexdigest()

    def close(self) -> None:
        """Close the file; a stream stays open."""
        if self._path is not None:
            self._file.close()

    def _read(self, size: int) -> bytes:
        data = self._take(size)
        self._hash.update(data)
        self._offset += len(data)
        return data

    def _take(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise unreadable(self._entry.path, error) from error
        if data is None:
            raise endless(self._entry.path)
        return data

    def _check(self) -> None:
        try:
            status = os.fstat(self._file.fileno())
        except OSError as error:
            raise unreadable(self._entry.path, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise self._changed("it is no file any more")
        offered = self._entry.size
        if offered is None:
            return
        if status.st_size != offered:
            raise self._changed(f"it had {offered} bytes and now has {status.st_size}")
        if self._mtime is not None and status.st_mtime_ns != self._mtime:
            raise self._changed("it was written to")

    def _changed(self, detail: str) -> TransferFailed:
        return TransferFailed(
            TransferErrorCode.CHANGED, self._entry.path, f"{detail} since it was offered"
        )


def _open(path: str, flags: int) -> int:
    # If a pipe has replaced the file in the meantime, opening it must not wait for a writer.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

"""A file that is being written, or a stream in its place. All of this blocks."""

import errno
import os
import sys
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from .errors import Failure, TransferFailed, UnsafeName
from .protocol import BLOCK, Entry, new_hash

CHUNK = 1024 * 1024
"""Bytes that are read at once."""

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
BINARY = getattr(os, "OBINARY", 0)

_ZEROS = bytes(BLOCK)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class PartFile:
    """A file that is being written, under another name until it is complete.

    Args:
        path: Its final place.
        part: Where it is written.
        entry: What was offered.
        offset: Where to go on; what is there before it is kept.
        hashed: The hash of what is before it, if that is known; it is changed.
        overwrite: Whether a file in the final place is replaced.
        is_there: Whether ``part`` is the whole file in its final place, to be left as it is.
    """

    def __init__(
        self,
        path: Path,
        part: Path,
        entry: Entry,
        offset: int,
        *,
        overwrite: bool,
        is_there: bool = False,
        hashed: blake2b | None = None,
    ) -> None:
        self._path, self._part, self._entry = path, part, entry
        self._overwrite, self._is_there = overwrite, is_there
        self._hash = hashed or new_hash()
        self._offset = offset
        flags = os.O_RDONLY if is_there else os.O_RDWR | os.O_CREAT
        self._fd = os.open(part, flags | NO_LINK | BINARY, 0o600)
        try:
            self._go_to(offset, is_hashed=hashed is not None)
        except BaseException:
            os.close(self._fd)
            raise

    def write(self, offset: int, data: bytes) -> None:
        """Write at an offset.

        Raises:
            TransferFailed: It cannot be written; what was before is kept.
        """
        try:
            if self._is_there:
                raise TransferFailed(Failure.PROTOCOL, self._entry.path, "it is complete already")
            for start, end, is_hole in _runs(offset, data):
                if is_hole:
                    os.ftruncate(self._fd, offset + end)  # where holes can be
                    continue
                os.lseek(self._fd, offset + start, os.SEEK_SET)
                view = memoryview(data)[start:end]
                while view:
                    view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise unwritable(self._entry.path, error) from error
        self._hash.update(data)
        self._offset = offset + len(data)

    def finish(self, size: int, digest: str) -> None:
        """Verify it and put it in its place.

        Raises:
            TransferFailed: It is not what was sent, and was removed; or there is a file in its
                place; or it cannot be written.
        """
        if (self._offset, self._hash.hexdigest()) != (size, digest):
            if not self._is_there:
                os.unlink(self._part)
            raise TransferFailed(
                Failure.MISMATCH, self._entry.path, "what arrived is not what was sent"
            )
        if self._is_there:
            return
        try:
            os.fsync(self._fd)
            if sys.platform == "win32":
                self.close()  # an open file cannot be renamed there
            dress(self._part, self._entry)
            self._move()
        except OSError as error:
            raise unwritable(self._entry.path, error) from error

    def close(self) -> None:
        """Close it; what is written stays. A second call does no harm."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _go_to(self, offset: int, *, is_hashed: bool) -> None:
        left = offset
        if is_hashed and os.fstat(self._fd).st_size >= offset:
            left = 0
        while left:
            data = os.read(self._fd, min(CHUNK, left))
            if not data:
                raise TransferFailed(
                    Failure.UNWRITABLE, self._entry.path, f"{self._part} was shortened meanwhile"
                )
            self._hash.update(data)
            left -= len(data)
        if not self._is_there:
            os.ftruncate(self._fd, offset)

    def _move(self) -> None:
        if self._overwrite:
            os.replace(self._part, self._path)
            return
        try:
            os.link(self._part, self._path)  # fails if there is one, unlike a rename on POSIX
        except FileExistsError:
            raise TransferFailed(
                Failure.EXISTS, self._entry.path, f"{self._path} was made meanwhile"
            ) from None
        except (OSError, NotImplementedError):
            # A file system without hard links.
            if status_of(self._path) is not None:
                raise TransferFailed(
                    Failure.EXISTS, self._entry.path, f"{self._path} was made meanwhile"
                ) from None
            os.rename(self._part, self._path)
        else:
            os.unlink(self._part)


class StreamFile:
    """Standard output, or the like, in place of a file; it cannot be gone on with.

    Args:
        stream: Where bytes go.
        path: What the sender calls it, for errors.
    """

    def __init__(self, stream: BinaryIO, path: str) -> None:
        self._stream, self._path = stream, path
        self._hash = new_hash()

    def write(self, offset: int, data: bytes) -> None:
        """Write on; see :meth:`PartFile.write`."""
        del offset
        try:
            self._stream.write(data)
        except (OSError, ValueError) as error:
            raise TransferFailed(
                Failure.UNWRITABLE, self._path, f"the output is closed: {error}"
            ) from error
        self._hash.update(data)

    def finish(self, size: int, digest: str) -> None:
        """Verify what went out; see :meth:`PartFile.finish`."""
        del size
        if self._hash.hexdigest() != digest:
            raise TransferFailed(Failure.MISMATCH, self._path, "what arrived is not what was sent")
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise TransferFailed(
                Failure.UNWRITABLE, self._path, f"the output is closed: {error}"
            ) from error

    def close(self) -> None:
        """Do nothing: the stream stays open."""


def _runs(offset: int, data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Divide data into what is written and what is zeros: begin, end, and whether it is zeros.

    Only whole blocks of the file count as zeros, and what there is of the first and the last.
    """
    begin = at = 0
    while at < len(data):
        end = min(len(data), at + BLOCK - (offset + at) % BLOCK)
        if data[at] == 0 and data[at:end] == _ZEROS[: end - at]:
            if begin < at:
                yield begin, at, False
            yield at, end, True
            begin = end
        at = end
    if begin < len(data):
        yield begin, len(data), False


def dress(path: Path, entry: Entry) -> None:
    """Give a file or folder its times and permission bits, as far as the system has them."""
    try:
        if entry.mtime is not None:
            os.utime(path, ns=(entry.mtime, entry.mtime))
        if entry.mode is not None:
            path.chmod(entry.mode)
    except (OSError, OverflowError):
        pass  # a file system without them; the content is what counts


def unwritable(path: str, error: OSError) -> TransferFailed:
    why = error.strerror or str(error)
    if error.errno in _FULL:
        return TransferFailed(Failure.DISK_FULL, path, why)
    if error.errno in _FORBIDDEN:
        return TransferFailed(Failure.PERMISSION, path, why)
    if error.errno == errno.ELOOP:
        return UnsafeName(path, "there is a link in its place")
    return TransferFailed(Failure.UNWRITABLE, path, why)


def status_of(path: Path) -> os.stat_result | None:
    """Return what is in a place, links not followed; ``None`` if nothing is."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None

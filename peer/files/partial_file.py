"""Writing and verifying a file that is being received: partial file, complete file or stream.

All functions block.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from . import file_lock
from .disk_thread import Stop
from .errors import TransferErrorCode, TransferFailed, UnsafeName
from .file_names import part_name
from .protocol import BLOCK, Entry, new_hash

CHUNK = 1024 * 1024
"""Bytes read in one call."""

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
BINARY = getattr(os, "O_BINARY", 0)

MAX_PARTS = 4
"""Parts of one entry in a folder: as many transfers may write the same file there at a time."""

_ZEROS = bytes(BLOCK)
_DISK_FULL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PERMISSION_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS}
_EXISTS_ERRORS = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ETXTBSY}


class PartFile:
    """A file that is being written, under the name of a part until it is complete.

    The part is locked for this transfer; other transfers of the same file use other parts.

    Args:
        path: The final path.
        entry: The offered entry.
        offset: The offset to continue at; bytes before it are kept.
        number: The number of the part to continue; at offset 0 any free part is used.
        overwrite: Whether an existing file at the final path is replaced.
        umask: Permission bits that the file does not get.
        stop: The flag that stops hashing.

    Raises:
        TransferFailed: Other transfers use all parts, or the one to continue.
        OSError: The part cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        entry: Entry,
        offset: int,
        *,
        number: int | None = None,
        overwrite: bool = False,
        umask: int = 0o077,
        stop: Stop | None = None,
    ) -> None:
        self._path, self._entry, self._offset = path, entry, offset
        self._overwrite, self._umask, self._stop = overwrite, umask, stop or Stop()
        numbers = range(MAX_PARTS) if number is None or offset == 0 else (number,)
        for one in numbers:
            self._part = path.with_name(part_name(path.name, entry, one))
            fd = _open_locked(self._part)
            if fd is not None:
                self._fd = fd
                break
        else:
            raise TransferFailed(
                TransferErrorCode.UNWRITABLE,
                entry.path,
                "another transfer writes the same file there",
                private=True,
            )
        try:
            if os.fstat(self._fd).st_size < offset:
                raise TransferFailed(
                    TransferErrorCode.UNWRITABLE, entry.path, "its part was shortened meanwhile"
                )
            os.ftruncate(self._fd, offset)
        except BaseException:
            os.close(self._fd)
            raise

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes at an offset; blocks of zeros become holes, where the file system has them.

        Raises:
            TransferFailed: Writing failed; the bytes before are kept.
        """
        try:
            for start, end, is_zeros in _runs(offset, data):
                if is_zeros:
                    os.ftruncate(self._fd, offset + end)
                    continue
                os.lseek(self._fd, offset + start, os.SEEK_SET)
                view = memoryview(data)[start:end]
                while view:
                    view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise unwritable(self._entry.path, error) from error
        self._offset = offset + len(data)

    def finish(self, size: int, digest: str) -> None:
        """Verify the file with a hash of the bytes on the disk, and move it to its final path.

        Args:
            size: The size that the sender has announced.
            digest: The hash that the sender has announced.

        Raises:
            TransferFailed: Size or hash differ, and the part was removed; or a file exists at the
                final path; or the file cannot be written.
        """
        try:
            if self._offset != size or hash_of(self._fd, self._stop.check) != (size, digest):
                os.unlink(self._part)
                raise TransferFailed(
                    TransferErrorCode.MISMATCH,
                    self._entry.path,
                    "what arrived is not what was sent",
                )
            os.fsync(self._fd)
            if sys.platform == "win32":
                self.close()  # Windows cannot rename an open file
            apply_metadata(self._part, self._entry, self._umask)
            self._move()
        except OSError as error:
            raise unwritable(self._entry.path, error) from error

    def close(self) -> None:
        """Close the file; the bytes written are kept. Further calls have no effect."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _move(self) -> None:
        if self._overwrite:
            os.replace(self._part, self._path)
            return
        try:
            os.link(self._part, self._path)  # fails if the path exists, unlike rename() on POSIX
        except FileExistsError:
            raise self._exists() from None
        except (OSError, NotImplementedError):
            # The file system has no hard links.
            if status_of(self._path) is not None:
                raise self._exists() from None
            os.rename(self._part, self._path)
        else:
            os.unlink(self._part)

    def _exists(self) -> TransferFailed:
        return exists(self._entry.path, self._path, "it was made meanwhile")


class WholeFile:
    """A file that is complete already and only has to be verified.

    Args:
        path: The path of the file.
        entry: The offered entry.
        known: The status of the file when it was hashed, and the hash, which is valid as long as
            the status does not change.
        stop: The flag that stops hashing.
    """

    def __init__(
        self, path: Path, entry: Entry, known: tuple[os.stat_result, str], stop: Stop
    ) -> None:
        self._entry, self._known, self._stop = entry, known, stop
        self._fd = os.open(path, os.O_RDONLY | NO_LINK | BINARY)

    def write(self, offset: int, data: bytes) -> None:
        """Refuse to write.

        Raises:
            TransferFailed: Always.
        """
        del offset, data
        raise TransferFailed(TransferErrorCode.PROTOCOL, self._entry.path, "it is complete already")

    def finish(self, size: int, digest: str) -> None:
        """Verify the file; see :meth:`PartFile.finish`."""
        status, known = self._known
        try:
            if is_unchanged(os.fstat(self._fd), status):
                found = status.st_size, known
            else:
                found = hash_of(self._fd, self._stop.check)
        except OSError as error:
            raise unwritable(self._entry.path, error) from error
        if found != (size, digest):
            raise TransferFailed(
                TransferErrorCode.MISMATCH, self._entry.path, "what arrived is not what was sent"
            )

    def close(self) -> None:
        """Close the file. Further calls have no effect."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class StreamFile:
    """A stream, such as standard output, in place of a file; it cannot be resumed.

    Args:
        stream: The stream.
        path: The path of the entry, for errors.
    """

    def __init__(self, stream: BinaryIO, path: str) -> None:
        self._stream, self._path = stream, path
        self._hash = new_hash()

    def write(self, offset: int, data: bytes) -> None:
        """Write the next bytes; see :meth:`PartFile.write`."""
        del offset
        try:
            self._stream.write(data)
        except (OSError, ValueError) as error:
            raise TransferFailed(
                TransferErrorCode.UNWRITABLE, self._path, f"the output is closed: {error}"
            ) from error
        self._hash.update(data)

    def finish(self, size: int, digest: str) -> None:
        """Verify the bytes that were written; see :meth:`PartFile.finish`."""
        del size
        if self._hash.hexdigest() != digest:
            raise TransferFailed(
                TransferErrorCode.MISMATCH, self._path, "what arrived is not what was sent"
            )
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise TransferFailed(
                TransferErrorCode.UNWRITABLE, self._path, f"the output is closed: {error}"
            ) from error

    def close(self) -> None:
        """Do nothing: the stream stays open."""


def _open_locked(part: Path) -> int | None:
    """Open and lock a part; return its descriptor, or ``None`` if another transfer has it."""
    for _ in range(MAX_PARTS):  # another transfer may finish and move the part in the meantime
        fd = os.open(part, os.O_RDWR | os.O_CREAT | NO_LINK | BINARY, 0o600)
        try:
            if not file_lock.take(fd):
                os.close(fd)
                return None
            there = status_of(part)
            if there is not None and os.path.samestat(there, os.fstat(fd)):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    return None


def hash_of(fd: int, check: Callable[[], None]) -> tuple[int, str]:
    """Return the length and hash of an open file.

    Args:
        fd: The file descriptor.
        check: Called after each MiB; its exceptions are passed on.

    Raises:
        OSError: The file cannot be read.
    """
    digest, size = new_hash(), 0
    os.lseek(fd, 0, os.SEEK_SET)
    while data := os.read(fd, CHUNK):
        digest.update(data)
        size += len(data)
        check()
    return size, digest.hexdigest()


def is_unchanged(one: os.stat_result, other: os.stat_result) -> bool:
    """Return whether two status results are of the same file, which was not changed in between."""
    return os.path.samestat(one, other) and (one.st_size, one.st_mtime_ns, one.st_ctime_ns) == (
        other.st_size,
        other.st_mtime_ns,
        other.st_ctime_ns,
    )


def _runs(offset: int, data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Divide data into runs of zeros and runs of other bytes: begin, end, and whether it is zeros.

    Zeros count only in whole blocks of the file, and in the partial blocks at both ends of the
    data.
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


def apply_metadata(path: Path, entry: Entry, umask: int) -> None:
    """Set the modification time and permission bits of a new file or folder, if the system can.

    Args:
        path: The file or folder.
        entry: The offered entry.
        umask: Permission bits that are not set.
    """
    mode = entry.mode if entry.mode is not None else 0o777 if entry.folder else 0o666
    try:
        if entry.mtime is not None:
            os.utime(path, ns=(entry.mtime, entry.mtime))
        path.chmod(mode & ~umask)
    except (OSError, OverflowError):
        pass  # the file system does not support them; the content is complete


def unwritable(path: str, error: OSError, where: str = "") -> TransferFailed:
    """Return the error for a file or folder that cannot be written.

    Args:
        path: The file, as the sender named it; empty if the error is about none.
        error: The error of the system.
        where: The folder of the receiver, if the error is about it and not about its content.
    """
    # Not `str(error)`, which includes a path of this machine.
    detail = error.strerror or type(error).__name__
    if error.errno in _DISK_FULL_ERRORS:
        return TransferFailed(TransferErrorCode.DISK_FULL, path, detail, where=where)
    if error.errno in _PERMISSION_ERRORS:
        return TransferFailed(
            TransferErrorCode.PERMISSION, path, detail, where=where, private=not where
        )
    if error.errno == errno.ELOOP:
        return UnsafeName(path, "there is a link in its place", private=not where)
    private = not where and error.errno in _EXISTS_ERRORS
    return TransferFailed(TransferErrorCode.UNWRITABLE, path, detail, where=where, private=private)


def exists(path: str, place: Path, detail: str = "it is there already") -> TransferFailed:
    """Return the error for a file that exists already; the sender is not told of it."""
    return TransferFailed(TransferErrorCode.EXISTS, path, detail, where=str(place), private=True)


def status_of(path: Path) -> os.stat_result | None:
    """Return the status of a path, without following links; ``None`` if it does not exist."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None

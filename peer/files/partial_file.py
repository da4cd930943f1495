"""A file that is being written, or a stream in its place. All of this blocks."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from . import file_lock
from .disk_thread import Stop
from .errors import Failure, TransferFailed, UnsafeName
from .file_names import part_name
from .protocol import BLOCK, Entry, new_hash

CHUNK = 1024 * 1024
"""Bytes that are read at once."""

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
BINARY = getattr(os, "O_BINARY", 0)

PARTS = 4
"""Names of parts for one entry: as many transfers may write the same one to a folder at a time."""

_ZEROS = bytes(BLOCK)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ETXTBSY}


class PartFile:
    """A file that is being written, under another name until it is complete.

    The part belongs to this transfer alone: it is locked, and another one takes another name.

    Args:
        path: Its final place.
        entry: What was offered.
        offset: Where to go on; what is there before it is kept.
        number: Which of the names of parts to go on with; at offset 0 any that is free.
        overwrite: Whether a file in the final place is replaced.
        umask: Permission bits that it does not get.
        stop: When to give up hashing.

    Raises:
        TransferFailed: Other transfers write to all of its parts, or to the one to go on with.
        OSError: It cannot be opened.
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
        numbers = range(PARTS) if number is None or offset == 0 else (number,)
        for one in numbers:
            self._part = path.with_name(part_name(path.name, entry, one))
            fd = _owned(self._part)
            if fd is not None:
                self._fd = fd
                break
        else:
            raise TransferFailed(
                Failure.UNWRITABLE,
                entry.path,
                "another transfer writes the same file there",
                private=True,
            )
        try:
            if os.fstat(self._fd).st_size < offset:
                raise TransferFailed(
                    Failure.UNWRITABLE, entry.path, "its part was shortened meanwhile"
                )
            os.ftruncate(self._fd, offset)
        except BaseException:
            os.close(self._fd)
            raise

    def write(self, offset: int, data: bytes) -> None:
        """Write at an offset.

        Raises:
            TransferFailed: It cannot be written; what was before is kept.
        """
        try:
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
        self._offset = offset + len(data)

    def finish(self, size: int, digest: str) -> None:
        """Verify it and put it in its place. The hash is of what is read back from the disk.

        Raises:
            TransferFailed: It is not what was sent, and was removed; or there is a file in its
                place; or it cannot be written.
        """
        try:
            if self._offset != size or hash_of(self._fd, self._stop.check) != (size, digest):
                os.unlink(self._part)
                raise TransferFailed(
                    Failure.MISMATCH, self._entry.path, "what arrived is not what was sent"
                )
            os.fsync(self._fd)
            if sys.platform == "win32":
                self.close()  # an open file cannot be renamed there
            dress(self._part, self._entry, self._umask)
            self._move()
        except OSError as error:
            raise unwritable(self._entry.path, error) from error

    def close(self) -> None:
        """Close it; what is written stays. A second call does no harm."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _move(self) -> None:
        if self._overwrite:
            os.replace(self._part, self._path)
            return
        try:
            os.link(self._part, self._path)  # fails if there is one, unlike a rename on POSIX
        except FileExistsError:
            raise self._exists() from None
        except (OSError, NotImplementedError):
            # A file system without hard links.
            if status_of(self._path) is not None:
                raise self._exists() from None
            os.rename(self._part, self._path)
        else:
            os.unlink(self._part)

    def _exists(self) -> TransferFailed:
        return exists(self._entry.path, self._path, "it was made meanwhile")


class WholeFile:
    """A file that is in its place already, of which nothing is written.

    Args:
        path: Its place.
        entry: What was offered.
        known: Its status when it was hashed, and the hash, which is good while that is the same.
        stop: When to give up hashing.
    """

    def __init__(
        self, path: Path, entry: Entry, known: tuple[os.stat_result, str], stop: Stop
    ) -> None:
        self._entry, self._known, self._stop = entry, known, stop
        self._fd = os.open(path, os.O_RDONLY | NO_LINK | BINARY)

    def write(self, offset: int, data: bytes) -> None:
        """Refuse it.

        Raises:
            TransferFailed: Always.
        """
        del offset, data
        raise TransferFailed(Failure.PROTOCOL, self._entry.path, "it is complete already")

    def finish(self, size: int, digest: str) -> None:
        """Verify it; see :meth:`PartFile.finish`."""
        status, known = self._known
        try:
            if is_same(os.fstat(self._fd), status):
                found = status.st_size, known
            else:
                found = hash_of(self._fd, self._stop.check)
        except OSError as error:
            raise unwritable(self._entry.path, error) from error
        if found != (size, digest):
            raise TransferFailed(
                Failure.MISMATCH, self._entry.path, "what arrived is not what was sent"
            )

    def close(self) -> None:
        """Close it. A second call does no harm."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


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


def _owned(part: Path) -> int | None:
    """Open a part that belongs to this transfer until it is closed; ``None`` if it is another's."""
    for _ in range(PARTS):  # whoever had it may put it in its place in the meantime
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
    """Return length and hash of an open file, from its beginning on.

    Args:
        fd: The file.
        check: Called before each MiB; what it raises ends it.

    Raises:
        OSError: It cannot be read.
    """
    digest, size = new_hash(), 0
    os.lseek(fd, 0, os.SEEK_SET)
    while data := os.read(fd, CHUNK):
        digest.update(data)
        size += len(data)
        check()
    return size, digest.hexdigest()


def is_same(one: os.stat_result, other: os.stat_result) -> bool:
    """Tell whether a file was not changed between two looks at it."""
    return os.path.samestat(one, other) and (one.st_size, one.st_mtime_ns, one.st_ctime_ns) == (
        other.st_size,
        other.st_mtime_ns,
        other.st_ctime_ns,
    )


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


def dress(path: Path, entry: Entry, umask: int) -> None:
    """Give a new file or folder its times and permission bits, as far as the system has them.

    Args:
        path: Where it is.
        entry: What was offered.
        umask: Permission bits that it does not get.
    """
    mode = entry.mode if entry.mode is not None else 0o777 if entry.folder else 0o666
    try:
        if entry.mtime is not None:
            os.utime(path, ns=(entry.mtime, entry.mtime))
        path.chmod(mode & ~umask)
    except (OSError, OverflowError):
        pass  # a file system without them; the content is what counts


def unwritable(path: str, error: OSError, where: str = "") -> TransferFailed:
    """Return the error for what cannot be written.

    Args:
        path: The file, as the sender named it; empty if it is about none.
        error: What the system said.
        where: The folder that receives, if it is about that and not about what is in it.
    """
    # Not `str(error)`, which names a place on this machine.
    why = error.strerror or type(error).__name__
    if error.errno in _FULL:
        return TransferFailed(Failure.DISK_FULL, path, why, where=where)
    if error.errno in _FORBIDDEN:
        return TransferFailed(Failure.PERMISSION, path, why, where=where, private=not where)
    if error.errno == errno.ELOOP:
        return UnsafeName(path, "there is a link in its place", private=not where)
    private = not where and error.errno in _IN_THE_WAY
    return TransferFailed(Failure.UNWRITABLE, path, why, where=where, private=private)


def exists(path: str, place: Path, detail: str = "it is there already") -> TransferFailed:
    """Return the error for a file in the way, of which the sender is told nothing."""
    return TransferFailed(Failure.EXISTS, path, detail, where=str(place), private=True)


def status_of(path: Path) -> os.stat_result | None:
    """Return what is in a place, links not followed; ``None`` if nothing is."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None

"""Reading and writing files of a transfer. Everything here blocks; :class:`Disk` has the thread."""

import asyncio
import errno
import os
import stat
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from .errors import Failure, TransferFailed, UnsafeName
from .paths import Source, arrange, check_no_links, part_name, unreadable
from .protocol import BLOCK, Entry, Kept, new_hash

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_CHUNK = 1024 * 1024
_ZEROS = bytes(BLOCK)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class Disk:
    """A thread in which files are read and written, one thing at a time, in order.

    Whoever uses it waits for each result, so that nothing queues up in it.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="transfer disk")

    async def run(
        self,
        work: Callable[_Parameters, _Result],
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> _Result:
        """Do something in the thread and return what it returns, or raise what it raises.

        Cancellation: waits for it to come to its end first, so that nothing is used by two.
        """
        future = self._pool.submit(work, *args, **kwargs)
        waiting = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            await asyncio.wait((waiting,))
            if not waiting.cancelled():
                waiting.exception()
            raise

    async def close(self) -> None:
        """End the thread once what it does is done; a second call does no harm."""
        await asyncio.to_thread(self._pool.shutdown)


# --- reading ------------------------------------------------------------------------------------


class SourceFile:
    """A file that is being sent.

    Args:
        source: Which; one without a path is read from ``stream``.
        stream: Standard input, or the like.
    """

    def __init__(self, source: Source, stream: BinaryIO | None = None) -> None:
        self._path, self._entry = source.path, source.entry
        self._hash = new_hash()
        self._offset = 0
        self._file: BinaryIO
        if source.path is None:
            if stream is None:
                raise TransferFailed(Failure.UNREADABLE, source.entry.path, "it has no stream")
            self._file = stream
            return
        try:
            self._file = open(source.path, "rb", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise unreadable(source.entry.path, error) from error
        try:
            self._check()
        except BaseException:
            self._file.close()
            raise

    def skip(self, kept: Kept) -> bool:
        """Go on after what the receiver has, if that is the beginning of this file.

        Returns:
            Whether it is; if not, the file is read from its beginning.

        Raises:
            TransferFailed: It cannot be read.
        """
        if self._path is None:
            return False
        size = self._entry.size or 0
        if kept.size <= size:
            left = kept.size
            while left and (data := self._read(min(_CHUNK, left))):
                left -= len(data)
            if not left and self._hash.hexdigest() == kept.hash:
                return True
        self._file.seek(0)
        self._hash, self._offset = new_hash(), 0
        return False

    def read(self, size: int) -> tuple[bytes, str | None]:
        """Read on.

        Args:
            size: Bytes at most.

        Returns:
            The bytes, and the hash of the whole file if these are its last ones.

        Raises:
            TransferFailed: It cannot be read, or it is not what it was when it was offered.
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
        self._check()
        return data, self._hash.hexdigest()

    def close(self) -> None:
        """Close it; a stream stays open."""
        if self._path is not None:
            self._file.close()

    def _read(self, size: int) -> bytes:
        try:
            data = self._file.read(size) or b""
        except OSError as error:
            raise unreadable(self._entry.path, error) from error
        self._hash.update(data)
        self._offset += len(data)
        return data

    def _check(self) -> None:
        status = os.fstat(self._file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise self._changed("it is no file any more")
        if status.st_size != self._entry.size:
            raise self._changed(f"it had {self._entry.size} bytes and now has {status.st_size}")
        if status.st_mtime_ns != self._entry.mtime:
            raise self._changed("it was written to")

    def _changed(self, detail: str) -> TransferFailed:
        return TransferFailed(Failure.CHANGED, self._entry.path, f"{detail} since it was offered")


# --- writing ------------------------------------------------------------------------------------


class Destination:
    """A folder that receives.

    Args:
        folder: The folder; it is made if it is not there.
        entries: What is offered.
        overwrite: Whether files that are there are replaced.

    Attributes:
        places: Where each entry goes.

    Raises:
        TransferFailed: It cannot be used, or a name must not.
    """

    def __init__(self, folder: Path, entries: Sequence[Entry], *, overwrite: bool = False) -> None:
        self._folder = folder
        self._entries = entries
        self._overwrite = overwrite
        self._whole: set[int] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sensitive = _is_case_sensitive(folder)
        except OSError as error:
            raise _unwritable(str(folder), error) from error
        self.places = arrange(entries, case_sensitive=sensitive)

    def kept(self) -> list[Kept]:
        """Return what is there already: parts, and files that may be whole. Reads all of it."""
        found = []
        for index, entry in enumerate(self._entries):
            if entry.folder or entry.size is None:
                continue
            path = self._path(index)
            part = path.with_name(part_name(path.name, entry))
            for candidate in (part, path) if self._overwrite else (path, part):
                kept = _hashed(candidate)
                if kept is not None and (kept[0] == entry.size or candidate == part):
                    found.append(Kept(index, *kept))
                    if candidate == path:
                        self._whole.add(index)
                    break
        return found

    def check(self) -> None:
        """See before anything is written whether it can be.

        Raises:
            UnsafeName: The way to a place leads through a link or a file.
            TransferFailed: There is a file in a place, and it is surely another one.
        """
        for place, entry in zip(self.places, self._entries, strict=True):
            check_no_links(self._folder, place)
            path = self._folder.joinpath(*place)
            status = _status(path)
            if status is None or (entry.folder and stat.S_ISDIR(status.st_mode)):
                continue
            may_be_it = stat.S_ISREG(status.st_mode) and status.st_size == entry.size
            may_go = self._overwrite and not stat.S_ISDIR(status.st_mode)
            if entry.folder or not (may_be_it or may_go):
                raise TransferFailed(Failure.EXISTS, entry.path, f"{path} is there already")

    def open(self, index: int, offset: int) -> "PartFile":
        """Open an entry to be written from an offset on.

        Raises:
            TransferFailed: It cannot be written.
        """
        entry, path = self._entries[index], self._path(index)
        check_no_links(self._folder, self.places[index])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            status = _status(path)
            if offset == entry.size and index in self._whole and status is not None:
                return PartFile(path, path, entry, offset, overwrite=False, is_there=True)
            if status is not None and (not self._overwrite or stat.S_ISDIR(status.st_mode)):
                raise TransferFailed(
                    Failure.EXISTS, entry.path, f"{path} is there with another content"
                )
            part = path.with_name(part_name(path.name, entry))
            return PartFile(path, part, entry, offset, overwrite=self._overwrite)
        except OSError as error:
            raise _unwritable(entry.path, error) from error

    def make_folders(self) -> None:
        """Make the folders that were offered, to be filled.

        Raises:
            TransferFailed: One cannot be made.
        """
        for index, entry in enumerate(self._entries):
            if entry.folder:
                check_no_links(self._folder, (*self.places[index], ""))
                try:
                    self._path(index).mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise _unwritable(entry.path, error) from error

    def complete(self) -> None:
        """Give the folders their times and permissions, the inner ones first."""
        for index, entry in reversed(list(enumerate(self._entries))):
            if entry.folder:
                _dress(self._path(index), entry)

    def _path(self, index: int) -> Path:
        return self._folder.joinpath(*self.places[index])


class PartFile:
    """A file that is being written, under another name until it is complete.

    Args:
        path: Its final place.
        part: Where it is written.
        entry: What was offered.
        offset: Where to go on; what is there before it is kept.
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
    ) -> None:
        self._path, self._part, self._entry = path, part, entry
        self._overwrite, self._is_there = overwrite, is_there
        self._hash = new_hash()
        self._offset = offset
        flags = os.O_RDONLY if is_there else os.O_RDWR | os.O_CREAT
        self._fd = os.open(part, flags | _NO_LINK | _BINARY, 0o600)
        try:
            self._go_to(offset)
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
            if data == _ZEROS[: len(data)]:
                os.ftruncate(self._fd, offset + len(data))  # a hole, where holes can be
            else:
                os.lseek(self._fd, offset, os.SEEK_SET)
                view = memoryview(data)
                while view:
                    view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise _unwritable(self._entry.path, error) from error
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
            _dress(self._part, self._entry)
            self._move()
        except OSError as error:
            raise _unwritable(self._entry.path, error) from error

    def close(self) -> None:
        """Close it; what is written stays. A second call does no harm."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _go_to(self, offset: int) -> None:
        left = offset
        while left:
            data = os.read(self._fd, min(_CHUNK, left))
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
            if _status(self._path) is not None:
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


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _hashed(path: Path) -> tuple[int, str] | None:
    """Return length and hash of a file; ``None`` if there is none, or it cannot be read."""
    digest, size = new_hash(), 0
    try:
        file = os.open(path, os.O_RDONLY | _NO_LINK | _BINARY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        while data := os.read(file, _CHUNK):
            digest.update(data)
            size += len(data)
    except OSError:
        return None
    finally:
        os.close(file)
    return size, digest.hexdigest()


def _dress(path: Path, entry: Entry) -> None:
    """Give a file or folder its times and permission bits, as far as the system has them."""
    try:
        if entry.mtime is not None:
            os.utime(path, ns=(entry.mtime, entry.mtime))
        if entry.mode is not None:
            path.chmod(entry.mode)
    except (OSError, OverflowError):
        pass  # a file system without them; the content is what counts


def _is_case_sensitive(folder: Path) -> bool:
    probe = folder / f".icefloe-{os.getpid()}-probe"
    probe.touch(exist_ok=True)
    try:
        return not probe.with_name(probe.name.upper()).exists()
    finally:
        probe.unlink(missing_ok=True)


def _unwritable(path: str, error: OSError) -> TransferFailed:
    why = error.strerror or str(error)
    if error.errno in _FULL:
        return TransferFailed(Failure.DISK_FULL, path, why)
    if error.errno in _FORBIDDEN:
        return TransferFailed(Failure.PERMISSION, path, why)
    if error.errno == errno.ELOOP:
        return UnsafeName(path, "there is a link in its place")
    return TransferFailed(Failure.UNWRITABLE, path, why)

"""The folder of the receiver: places of the offered files, and data kept from earlier attempts.

All functions block.
"""

import os
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import file_lock
from .disk_thread import Stop
from .file_names import arrange, check_no_links, part_name
from .partial_file import (
    BINARY,
    MAX_PARTS,
    NO_LINK,
    PartFile,
    WholeFile,
    apply_metadata,
    exists,
    hash_of,
    status_of,
    unwritable,
)
from .protocol import Entry, Kept

_TIME_RESOLUTIONS = (1, 100, 10**3, 10**6, 10**7, 10**9, 2 * 10**9)
"""Resolutions of modification times in file systems, in nanoseconds."""

_PROBE_TIME = 1_700_000_001_123_456_789
"""A time in nanoseconds that each of these resolutions rounds differently."""


class Destination:
    """The folder that a transfer is received into.

    Args:
        folder: The folder, which is created if it does not exist.
        entries: The offered entries.
        overwrite: Whether existing files are replaced.
        stop: The flag that stops long operations, which then raise ``Stopped``.

    Attributes:
        places: The place of each entry, as path components relative to the folder.

    Raises:
        TransferFailed: The folder cannot be used, or an offered name is unsafe.
    """

    def __init__(
        self,
        folder: Path,
        entries: Sequence[Entry],
        *,
        overwrite: bool = False,
        stop: Stop | None = None,
    ) -> None:
        self._folder = folder
        self._entries = entries
        self._overwrite = overwrite
        self._stop = stop or Stop()
        self._whole: dict[int, tuple[os.stat_result, str]] = {}
        self._numbers: dict[int, int] = {}
        self._made: set[Path] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._traits = _probe(folder)
        except OSError as error:
            raise unwritable("", error, str(folder)) from error
        self.places: list[tuple[str, ...]] = arrange(
            entries, case_sensitive=self._traits.is_case_sensitive, check=self._stop.check
        )

    def kept(self) -> list[Kept]:
        """Return the parts and complete files that an earlier attempt left; reads and hashes them.

        A complete file counts only if it has the offered size and modification time, as a transfer
        leaves it. The hash of any other file would let the sender guess its content.
        """
        found = []
        for index, entry in enumerate(self._entries):
            self._stop.check()
            if entry.folder or entry.size is None:
                continue
            searches = (self._kept_part, self._kept_whole)
            for search in searches if self._overwrite else reversed(searches):
                kept = search(index, entry)
                if kept is not None:
                    found.append(kept)
                    break
        return found

    def _kept_part(self, index: int, entry: Entry) -> Kept | None:
        path = self._path(index)
        for number in range(MAX_PARTS):
            part = path.with_name(part_name(path.name, entry, number))
            hashed = self._hashed(part, is_part=True)
            if hashed is not None:
                self._numbers[index] = number
                return Kept(index, hashed[0].st_size, hashed[1])
        return None

    def _kept_whole(self, index: int, entry: Entry) -> Kept | None:
        path = self._path(index)
        if not self._may_be_received(entry, status_of(path)):
            return None
        hashed = self._hashed(path, is_part=False)
        if hashed is None or not self._may_be_received(entry, hashed[0]):
            return None
        self._whole[index] = hashed
        return Kept(index, hashed[0].st_size, hashed[1])

    def _may_be_received(self, entry: Entry, status: os.stat_result | None) -> bool:
        """Return whether a file may have been received for this entry before."""
        resolution = self._traits.time_resolution
        return (
            status is not None
            and entry.mtime is not None
            and stat.S_ISREG(status.st_mode)
            and status.st_size == entry.size
            and status.st_mtime_ns == entry.mtime // resolution * resolution
        )

    def _hashed(self, path: Path, *, is_part: bool) -> tuple[os.stat_result, str] | None:
        """Return the status and hash of a file; ``None`` if it does not exist or cannot be used."""
        try:
            file = os.open(path, os.O_RDONLY | NO_LINK | BINARY | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            return None
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                return None
            if is_part and not file_lock.take(file, shared=True):
                return None  # another transfer writes to it
            size, digest = hash_of(file, self._stop.check)
            return (status, digest) if size == status.st_size else None
        except OSError:
            return None
        finally:
            os.close(file)

    def check(self) -> None:
        """Check all places before anything is written.

        Raises:
            UnsafeName: A parent of a place is a link or a file.
            TransferFailed: A place has a file that is not from an earlier attempt.
        """
        for place, entry in zip(self.places, self._entries, strict=True):
            self._stop.check()
            check_no_links(self._folder, place)
            path = self._folder.joinpath(*place)
            status = status_of(path)
            if status is None or (entry.folder and stat.S_ISDIR(status.st_mode)):
                continue
            is_replaceable = self._overwrite and not stat.S_ISDIR(status.st_mode)
            if entry.folder or not (self._may_be_received(entry, status) or is_replaceable):
                raise exists(entry.path, path)

    def open(self, index: int, offset: int) -> PartFile | WholeFile:
        """Open a file for writing, from an offset.

        Args:
            index: The index of the entry.
            offset: The size of the kept part to continue after, or 0.

        Raises:
            TransferFailed: The file cannot be written.
        """
        entry, path = self._entries[index], self._path(index)
        check_no_links(self._folder, self.places[index])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            status = status_of(path)
            known = self._whole.get(index)
            if known is not None and offset == entry.size and status is not None:
                return WholeFile(path, entry, known, self._stop)
            if status is not None and (not self._overwrite or stat.S_ISDIR(status.st_mode)):
                raise exists(entry.path, path, "it is there with another content")
            return PartFile(
                path,
                entry,
                offset,
                number=self._numbers.get(index),
                overwrite=self._overwrite,
                umask=self._traits.umask,
                stop=self._stop,
            )
        except OSError as error:
            raise unwritable(entry.path, error) from error

    def make_folders(self) -> None:
        """Create the offered folders.

        Raises:
            TransferFailed: A folder cannot be created.
        """
        for index, entry in enumerate(self._entries):
            self._stop.check()
            if entry.folder:
                check_no_links(self._folder, (*self.places[index], ""))
                path = self._path(index)
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.mkdir()
                    self._made.add(path)
                except FileExistsError as error:
                    if not path.is_dir():
                        raise exists(entry.path, path) from error
                except OSError as error:
                    raise unwritable(entry.path, error) from error

    def complete(self) -> None:
        """Set times and permissions of the folders that were created, the innermost first."""
        for index, entry in reversed(list(enumerate(self._entries))):
            if entry.folder and (path := self._path(index)) in self._made:
                apply_metadata(path, entry, self._traits.umask)

    def _path(self, index: int) -> Path:
        return self._folder.joinpath(*self.places[index])


@dataclass(frozen=True, slots=True)
class _FileSystemTraits:
    """Properties of the file system of a folder.

    Attributes:
        is_case_sensitive: Whether file names are case-sensitive.
        umask: Permission bits that new files do not get.
        time_resolution: The resolution of modification times, in nanoseconds.
    """

    is_case_sensitive: bool
    umask: int
    time_resolution: int


def _probe(folder: Path) -> _FileSystemTraits:
    """Determine the properties of a file system with a temporary file in the folder."""
    probe = folder / f".icefloe-{secrets.token_hex(8)}-probe"
    # os.umask() returns the umask only by changing it, for all threads.
    os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | BINARY, 0o777))
    try:
        mode = stat.S_IMODE(probe.stat().st_mode)
        os.utime(probe, ns=(_PROBE_TIME, _PROBE_TIME))
        kept = probe.stat().st_mtime_ns
        resolutions = (r for r in _TIME_RESOLUTIONS if _PROBE_TIME // r * r == kept)
        resolution = next(resolutions, _TIME_RESOLUTIONS[-1])
        is_case_sensitive = not probe.with_name(probe.name.upper()).exists()
    finally:
        probe.unlink(missing_ok=True)
    umask = 0o777 & ~mode if os.name == "posix" else 0
    return _FileSystemTraits(is_case_sensitive, umask, resolution)

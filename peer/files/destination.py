"""The folder that receives: what is there of an offer, and where the rest goes. All blocks."""

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
    NO_LINK,
    PARTS,
    PartFile,
    WholeFile,
    dress,
    exists,
    hash_of,
    status_of,
    unwritable,
)
from .protocol import Entry, Kept

_GRAINS = (1, 100, 10**3, 10**6, 10**7, 10**9, 2 * 10**9)
"""Nanoseconds to which file systems keep the time of change."""

_ODD_TIME = 1_700_000_001_123_456_789


class Destination:
    """A folder that receives.

    Args:
        folder: The folder; it is made if it is not there.
        entries: What is offered.
        overwrite: Whether files that are there are replaced.
        stop: When to give up what takes long.

    Attributes:
        places: Where each entry goes.

    Raises:
        TransferFailed: It cannot be used, or a name must not.
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
            self._kind = _look_at(folder)
        except OSError as error:
            raise unwritable("", error, str(folder)) from error
        self.places = arrange(
            entries, case_sensitive=self._kind.is_case_sensitive, check=self._stop.check
        )

    def kept(self) -> list[Kept]:
        """Return what an earlier attempt left: parts, and files that are whole. Reads all of it.

        A file in its place counts only with the size and the time of change that are offered, as a
        transfer leaves it. The hash of any other file would let the sender try what is in it.
        """
        found = []
        for index, entry in enumerate(self._entries):
            self._stop.check()
            if entry.folder or entry.size is None:
                continue
            ways = (self._kept_part, self._kept_whole)
            for way in ways if self._overwrite else reversed(ways):
                kept = way(index, entry)
                if kept is not None:
                    found.append(kept)
                    break
        return found

    def _kept_part(self, index: int, entry: Entry) -> Kept | None:
        path = self._path(index)
        for number in range(PARTS):
            part = path.with_name(part_name(path.name, entry, number))
            hashed = self._hashed(part, is_part=True)
            if hashed is not None:
                self._numbers[index] = number
                return Kept(index, hashed[0].st_size, hashed[1])
        return None

    def _kept_whole(self, index: int, entry: Entry) -> Kept | None:
        path = self._path(index)
        if not self._may_be(entry, status_of(path)):
            return None
        hashed = self._hashed(path, is_part=False)
        if hashed is None or not self._may_be(entry, hashed[0]):
            return None
        self._whole[index] = hashed
        return Kept(index, hashed[0].st_size, hashed[1])

    def _may_be(self, entry: Entry, status: os.stat_result | None) -> bool:
        """Tell whether a file may be one that was received before."""
        return (
            status is not None
            and entry.mtime is not None
            and stat.S_ISREG(status.st_mode)
            and status.st_size == entry.size
            and status.st_mtime_ns == entry.mtime // self._kind.grain * self._kind.grain
        )

    def _hashed(self, path: Path, *, is_part: bool) -> tuple[os.stat_result, str] | None:
        """Return status and hash of a file; ``None`` if there is none, or it is not to be read."""
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
        """See before anything is written whether it can be.

        Raises:
            UnsafeName: The way to a place leads through a link or a file.
            TransferFailed: There is a file in a place, and it is surely another one.
        """
        for place, entry in zip(self.places, self._entries, strict=True):
            self._stop.check()
            check_no_links(self._folder, place)
            path = self._folder.joinpath(*place)
            status = status_of(path)
            if status is None or (entry.folder and stat.S_ISDIR(status.st_mode)):
                continue
            may_be_it = self._may_be(entry, status)
            may_go = self._overwrite and not stat.S_ISDIR(status.st_mode)
            if entry.folder or not (may_be_it or may_go):
                raise exists(entry.path, path)

    def open(self, index: int, offset: int) -> PartFile | WholeFile:
        """Open an entry to be written from an offset on.

        Raises:
            TransferFailed: It cannot be written.
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
                umask=self._kind.umask,
                stop=self._stop,
            )
        except OSError as error:
            raise unwritable(entry.path, error) from error

    def make_folders(self) -> None:
        """Make the folders that were offered, to be filled.

        Raises:
            TransferFailed: One cannot be made.
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
        """Give the folders that were made their times and permissions, the inner ones first."""
        for index, entry in reversed(list(enumerate(self._entries))):
            if entry.folder and (path := self._path(index)) in self._made:
                dress(path, entry, self._kind.umask)

    def _path(self, index: int) -> Path:
        return self._folder.joinpath(*self.places[index])


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the file system of a folder deals with files that are made there.

    Attributes:
        is_case_sensitive: Whether it tells ``a`` from ``A``.
        umask: Permission bits that new files do not get.
        grain: Nanoseconds to which it keeps the time of change.
    """

    is_case_sensitive: bool
    umask: int
    grain: int


def _look_at(folder: Path) -> _Kind:
    """Make a file in a folder and see what becomes of it."""
    probe = folder / f".icefloe-{secrets.token_hex(8)}-probe"
    # Asking the system for the umask means changing it, for all threads.
    os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | BINARY, 0o777))
    try:
        mode = stat.S_IMODE(probe.stat().st_mode)
        os.utime(probe, ns=(_ODD_TIME, _ODD_TIME))
        kept = probe.stat().st_mtime_ns
        grain = next((g for g in _GRAINS if _ODD_TIME // g * g == kept), _GRAINS[-1])
        is_case_sensitive = not probe.with_name(probe.name.upper()).exists()
    finally:
        probe.unlink(missing_ok=True)
    return _Kind(is_case_sensitive, 0o777 & ~mode if os.name == "posix" else 0, grain)

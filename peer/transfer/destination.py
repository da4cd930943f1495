"""The folder that receives: what is there of an offer, and where the rest goes. All blocks."""

import os
import stat
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from .errors import Failure, TransferFailed
from .part import BINARY, CHUNK, NO_LINK, PartFile, dress, status_of, unwritable
from .paths import arrange, check_no_links, part_name
from .protocol import Entry, Kept, new_hash

_HASHES = 1000
"""Hashes of what is there that are not computed again when it is gone on with."""


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
        self._hashes: dict[int, tuple[int, blake2b]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sensitive = _is_case_sensitive(folder)
        except OSError as error:
            raise unwritable(str(folder), error) from error
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
                    size, digest = kept
                    found.append(Kept(index, size, digest.hexdigest()))
                    if size >= CHUNK and len(self._hashes) < _HASHES:
                        self._hashes[index] = size, digest
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
            status = status_of(path)
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
        size, digest = self._hashes.pop(index, (0, None))
        hashed = digest if size == offset else None
        check_no_links(self._folder, self.places[index])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            status = status_of(path)
            if offset == entry.size and index in self._whole and status is not None:
                return PartFile(
                    path, path, entry, offset, overwrite=False, is_there=True, hashed=hashed
                )
            if status is not None and (not self._overwrite or stat.S_ISDIR(status.st_mode)):
                raise TransferFailed(
                    Failure.EXISTS, entry.path, f"{path} is there with another content"
                )
            part = path.with_name(part_name(path.name, entry))
            return PartFile(path, part, entry, offset, overwrite=self._overwrite, hashed=hashed)
        except OSError as error:
            raise unwritable(entry.path, error) from error

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
                    raise unwritable(entry.path, error) from error

    def complete(self) -> None:
        """Give the folders their times and permissions, the inner ones first."""
        for index, entry in reversed(list(enumerate(self._entries))):
            if entry.folder:
                dress(self._path(index), entry)

    def _path(self, index: int) -> Path:
        return self._folder.joinpath(*self.places[index])


def _hashed(path: Path) -> tuple[int, blake2b] | None:
    """Return length and hash of a file; ``None`` if there is none, or it cannot be read."""
    digest, size = new_hash(), 0
    try:
        file = os.open(path, os.O_RDONLY | NO_LINK | BINARY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        while data := os.read(file, CHUNK):
            digest.update(data)
            size += len(data)
    except OSError:
        return None
    finally:
        os.close(file)
    return size, digest


def _is_case_sensitive(folder: Path) -> bool:
    probe = folder / f".icefloe-{os.getpid()}-probe"
    probe.touch(exist_ok=True)
    try:
        return not probe.with_name(probe.name.upper()).exists()
    finally:
        probe.unlink(missing_ok=True)

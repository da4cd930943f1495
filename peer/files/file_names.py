"""File names of a transfer: collecting files to send, and safe names for files that are received.

Names from the remote peer are not trusted. A path that leads out of the folder of the receiver is
refused. A name with control characters, a device name of Windows, or a name that is too long is
changed. The change is deterministic, so that a transfer that is continued finds its parts again.
"""

import errno
import os
import re
import stat
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from icefloe.text import file_name, shortened

from .errors import TransferErrorCode, TransferFailed, UnsafeName
from .protocol import (
    EARLIEST,
    LATEST,
    MAX_ENTRIES,
    MAX_OFFER_BYTES,
    MAX_PATH_BYTES,
    Entry,
    cost,
    violation,
)

MAX_NAME_BYTES = 255 - len(".0123456789abcdef.part")
"""Bytes of a name in UTF-8. Most file systems allow 255, and the name of a part has a suffix."""

MAX_DEPTH = 64
"""The deepest nesting of folders."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file, folder or stream to send.

    Attributes:
        path: Its path on this machine; ``None`` for a stream.
        entry: Its description for the receiver.
        mtime: Its modification time in nanoseconds since the epoch, even if that is out of range
            for ``entry``; ``None`` if the time is not to be checked.
    """

    path: Path | None
    entry: Entry
    mtime: int | None = None


def safe_name(name: str, *, windows: bool = sys.platform == "win32") -> str:
    """Return the name under which an offered file or folder is written.

    Args:
        name: One component of a path.
        windows: Whether characters that Windows forbids are replaced.

    Returns:
        A name in Unicode normalization form NFC that is a single path component on every system.
        It has no separators, control characters or bidirectional formatting characters, is not a
        device name of Windows, and has at most :data:`MAX_NAME_BYTES` bytes. A safe name is
        returned unchanged.

    Raises:
        UnsafeName: The name is empty, ``.`` or ``..``.
    """
    if name in ("", ".", ".."):
        raise UnsafeName(name, "it is no name")
    return file_name(name, longest=MAX_NAME_BYTES, windows=windows)


@dataclass(slots=True)
class _Folder:
    """A folder that is offered, or that is a parent of an offered entry."""

    place: tuple[str, ...]
    folders: dict[str, "_Folder"] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    """The names in the folder, each with the number to try next if it occurs again."""


def arrange(
    entries: Sequence[Entry],
    *,
    case_sensitive: bool = True,
    windows: bool = sys.platform == "win32",
    check: Callable[[], None] = lambda: None,
) -> list[tuple[str, ...]]:
    """Return the place of each entry, as path components relative to the folder of the receiver.

    Entries that would have the same name get a number each; the numbers are deterministic. The time
    is linear in the length of the paths, even if many names are equal.

    Args:
        entries: The offered entries.
        case_sensitive: Whether file names in the folder are case-sensitive.
        windows: Whether characters that Windows forbids are replaced.
        check: Called for each entry; its exceptions are passed on.

    Raises:
        UnsafeName: A path is absolute, contains ``..``, or is nested too deeply.
        TransferFailed: There are more than :data:`MAX_ENTRIES` folders, including the parents of
            the entries.
    """
    made = 0

    def place_in(folder: _Folder, name: str) -> tuple[str, ...]:
        safe = safe_name(name, windows=windows)
        return (*folder.place, _free(safe, folder.taken, case_sensitive))

    def inner(folder: _Folder, name: str) -> _Folder:
        nonlocal made
        found = folder.folders.get(name)
        if found is None:
            made += 1
            if made > MAX_ENTRIES:
                raise violation(f"more than {MAX_ENTRIES} folders are offered")
            found = folder.folders[name] = _Folder(place_in(folder, name))
        return found

    top = _Folder(())
    places: list[tuple[str, ...]] = []
    for entry in entries:
        check()
        *parents, last = _parts(entry.path)
        folder = top
        for part in parents:
            folder = inner(folder, part)
        if entry.folder:
            places.append(inner(folder, last).place)
        else:
            places.append(place_in(folder, last))
    return places


def _parts(path: str) -> tuple[str, ...]:
    parts = tuple(path.split("/"))
    if len(parts) > MAX_DEPTH:
        raise UnsafeName(path[:200], "it is nested too deeply")
    if parts[0] == "" or re.match(r"[A-Za-z]:[\\/]", path):
        raise UnsafeName(path, "it is absolute")
    for part in parts:
        if part in ("", ".", "..") or ".." in part.split("\\"):
            raise UnsafeName(path, "it leads elsewhere")
    return parts


def _key(name: str, case_sensitive: bool) -> str:
    # Normalized after case folding: a case-insensitive file system may also decompose characters.
    return name if case_sensitive else unicodedata.normalize("NFC", name.casefold())


def _free(wanted: str, taken: dict[str, int], case_sensitive: bool) -> str:
    """Return the wanted name, or a numbered one if it is taken, and add it to the taken names."""
    key = _key(wanted, case_sensitive)
    if key not in taken:
        taken[key] = 2
        return wanted
    stem, suffix = os.path.splitext(wanted)
    while True:
        # Continues at the last number: counting from 2 each time would take quadratic time.
        name = shortened(f"{stem} ({taken[key]}){suffix}", MAX_NAME_BYTES)
        taken[key] += 1
        other = _key(name, case_sensitive)
        if other not in taken:
            taken[other] = 2
            return name


def part_name(name: str, entry: Entry, number: int = 0) -> str:
    """Return the name under which a file is written until it is complete.

    The name depends on the path, size and modification time of the source. A transfer that is
    continued thus finds the part again, unless the source was changed.

    Args:
        name: The final name of the file.
        entry: The offered entry.
        number: Distinguishes parts of transfers that run at the same time.
    """
    identity = f"{entry.path}\0{entry.size}\0{entry.mtime}" + (f"\0{number}" if number else "")
    return f"{name}.{blake2b(identity.encode(), digest_size=8).hexdigest()}.part"


def check_no_links(folder: Path, place: tuple[str, ...]) -> None:
    """Check that no parent of a place is a symbolic link or a file.

    This does not protect against links that are made at the same time: only a user of this machine
    can make them, not the remote peer.

    Raises:
        UnsafeName: A parent is a link or a file.
    """
    path = folder
    for part in place[:-1]:
        path /= part
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            return
        if stat.S_ISLNK(mode) or not stat.S_ISDIR(mode):
            kind = "link" if stat.S_ISLNK(mode) else "file"
            reason = f"{path.name!r} is a {kind} in the folder"
            raise UnsafeName("/".join(place), reason, private=True)


# --- files to send ------------------------------------------------------------------------------


def gather(paths: Iterable[Path | str]) -> tuple[list[Source], list[Path]]:
    """Collect the files to send. It may take long, so call it in a thread.

    Some files, as in ``/proc``, ``/sys`` and some FUSE file systems, do not have the content that
    their size promises. They are offered without a size and read to their end.

    Args:
        paths: Files and folders. Links among these are followed, links inside of folders are not.

    Returns:
        The files and folders to send, a folder before its content; and the paths inside of folders
        that are left out: links, sockets, devices.

    Raises:
        TransferFailed: A path is empty, does not exist, cannot be read, or is neither file nor
            folder; or there are too many files, or folders are nested too deeply.
    """
    sources: list[Source] = []
    left_out: list[Path] = []
    names: dict[str, int] = {}
    for path in paths:
        if path == "":
            raise TransferFailed(
                TransferErrorCode.UNREADABLE,
                "",
                "an empty name names no file",
                advice="Give a name.",
            )
        path = Path(path)
        try:
            # Not `Path.resolve`, which raises a `RuntimeError` for a link to itself.
            name = _unicode(os.path.basename(os.path.realpath(path))) or "files"
            name = _free(name, names, True)
            status = path.stat()
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                raise TransferFailed(
                    TransferErrorCode.UNREADABLE,
                    str(path),
                    f"it is {_kind(status.st_mode)}, and neither file nor folder",
                    advice="Send what comes out of it as standard input: icefloe send - < NAME.",
                )
            _add(path, name, status, sources, left_out)
        except OSError as error:
            raise unreadable(str(error.filename or path), error) from error
    if sum(cost(source.entry) for source in sources) > MAX_OFFER_BYTES:
        raise TransferFailed(
            TransferErrorCode.UNREADABLE,
            "",
            f"the names of the files take more than {MAX_OFFER_BYTES} bytes",
            advice="Send an archive.",
        )
    return sources, left_out


def _add(
    path: Path, name: str, status: os.stat_result, sources: list[Source], left_out: list[Path]
) -> None:
    if len(sources) >= MAX_ENTRIES:
        raise TransferFailed(
            TransferErrorCode.UNREADABLE,
            "",
            f"there are more than {MAX_ENTRIES} files",
            advice="Send an archive.",
        )
    if name.count("/") >= MAX_DEPTH or len(name.encode()) > MAX_PATH_BYTES:
        raise TransferFailed(
            TransferErrorCode.UNREADABLE,
            str(path),
            f"it is nested more than {MAX_DEPTH} folders deep, or its path has more than "
            f"{MAX_PATH_BYTES} bytes",
            advice="Send an archive.",
        )
    mode, mtime = stat.S_IMODE(status.st_mode) & 0o777, status.st_mtime_ns
    entry_mtime = mtime if EARLIEST <= mtime <= LATEST else None
    if stat.S_ISREG(status.st_mode):
        if _has_its_size(path, status):
            entry = Entry(name, status.st_size, mode=mode, mtime=entry_mtime)
            sources.append(Source(path, entry, mtime))
        else:
            sources.append(Source(path, Entry(name, mode=mode)))
    elif stat.S_ISDIR(status.st_mode):
        sources.append(Source(path, Entry(name, folder=True, mode=mode, mtime=entry_mtime)))
        used: set[str] = set()
        for child in sorted(path.iterdir()):
            child_name = _unicode(child.name)
            while child_name in used:
                child_name += "_"
            used.add(child_name)
            _add(child, f"{name}/{child_name}", child.lstat(), sources, left_out)
    else:
        left_out.append(path)


def _has_its_size(path: Path, status: os.stat_result) -> bool:
    """Return whether a file has as many bytes as its status says.

    The file is read only if it has no blocks on the disk: an empty file, a sparse file of zeros, or
    one that the system generates while it is read.

    Raises:
        OSError: The file cannot be read.
        TransferFailed: The file has no end.
    """
    if status.st_size and getattr(status, "st_blocks", 1):
        return True
    # Without O_NONBLOCK reading would wait, for example for further messages of the kernel log.
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        size = os.fstat(file).st_size
        if size:
            os.lseek(file, size - 1, os.SEEK_SET)
        return len(os.read(file, 2)) == (1 if size else 0)
    except BlockingIOError:
        raise endless(str(path)) from None
    finally:
        os.close(file)


_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def _unicode(name: str) -> str:
    """Return a file name of this system as valid Unicode, with invalid bytes replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def endless(path: str) -> TransferFailed:
    """Return the error for a source that never ends, such as the log of the kernel."""
    return TransferFailed(
        TransferErrorCode.UNREADABLE,
        path,
        "it has no end: what comes next is not there yet",
        advice="Send what is there so far as a copy.",
    )


def unreadable(path: str, error: OSError) -> TransferFailed:
    """Return the error for a source that cannot be read."""
    is_missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    advice = "Check the name, and whether it was moved." if is_missing else None
    return TransferFailed(
        TransferErrorCode.UNREADABLE, path, error.strerror or str(error), advice=advice
    )

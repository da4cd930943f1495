"""Names of files: those to send, and what they are called where they arrive.

A name from the other side is not trusted. What would lead out of the chosen folder is refused; what
is only awkward there (control characters, device names of Windows, a name that is too long) is
changed, in the same way every time, so that a transfer that goes on finds its parts again.
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

from .errors import Failure, TransferFailed, UnsafeName
from .protocol import (
    EARLIEST,
    LATEST,
    LONGEST_PATH,
    MOST_ENTRIES,
    MOST_OFFERED,
    Entry,
    cost,
    violation,
)

LONGEST_NAME = 255 - len(".0123456789abcdef.part")
"""Bytes of a name in UTF-8: most file systems take 255, and a part is named longer."""

DEPTH = 64
"""How deeply folders may be nested."""


@dataclass(frozen=True, slots=True)
class Source:
    """Something to send.

    Attributes:
        path: Where it is; ``None`` for a stream.
        entry: What is said of it.
        mtime: When it was changed, in nanoseconds since the epoch, also where that cannot be said
            in ``entry``; ``None`` if it does not matter.
    """

    path: Path | None
    entry: Entry
    mtime: int | None = None


def safe_name(name: str, *, windows: bool = sys.platform == "win32") -> str:
    """Return what a file or folder of this name is called here.

    Args:
        name: One part of a path.
        windows: Whether characters that Windows forbids are replaced.

    Returns:
        A name in Unicode's form NFC that is one part of a path on every system: without
        separators, control characters, or those that turn the direction of writing; no device of
        Windows; at most :data:`LONGEST_NAME` bytes. The name of a safe name is the same.

    Raises:
        UnsafeName: It is empty, ``.`` or ``..``.
    """
    if name in ("", ".", ".."):
        raise UnsafeName(name, "it is no name")
    return file_name(name, longest=LONGEST_NAME, windows=windows)


@dataclass(slots=True)
class _Folder:
    """A folder that is offered, or that something offered is in."""

    place: tuple[str, ...]
    folders: dict[str, "_Folder"] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    """Names in it, and for each the number to try next for another one of that name."""


def arrange(
    entries: Sequence[Entry],
    *,
    case_sensitive: bool = True,
    windows: bool = sys.platform == "win32",
    check: Callable[[], None] = lambda: None,
) -> list[tuple[str, ...]]:
    """Return where each of the offered entries goes, as the parts of a path below the folder.

    Two that would have the same name are told apart by a number, the same every time. It takes time
    in proportion to the length of the paths, however many are the same.

    Args:
        entries: What is offered.
        case_sensitive: Whether the folder tells ``a`` from ``A``.
        windows: Whether characters that Windows forbids are replaced.
        check: Called for each entry; what it raises ends it.

    Raises:
        UnsafeName: A path is absolute, has ``..`` in it, or is nested too deeply.
        TransferFailed: There are more than :data:`MOST_ENTRIES` folders, with those that are
            offered by what is in them.
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
            if made > MOST_ENTRIES:
                raise violation(f"more than {MOST_ENTRIES} folders are offered")
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
    if len(parts) > DEPTH:
        raise UnsafeName(path[:200], "it is nested too deeply")
    if parts[0] == "" or re.match(r"[A-Za-z]:[\\/]", path):
        raise UnsafeName(path, "it is absolute")
    for part in parts:
        if part in ("", ".", "..") or ".." in part.split("\\"):
            raise UnsafeName(path, "it leads elsewhere")
    return parts


def _key(name: str, case_sensitive: bool) -> str:
    # NFC of the folded form: a file system that folds may also decompose.
    return name if case_sensitive else unicodedata.normalize("NFC", name.casefold())


def _free(wanted: str, taken: dict[str, int], case_sensitive: bool) -> str:
    """Return a name that is not taken, and take it."""
    key = _key(wanted, case_sensitive)
    if key not in taken:
        taken[key] = 2
        return wanted
    stem, suffix = os.path.splitext(wanted)
    while True:
        # It goes on where it was: counting up from 2 each time, many take the square of the time.
        name = shortened(f"{stem} ({taken[key]}){suffix}", LONGEST_NAME)
        taken[key] += 1
        other = _key(name, case_sensitive)
        if other not in taken:
            taken[other] = 2
            return name


def part_name(name: str, entry: Entry, number: int = 0) -> str:
    """Return the name under which an entry is written until it is complete.

    It is the same for the same source, so that a transfer that goes on finds it, and another one
    if the source was changed.

    Args:
        name: What the entry is called here.
        entry: What was offered.
        number: Tells apart what several transfers write at the same time.
    """
    told = f"{entry.path}\0{entry.size}\0{entry.mtime}" + (f"\0{number}" if number else "")
    return f"{name}.{blake2b(told.encode(), digest_size=8).hexdigest()}.part"


def check_no_links(folder: Path, place: tuple[str, ...]) -> None:
    """Refuse a place below a folder that is reached through a link.

    Whoever can make links in the folder at this very moment is not kept out: that is a user of
    this machine, not the other side.

    Raises:
        UnsafeName: There is a link, or a file where a folder should be.
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


# --- what is sent -------------------------------------------------------------------------------


def gather(paths: Iterable[Path | str]) -> tuple[list[Source], list[Path]]:
    """Look for what there is to send; may take long, so call it in a thread.

    A file that holds something else than its size tells, as those in ``/proc`` and ``/sys`` and of
    some file systems in user space, is offered without a size and read to its end.

    Args:
        paths: Files and folders. Links among these are followed, those inside of folders not.

    Returns:
        What to send, a folder before what is in it, and what is left out of folders: links,
        sockets, devices.

    Raises:
        TransferFailed: One of the paths is empty, is not there, cannot be read, or is neither file
            nor folder; or there are too many, or they are nested too deeply.
    """
    sources: list[Source] = []
    left_out: list[Path] = []
    names: dict[str, int] = {}
    for path in paths:
        if path == "":
            raise TransferFailed(
                Failure.UNREADABLE, "", "an empty name names no file", advice="Give a name."
            )
        path = Path(path)
        try:
            # Not `Path.resolve`, which raises a `RuntimeError` for a link to itself.
            name = _told(os.path.basename(os.path.realpath(path))) or "files"
            name = _free(name, names, True)
            status = path.stat()
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                raise TransferFailed(
                    Failure.UNREADABLE,
                    str(path),
                    f"it is {_kind(status.st_mode)}, and neither file nor folder",
                    advice="Send what comes out of it as standard input: icefloe send - < NAME.",
                )
            _add(path, name, status, sources, left_out)
        except OSError as error:
            raise unreadable(str(error.filename or path), error) from error
    if sum(cost(source.entry) for source in sources) > MOST_OFFERED:
        raise TransferFailed(
            Failure.UNREADABLE,
            "",
            f"the names of the files take more than {MOST_OFFERED} bytes",
            advice="Send an archive.",
        )
    return sources, left_out


def _add(
    path: Path, name: str, status: os.stat_result, sources: list[Source], left_out: list[Path]
) -> None:
    if len(sources) >= MOST_ENTRIES:
        raise TransferFailed(
            Failure.UNREADABLE,
            "",
            f"there are more than {MOST_ENTRIES} files",
            advice="Send an archive.",
        )
    if name.count("/") >= DEPTH or len(name.encode()) > LONGEST_PATH:
        raise TransferFailed(
            Failure.UNREADABLE,
            str(path),
            f"it is nested more than {DEPTH} folders deep, or its path has more than "
            f"{LONGEST_PATH} bytes",
            advice="Send an archive.",
        )
    mode, mtime = stat.S_IMODE(status.st_mode) & 0o777, status.st_mtime_ns
    told_mtime = mtime if EARLIEST <= mtime <= LATEST else None
    if stat.S_ISREG(status.st_mode):
        if _tells_its_size(path, status):
            entry = Entry(name, status.st_size, mode=mode, mtime=told_mtime)
            sources.append(Source(path, entry, mtime))
        else:
            sources.append(Source(path, Entry(name, mode=mode)))
    elif stat.S_ISDIR(status.st_mode):
        sources.append(Source(path, Entry(name, folder=True, mode=mode, mtime=told_mtime)))
        used: set[str] = set()
        for child in sorted(path.iterdir()):
            told = _told(child.name)
            while told in used:
                told += "_"
            used.add(told)
            _add(child, f"{name}/{told}", child.lstat(), sources, left_out)
    else:
        left_out.append(path)


def _tells_its_size(path: Path, status: os.stat_result) -> bool:
    """Tell whether a file holds what its size tells.

    Only those that have no blocks on a disk are looked at: an empty file, one that is a hole, and
    one that a program makes up as it is read.

    Raises:
        OSError: It cannot be read.
        TransferFailed: It has no end.
    """
    if status.st_size and getattr(status, "st_blocks", 1):
        return True
    # Reading must not wait either, as it would for the messages of a kernel.
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


def _told(name: str) -> str:
    """Return a name of this system as Unicode; what is none of it is replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def endless(path: str) -> TransferFailed:
    """Return the error for a source in which more is waited for, as in a log of the kernel."""
    return TransferFailed(
        Failure.UNREADABLE,
        path,
        "it has no end: what comes next is not there yet",
        advice="Send what is there so far as a copy.",
    )


def unreadable(path: str, error: OSError) -> TransferFailed:
    """Return the error for a source that cannot be read."""
    is_missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    advice = "Check the name, and whether it was moved." if is_missing else None
    return TransferFailed(Failure.UNREADABLE, path, error.strerror or str(error), advice=advice)

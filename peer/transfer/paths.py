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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from icefloe.text import file_name, shortened

from .errors import Failure, TransferFailed, UnsafeName
from .protocol import EARLIEST, LATEST, LONGEST_PATH, MOST_ENTRIES, Entry

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


def arrange(
    entries: Sequence[Entry],
    *,
    case_sensitive: bool = True,
    windows: bool = sys.platform == "win32",
) -> list[tuple[str, ...]]:
    """Return where each of the offered entries goes, as the parts of a path below the folder.

    Two that would have the same name are told apart by a number, the same every time.

    Args:
        entries: What is offered.
        case_sensitive: Whether the folder tells ``a`` from ``A``.
        windows: Whether characters that Windows forbids are replaced.

    Raises:
        UnsafeName: A path is absolute, has ``..`` in it, is nested too deeply, or leads through
            what is a file.
    """
    places: list[tuple[str, ...]] = []
    taken: dict[tuple[str, ...], bool] = {}
    folders: dict[tuple[str, ...], tuple[str, ...]] = {(): ()}
    for entry in entries:
        offered = _parts(entry.path)
        parent = folders.get(offered[:-1])
        if parent is None:
            parent = ()
            for depth, part in enumerate(offered[:-1], 1):
                if offered[:depth] not in folders:
                    place = _free(
                        (*parent, safe_name(part, windows=windows)), taken, case_sensitive
                    )
                    folders[offered[:depth]] = place
                    taken[_key(place, case_sensitive)] = True
                parent = folders[offered[:depth]]
        if entry.folder and offered in folders:
            places.append(folders[offered])
            continue
        place = _free((*parent, safe_name(offered[-1], windows=windows)), taken, case_sensitive)
        taken[_key(place, case_sensitive)] = entry.folder
        if entry.folder:
            folders[offered] = place
        places.append(place)
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


def _key(place: tuple[str, ...], case_sensitive: bool) -> tuple[str, ...]:
    # NFC of the folded form: a file system that folds may also decompose.
    if case_sensitive:
        return place
    return tuple(unicodedata.normalize("NFC", part.casefold()) for part in place)


def _free(
    place: tuple[str, ...], taken: dict[tuple[str, ...], bool], case_sensitive: bool
) -> tuple[str, ...]:
    wanted, number = place, 1
    while _key(place, case_sensitive) in taken:
        number += 1
        stem, suffix = os.path.splitext(wanted[-1])
        place = (*wanted[:-1], shortened(f"{stem} ({number}){suffix}", LONGEST_NAME))
    return place


def part_name(name: str, entry: Entry) -> str:
    """Return the name under which an entry is written until it is complete.

    It is the same for the same source, so that a transfer that goes on finds it, and another one
    if the source was changed.
    """
    told = f"{entry.path}\0{entry.size}\0{entry.mtime}".encode()
    return f"{name}.{blake2b(told, digest_size=8).hexdigest()}.part"


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
            raise UnsafeName("/".join(place), f"{path.name!r} is a {kind} in the folder")


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
    names: set[str] = set()
    for path in paths:
        if path == "":
            raise TransferFailed(
                Failure.UNREADABLE, "", "an empty name names no file", advice="Give a name."
            )
        path = Path(path)
        try:
            # Not `Path.resolve`, which raises a `RuntimeError` for a link to itself.
            name = _told(os.path.basename(os.path.realpath(path))) or "files"
            base, number = name, 1
            while name in names:
                number += 1
                stem, suffix = os.path.splitext(base)
                name = f"{stem} ({number}){suffix}"
            names.add(name)
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
    if name.count("/") >= DEPTH or len(name) > LONGEST_PATH:
        raise TransferFailed(
            Failure.UNREADABLE,
            str(path),
            f"it is nested more than {DEPTH} folders deep, or its path has more than "
            f"{LONGEST_PATH} characters",
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

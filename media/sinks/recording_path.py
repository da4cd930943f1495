"""Paths of recordings: file names from participant names, and a check that a path is writable."""

import errno
import os
import re
import stat
from dataclasses import dataclass

from icefloe.text import LONGEST_NAME, file_name

PARTICIPANT = "{participant}"
"""Placeholder in a path for the name of a participant."""

_NAME_BYTES = 120
"""Maximum bytes of a participant's name within a file name, which has other parts as well."""


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A file of a recording.

    Attributes:
        path: Path of the file.
        participant: Name of the participant; ``None`` if the file has all participants.
        start: Start of the file, in seconds since the first frame of the recording.
    """

    path: str
    participant: str | None
    start: float


def participant_path(path: str, participant: str, number: int = 1) -> str:
    """Return the path of a participant's file.

    Args:
        path: Path with ``PARTICIPANT`` in it.
        participant: Name of the participant, from the remote peer. Its characters are replaced so
            that it stays a part of one path component.
        number: Number of the participant's file; ``-2`` and so on is appended to the name.
    """
    name = _safe_name(participant, path)
    return path.replace(PARTICIPANT, name if number == 1 else f"{name}-{number}")


def _safe_name(participant: str, path: str) -> str:
    words = re.sub(r"[^\w-]", "_", participant)
    if words.startswith("-"):
        words = f"_{words}"  # programs would take it for an option
    part = next(each for each in path.split(os.sep) if PARTICIPANT in each)
    rest = len(os.fsencode(part.replace(PARTICIPANT, ""))) + len("-9999999")
    longest = (LONGEST_NAME - rest) // part.count(PARTICIPANT)
    return file_name(words, longest=max(min(longest, _NAME_BYTES), 16), windows=True)


def check_writable(path: str) -> None:
    """Check that a file can be written at a path, without changing anything; blocks.

    Args:
        path: Path of a recording. With ``PARTICIPANT`` in it, its folder is checked.

    Raises:
        OSError: It cannot be written.
    """
    if PARTICIPANT in path:
        folder = os.path.dirname(path.split(PARTICIPANT)[0]) or "."
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
        return
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        with open(path, "xb"):
            os.unlink(path)
        return
    if stat.S_ISFIFO(mode):
        return  # opening a FIFO blocks until it has a reader
    with open(path, "ab"):
        pass

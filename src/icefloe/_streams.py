"""The command's standard streams, which may be closed from the start or break at any time.

A transfer does not end because nobody reads what is said of it. Where standard output is closed,
what would be there goes to standard error.
"""

import os
import sys
from typing import TextIO

from icefloe.text import SENTENCE, printable

_LINE = 100_000
"""Characters of a line: all that arrived in a folder is listed in one."""

_closed: set[str] = set()


def secure_streams() -> None:
    """Put the null device in the place of each standard stream that is closed.

    Else the next file or socket that is opened gets its number, and what is meant for a stream ends
    up there. Characters that a stream cannot show are written as escapes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            _closed.add(name)
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def was_closed(name: str) -> bool:
    """Tell whether a standard stream, such as ``stdin``, was closed when the command began."""
    return name in _closed


def output() -> TextIO:
    """Return where lines for standard output go."""
    return sys.stderr if was_closed("stdout") else sys.stdout


def write_line(stream: TextIO, line: str, *, end: str = "\n") -> None:
    """Write a line to a standard stream, at once; once it breaks, nothing more is written to it."""
    try:
        stream.write(line + end)
        stream.flush()
    except (OSError, ValueError) as error:
        silence(stream)
        if stream is not sys.stderr:
            say(f"standard output is closed ({error}); it goes on without")


def say(sentence: str) -> None:
    """Tell a person something on standard error, in one line."""
    write_line(sys.stderr, f"icefloe: {printable(sentence, SENTENCE)}")


def lines(text: str) -> str:
    """Return a text of one's own lines, each of them printable."""
    return "\n".join(printable(line, _LINE) for line in text.split("\n"))


def finish(stream: TextIO) -> None:
    """Write what waits in a stream, or let it go if that breaks."""
    try:
        stream.flush()
    except (OSError, ValueError):
        silence(stream)


def silence(stream: TextIO) -> None:
    """Let what is written to a broken stream, and what waits in it, go nowhere.

    Else the interpreter fails at its end, when it writes what waits.
    """
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)

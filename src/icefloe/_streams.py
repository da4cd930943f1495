"""Standard streams of the command, which may be closed at the start or break at any time.

A transfer continues even if nobody reads its output. If standard output is closed, lines for it go
to standard error.
"""

import os
import sys
from typing import TextIO

from icefloe.text import MAX_SENTENCE, printable

_MAX_LINE = 100_000
"""Characters of a line: one line lists all received files."""

_closed: set[str] = set()


def secure_streams() -> None:
    """Replace each closed standard stream by the null device.

    Otherwise the next file or socket that is opened would get the descriptor of the closed stream,
    and output for the stream would go there. Also makes the streams escape characters that their
    encoding does not have.
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
    """Return whether a standard stream, such as ``stdin``, was closed at the start."""
    return name in _closed


def output() -> TextIO:
    """Return the stream for lines of standard output."""
    return sys.stderr if was_closed("stdout") else sys.stdout


def write_line(stream: TextIO, line: str, *, end: str = "\n") -> None:
    """Write a line to a standard stream and flush it; silence the stream if that fails."""
    try:
        stream.write(line + end)
        stream.flush()
    except (OSError, ValueError) as error:
        silence(stream)
        if stream is not sys.stderr:
            show_message(f"standard output is closed ({error}); it goes on without")


def show_message(sentence: str) -> None:
    """Write a message for the user to standard error, in one line."""
    write_line(sys.stderr, f"icefloe: {printable(sentence, MAX_SENTENCE)}")


def lines(text: str) -> str:
    """Return a text with each of its lines made printable."""
    return "\n".join(printable(line, _MAX_LINE) for line in text.split("\n"))


def finish(stream: TextIO) -> None:
    """Flush a stream; silence it if that fails."""
    try:
        stream.flush()
    except (OSError, ValueError):
        silence(stream)


def silence(stream: TextIO) -> None:
    """Redirect a broken stream, and its buffered output, to the null device.

    Otherwise the interpreter fails at its exit, when it flushes the stream.
    """
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)

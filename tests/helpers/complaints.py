"""Errors that nobody was told of: unread exceptions of tasks, tracebacks on standard error.

They end no test by themselves: asyncio logs them, and programs that tests start print them. They
are kept here until the fixture that sees whether anything is left behind asks for them.
"""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_COMPLAINT = re.compile(r"Traceback \(most recent call last\)|was never (retrieved|awaited)")
_LINES = 60
"""Lines of a program that are told from its complaint on."""

_kept: deque[str] = deque(maxlen=50)


def taken() -> list[str]:
    """Return what was complained of since the last time, and forget it."""
    complaints = list(_kept)
    _kept.clear()
    return complaints


def search(source: str, text: str) -> None:
    """Keep what a program printed on standard error if it complains.

    Args:
        source: The program.
        text: All that it printed.
    """
    if found := _COMPLAINT.search(text):
        lines = text[found.start() :].splitlines()[:_LINES]
        _kept.append(f"{source} complained:\n" + "\n".join(lines))


class Watch:
    """Looks at what a program prints on standard error, line by line.

    Args:
        source: The program.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._lines: list[str] = []

    def line(self, line: str) -> None:
        """Look at a line."""
        if len(self._lines) < _LINES and (self._lines or _COMPLAINT.search(line)):
            self._lines.append(line)

    def end(self) -> None:
        """Keep what it complained of; there are no more lines."""
        search(self._source, "".join(self._lines))


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _kept.append(f"asyncio logged: {self.format(record)}")


@contextmanager
def logged() -> Iterator[None]:
    """Keep what asyncio logs as an error until the end of the block."""
    handler = _Handler(logging.ERROR)
    handler.setFormatter(logging.Formatter())
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def unread() -> list[str]:
    """Describe the tasks of the running event loop that failed and whose exception nobody read.

    asyncio itself tells of them when they are collected as garbage, which may be much later.
    """
    loop = asyncio.get_running_loop()
    tasks: Iterable[asyncio.Task[Any]] = getattr(asyncio.tasks, "_all_tasks", ())
    failed = [
        task
        for task in list(tasks)
        if task.done() and task.get_loop() is loop and getattr(task, "_log_traceback", False)
    ]
    described = [f"exception that nobody read: {task!r}" for task in failed]
    for task in failed:
        task.exception()  # told now, and not once more later
    return described

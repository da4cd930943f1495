"""Loggers whose records are safe to print: untrusted text in them is escaped.

Records often include text from another machine, sometimes inside of an error of a library. Each
module gets its logger from :func:`get_logger`, which escapes all arguments, so that no log call has
to do it.
"""

import logging
import traceback
from collections.abc import Mapping
from numbers import Number

from icefloe.text import MAX_SENTENCE, printable

_MAX_TRACEBACK_LINE = 500  # characters


class _Printable:
    """An argument of a record that is escaped when the record is formatted."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return printable(self._value, MAX_SENTENCE)

    def __repr__(self) -> str:
        value = self._value
        # Cut first, so that the cost does not grow with the length of the value.
        short = value[:MAX_SENTENCE] if isinstance(value, str | bytes | bytearray) else value
        return printable(repr(short), MAX_SENTENCE)


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module, whose records are safe to show on a terminal.

    Control characters, line breaks and bidirectional formatting characters in arguments are
    escaped, and each argument is cut at :data:`icefloe.text.MAX_SENTENCE` characters. The lines of
    a traceback are indented, so that none of them looks like a record.

    Args:
        name: The name of the module.
    """
    logger = logging.getLogger(name)
    logger.addFilter(make_printable)
    return logger


def make_printable(record: logging.LogRecord) -> bool:
    """Make a log record printable; a filter for loggers and handlers that lets all records pass.

    The commands add it to the handler of the root logger, for the records of libraries.
    """
    if not record.args:
        record.msg = printable(record.msg, MAX_SENTENCE)
    elif isinstance(record.args, Mapping):
        record.args = {key: _printable(value) for key, value in record.args.items()}
    else:
        record.args = tuple(map(_printable, record.args))
    if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
        whole = "".join(traceback.format_exception(*record.exc_info))
        # Not splitlines(): all other line separators are escaped.
        lines = whole.rstrip("\n").split("\n")
        record.exc_text = "\n".join(f"  {printable(line, _MAX_TRACEBACK_LINE)}" for line in lines)
    return True


def _printable(value: object) -> object:
    return value if value is None or isinstance(value, Number) else _Printable(value)

"""The loggers of icefloe: whatever a record shows is made printable, wherever it comes from.

A record is often about what another machine wrote, and sometimes by way of an error that a library
raised with it. So no line of the log has to be trusted to escape its own arguments: each module has
its logger from :func:`get_logger`, and that does it for all of them.
"""

import logging
import traceback
from collections.abc import Mapping
from numbers import Number

from icefloe.text import SENTENCE, printable

_TRACEBACK_LINE = 500


class _Shown:
    """An argument of a record, in printable text once it is formatted."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return printable(self._value, SENTENCE)

    def __repr__(self) -> str:
        value = self._value
        # What is cut off anyhow is not worth escaping.
        short = value[:SENTENCE] if isinstance(value, str | bytes | bytearray) else value
        return printable(repr(short), SENTENCE)


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module, whose records are safe to show on a terminal.

    Control characters, line breaks and marks of the reading direction in an argument are escaped,
    and each argument is cut at :data:`icefloe.text.SENTENCE` characters. The lines of a traceback
    are indented, so that none can pass for a record.

    Args:
        name: The name of the module.
    """
    logger = logging.getLogger(name)
    logger.addFilter(make_printable)
    return logger


def make_printable(record: logging.LogRecord) -> bool:
    """Make whatever a record shows printable, and let it pass: a filter of loggers and handlers.

    Commands have it on the handler of the root, for the records of libraries.
    """
    if not record.args:
        record.msg = printable(record.msg, SENTENCE)
    elif isinstance(record.args, Mapping):
        record.args = {key: _shown(value) for key, value in record.args.items()}
    else:
        record.args = tuple(map(_shown, record.args))
    if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
        whole = "".join(traceback.format_exception(*record.exc_info))
        # A line may end at more than "\n", and all of those but it are escaped.
        lines = whole.rstrip("\n").split("\n")
        record.exc_text = "\n".join(f"  {printable(line, _TRACEBACK_LINE)}" for line in lines)
    return True


def _shown(value: object) -> object:
    return value if value is None or isinstance(value, Number) else _Shown(value)

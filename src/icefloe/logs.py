"""Loggers whose records are safe to print: untrusted text in them is escaped.

Records often include text from another machine, sometimes inside of an error of a library. Each
module gets its logger from :func:`get_logger`, which escapes all arguments, so that no log call has
to do it.

:func:`set_up` writes records as text or as JSON. A program with logging of its own adds
:class:`JsonFormatter` to one of its handlers, and :func:`make_printable` as a filter.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from numbers import Number
from typing import Any, TextIO

from icefloe.text import MAX_SENTENCE, printable

_MAX_TRACEBACK_LINE = 500  # characters
_FIELDS = "icefloe_fields"
"""The attribute of a record with the fields of its event."""

_OWN_KEYS = frozenset({"time", "level", "logger", "event", "exception"})


class LogFormat(StrEnum):
    """The format of log records."""

    TEXT = "text"
    """A line for people; a traceback has further lines."""

    JSON = "json"
    """One JSON object a line."""


def fields(**values: object) -> dict[str, Any]:
    """Return the argument ``extra`` of a log call with the fields of an event.

    Args:
        values: The fields, such as ``connection=7``. Numbers are kept, anything else becomes text.
    """
    shown = {
        name: value if isinstance(value, int | float) else printable(value)
        for name, value in values.items()
    }
    return {_FIELDS: shown}


class TextFormatter(logging.Formatter):
    """Formats a record as text, with its fields at the end, as ``connection=7``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        pairs = (f" {name}={value}" for name, value in getattr(record, _FIELDS, {}).items())
        return super().formatMessage(record) + "".join(pairs)


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object on one line.

    It has ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``event``, the fields of the event, and
    ``exception`` with the traceback if there is one. What looks like an IP address, a candidate, a
    line of SDP with a secret, or a token is replaced: such lines are collected and kept.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": redacted(record.getMessage()),
        }
        for name, value in getattr(record, _FIELDS, {}).items():
            if name not in _OWN_KEYS:
                line[name] = redacted(value) if isinstance(value, str) else value
        if record.exc_info and record.exc_info[0] is not None:
            make_printable(record)  # a handler may lack the filter
            line["exception"] = redacted(record.exc_text or "")
        return json.dumps(line)


_H16 = r"[0-9A-Fa-f]{1,4}"
_REDACTED = re.compile(
    r"candidate:\S[^\n\"']*"
    r"|a=(?:ice-ufrag|ice-pwd|fingerprint|crypto):[^\n\"']*"
    r"|\beyJ[\w-]+\.[\w.-]+"  # a JSON Web Token
    r"|(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)"
    rf"|(?<![\w:])(?:{_H16}:){{7}}{_H16}(?![\w:])"
    rf"|(?<![\w:])(?:{_H16}(?::{_H16}){{0,6}})?::(?:{_H16}(?::{_H16}){{0,6}})?(?![\w:])"
)


def redacted(text: str) -> str:
    """Return text without IP addresses, candidates, tokens, and SDP that has a secret.

    Args:
        text: A line of a log; each of these in it becomes ``…``.
    """
    return _REDACTED.sub("…", text)


def set_up(
    level: str = "info", format: LogFormat = LogFormat.TEXT, stream: TextIO | None = None
) -> None:
    """Write the records of the whole process, those of libraries included.

    Args:
        level: The lowest level that is written, in lower case.
        format: Text or JSON.
        stream: The stream to write to; ``None`` for standard error.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if format is LogFormat.JSON else TextFormatter())
    handler.addFilter(make_printable)  # libraries log received text without escaping it
    logging.basicConfig(level=level.upper(), handlers=[handler])


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

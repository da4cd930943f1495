"""The name of the peer in each line of the log, also where the code knows of no peer."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from icefloe.logs import get_logger

_name: ContextVar[str] = ContextVar("icefloe_peer", default="")


@contextmanager
def named(name: str) -> Iterator[None]:
    """Let the log name a peer within the block, and in all tasks and callbacks begun there."""
    before = _name.set(name)
    try:
        yield
    finally:
        _name.reset(before)


class NamingLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines begin with the name of the peer that they are about.

    Args:
        module: The name of the logger.
    """

    def __init__(self, module: str) -> None:
        super().__init__(get_logger(module), {})

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Write a record, if records of this level are."""
        if not self.isEnabledFor(level):
            return
        if name := _name.get():
            msg, args = f"%s: {msg}", (name, *args)
        options.setdefault("stacklevel", 2)
        self.logger.log(level, msg, *args, **options)

"""Logger that puts the name of the remote peer in front of each line.

The name is kept in a context variable, so code that does not know the peer logs it too.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from icefloe.logs import get_logger

_name: ContextVar[str] = ContextVar("icefloe_peer", default="")


@contextmanager
def named(name: str) -> Iterator[None]:
    """Set the peer name for log lines of the block, and of tasks and callbacks started in it."""
    before = _name.set(name)
    try:
        yield
    finally:
        _name.reset(before)


class NamingLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines begin with the name of the remote peer.

    Args:
        module: The name of the underlying logger.
    """

    def __init__(self, module: str) -> None:
        super().__init__(get_logger(module), {})

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Log a message with the peer name in front, if the level is enabled."""
        if not self.isEnabledFor(level):
            return
        if name := _name.get():
            msg, args = f"%s: {msg}", (name, *args)
        options.setdefault("stacklevel", 2)
        self.logger.log(level, msg, *args, **options)

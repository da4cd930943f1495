"""What both the client and the server need of a WebSocket."""

import logging
import socket
from typing import Any

from websockets.asyncio.connection import Connection
from websockets.protocol import State


class QuietLogger(logging.LoggerAdapter[logging.Logger]):
    """What websockets may log: warnings and errors, but no frames, for they hold tokens.

    Args:
        name: The name of the logger to write to.
    """

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), {})

    def isEnabledFor(self, level: int) -> bool:
        """Tell whether a record of this level is written."""
        return level >= logging.WARNING and super().isEnabledFor(level)


def cut_off(connection: Connection) -> None:
    """End a connection at once, whatever state it is in."""
    # asyncio's transports cannot always be aborted again once they are closed.
    if connection.state is not State.CLOSED:
        connection.transport.abort()


def is_own_address(address: tuple[Any, ...]) -> bool:
    """Tell whether this machine has an address now; never waits.

    Args:
        address: As sockets have it: host, port, and for IPv6 flow information and scope.
    """
    family = socket.AF_INET6 if len(address) > 2 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address[0], 0, *address[2:]))
    except OSError:
        return False
    return True

"""What both the client and the server need of a WebSocket."""

import asyncio
import logging
import socket
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from websockets.asyncio.connection import Connection
from websockets.protocol import State

from icefloe._util.name_lookups import shared
from icefloe.logs import get_logger
from icefloe.text import printable, quoted


class QuietLogger(logging.LoggerAdapter[logging.Logger]):
    """What websockets may log: warnings and errors, but no frames, for they hold tokens.

    Args:
        name: The name of the logger to write to.
    """

    def __init__(self, name: str) -> None:
        super().__init__(get_logger(name), {})

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


async def wait_for_name(url: str, timeout: float) -> None:
    """Return once the name of a server is found out; a proxy, if there is one, does that itself.

    asyncio looks names up in a thread of its executor, for which the end of a program waits. It
    does so again afterwards, when the name server is known to answer.

    Args:
        url: The server's.
        timeout: Seconds to wait at most.

    Raises:
        OSError: There is no such name, or the name server does not answer.

    Cancellation: safe.
    """
    host = urlsplit(url).hostname
    if host and not getproxies():
        try:
            async with asyncio.timeout(timeout):
                await shared(("presence", host), lambda: _look_up(host))
        except TimeoutError as error:
            raise TimeoutError(
                f"the host {quoted(host)} was not found: no name server answered within "
                f"{timeout:g} s"
            ) from error


def _look_up(host: str) -> None:
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(
            f"the host {quoted(host)} was not found: that is not a name of a host"
        ) from error
    except socket.gaierror as error:
        reason = "no name server answers"
        if error.errno != socket.EAI_AGAIN:
            reason = f"no machine has this name ({printable(error.strerror)})"
        raise OSError(f"the host {quoted(host)} was not found: {printable(reason)}") from error

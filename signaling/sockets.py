"""Socket helpers of the signaling client and server: logging, abort, addresses, name look-up."""

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
    """A logger for the websockets library that drops records below warnings.

    The library logs frames at lower levels, and these contain tokens.

    Args:
        name: The name of the logger to write to.
    """

    def __init__(self, name: str) -> None:
        super().__init__(get_logger(name), {})

    def isEnabledFor(self, level: int) -> bool:
        """Return whether records of this level are written."""
        return level >= logging.WARNING and super().isEnabledFor(level)


def cut_off(connection: Connection) -> None:
    """Abort a connection at once, whatever state it is in."""
    # A closed asyncio transport cannot always be aborted again.
    if connection.state is not State.CLOSED:
        connection.transport.abort()


def is_own_address(address: tuple[Any, ...]) -> bool:
    """Return whether an IP address is assigned to this machine now. Does not block.

    Args:
        address: A socket address: host, port, and for IPv6 flow information and scope.
    """
    family = socket.AF_INET6 if len(address) > 2 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address[0], 0, *address[2:]))
    except OSError:
        return False
    return True


async def wait_for_name(url: str, timeout: float) -> None:
    """Wait until the DNS look-up of a server's host name has succeeded.

    asyncio looks names up in a thread of its executor, and the interpreter waits for that thread at
    its exit. So the name is looked up here first, in a daemon thread; asyncio then repeats the
    look-up, when the name server is known to answer. With an HTTP proxy nothing is looked up, since
    the proxy does it.

    Args:
        url: The URL of the server.
        timeout: The longest time to wait, in seconds.

    Raises:
        OSError: The name does not exist, or no name server answers in time.

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

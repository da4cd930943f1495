"""Names looked up, and other slow calls, without holding up anything else."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def family(address: str) -> int:
    """Return 4 or 6, the IP version of an address."""
    return ipaddress.ip_address(address).version


async def in_thread(call: Callable[[], T], name: str) -> T:
    """Make a slow call in a daemon thread of its own, which ends with it.

    The loop's default executor is left to those who encode in it: a name server that does not
    answer occupies none of its threads, and the end of the program waits for nothing.

    Args:
        call: What to call.
        name: Name of the thread.

    Raises:
        OSError: It is what the call raised, as a ``ValueError`` is.

    Cancellation: safe; the outcome is then ignored.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def deliver(result: T | None, error: Exception | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = call()
        except (OSError, ValueError) as error:
            failure = error
        try:
            loop.call_soon_threadsafe(deliver, result, failure)
        except RuntimeError:
            return  # the loop was closed meanwhile: nobody waits any more

    threading.Thread(target=run, name=name, daemon=True).start()
    return await outcome


async def resolve(host: str, port: int) -> list[str]:
    """Look up the addresses of a host, as the system does it.

    Args:
        host: Name, or an IPv4 or IPv6 address, which is returned as it is.
        port: Port number, for the system's resolver.

    Returns:
        Addresses in the system's order of preference, each once.

    Raises:
        OSError: The name does not resolve.

    Cancellation: safe; the answer is then ignored.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass

    def look_up() -> list[str]:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except UnicodeError as error:
            raise OSError(f"{host!r}: {error}") from error
        return list(dict.fromkeys(str(entry[4][0]) for entry in entries))

    return await in_thread(look_up, "icefloe-resolve")

"""The machine's addresses, and names looked up without holding up anything else."""

import asyncio
import ipaddress
import socket
import threading

from aioice.ice import get_host_addresses

LOOPBACK = ("127.0.0.1", "::1")


def host_addresses() -> list[str]:
    """Return the addresses to gather host candidates on.

    A machine that has none but loopback, as a container without a network, gets loopback: a
    connection within the machine is then the only one there can be.
    """
    return get_host_addresses(use_ipv4=True, use_ipv6=True) or list(LOOPBACK)


def family(address: str) -> int:
    """Return 4 or 6, the IP version of an address."""
    return ipaddress.ip_address(address).version


async def resolve(host: str, port: int) -> list[str]:
    """Look up the addresses of a host, as the system does it.

    The look-up has a thread of its own, which ends with it: a name server that does not answer
    occupies no thread that encoders wait for.

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
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def deliver(found: list[str] | OSError) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def look_up() -> None:
        found: list[str] | OSError
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            found = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        except (OSError, UnicodeError) as error:
            found = error if isinstance(error, OSError) else OSError(f"{host!r}: {error}")
        if not loop.is_closed():
            loop.call_soon_threadsafe(deliver, found)

    threading.Thread(target=look_up, name="icefloe-resolve", daemon=True).start()
    return await answer

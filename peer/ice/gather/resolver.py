"""Name resolution of STUN and TURN servers, off the event loop."""

import ipaddress
import socket

from icefloe._util.name_lookups import shared
from icefloe.text import printable, quoted


def family(address: str) -> int:
    """Return 4 or 6, the IP version of an address."""
    return ipaddress.ip_address(address).version


async def resolve(host: str, port: int) -> list[str]:
    """Resolve a host name with the system's resolver.

    Concurrent calls for the same host share one query.

    Args:
        host: Host name, or an IP address, which is returned in canonical form.
        port: Port number, passed to ``getaddrinfo``.

    Returns:
        IP addresses in the system's order of preference, without duplicates.

    Raises:
        OSError: The name does not resolve, or there are too many concurrent queries.

    Cancellation: safe; the answer is ignored.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass

    def look_up() -> list[str]:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except UnicodeError as error:
            raise OSError(f"{quoted(host)}: {printable(error)}") from error
        return list(dict.fromkeys(str(entry[4][0]) for entry in entries))

    return await shared(("addresses", host), look_up)

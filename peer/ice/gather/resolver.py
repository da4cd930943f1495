"""Names looked up without holding up anything else."""

import ipaddress
import socket

from icefloe._util.name_lookups import shared
from icefloe.text import printable, quoted


def family(address: str) -> int:
    """Return 4 or 6, the IP version of an address."""
    return ipaddress.ip_address(address).version


async def resolve(host: str, port: int) -> list[str]:
    """Look up the addresses of a host, as the system does it.

    Several calls for the same host at a time share one look-up.

    Args:
        host: Name, or an IPv4 or IPv6 address, which is returned as it is.
        port: Port number, for the system's resolver.

    Returns:
        Addresses in the system's order of preference, each once.

    Raises:
        OSError: The name does not resolve, or too many names are being looked up.

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
            raise OSError(f"{quoted(host)}: {printable(error)}") from error
        return list(dict.fromkeys(str(entry[4][0]) for entry in entries))

    return await shared(("addresses", host), look_up)

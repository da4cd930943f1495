"""The address of a client behind reverse proxies, from the header that they set. No I/O.

Spec: RFC 7239 for ``Forwarded``; ``X-Forwarded-For`` is a list of addresses.
"""

import ipaddress
import re

from websockets.datastructures import Headers

from .configuration import Proxies, ProxyHeader

MAX_HEADER_LENGTH = 4096
"""Characters of the header that are read, from the right; beyond them nothing is believed."""

MAX_HOPS = 16
"""Addresses that are looked at, from the right."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_FOR = re.compile(r'\s*for\s*=\s*(?:"([^"\\]{1,64})"|([^\s",;=]{1,64}))\s*', re.IGNORECASE)
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::\d{1,5})?|(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}")


class ForwardedAddresses:
    """Reads the address of a client from a request that came from a trusted proxy.

    Args:
        proxies: The proxies, and the header that they set.
    """

    def __init__(self, proxies: Proxies) -> None:
        self._header = proxies.header
        self._networks: list[_Network] = [ipaddress.ip_network(each) for each in proxies.networks]

    def is_proxy(self, address: str) -> bool:
        """Return whether an address is that of a trusted proxy."""
        found = _parse(address)
        return found is not None and self._is_trusted(found)

    def client(self, peer: str, headers: Headers) -> str:
        """Return the address of the client: the right-most one that is no trusted proxy.

        A proxy appends the address that it saw, so what is further to the right was written by a
        proxy that is nearer. What stands left of the first address that is not trusted is what that
        client claims. If an entry is no address, the proxy that wrote it is taken for the client.

        Args:
            peer: The address that the connection came from.
            headers: The headers of the request.
        """
        if not self.is_proxy(peer):
            return peer
        nearest = peer
        for entry in self._entries(headers):
            address = _parse(entry)
            if address is None:
                return nearest
            nearest = str(address)
            if not self._is_trusted(address):
                return nearest
        return nearest

    def _entries(self, headers: Headers) -> list[str]:
        """Return what each proxy wrote, the nearest first."""
        values = headers.get_all(self._header.value)
        text = ",".join(values)
        # Cut at the left: the part of an entry that is left over is no address, or not looked at.
        hops = text[-MAX_HEADER_LENGTH:].rsplit(",", MAX_HOPS) if text else []
        if len(text) > MAX_HEADER_LENGTH or len(hops) > MAX_HOPS:
            hops = hops[1:]
        entries = [hop.strip() for hop in reversed(hops)]
        if self._header is ProxyHeader.FORWARDED:
            entries = [_forwarded_for(entry) for entry in entries]
        return entries

    def _is_trusted(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


def _forwarded_for(element: str) -> str:
    """Return the ``for`` of an element of ``Forwarded``; empty if there is not exactly one."""
    found = [match for pair in element.split(";") if (match := _FOR.fullmatch(pair))]
    return (found[0][1] or found[0][2]) if len(found) == 1 else ""


def _parse(text: str) -> _Address | None:
    if match := _WITH_PORT.fullmatch(text):
        text = match[1] or match[2]
    try:
        address = ipaddress.ip_address(text.partition("%")[0] if len(text) <= 64 else "")
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address

"""Decides which requests may read the metrics. No I/O."""

import hmac
import ipaddress
from collections.abc import Iterable

from websockets.datastructures import Headers

from .configuration import MetricsAccess

_OF_PROXIES = ("Forwarded", "Via", "X-Forwarded-For", "X-Real-IP")
"""Headers by which a reverse proxy is known."""


class MetricsGuard:
    """Decides which requests may read the metrics.

    Args:
        access: Who may read them.
        knows_proxies: Whether the address of a client behind a reverse proxy is known.
    """

    def __init__(self, access: MetricsAccess, *, knows_proxies: bool = False) -> None:
        self._networks = [ipaddress.ip_network(network) for network in access.networks]
        self._token = None if access.token is None else access.token.encode()
        self._knows_proxies = knows_proxies

    def admits(self, headers: Headers, client: str) -> bool:
        """Return whether a request may read the metrics.

        Args:
            headers: The headers of the request.
            client: The IP address of the client; empty if it is unknown.
        """
        if self._token is not None and self._has_token(headers.get_all("Authorization")):
            return True
        if not self._knows_proxies and any(name in headers for name in _OF_PROXIES):
            return False  # the address is that of a proxy on this machine, and anybody's request
        try:
            address = ipaddress.ip_address(client.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

    def _has_token(self, values: Iterable[str]) -> bool:
        given = list(values)
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(" ")
        sent = token.strip().encode("utf-8", "surrogateescape")
        return scheme.lower() == "bearer" and hmac.compare_digest(sent, self._token or b"")

"""Redaction: puts stable pseudonyms in the place of addresses and host names."""

import ipaddress
import re
from typing import Any

_TOKEN = re.compile(
    r"""
    (?P<name>[0-9A-Za-z-]{1,63}\.local\b)              # mDNS
    | (?P<scheme>(?:stuns?|turns?):)(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:?\[\]/@,;]+)
    | (?P<v4>(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d))
    | (?P<v6>(?<![0-9A-Za-z:.])
        (?:[0-9A-Fa-f]{0,4}:){2,7}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4})
        (?:%[0-9A-Za-z_.-]{1,16})?)
    """,
    re.VERBOSE,
)

_SHARED = ipaddress.ip_network("100.64.0.0/10")


class Redactor:
    """Replaces addresses and host names by pseudonyms of their kind, such as ``private-v4-1``.

    The same address has the same pseudonym for one redactor, so that a trace still shows what
    belongs together.

    Pseudonyms begin with ``private-``, ``public-``, ``shared-`` (of a provider's NAT, RFC 6598),
    ``link-local-``, ``loopback-`` or ``other-`` and the IP version, or with ``mdns-`` or ``host-``.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def address(self, address: str) -> str:
        """Return the pseudonym of an IP address, an mDNS name or a host name."""
        key, kind = _kind(address)
        found = self._known.get(key)
        if found is None:
            self._counts[kind] = count = self._counts.get(kind, 0) + 1
            found = self._known[key] = f"{kind}-{count}"
        return found

    def text(self, text: str) -> str:
        """Return a text with pseudonyms for the addresses in it, and for the hosts of server URLs.

        Host names elsewhere in a text are not known as such, and stay.
        """
        return _TOKEN.sub(self._replacement, text)

    def value(self, value: Any) -> Any:
        """Return a value of JSON with all of its texts redacted; keys stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                key: self.address(each) if key == "address" else self.value(each)
                for key, each in value.items()
            }
        if isinstance(value, list):
            return [self.value(each) for each in value]
        return value

    def _replacement(self, found: re.Match[str]) -> str:
        if found["host"] is not None:
            return f"{found['scheme']}{self.address(found['host'].strip('[]'))}"
        token = found[0]
        if found["name"] is None and _parsed(token) is None:
            return token  # a version, a time or a fingerprint
        return self.address(token)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _kind(address: str) -> tuple[str, str]:
    """Return the canonical form of an address and its kind."""
    parsed = _parsed(address)
    if parsed is None:
        return address.lower(), "mdns" if address.lower().endswith(".local") else "host"
    return str(parsed), f"{_scope(parsed)}-v{parsed.version}"


def _scope(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    if address.is_unspecified or address.is_multicast:
        return "other"
    if address in _SHARED:
        return "shared"
    return "private" if address.is_private else "public"

"""STUN and TURN servers: their URLs (RFC 7064, RFC 7065) and what they answered."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from aioice import stun
from aiortc import RTCIceServer

from .errors import InvalidServerUrl

_URL = re.compile(
    r"(?P<scheme>(?ai:stuns?|turns?)):"
    r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<host>[^\[\]:?#@/\s]+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?(?ai:transport=(?P<transport>[a-z]+)))?"
)

_DEFAULT_PORT = {"stun": 3478, "turn": 3478, "stuns": 5349, "turns": 5349}
_TRANSPORTS = {"stun": (), "stuns": (), "turn": ("udp", "tcp"), "turns": ("tcp", "udp")}


class Transport(StrEnum):
    """How a server is spoken to; W3C webrtc-stats calls it ``relayProtocol``."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    DTLS = "dtls"


@dataclass(frozen=True, slots=True)
class Server:
    """One URL of one STUN or TURN server.

    Attributes:
        url: The URL as it was given.
        host: Host name or address, an IPv6 one without its brackets.
        port: Port number.
        transport: How it is spoken to.
        is_turn: Whether it relays; if not, it only tells the address it sees.
        username: For TURN, the user name.
        credential: For TURN, the password.
    """

    url: str
    host: str
    port: int
    transport: Transport
    is_turn: bool
    username: str | None = None
    credential: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RTCPeerConnectionIceErrorEvent:
    """What the ``icecandidateerror`` event carries (W3C webrtc-pc 4.8.3).

    Attributes:
        url: The URL of the server.
        errorCode: A STUN error code (RFC 8489 section 14.8), or 701: the server gave no answer.
        errorText: What went wrong. Of what the server says it has :data:`LONGEST_REASON` characters
            at most, as they came: :func:`icefloe.text.printable` makes them fit to be shown.
        address: The local address from which it was tried; ``None`` if it is not to be shown.
        port: The local port, likewise.
    """

    url: str
    errorCode: int
    errorText: str
    address: str | None = None
    port: int | None = None


LONGEST_REASON = 127
"""Characters of the reason that a server gives: fewer than 128 (RFC 8489 section 14.8)."""

SERVER_UNREACHABLE = 701
"""W3C webrtc-pc: no STUN error code came, the server could not be reached."""


def refusal(error: stun.TransactionFailed, fallback: tuple[int, str]) -> tuple[int, str]:
    """Return the code of a server's error response, and the beginning of the reason it gives.

    Args:
        error: What the response raised.
        fallback: What is returned if it has no code.
    """
    code, reason = error.response.attributes.get("ERROR-CODE", fallback)
    return code, reason[:LONGEST_REASON]


def parse_url(url: str, username: str | None = None, credential: str | None = None) -> Server:
    """Read one URL.

    Raises:
        InvalidServerUrl: It does not follow RFC 7064 or RFC 7065.
    """
    if not isinstance(url, str):
        raise InvalidServerUrl(url, "it is not a string")
    match = _URL.fullmatch(url)
    if match is None or not _is_ipv6(match["ipv6"] or "::"):
        raise InvalidServerUrl(url, "it does not follow RFC 7064 or RFC 7065")
    scheme = match["scheme"].lower()
    asked = match["transport"]
    if asked is not None and asked.lower() not in _TRANSPORTS[scheme]:
        allowed = " or ".join(_TRANSPORTS[scheme]) or "no transport"
        raise InvalidServerUrl(url, f"{scheme} takes {allowed}")
    port = int(match["port"]) if match["port"] else _DEFAULT_PORT[scheme]
    if not 0 < port < 65536:
        raise InvalidServerUrl(url, "its port is out of range")
    if scheme.endswith("s"):
        transport = Transport.DTLS if (asked or "").lower() == "udp" else Transport.TLS
    else:
        transport = Transport(asked.lower() if asked else "udp")
    return Server(
        url=url,
        host=match["ipv6"] or match["host"],
        port=port,
        transport=transport,
        is_turn=scheme.startswith("turn"),
        username=username,
        credential=credential,
    )


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def parse_servers(servers: Iterable[RTCIceServer] | None) -> tuple[Server, ...]:
    """Read every URL of every server, in order, each once; ``None`` is no server at all.

    Raises:
        InvalidServerUrl: One of the URLs is malformed.
    """
    parsed: dict[Server, None] = {}
    for server in servers or ():
        urls = [server.urls] if isinstance(server.urls, str) else server.urls
        for url in urls:
            parsed[parse_url(url, server.username, server.credential)] = None
    return tuple(parsed)

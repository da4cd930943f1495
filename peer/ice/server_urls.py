"""STUN and TURN server URLs (RFC 7064, RFC 7065) and ``icecandidateerror`` events."""

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
    """The transport protocol to a server; ``relayProtocol`` in W3C webrtc-stats."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    DTLS = "dtls"


@dataclass(frozen=True, slots=True)
class Server:
    """One URL of one STUN or TURN server.

    Attributes:
        url: The URL as configured.
        host: Host name or IP address; an IPv6 address without brackets.
        port: Port number.
        transport: Transport protocol to the server.
        is_turn: True for a TURN server, false for a STUN server.
        username: TURN user name.
        credential: TURN password.
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
    """The ``icecandidateerror`` event (W3C webrtc-pc 4.8.3).

    Attributes:
        url: The URL of the server.
        errorCode: A STUN error code (RFC 8489 section 14.8), or 701 if the server did not answer.
        errorText: The reason. A server's reason phrase is cut to :data:`MAX_REASON_LENGTH`
            characters and otherwise unchanged: pass it through :func:`icefloe.text.printable`
            before showing it.
        address: The local address that the request was sent from; ``None`` if it is hidden.
        port: The local port; ``None`` if it is hidden.
    """

    url: str
    errorCode: int
    errorText: str
    address: str | None = None
    port: int | None = None


MAX_REASON_LENGTH = 127
"""Maximum length of a server's reason phrase, in characters: fewer than 128 (RFC 8489 section
14.8)."""

SERVER_UNREACHABLE = 701
"""Error code of W3C webrtc-pc for a server that was not reached and sent no STUN error code."""


def refusal(error: stun.TransactionFailed, fallback: tuple[int, str]) -> tuple[int, str]:
    """Return the error code of a server's error response and its truncated reason phrase.

    Args:
        error: The failed transaction.
        fallback: The result if the response has no ``ERROR-CODE``.
    """
    code, reason = error.response.attributes.get("ERROR-CODE", fallback)
    return code, reason[:MAX_REASON_LENGTH]


def parse_url(url: str, username: str | None = None, credential: str | None = None) -> Server:
    """Parse one URL of a STUN or TURN server.

    Raises:
        InvalidServerUrl: The URL does not follow RFC 7064 or RFC 7065.
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
    """Parse all URLs of all servers, in order and without duplicates.

    Args:
        servers: The servers; ``None`` means none.

    Raises:
        InvalidServerUrl: A URL is malformed.
    """
    parsed: dict[Server, None] = {}
    for server in servers or ():
        urls = [server.urls] if isinstance(server.urls, str) else server.urls
        for url in urls:
            parsed[parse_url(url, server.username, server.credential)] = None
    return tuple(parsed)

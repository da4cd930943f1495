"""Parsing and validation of signaling server URLs, and of their short forms."""

import re
from urllib.parse import SplitResult, urlsplit

from .errors import InvalidUrl

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f-\x9f\\]")
_BARE_IPV6 = re.compile(r"[^\[\]/?#@]*:[^\[\]/?#@]*:")


def check_url(url: str) -> SplitResult:
    """Return the parsed URL of a signaling server.

    Raises:
        InvalidUrl: The URL is not a valid WebSocket URL.
    """
    parts, reason = _read(url)
    if parts is None:
        raise InvalidUrl(url, reason)
    return parts


def server_url(text: str) -> str:
    """Return the WebSocket URL of a signaling server, given in full or in short.

    Args:
        text: ``host``, ``host:port``, ``[IPv6 address]:port``, ``https://host/`` or a WebSocket
            URL.

    Raises:
        InvalidUrl: The text is not the address of a server.
    """
    scheme, is_url, rest = text.strip().partition("://")
    if not is_url:
        scheme, rest = "ws", scheme
        if _BARE_IPV6.match(rest):
            raise InvalidUrl(text, "an IPv6 address is written in brackets, as [::1]:8080")
    scheme = _SCHEMES.get(scheme.lower(), scheme)
    parts, reason = _read(f"{scheme}://{rest}")
    if parts is None:
        raise InvalidUrl(text, reason)
    return parts._replace(path=parts.path if parts.path not in ("", "/") else "/ws").geturl()


def _read(url: str) -> tuple[SplitResult | None, str]:
    """Return the parsed URL and an empty reason, or ``None`` and the reason why it is invalid."""
    if _NOT_IN_URLS.search(url):
        return None, "it has a blank or another character in it that no URL has"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return None, str(error)
    try:
        port = parts.port
    except ValueError:
        port = 0
    reason = ""
    if parts.scheme not in ("ws", "wss"):
        reason = "it does not begin with ws:// or wss://"
    elif not parts.hostname:
        reason = "it names no host"
    elif port == 0 or parts.netloc.endswith(":"):
        reason = "the port is not a number from 1 to 65535"
    elif parts.fragment:
        reason = "what follows the # has no meaning there"
    return (None, reason) if reason else (parts, "")

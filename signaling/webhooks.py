"""Webhooks: what is posted to another server when participants join and leave. No I/O.

Requests are signed as https://www.standardwebhooks.com describes: HMAC-SHA256 of
``id.timestamp.body``, in the header ``webhook-signature``.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ssl import SSLContext
from urllib.parse import urlsplit

from .errors import InvalidWebhook
from .room_events import RoomEvent

MAX_WEBHOOKS = 8
"""The most URLs that events are posted to."""

LONGEST_WEBHOOK_URL = 2048
"""The most characters of the URL of a webhook."""

MAX_WEBHOOK_SECRETS = 2
"""The most secrets at a time: the one in use, and another one while they are changed."""

_KEY_BYTES = range(24, 65)
"""The bytes of a key, as Standard Webhooks has them."""

MAX_WEBHOOK_QUEUE = 10_000
"""The most events that wait for one URL; further ones are dropped."""

LONGEST_WEBHOOK_AGE = 600.0
"""Seconds after an event until which its delivery is tried again."""

LONGEST_WEBHOOK_PAUSE = 60.0
"""The longest pause between two attempts, in seconds."""

WEBHOOK_TIMEOUT = 10.0
"""Seconds for one attempt, from the look-up of the name to the answer."""

MAX_WEBHOOK_ANSWER = 65_536
"""Bytes of an answer that are read, and thrown away, before the connection is cut off."""

LONGEST_STATUS_LINE = 1024
"""The most bytes of the first line of an answer."""

_URL = re.compile(r"[!-~]+")
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r?\n)")


@dataclass(frozen=True, slots=True)
class WebhookUrl:
    """The parts of the URL of a webhook.

    Attributes:
        is_secure: Whether it is https.
        host: The host name or address, without brackets.
        port: The TCP port.
        target: The path and query, which may hold a secret.
        authority: The host and port as the header ``Host`` has them.
    """

    is_secure: bool
    host: str
    port: int
    target: str = field(repr=False)
    authority: str

    @property
    def origin(self) -> str:
        """The URL without path and query, for the log."""
        return f"http{'s' if self.is_secure else ''}://{self.authority}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """Receivers that events of rooms are posted to.

    Attributes:
        urls: The URLs, each ``https`` or ``http``; each gets all events.
        secrets: The secret that requests are signed with: the base64 of 24 to 64 bytes, with or
            without ``whsec_`` before it. A second one, while they are changed, signs as well.
        ssl: The TLS context for ``https``; by default the authorities of the system are trusted.
    """

    urls: tuple[str, ...] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    ssl: SSLContext | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.urls) <= MAX_WEBHOOKS:
            raise InvalidWebhook(f"1 to {MAX_WEBHOOKS} URLs are allowed, not {len(self.urls)}")
        if not 1 <= len(self.secrets) <= MAX_WEBHOOK_SECRETS:
            raise InvalidWebhook(f"1 or {MAX_WEBHOOK_SECRETS} secrets are allowed")
        for url in self.urls:
            parse_webhook_url(url)
        for secret in self.secrets:
            _key(secret)


def parse_webhook_url(url: str) -> WebhookUrl:
    """Return the parts of the URL of a webhook.

    Raises:
        InvalidWebhook: It is no such URL.
    """
    if not 1 <= len(url) <= LONGEST_WEBHOOK_URL or not _URL.fullmatch(url):
        raise InvalidWebhook(
            f"a URL has at most {LONGEST_WEBHOOK_URL} characters of printable ASCII, and no spaces"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidWebhook("the host or port of the URL is not valid") from error
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise InvalidWebhook("the URL must be like https://example.org/path")
    if "@" in parts.netloc or "#" in url:
        raise InvalidWebhook("the URL must have no user, password or fragment")
    is_secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    default = 443 if is_secure else 80
    return WebhookUrl(is_secure, host, port or default, target, parts.netloc)


def sign(secrets: Iterable[str], id: str, timestamp: int, body: bytes) -> str:
    """Return the header ``webhook-signature``: a signature by each secret, spaces in between.

    Args:
        secrets: The secrets.
        id: The header ``webhook-id``.
        timestamp: The header ``webhook-timestamp``, in seconds since the epoch.
        body: The body of the request.
    """
    signed = f"{id}.{timestamp}.".encode() + body
    digests = (hmac.digest(_key(secret), signed, hashlib.sha256) for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def body_of(event: RoomEvent, server: str, at: float) -> bytes:
    """Return the body for an event: JSON, without addresses and tokens.

    Args:
        event: The event.
        server: The id of this run of the server.
        at: The time of the event in seconds since the epoch.
    """
    data: dict[str, object] = {"server": server, "room": event.room}
    if event.participant:
        data["participant"] = {"id": event.participant, "name": event.name}
    if event.reason:
        data["reason"] = event.reason
    return _json(event.type, at, data)


def start_body(server: str, at: float) -> bytes:
    """Return the body that says that a server has started, with no participants.

    Args:
        server: The id of this run of the server.
        at: The time in seconds since the epoch.
    """
    return _json("server.started", at, {"server": server})


def request_of(url: WebhookUrl, headers: dict[str, str], body: bytes) -> bytes:
    """Return the HTTP request (RFC 9112) that posts a body."""
    lines = [
        f"POST {url.target} HTTP/1.1",
        f"Host: {url.authority}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "User-Agent: icefloe",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def status_of(line: bytes) -> int | None:
    """Return the status in the first line of an answer; ``None`` if it is no HTTP answer."""
    match = _STATUS.match(line)
    return int(match[1]) if match else None


def pause_after(failures: int, chance: float) -> float:
    """Return the seconds until the next attempt.

    Args:
        failures: The attempts that have failed in a row, at least 1.
        chance: A random number from 0 to 1, so that not all servers come back at once.
    """
    longest = min(LONGEST_WEBHOOK_PAUSE, 2.0 ** min(failures - 1, 10))
    return longest * (0.5 + chance / 2)


def _json(type: str, at: float, data: dict[str, object]) -> bytes:
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    message = {"type": type, "timestamp": time.replace("+00:00", "Z"), "data": data}
    # Escaped to ASCII: names are any text.
    return json.dumps(message, separators=(",", ":")).encode("ascii")


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _KEY_BYTES:
        raise InvalidWebhook(
            f"a secret is the base64 of {_KEY_BYTES.start} to {_KEY_BYTES.stop - 1} bytes; "
            "`openssl rand -base64 32` makes one"
        )
    return key

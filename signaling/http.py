"""HTTP responses of the server: web pages, health checks, metrics; Host and Origin checks.

All files of the pages are loaded into memory under their exact paths. No request reads from the
disk, so none can reach another file.
"""

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable
from urllib.parse import urlsplit

from websockets.datastructures import Headers

from .configuration import MetricsAccess
from .metrics_access import MetricsGuard

WEBSOCKET_PATH = "/ws"
"""The path of the WebSocket."""

FILES_PATH = "/files"
"""The path of the page that sends and receives files. The code may follow as the fragment."""

MODULE_PATH = "/icefloe.js"
"""The path of the module for browsers, which pages of other origins may load as well."""

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}
_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
RETRY_AFTER = 1
"""Seconds after which a client may try again that was answered with 503."""

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_MAX_HOST_LENGTH = 253 + len(".:65535")
"""Characters of a host name (RFC 1035 section 2.3.4), a dot at its end, and a port. The time to
search for the parent domains of a name grows with the square of its labels."""
_NO_HOST = frozenset("@/?#\\") | frozenset(map(chr, range(33)))
"""Characters that are in no host and port (RFC 3986 section 3.2), and of which ``urlsplit`` makes
another part of a URL, or nothing."""
_DEFAULT_PORTS = {"http": 80, "https": 443}

ANY_HOST = "*"
"""The entry of the allowed hosts that allows every name."""


@dataclass(slots=True)
class Answer:
    """A response to an HTTP request, for the shell to send.

    Attributes:
        status: The status.
        headers: The headers, except those about the connection.
        body: The content.
    """

    status: HTTPStatus
    headers: dict[str, str]
    body: bytes


class Site:
    """Responses to HTTP requests other than those for the WebSocket.

    Args:
        is_ready: Returns whether the server accepts more participants.
        measure: Returns the current metrics, in the text format of Prometheus.
        metrics: Decides who may read them; by default this machine.
    """

    def __init__(
        self,
        *,
        is_ready: Callable[[], bool],
        measure: Callable[[], bytes],
        metrics: MetricsGuard | None = None,
    ) -> None:
        self._is_ready = is_ready
        self._measure = measure
        self._metrics = metrics or MetricsGuard(MetricsAccess())
        self._page = _load_page()
        self._tags = {path: _entity_tag(content) for path, (content, _) in self._page.items()}

    def respond(self, method: str, path: str, headers: Headers, client: str = "") -> Answer | None:
        """Return the response to a request, or ``None`` if the request is for the WebSocket.

        Args:
            method: The method of the request.
            path: Its path, without a query.
            headers: Its headers.
            client: The IP address of the client; empty if it is unknown.
        """
        if path == WEBSOCKET_PATH:
            return None
        if method not in ("GET", "HEAD"):
            response = text(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.")
            response.headers["Allow"] = "GET, HEAD"
            return response
        if path == "/metrics":
            response = self._get_metrics(headers, client)
        else:
            response = self._get(path, headers)
        if method == "HEAD":
            response.body = b""
        return response

    def _get(self, path: str, request_headers: Headers) -> Answer:
        if path == f"{FILES_PATH}/":
            # Relative, since a proxy may serve this server below another path. Browsers keep the
            # fragment.
            response = text(HTTPStatus.PERMANENT_REDIRECT, f"The page is at {FILES_PATH}.")
            response.headers["Location"] = f"..{FILES_PATH}"
            return response
        if path in self._page:
            content, kind = self._page[path]
            response = _response(HTTPStatus.OK, content, kind)
            if self._tags[path] in "".join(request_headers.get_all("If-None-Match")):
                response = _response(HTTPStatus.NOT_MODIFIED, b"", kind)
                del response.headers["Content-Length"]
            response.headers["ETag"] = self._tags[path]
            if path == MODULE_PATH:
                # Pages of other origins import it. It has no secret and knows no user.
                response.headers["Access-Control-Allow-Origin"] = "*"
            response.headers["Content-Security-Policy"] = _content_security_policy(
                "".join(request_headers.get_all("Host"))
            )
            response.headers["Permissions-Policy"] = "camera=(self), microphone=(self)"
            return response
        if path == "/healthz":
            return text(HTTPStatus.OK, "ok")
        if path == "/readyz":
            if self._is_ready():
                return text(HTTPStatus.OK, "ready")
            return unavailable("not ready: full or shutting down")
        return text(HTTPStatus.NOT_FOUND, f"Nothing is here. The WebSocket is at {WEBSOCKET_PATH}.")

    def _get_metrics(self, headers: Headers, client: str) -> Answer:
        if self._metrics.admits(headers, client):
            return _response(HTTPStatus.OK, self._measure(), _METRICS)
        sentence = (
            "The metrics are for this machine alone. Allow others with --metrics-from, or with a "
            "token of --metrics-token-file."
        )
        return text(HTTPStatus.FORBIDDEN, sentence)


def text(status: HTTPStatus, sentence: str) -> Answer:
    """Return a response with one line of plain text."""
    return _response(status, f"{sentence}\n".encode(), _TEXT)


def unavailable(sentence: str) -> Answer:
    """Return the response of a server that takes nobody in now (503)."""
    response = text(HTTPStatus.SERVICE_UNAVAILABLE, sentence)
    response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def own_hosts(host: str) -> frozenset[str]:
    """Return the host names that are allowed without configuration.

    Args:
        host: The address or host name that the server listens on.
    """
    name = socket.gethostname().lower()
    return frozenset(
        {host.lower(), name, name.partition(".")[0], f"{name.partition('.')[0]}.local"}
    )


def is_allowed_host(headers: Headers, allowed: frozenset[str]) -> bool:
    """Return whether the ``Host`` of a request is allowed; the protection against DNS rebinding.

    In DNS rebinding, the name of a hostile page resolves to this server after the browser has
    loaded the page. The browser then takes the server for the same origin, but its requests carry
    that name in ``Host``. IP addresses cannot be rebound, and names below ``localhost`` are this
    machine (RFC 6761 section 6.3).

    Args:
        headers: The headers of the request.
        allowed: Host names in lower case; ``*.example.org`` allows all names below that domain, and
            ``*`` every name.

    Spec: RFC 9110 section 7.2; RFC 9112 section 3.2.
    """
    hosts = headers.get_all("Host")
    if len(hosts) != 1:
        return False
    if ANY_HOST in allowed:
        return True
    if len(hosts[0]) > _MAX_HOST_LENGTH or not _NO_HOST.isdisjoint(hosts[0]):
        return False
    try:
        name = (urlsplit(f"//{hosts[0]}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if _is_address(name) or name == "localhost" or name.endswith(".localhost"):
        return True
    parents = name.split(".")
    wildcards = ("*." + ".".join(parents[index:]) for index in range(1, len(parents)))
    return name in allowed or any(wildcard in allowed for wildcard in wildcards)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def is_allowed_origin(headers: Headers, allowed: frozenset[str]) -> bool:
    """Return whether the ``Origin`` of a request may open a WebSocket.

    A request without ``Origin`` comes from a program that is not a browser, and is allowed. The
    request of a page is allowed if the page came from this server, or if its origin is in the list.

    Args:
        headers: The headers of the request.
        allowed: Origins in lower case, as ``https://example.org``.

    Spec: RFC 6454; RFC 6455 section 10.2.
    """
    origins, hosts = headers.get_all("Origin"), headers.get_all("Host")
    if not origins:
        return True
    if len(origins) > 1 or len(hosts) > 1:
        return False
    if origins[0].lower() in allowed:
        return True
    try:
        origin = urlsplit(origins[0])
        host = urlsplit(f"{origin.scheme}://{hosts[0] if hosts else ''}")
        # A proxy may terminate TLS, so this server does not know the scheme of its own URL. The
        # scheme of the page is assumed.
        default = _DEFAULT_PORTS.get(origin.scheme)
        return (
            default is not None
            and bool(origin.hostname)
            and (origin.hostname, origin.port or default) == (host.hostname, host.port or default)
        )
    except ValueError:
        return False


def _entity_tag(content: bytes) -> str:
    """Return the entity tag of a file (RFC 9110 section 8.8.3)."""
    return f'"{sha256(content).hexdigest()[:32]}"'


def _load_page() -> dict[str, tuple[bytes, str]]:
    page: dict[str, tuple[bytes, str]] = {}
    package = files(__name__.rpartition(".")[0])
    _load(package / "page", "", page)
    page[MODULE_PATH] = (package / "javascript" / "icefloe.js").read_bytes(), _TYPES["js"]
    if "/index.html" in page:
        page["/"] = page["/index.html"]
    return page


def _load(folder: Traversable, path: str, page: dict[str, tuple[bytes, str]]) -> None:
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.is_dir():
            _load(file, f"{path}/{file.name}", page)
            continue
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            # The index of a folder is served without a slash at the end, so that its relative links
            # resolve against the parent folder.
            is_page = path and file.name == "index.html"
            page[path if is_page else f"{path}/{file.name}"] = (file.read_bytes(), kind)


def _content_security_policy(host: str) -> str:
    # In some browsers 'self' does not include WebSockets to the same host (CSP level 2).
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "worker-src 'self'",
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "font-src 'self'",
            "media-src 'self' blob: mediastream:",
            f"connect-src 'self'{sockets}",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _response(status: HTTPStatus, content: bytes, kind: str) -> Answer:
    headers = {
        "Content-Type": kind,
        "Content-Length": str(len(content)),
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Answer(status, headers, content)

"""The HTTP side of the server: the pages, its state, its metrics. No I/O after loading.

Every file of the pages is in memory under its exact path, so that no request reads from the disk
and none reaches anything else.
"""

import ipaddress
import re
import socket
from collections.abc import Callable
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from . import metrics

WEBSOCKET_PATH = "/ws"
"""Where the WebSocket is."""

FILES_PATH = "/files"
"""Where the page is that sends and receives files; a code may follow as the fragment."""

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
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_LONGEST_HOST = 253 + len(".:65535")
"""Characters of a name (RFC 1035 section 2.3.4), of the dot that may end it, and of a port: to look
for the parents of a longer one takes a time that grows with the square of its labels."""
_DEFAULT_PORTS = {"http": 80, "https": 443}

ANY_HOST = "*"
"""Among the allowed hosts: every name."""


class Site:
    """What the server answers to plain HTTP requests.

    Args:
        is_ready: Tells whether more participants can be taken in.
        measure: Returns the metrics of now.
    """

    def __init__(
        self, *, is_ready: Callable[[], bool], measure: Callable[[], list[metrics.Metric]]
    ) -> None:
        self._is_ready = is_ready
        self._measure = measure
        self._page = _load_page()

    def respond(self, request: Request) -> Response | None:
        """Answer a request.

        Returns:
            The response; ``None`` if the request is for the WebSocket.
        """
        path = request.path.partition("?")[0]
        if path == WEBSOCKET_PATH:
            return None
        # websockets 15 reads nothing but GET, and has no such attribute.
        method = getattr(request, "method", "GET")
        if method not in ("GET", "HEAD"):
            response = text(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.")
            response.headers["Allow"] = "GET, HEAD"
            return response
        response = self._get(path, "".join(request.headers.get_all("Host")))
        if method == "HEAD":
            response.body = b""
        return response

    def _get(self, path: str, host: str) -> Response:
        if path == f"{FILES_PATH}/":
            # Relative, as a proxy may have put the server below a folder; fragments are kept.
            response = text(HTTPStatus.PERMANENT_REDIRECT, f"The page is at {FILES_PATH}.")
            response.headers["Location"] = f"..{FILES_PATH}"
            return response
        if path in self._page:
            content, kind = self._page[path]
            response = _response(HTTPStatus.OK, content, kind)
            response.headers["Content-Security-Policy"] = _content_security_policy(host)
            response.headers["Permissions-Policy"] = "camera=(self), microphone=(self)"
            return response
        if path == "/healthz":
            return text(HTTPStatus.OK, "ok")
        if path == "/readyz":
            if self._is_ready():
                return text(HTTPStatus.OK, "ready")
            return text(HTTPStatus.SERVICE_UNAVAILABLE, "not ready: full or shutting down")
        if path == "/metrics":
            content = metrics.render(self._measure()).encode()
            return _response(HTTPStatus.OK, content, metrics.CONTENT_TYPE)
        return text(HTTPStatus.NOT_FOUND, f"Nothing is here. The WebSocket is at {WEBSOCKET_PATH}.")


def text(status: HTTPStatus, sentence: str) -> Response:
    """Return a response of one line of text."""
    return _response(status, f"{sentence}\n".encode(), _TEXT)


def own_hosts(host: str) -> frozenset[str]:
    """Return the names by which a server is known without being told.

    Args:
        host: The address or name that it listens at.
    """
    name = socket.gethostname().lower()
    return frozenset(
        {host.lower(), name, name.partition(".")[0], f"{name.partition('.')[0]}.local"}
    )


def is_allowed_host(headers: Headers, allowed: frozenset[str]) -> bool:
    """Tell whether a request is for this server, against DNS rebinding.

    A page whose own name is made to point to this server, once the browser has loaded it, is of
    the same origin as the server to the browser; its requests tell that name. An address has no
    name to be pointed elsewhere, and names below ``localhost`` are this machine (RFC 6761 section
    6.3).

    Args:
        headers: The request's.
        allowed: Names in lower case; ``*.example.org`` is all below that, and ``*`` every name.

    Spec: RFC 9110 section 7.2; RFC 9112 section 3.2.
    """
    hosts = headers.get_all("Host")
    if len(hosts) != 1:
        return False
    if ANY_HOST in allowed:
        return True
    if len(hosts[0]) > _LONGEST_HOST:
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
    """Tell whether a WebSocket may be opened with these headers.

    A program that is no browser sends no ``Origin`` and may. A page may if this server is where it
    came from, or if its origin is one of those that are allowed.

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
        # A proxy may end TLS, so that the own scheme is not known: it is taken as the page's.
        default = _DEFAULT_PORTS.get(origin.scheme)
        return (
            default is not None
            and bool(origin.hostname)
            and (origin.hostname, origin.port or default) == (host.hostname, host.port or default)
        )
    except ValueError:
        return False


def _load_page() -> dict[str, tuple[bytes, str]]:
    page: dict[str, tuple[bytes, str]] = {}
    _load(files(__name__.rpartition(".")[0]) / "page", "", page)
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
            # A page within a folder has the name of the folder: what it refers to is beside that.
            is_page = path and file.name == "index.html"
            page[path if is_page else f"{path}/{file.name}"] = (file.read_bytes(), kind)


def _content_security_policy(host: str) -> str:
    # Some browsers do not count a WebSocket to the same host as 'self' (CSP level 2).
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


def _response(status: HTTPStatus, content: bytes, kind: str) -> Response:
    headers = Headers(
        {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, content)

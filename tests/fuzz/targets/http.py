"""Requests of HTTP, as the signaling server takes them before there is a WebSocket."""

from collections.abc import Iterator
from contextlib import contextmanager

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from icefloe.signaling.http import Site, is_allowed_host, is_allowed_origin

from ..target import Run, Target

HOSTS = frozenset({"example.org", "*.example.net"})
ORIGINS = frozenset({"https://app.example.org"})

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: example.org\r\nOrigin: https://example.org\r\n"
    b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)


@contextmanager
def start() -> Iterator[Run]:
    """Load the pages."""
    site = Site(is_ready=lambda: True, measure=bytes)

    def run(data: bytes) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(data)
        protocol.receive_eof()
        requests = [event for event in protocol.events_received() if isinstance(event, Request)]
        if not requests:
            return
        (request,) = requests
        if not is_allowed_host(request.headers, HOSTS):
            return
        method = getattr(request, "method", "GET")
        path, host = request.path.partition("?")[0], "".join(request.headers.get_all("Host"))
        answer = site.respond(method, path, host)
        if answer is not None:
            Response(200, "OK", Headers(answer.headers), answer.body).serialize()
        elif is_allowed_origin(request.headers, ORIGINS):
            protocol.accept(request).serialize()

    yield run


TARGET = Target(
    name="http",
    seeds=lambda: (
        UPGRADE,
        UPGRADE.replace(b"Origin: https://example.org", b"Origin: https://app.example.org"),
        b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
        b"HEAD /files/?x#y HTTP/1.1\r\nHost: a.example.net.\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
    ),
    tokens=(
        b"\r\n",
        b"Host: ",
        b"Origin: ",
        b"null",
        b"https://[",
        b"]:99999",
        b"%25",
        b"::",
        b"example.org",
        b".localhost",
        b"..",
        b"/../",
        b"?",
        b"a." * 2000,
        b"permessage-deflate;" * 40,
        b"; server_max_window_bits=8",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"\xff",
        b"\xe2\x84\xaa",
    ),
    documented=(),
    start=start,
)

"""The HTTP side: the page, its state, its metrics, and who may open a WebSocket."""

import asyncio
import socket
from contextlib import AsyncExitStack, suppress
from http import HTTPStatus
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode

from icefloe.signaling import ServerConfiguration, SignalingServer, serve
from icefloe.signaling.http import is_allowed_host, is_allowed_origin, own_hosts


class Answer:
    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        self.status = int(status.split(" ")[1])
        pairs = (line.split(": ", 1) for line in lines)
        self.headers = {name.lower(): value for name, value in pairs}


async def request(
    server: SignalingServer,
    path: str,
    method: str = "GET",
    host: str = "localhost:1",
    fields: str = "",
) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode())
        return Answer(await reader.read())
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def open_server(stack: AsyncExitStack) -> SignalingServer:
    """A server that is reached by any name."""
    configuration = ServerConfiguration(shutdown_timeout=2.0, hosts=frozenset({"*"}))
    return await stack.enter_async_context(serve(port=0, configuration=configuration))


async def test_the_page_is_served_with_strict_headers(open_server: SignalingServer) -> None:
    server = open_server
    answer = await request(server, "/?room=lobby", host="call.example:8080")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "connect-src 'self' ws://call.example:8080 wss://call.example:8080" in policy
    assert any(rule.startswith("media-src") and "blob:" in rule for rule in policy)
    assert b"<!doctype html>" in answer.body.lower()
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert (await request(server, "/index.html")).body == answer.body


@pytest.mark.parametrize("host", ["a b", "x; script-src *", "é", "", "[::1", "a:99999999"])
async def test_a_strange_host_does_not_get_into_the_policy(
    open_server: SignalingServer, host: str
) -> None:
    policy = (await request(open_server, "/", host=host)).headers["content-security-policy"]
    assert "connect-src 'self';" in policy


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/icefloe.js", "text/javascript"),
        ("/main.js", "text/javascript"),
        ("/style.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
        ("/files", "text/html"),
        ("/files/main.js", "text/javascript"),
        ("/files/style.css", "text/css"),
        ("/vendor/noble-hashes/blake2.js", "text/javascript"),
    ],
)
async def test_files_of_the_page_have_their_types(
    server: SignalingServer, path: str, kind: str
) -> None:
    answer = await request(server, path)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith(kind)


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/..%2fserver.py",
        "/page/../../server.py",
        "//etc/passwd",
        "/etc/passwd",
        "/%2e%2e/server.py",
        "/main.js/",
        "/files/index.html",
        "/files/../main.js",
        "/vendor",
        "/vendor/noble-hashes/",
        "/__init__.py",
        "/ws/",
        "*",
    ],
)
async def test_nothing_else_is_served(server: SignalingServer, path: str) -> None:
    assert (await request(server, path)).status == 404


async def test_the_files_page_is_strict_and_found_with_a_slash(server: SignalingServer) -> None:
    answer = await request(server, "/files")
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "worker-src 'self'"} <= set(policy)
    assert b'src="files/main.js"' in answer.body
    moved = await request(server, "/files/")
    assert (moved.status, moved.headers["location"]) == (308, "../files")


async def test_a_head_request_has_no_body(server: SignalingServer) -> None:
    full, head = await request(server, "/"), await request(server, "/", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == full.headers["content-length"]


async def test_other_methods_are_refused(server: SignalingServer) -> None:
    answer = await request(server, "/", method="DELETE")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_a_plain_request_for_the_websocket_is_told_to_upgrade(
    server: SignalingServer,
) -> None:
    assert (await request(server, "/ws")).status == 426


@pytest.mark.parametrize("noise", [b"\x00\xff\r\n\r\n", b"GET /\r\n\r\n", b"x" * 10000 + b"\r\n"])
async def test_what_is_no_request_is_hung_up_on(server: SignalingServer, noise: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(noise)
    await reader.read()  # ends
    writer.transport.abort()
    assert (await request(server, "/healthz")).status == 200


async def test_health_and_readiness(stack: AsyncExitStack, open_raw: Any) -> None:
    configuration = ServerConfiguration(connections=1)
    server = await stack.enter_async_context(serve(port=0, configuration=configuration))
    assert (await request(server, "/healthz")).body == b"ok\n"
    assert (await request(server, "/readyz")).status == 200
    client = await open_raw(server.url)
    await client.join("alice")
    assert (await request(server, "/healthz")).status == 200
    assert (await request(server, "/readyz")).status == 503


async def test_whoever_is_too_many_is_told(stack: AsyncExitStack, open_raw: Any) -> None:
    configuration = ServerConfiguration(connections=1)
    server = await stack.enter_async_context(serve(port=0, configuration=configuration))
    client = await open_raw(server.url)
    await client.join("alice")
    with pytest.raises(InvalidStatus) as caught:
        await open_raw(server.url)
    assert caught.value.response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    await client.socket.close()
    await (await open_raw(server.url)).join("bob")


async def test_sockets_that_say_nothing_are_limited_too(stack: AsyncExitStack) -> None:
    configuration = ServerConfiguration(connections=1, shutdown_timeout=0.2)
    server = await stack.enter_async_context(serve(port=0, configuration=configuration))
    silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(65)]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        assert await reader.read() == b""
    except ConnectionResetError:
        pass
    finally:
        for each in (writer, *(writer for _, writer in silent)):
            each.transport.abort()


async def test_metrics_tell_what_happened(server: SignalingServer, open_raw: Any) -> None:
    alice, bob = await open_raw(), await open_raw()
    to = (await alice.join("alice"))["id"]
    await bob.join("bob")
    await bob.say({"type": "bye", "to": to})
    await bob.say("nonsense")
    await bob.hear()
    answer = await request(server, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    prefix = "icefloe_signaling_"
    for line in (
        "connections 2.0",
        "connections_total 2.0",
        "rooms 1.0",
        "seats 2.0",
        "seats_away 0.0",
        "stalled_total 0.0",
        'messages_total{type="bye"} 1.0',
        'errors_total{code="bad-message"} 1.0',
    ):
        assert prefix + line in lines


# ---- origins -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "call.example", True),
        ("http://call.example", "call.example", True),
        ("https://call.example", "call.example", True),
        ("https://call.example", "call.example:443", True),
        ("http://call.example:80", "call.example", True),
        ("http://localhost:8080", "localhost:8080", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("HTTPS://Call.Example", "call.example", True),
        ("https://friend.example", "call.example", True),
        ("https://evil.example", "call.example", False),
        ("https://call.example.evil.example", "call.example", False),
        ("http://localhost:8081", "localhost:8080", False),
        ("http://friend.example", "call.example", False),
        ("null", "call.example", False),
        ("", "", False),
        ("file://", "", False),
        ("https://", "", False),
        ("https://call.example", None, False),
        ("https://call.example:x", "call.example", False),
        ("https://call.example", "[", False),
        ("nonsense", "nonsense", False),
    ],
)
def test_only_the_own_pages_and_those_of_friends_may_connect(
    origin: str | None, host: str | None, allowed: bool
) -> None:
    headers = Headers()
    if origin is not None:
        headers["Origin"] = origin
    if host is not None:
        headers["Host"] = host
    assert is_allowed_origin(headers, frozenset({"https://friend.example"})) is allowed


def test_an_origin_said_twice_is_none() -> None:
    headers = Headers()
    headers["Host"] = "call.example"
    headers["Origin"] = "https://call.example"
    headers["Origin"] = "https://call.example"
    assert not is_allowed_origin(headers, frozenset())


async def test_pages_from_elsewhere_may_not_connect(
    stack: AsyncExitStack, server: SignalingServer, open_raw: Any
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await open_raw(origin="https://elsewhere.example")
    assert caught.value.response.status_code == HTTPStatus.FORBIDDEN
    await open_raw(origin=f"http://127.0.0.1:{server.port}")
    configuration = ServerConfiguration(origins=frozenset({"https://Elsewhere.example"}))
    other = await stack.enter_async_context(serve(port=0, configuration=configuration))
    await open_raw(other.url, origin="https://elsewhere.example")


# ---- the names of the server -------------------------------------------------------------------


OWN = frozenset({"call.example", "*.calls.example"})


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("call.example", True),
        ("CALL.example:8080", True),
        ("call.example.", True),
        ("eu.calls.example", True),
        ("a.b.calls.example:443", True),
        ("calls.example", False),
        ("evilcalls.example", False),
        ("call.example.evil.example", False),
        ("evil.example:8080", False),
        ("localhost", True),
        ("localhost:8080", True),
        ("app.localhost:8080", True),
        ("localhost.evil.example", False),
        ("127.0.0.1:8080", True),
        ("192.168.1.5", True),
        ("[::1]:8080", True),
        ("[fe80::1%25eth0]:8080", True),
        ("127.0.0.1.evil.example", False),
        ("2130706433", False),
        ("0x7f.1", False),
        ("", False),
        ("[::1", False),
        ("call.example@evil.example", False),
        ("evil.example/call.example", False),
        ("evil.example@call.example", False),
        ("call.example/evil.example", False),
        ("call.example?evil.example", False),
        ("call\t.example", False),
    ],
)
def test_a_request_is_for_a_name_of_the_server(host: str, allowed: bool) -> None:
    headers = Headers()
    headers["Host"] = host
    assert is_allowed_host(headers, OWN) is allowed


def test_a_request_names_one_host() -> None:
    assert not is_allowed_host(Headers(), frozenset({"*"}))
    headers = Headers()
    headers["Host"] = "call.example"
    headers["Host"] = "call.example"
    assert not is_allowed_host(headers, OWN)


def test_a_name_is_as_long_as_names_may_be() -> None:
    # Each parent of a name is looked up: with thousands of labels that takes a tenth of a second.
    for length, allowed in ((253, True), (255, False), (8000, False)):
        name = "." + "a." * 4000 + "example.net"
        headers = Headers()
        headers["Host"] = f"{name[-length:]}:65535"
        assert is_allowed_host(headers, frozenset({"*.example.net"})) is allowed


def test_a_server_knows_the_name_that_it_listens_at_and_that_of_the_machine() -> None:
    names = own_hosts("Call.Example")
    assert "call.example" in names
    assert socket.gethostname().lower() in names


@pytest.mark.parametrize("path", ["/", "/files", "/main.js", "/metrics", "/healthz", "/ws", "/x"])
async def test_nothing_is_told_under_a_name_that_points_here_by_dns_rebinding(
    server: SignalingServer, path: str
) -> None:
    answer = await request(server, path, host=f"evil.example:{server.port}")
    assert answer.status == HTTPStatus.MISDIRECTED_REQUEST
    assert b"--allowed-host" in answer.body


async def test_a_page_whose_name_points_here_may_not_connect(
    server: SignalingServer, open_raw: Any
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await open_raw(
            f"ws://evil.example:{server.port}/ws",
            host="127.0.0.1",
            port=server.port,
            origin=f"http://evil.example:{server.port}",
        )
    assert caught.value.response.status_code == HTTPStatus.MISDIRECTED_REQUEST


@pytest.mark.parametrize("piece", [1, 3, 100_000])
async def test_requests_that_do_not_wait_for_their_answer_are_no_fault(
    server: SignalingServer, piece: int, caplog: pytest.LogCaptureFixture
) -> None:
    request = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    sent = request * 50
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for start in range(0, len(sent), piece):
        writer.write(sent[start : start + piece])
        if piece < 100:
            await asyncio.sleep(0)
    with suppress(ConnectionResetError):  # it is closed after the first answer, whatever comes then
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.transport.abort()
    assert caplog.records == []


async def test_a_frame_that_does_not_wait_for_the_answer_is_read_after_it(
    server: SignalingServer,
) -> None:
    handshake = (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    join = b'{"type":"join","version":1,"room":"lobby","name":"alice"}'
    frame = Frame(Opcode.TEXT, join).serialize(mask=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(handshake.encode() + frame)
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    assert b'"joined"' in await reader.readuntil(b"}")
    writer.close()

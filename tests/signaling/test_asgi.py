"""The ASGI application: mounted in others, started and closed, and what `admit` can see."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from starlette.types import ASGIApp
from websockets.exceptions import ConnectionClosed, InvalidStatus

from icefloe.signaling import (
    AddressLimits,
    Admission,
    AdmissionRequest,
    Join,
    JoinRefused,
    Limits,
    Proxies,
    ServerConfiguration,
    SignalingApp,
    TokenKeys,
    connect,
)
from icefloe.signaling.asgi import _path
from icefloe.signaling.http import Site
from tests.signaling import django_site, shells
from tests.signaling.test_http import Answer

OpenRaw = Callable[..., Awaitable[Any]]
pytestmark = pytest.mark.shells("uvicorn", "hypercorn")


def in_starlette(app: SignalingApp) -> ASGIApp:
    return Starlette(routes=[Mount("/call", app)], lifespan=app.lifespan)


def in_fastapi(app: SignalingApp) -> ASGIApp:
    site = FastAPI(lifespan=app.lifespan)
    site.mount("/call", app)
    return site


HOSTS: dict[str, Callable[[SignalingApp], Any]] = {
    "starlette": in_starlette,
    "fastapi": in_fastapi,
    "django": django_site.mounting,
}


@asynccontextmanager
async def running(
    app: SignalingApp, shell: str, host: Callable[[SignalingApp], Any] | None = None
) -> AsyncIterator[int]:
    """Run the application, mounted in another one or not, and close it before the ASGI server."""
    async with shells.run(app if host is None else host(app), shell) as port:
        try:
            yield port
        finally:
            await app.close()


async def get(port: int, path: str, method: str = "GET", **headers: str) -> Answer:
    named = {"Host": "localhost:1", "Connection": "close", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())
        return Answer(await reader.read())
    finally:
        writer.close()
        await writer.wait_closed()


# ---- mounted -----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
async def test_it_serves_below_a_path(shell: str, host: str, open_raw: OpenRaw) -> None:
    site = Site(is_ready=lambda: True, measure=list)
    async with running(SignalingApp(), shell, HOSTS[host]) as port:
        for path in ("/", "/files", "/main.js", "/files/main.js", "/healthz", "/readyz"):
            answer, expected = (
                await get(port, f"/call{path}"),
                site.respond("GET", path, "localhost:1"),
            )
            assert expected is not None
            assert (answer.status, answer.body) == (expected.status, expected.body)
            for name, value in expected.headers.items():
                assert answer.headers[name.lower()] == value
        assert b"icefloe_signaling_connections 0" in (await get(port, "/call/metrics")).body
        assert (await get(port, "/call/nothing")).status == HTTPStatus.NOT_FOUND
        assert (await get(port, "/call/ws")).status == HTTPStatus.UPGRADE_REQUIRED
        assert (await get(port, "/call/", "DELETE")).status == HTTPStatus.METHOD_NOT_ALLOWED
        head = await get(port, "/call/", "HEAD")
        assert (head.body, int(head.headers["content-length"])) == (
            b"",
            len((await get(port, "/call/")).body),
        )
        moved = await get(port, "/call/files/")
        assert (moved.status, moved.headers["location"]) == (308, "../files")
        url = f"ws://127.0.0.1:{port}/call/ws"
        async with (
            connect(url, room="lobby", name="alice") as alice,
            connect(url, room="lobby", name="bob") as bob,
        ):
            assert alice.id != bob.id
        with pytest.raises(InvalidStatus):
            await open_raw(f"ws://127.0.0.1:{port}/call/nothing")


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({"path": "/ws", "root_path": ""}, "/ws"),
        ({"path": "/a/call/ws", "root_path": "/a/call"}, "/ws"),
        ({"path": "/a/call/ws", "root_path": "/a/call/"}, "/ws"),
        ({"path": "/call", "root_path": "/call"}, ""),
        ({"path": "/caller/ws", "root_path": "/call"}, "/caller/ws"),
        ({"path": "/ws", "root_path": "/call"}, "/ws"),  # some servers cut it off
        ({"path": "/call/ws", "path_remaining": "ws"}, "/ws"),  # Django Channels
        ({"path": "/ws"}, "/ws"),
    ],
)
def test_the_path_is_that_below_the_mount(scope: dict[str, Any], path: str) -> None:
    assert _path(scope) == path


async def test_the_folder_itself_leads_to_the_page(shell: str) -> None:
    app = SignalingApp()

    async def below(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await app({**scope, "root_path": "/a%20b/call"}, receive, send)

    async with shells.run(below, shell) as port:
        moved = await get(port, "/a%2520b/call")
        assert (moved.status, moved.headers["location"]) == (308, "call/")


# ---- start and end -----------------------------------------------------------------------------


async def test_an_application_that_was_mounted_and_not_started_says_so(
    shell: str, caplog: pytest.LogCaptureFixture, open_raw: OpenRaw
) -> None:
    app = SignalingApp()
    async with shells.run(Starlette(routes=[Mount("/call", app)]), shell) as port:
        assert (await get(port, "/call/readyz")).status == HTTPStatus.SERVICE_UNAVAILABLE
        with pytest.raises(InvalidStatus) as raised:
            await open_raw(f"ws://127.0.0.1:{port}/call/ws")
        assert raised.value.response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        assert "`lifespan`" in caplog.text
        caplog.clear()
        async with app:
            await (await open_raw(f"ws://127.0.0.1:{port}/call/ws")).join("alice")


async def test_it_is_started_once_at_a_time(shell: str) -> None:
    app = SignalingApp()
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event["type"])

    await app.close()
    for _ in range(2):
        async with app:
            with pytest.raises(RuntimeError, match="started already"):
                await app.__aenter__()
            await app({"type": "lifespan"}, receive, send)
        await app.close()
    assert sent == ["lifespan.startup.failed"] * 2
    with pytest.raises(ValueError, match="no ASGI scope"):
        await app({"type": "telegraph"}, receive, send)


async def test_closing_tells_the_clients(shell: str, open_raw: OpenRaw) -> None:
    app = SignalingApp(ServerConfiguration(shutdown_timeout=1.0))
    async with running(app, shell) as port:
        url = f"ws://127.0.0.1:{port}/ws"
        alice, silent = await open_raw(url), await open_raw(url)
        await alice.join("alice")
        await silent.join("silent")
        silent.socket.transport.pause_reading()
        await asyncio.gather(app.close(), app.close())
        with pytest.raises(ConnectionClosed):
            while True:
                await alice.hear()
        assert (alice.socket.close_code, alice.socket.close_reason) == (
            1001,
            "the server shuts down",
        )
        with pytest.raises(InvalidStatus):
            await open_raw(url)
        assert app._budget.waiting == 0
        silent.socket.transport.abort()


# ---- what admit can see ------------------------------------------------------------------------


async def test_admit_sees_the_request(shell: str, open_raw: OpenRaw) -> None:
    seen: list[AdmissionRequest] = []

    async def admit(request: AdmissionRequest) -> Admission | None:
        await asyncio.sleep(0)
        seen.append(request)
        return Admission() if request.cookies.get("who") == request.join.name else None

    async with running(SignalingApp(admit=admit), shell) as port:
        url = f"ws://127.0.0.1:{port}/ws?lang=en"
        one = await open_raw(url, additional_headers={"Cookie": "a=b; who=one; who=two; c"})
        other = await open_raw(url, additional_headers={"Cookie": "who=mallory"})
        join = {"type": "join", "version": 1, "room": "lobby", "token": "TOKEN"}
        # At the same time, so that each must be decided by its own request.
        await asyncio.gather(*(each.say({**join, "name": "one"}) for each in (one, other)))
        assert (await one.hear())["type"] == "joined"
        assert (await other.hear())["code"] == "unauthorized"
    assert {request.address for request in seen} == {"127.0.0.1"}
    request = next(each for each in seen if each.cookies["who"] == "one")
    assert request.cookies == {"a": "b", "who": "one", "c": ""}
    assert request.headers["COOKIE"].startswith("a=b")
    assert request.scope["query_string"] == b"lang=en"
    assert "TOKEN" not in repr(request)
    assert "who=one" not in repr(request)


async def test_admit_sees_the_session_of_the_application_around(
    shell: str, open_raw: OpenRaw
) -> None:
    def admit(request: AdmissionRequest) -> Admission | None:
        return Admission() if HTTPConnection(dict(request.scope)).session.get("user") else None

    app = SignalingApp(admit=admit)

    def host(app: SignalingApp) -> ASGIApp:
        sessions = Middleware(SessionMiddleware, secret_key="s" * 32)
        routes = [Mount("/call", app)]
        return Starlette(routes=routes, middleware=[sessions], lifespan=app.lifespan)

    async with running(app, shell, host) as port:
        with pytest.raises(JoinRefused):
            async with connect(f"ws://127.0.0.1:{port}/call/ws", room="lobby", name="bob"):
                pass


async def test_admit_is_given_once(shell: str) -> None:
    def admit(join: Join) -> Admission:
        return Admission()

    with pytest.raises(ValueError, match="given twice"):
        SignalingApp(ServerConfiguration(admit=admit), admit=lambda request: Admission())


async def test_new_keys_outlive_a_restart(shell: str) -> None:
    app = SignalingApp(ServerConfiguration(token_keys=TokenKeys("s" * 32)))
    new = TokenKeys("n" * 32)
    app.use_token_keys(new)
    async with app:
        pass
    assert app._hub._admitting.keys is new


# ---- who may connect ---------------------------------------------------------------------------


async def refusal(open_raw: OpenRaw, url: str, **options: Any) -> int:
    with pytest.raises(InvalidStatus) as raised:
        await open_raw(url, **options)
    status: int = raised.value.response.status_code
    return status


async def test_names_and_origins_are_checked(shell: str, open_raw: OpenRaw) -> None:
    configuration = ServerConfiguration(
        hosts=frozenset({"call.example"}), origins=frozenset({"https://friend.example"})
    )
    async with running(SignalingApp(configuration), shell) as port:
        url = f"ws://127.0.0.1:{port}/ws"
        for path in ("/", "/metrics", "/healthz", "/ws"):
            answer = await get(port, path, Host="evil.example")
            assert answer.status == HTTPStatus.MISDIRECTED_REQUEST
        here = {"host": "127.0.0.1", "port": port}
        evil = f"ws://evil.example:{port}/ws"
        assert await refusal(open_raw, evil, origin="http://evil.example", **here) == 421
        assert await refusal(open_raw, url, origin="https://elsewhere.example") == 403
        await open_raw(url, origin="https://friend.example")
        await open_raw(url, origin=f"http://127.0.0.1:{port}")
        await open_raw(f"ws://call.example:{port}/ws", **here)


async def test_connections_are_limited(shell: str, open_raw: OpenRaw) -> None:
    limits = Limits(address=AddressLimits(sockets=2))
    configuration = ServerConfiguration(connections=3, limits=limits, proxies=Proxies())
    app = SignalingApp(configuration)
    async with running(app, shell) as port:
        url = f"ws://127.0.0.1:{port}/ws"

        def from_(address: str) -> dict[str, Any]:
            return {"additional_headers": {"X-Forwarded-For": address}}

        one = await open_raw(url, **from_("192.0.2.7"))
        await open_raw(url, **from_("192.0.2.7"))
        assert await refusal(open_raw, url, **from_("203.0.113.1, 192.0.2.7")) == 429
        await open_raw(url, **from_("192.0.2.8"))
        assert await refusal(open_raw, url, **from_("192.0.2.9")) == 503
        assert (await get(port, "/readyz")).status == 503
        metrics = (await get(port, "/metrics")).body
        assert b'icefloe_signaling_address_refused_total{what="sockets"} 1' in metrics
        await one.socket.close()
        while len(app._sockets) == 3:
            await asyncio.sleep(0.01)
        await open_raw(url, **from_("192.0.2.9"))


async def test_a_server_without_the_extension_answers_with_403() -> None:
    scope: dict[str, Any] = {
        "type": "websocket",
        "path": "/ws",
        "headers": [(b"host", b"evil.example")],
        "client": None,
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(event: Any) -> None:
        sent.append(event)

    await SignalingApp()(scope, receive, send)
    assert sent == [{"type": "websocket.close"}]

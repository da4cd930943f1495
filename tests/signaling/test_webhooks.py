"""Webhooks: their form, and their delivery to receivers of every kind."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import re
import ssl
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from aiohttp import web

from icefloe.signaling import (
    InvalidWebhook,
    Limits,
    ServerConfiguration,
    SignalingServer,
    Webhooks,
    connect,
    serve,
    webhook_delivery,
)
from icefloe.signaling.hub import Hub
from icefloe.signaling.room_events import RoomEvent, RoomEventType
from icefloe.signaling.webhook_delivery import WebhookDelivery
from icefloe.signaling.webhooks import (
    LONGEST_WEBHOOK_PAUSE,
    LONGEST_WEBHOOK_URL,
    MAX_WEBHOOKS,
    body_of,
    parse_webhook_url,
    pause_after,
    request_of,
    sign,
    status_of,
)

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
OTHER = base64.b64encode(bytes(range(100, 132))).decode()
EVENT = RoomEvent(RoomEventType.PARTICIPANT_JOINED, "lobby", "p1", "ann")


def is_signed(headers: Any, body: bytes, secret: str = SECRET) -> bool:
    """Return whether a request is signed, by the algorithm of docs/webhooks.md."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        return False
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [each.partition(",") for each in headers["webhook-signature"].split(" ")]
    return any(v == "v1" and hmac.compare_digest(digest, expected) for v, _, digest in given)


class Receiver:
    """An HTTP server that takes webhooks, and answers each by ``answer``."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[tuple[Any, dict[str, Any]]] = asyncio.Queue()
        self.statuses: list[int] = []
        self.paths: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert is_signed(request.headers, body)
        assert request.headers["Content-Type"] == "application/json"
        self.paths.append(request.path_qs)
        status = self.statuses.pop(0) if self.statuses else 204
        headers = {"Location": "/elsewhere"} if 300 <= status < 400 else {}
        self.got.put_nowait((request.headers, json.loads(body) | {"status": status}))
        return web.Response(status=status, headers=headers)

    async def next(self) -> dict[str, Any]:
        _, message = await self.got.get()
        return message


@asynccontextmanager
async def receiving(context: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    host = "localhost" if context else "127.0.0.1"
    receiver.url = f"http{'s' if context else ''}://{host}:{port}/hook?key=k"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_delivery, "pause_after", lambda failures, chance: 0.01)


def configured(*urls: str, **more: Any) -> ServerConfiguration:
    hooks = Webhooks(urls=urls, secrets=(SECRET,), **more)
    return ServerConfiguration(webhooks=hooks, shutdown_timeout=2.0)


# ---- form --------------------------------------------------------------------------------------


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of its specification's libraries."""
    secret, id, at = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign((secret,), id, at, b'{"test": 2432232314}') == expected
    assert sign((f"whsec_{secret}",), id, at, b'{"test": 2432232314}') == expected


def test_both_secrets_sign_while_they_are_changed() -> None:
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(int(time.time())),
        "webhook-signature": sign((OTHER, SECRET), "m", int(time.time()), b"{}"),
    }
    assert is_signed(headers, b"{}", SECRET)
    assert is_signed(headers, b"{}", OTHER)
    assert not is_signed(headers, b"{} ", SECRET)
    assert not is_signed(headers | {"webhook-id": "n"}, b"{}", SECRET)


def test_bodies_say_who_and_where_and_no_more() -> None:
    event = RoomEvent(RoomEventType.PARTICIPANT_LEFT, "lobby", "p1", "añn\u202e", "timeout")
    body = body_of(event, "s1", 1.5)
    assert body.isascii()
    assert json.loads(body) == {
        "type": "participant.left",
        "timestamp": "1970-01-01T00:00:01.500Z",
        "data": {
            "server": "s1",
            "room": "lobby",
            "participant": {"id": "p1", "name": "añn\u202e"},
            "reason": "timeout",
        },
    }
    room = json.loads(body_of(RoomEvent(RoomEventType.ROOM_OPENED, "lobby"), "s1", 0))
    assert room["data"] == {"server": "s1", "room": "lobby"}


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://example.org", "example.org", 443, "/"),
        ("http://example.org/a/b?c=d", "example.org", 80, "/a/b?c=d"),
        ("https://[::1]:8443/x", "::1", 8443, "/x"),
    ],
)
def test_urls_are_taken_apart(url: str, host: str, port: int, target: str) -> None:
    parsed = parse_webhook_url(url)
    assert (parsed.host, parsed.port, parsed.target) == (host, port, target)
    assert parsed.is_secure == url.startswith("https")
    request = request_of(parsed, {"webhook-id": "m"}, b"{}")
    assert request.startswith(f"POST {target} HTTP/1.1\r\nHost: {parsed.authority}\r\n".encode())
    assert request.endswith(b"webhook-id: m\r\n\r\n{}")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook.test",
        "ftp://hook.test/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user:pass@hook.test/",
        "https://hook.test/#part",
        "https://hook.test:0/",
        "https://hook.test:99999/",
        "https://hook.test:x/",
        "https://[::1/",
        "https://hook.test/a b",
        "https://hook.test/\r\nHost: other",
        "https://exämple.org/",
        "https://hook.test/" + "a" * LONGEST_WEBHOOK_URL,
    ],
)
def test_what_is_no_url_of_a_webhook_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(InvalidWebhook) as refused:
        Webhooks(urls=(url,), secrets=(SECRET,))
    assert len(url) < 9 or url not in str(refused.value)


@pytest.mark.parametrize("secret", ["", "short", "-" * 64, "é" * 40, "A" * 20, "A" * 1000])
def test_what_is_no_secret_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(InvalidWebhook) as refused:
        Webhooks(urls=("https://example.org",), secrets=(secret,))
    assert not secret or secret not in str(refused.value)


def test_numbers_are_limited() -> None:
    url = "https://example.org"
    for urls, secrets in (
        ((), (SECRET,)),
        ((url,) * (MAX_WEBHOOKS + 1), (SECRET,)),
        ((url,), ()),
        ((url,), (SECRET,) * 3),
    ):
        with pytest.raises(InvalidWebhook):
            Webhooks(urls=urls, secrets=secrets)


def test_nothing_shows_urls_or_secrets() -> None:
    hooks = Webhooks(urls=("https://example.org/secret-path",), secrets=(SECRET,))
    for shown in (hooks, ServerConfiguration(webhooks=hooks), parse_webhook_url(hooks.urls[0])):
        assert "secret-path" not in repr(shown)
        assert SECRET not in repr(shown)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"HTTP/1.1 204 No Content\r\n", 204),
        (b"HTTP/1.0 500\r\n", 500),
        (b"HTTP/2 200\r\n", None),
        (b"HTTP/1.1 2000 OK\r\n", None),
        (b"SSH-2.0-OpenSSH\r\n", None),
        (b"\n", None),
    ],
)
def test_the_first_line_has_the_status(line: bytes, status: int | None) -> None:
    assert status_of(line) == status


def test_pauses_grow_to_a_limit() -> None:
    assert [pause_after(failures, 1.0) for failures in (1, 2, 3)] == [1, 2, 4]
    assert pause_after(10**9, 1.0) == LONGEST_WEBHOOK_PAUSE
    assert pause_after(1, 0.0) == 0.5


# ---- delivery ----------------------------------------------------------------------------------


async def test_joins_and_leaves_are_posted_in_order() -> None:
    async with (
        receiving() as first,
        receiving() as second,
        serve(port=0, configuration=configured(first.url, second.url)) as server,
    ):
        async with connect(server.url, room="lobby", name="ann") as ann:
            id = ann.id
        for receiver in (first, second):
            messages = [await receiver.next() for _ in range(5)]
            assert [message["type"] for message in messages] == [
                "server.started",
                "room.opened",
                "participant.joined",
                "participant.left",
                "room.closed",
            ]
            who = {"id": id, "name": "ann"}
            assert [m["data"].get("participant") for m in messages[2:4]] == [who, who]
            assert messages[3]["data"]["reason"] == "left"
            assert len({message["data"]["server"] for message in messages}) == 1
            assert set(receiver.paths) == {"/hook?key=k"}
            text = json.dumps(messages)
            assert "127.0.0.1" not in text


async def test_over_tls_the_receiver_is_verified() -> None:
    authority = trustme.CA()
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(own)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with receiving(own) as receiver:
        for context, outcome in ((trusting, "delivered"), (None, "retried")):
            hooks = Webhooks(urls=(receiver.url,), secrets=(SECRET,), ssl=context)
            async with delivering(hooks) as delivery:
                while not delivery.outcomes[outcome]:
                    await asyncio.sleep(0.01)
        assert receiver.got.qsize() == 1


async def until(is_true: Callable[[], bool]) -> None:
    while not is_true():
        await asyncio.sleep(0.01)


@asynccontextmanager
async def delivering(hooks: Webhooks) -> AsyncIterator[WebhookDelivery]:
    delivery = WebhookDelivery(hooks)
    delivery.start()
    try:
        yield delivery
    finally:
        await delivery.close()
        await delivery.close()


async def test_what_fails_is_posted_again_under_the_same_id() -> None:
    async with receiving() as receiver:
        receiver.statuses = [500, 301, 404, 200]
        hooks = Webhooks(urls=(receiver.url,), secrets=(SECRET,))
        async with delivering(hooks) as delivery:
            got = [await receiver.got.get() for _ in range(4)]
            await until(lambda: delivery.outcomes["delivered"] == 1)
        assert len({headers["webhook-id"] for headers, _ in got}) == 1
        assert delivery.outcomes == {"delivered": 1, "dropped": 0, "retried": 3}
        assert set(receiver.paths) == {"/hook?key=k"}, "a redirect is not followed"


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"H")
        await writer.drain()
        await asyncio.sleep(0.02)


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def babbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in range(100):
        writer.write(b"x" * 100_000)
        await writer.drain()


async def no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.org ESMTP\r\n")
    await reader.read()


async def huge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 100_000)
        await writer.drain()


async def slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    await reader.read()


@asynccontextmanager
async def hostile(handler: Handler) -> AsyncIterator[str]:
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(run(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for _ in range(10):  # one that was just accepted gets its task a few turns later
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


@pytest.mark.parametrize("handler", [silent, dripping, closing, babbling, no_http])
async def test_a_receiver_that_does_not_answer_delays_nobody(
    handler: Handler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhook_delivery, "WEBHOOK_TIMEOUT", 0.1)
    async with (
        hostile(handler) as url,
        receiving() as good,
        serve(port=0, configuration=configured(url, good.url)) as server,
    ):
        async with connect(server.url, room="lobby", name="ann"):
            types = [(await good.next())["type"] for _ in range(3)]
        assert types == ["server.started", "room.opened", "participant.joined"]
        outcomes = hub_of(server)._webhooks.outcomes
        await until(lambda: outcomes["retried"] >= 3)
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING and url[:-1] in r.message]
    assert len(warnings) == 1, "it is logged once, not for each attempt"


@pytest.mark.parametrize("handler", [huge, slow_body])
async def test_the_rest_of_an_answer_is_not_waited_for(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_delivery, "_ANSWER_SECONDS", 0.1)
    async with hostile(handler) as url:
        async with delivering(Webhooks(urls=(url,), secrets=(SECRET,))) as delivery:
            delivery.report(EVENT)
            await until(lambda: delivery.outcomes["delivered"] == 2)
        assert delivery.outcomes["retried"] == 0


async def test_what_waits_is_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_delivery, "MAX_WEBHOOK_QUEUE", 5)
    monkeypatch.setattr(webhook_delivery, "_FLUSH_SECONDS", 0.05)
    async with (
        hostile(silent) as url,
        delivering(Webhooks(urls=(url,), secrets=(SECRET,))) as delivery,
    ):
        for _ in range(10):
            delivery.report(EVENT)
        assert delivery.waiting == 5
        assert delivery.outcomes["dropped"] == 6
    assert delivery.waiting == 0
    assert delivery.outcomes == {"delivered": 0, "dropped": 11, "retried": 0}


async def test_an_event_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_delivery, "LONGEST_WEBHOOK_AGE", 0.05)
    async with receiving() as receiver:
        receiver.statuses = [500] * 10_000
        async with delivering(Webhooks(urls=(receiver.url,), secrets=(SECRET,))) as delivery:
            await until(lambda: delivery.outcomes["dropped"] == 1)
            receiver.statuses = []
            delivery.report(EVENT)
            await until(lambda: delivery.outcomes["delivered"] == 1)


async def test_a_host_that_is_no_name_is_a_failure_like_others() -> None:
    hooks = Webhooks(urls=("http://a..b/",), secrets=(SECRET,))
    async with delivering(hooks) as delivery:
        await until(lambda: delivery.outcomes["retried"] >= 2)


async def test_what_is_queued_at_the_end_is_still_posted() -> None:
    async with receiving() as receiver:
        async with delivering(Webhooks(urls=(receiver.url,), secrets=(SECRET,))) as delivery:
            for _ in range(20):
                delivery.report(EVENT)
        assert delivery.outcomes["delivered"] + delivery.outcomes["dropped"] == 21
        assert receiver.got.qsize() >= delivery.outcomes["delivered"] > 0


async def test_a_seat_that_times_out_is_posted(open_raw: Any) -> None:
    async with receiving() as receiver:
        hooks = Webhooks(urls=(receiver.url,), secrets=(SECRET,))
        configuration = ServerConfiguration(webhooks=hooks, limits=Limits(away_seconds=0.05))
        async with serve(port=0, configuration=configuration) as server:
            client = await open_raw(server.url)
            await client.join("ann")
            while (await receiver.next())["type"] != "participant.joined":
                pass
            client.socket.transport.abort()
            left = await receiver.next()
            assert (left["type"], left["data"]["reason"]) == ("participant.left", "timeout")


async def test_the_metrics_have_the_outcomes() -> None:
    async with (
        receiving() as receiver,
        serve(port=0, configuration=configured(receiver.url)) as server,
    ):
        await receiver.next()
        await until(lambda: hub_of(server)._webhooks.outcomes["delivered"] == 1)
        url = f"{server.page_url}metrics"
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
        assert re.search(r'^icefloe_signaling_webhooks_total{outcome="delivered"} 1', text, re.M)
        assert re.search(r"^icefloe_signaling_webhooks_waiting 0", text, re.M)


def hub_of(server: SignalingServer) -> Hub:
    return server._hub

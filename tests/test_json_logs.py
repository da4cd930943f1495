"""The log as JSON: one object a line, whatever happens, and nothing in it of the clients."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st
from websockets.asyncio.client import connect as open_websocket

from icefloe.logs import (
    JsonFormatter,
    LogFormat,
    TextFormatter,
    fields,
    get_logger,
    redacted,
    set_up,
)
from icefloe.signaling import TokenKeys, connect, make_token
from tests.helpers.command import icefloe, run

HOSTILE = [
    'x"}\n{"level": "forged", "event": "all is well"}',
    "\x1b[2J\x1b]0;title\x07",
    "a\u2028b\u2029c\u202egpj.exe",
    "\ud800 half",
    "%s %d %(name)s {0}",
]


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The output of a JSON handler of a logger of its own."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = get_logger("tests.json")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield stream
    logger.removeHandler(handler)


def parsed(text: str) -> list[dict[str, Any]]:
    assert text.isascii()
    return [json.loads(line) for line in text.splitlines()]


def test_a_record_is_an_object_with_its_fields(lines: io.StringIO) -> None:
    logger = get_logger("tests.json")
    logger.info("joined as %s", "bob", extra=fields(connection=7, rooms=2, level="forged"))
    (line,) = parsed(lines.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "tests.json",
        "event": "joined as bob",
        "connection": 7,
        "rooms": 2,
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_in_its_line(lines: io.StringIO, name: str) -> None:
    logger = get_logger("tests.json")
    logger.warning("%s joined", name, extra=fields(name=name))
    try:
        raise ValueError(name)
    except ValueError:
        logger.exception("failed with %r", name)
    first, second = parsed(lines.getvalue())
    assert first["level"] == "warning"
    assert second["level"] == "error"
    assert "ValueError" in second["exception"]
    assert "test_a_hostile_name" in second["exception"]
    assert "\x1b" not in first["event"] + first["name"] + second["exception"]


def test_the_fields_of_text_are_at_the_end() -> None:
    record = logging.makeLogRecord({"msg": "joined", "levelname": "INFO", "name": "x"})
    vars(record).update(fields(connection=7, name="a\nb"))
    assert TextFormatter().format(record).endswith("INFO x: joined connection=7 name=a\\x0ab")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("from 192.0.2.7:4444", "from …:4444"),
        ("to [2001:db8::1]:80 and fe80::1%eth0", "to […]:80 and …%eth0"),
        ("1:2:3:4:5:6:7:8", "…"),
        ("::1", "…"),
        ("at 14:03:07, version 1.2.3, 5.00 s", "at 14:03:07, version 1.2.3, 5.00 s"),
        ("a=ice-pwd:secret", "…"),
        ("candidate:1 1 udp 2113937151 192.0.2.7 5000 typ host", "…"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln!", "token …!"),
    ],
)
def test_what_is_nobodys_business_is_replaced(text: str, shown: str) -> None:
    assert redacted(text) == shown


@given(st.ip_addresses())
def test_no_address_is_left(address: Any) -> None:
    assert redacted(f"from {address} it came") == "from … it came"


@given(st.text())
def test_any_text_is_one_line(text: str) -> None:
    record = logging.makeLogRecord({"msg": text, "name": text})
    (line,) = JsonFormatter().format(record).splitlines()
    assert json.loads(line)["logger"] == text


def test_set_up_writes_to_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.RootLogger(logging.WARNING)
    monkeypatch.setattr(logging, "root", root)
    stream = io.StringIO()
    set_up("info", LogFormat.JSON, stream)
    root.info("a library says %s", "a\nb")
    root.debug("nothing")
    (line,) = parsed(stream.getvalue())
    assert line["event"] == "a library says a\nb".replace("\n", "\\x0a")


SECRET = "s" * 44
NAME = 'mallory"}\n'.replace("\n", " ") + "192.0.2.66"
SDP = "v=0\r\na=ice-pwd:PASSWORDPASSWORD\r\na=candidate:1 1 udp 1 192.0.2.77 5000 typ host\r\n"


async def test_the_log_of_a_server_has_nothing_of_its_clients() -> None:
    token = make_token(TokenKeys(SECRET), room="kitchen", seconds=600)
    arguments = ("--log-format", "json", "--log-level", "debug")
    async with icefloe("serve", *arguments, ICEFLOE_TOKEN_SECRET=SECRET) as running:
        url = running.url.replace("http", "ws") + "ws"
        port = int(running.url.rstrip("/").rpartition(":")[2])
        source = ("127.0.0.66", 0)
        async with (
            connect(url, room="kitchen", name="bob", token=token) as bob,
            open_websocket(url, local_addr=source) as mallory,
        ):
            join = {"type": "join", "version": 1, "room": "kitchen", "name": NAME}
            await mallory.send(json.dumps(join | {"token": "eyJh.eyJh.c2ln"}))
            assert json.loads(await mallory.recv())["type"] == "error"
            await mallory.send(json.dumps(join | {"token": token}))
            assert json.loads(await mallory.recv())["type"] == "joined"
            offer = {"type": "offer", "sdp": SDP}
            message = {"type": "description", "to": bob.id, "description": offer}
            await mallory.send(json.dumps(message))
            for noise in ("{", "\x00\n{}", json.dumps({"type": "x" * 500}), b"\xff"):
                await mallory.send(noise)
                await mallory.recv()
        for noise in (b"\x00\n\x1b[2J\r\n\r\n", b"GET /\x1b HTTP/1.1\r\nHost: \n\n\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=source)
            writer.write(noise)
            with suppress(ConnectionError):
                await reader.read()
            writer.transport.abort()
        code, logged = await running.end()
    assert code == 0
    found = parsed(logged)
    assert {line["event"] for line in found} >= {"connected", "joined", "disconnected"}
    assert {"connection", "rooms", "connections"} <= {key for line in found for key in line}
    for line in found:
        assert {"time", "level", "logger", "event"} <= line.keys()
    for word in ("mallory", "bob", "kitchen", "PASSWORD", "candidate", token, "127.0.0.", "eyJ"):
        assert word not in logged, word
    assert "192.0.2." not in logged


async def test_a_wrong_format_is_explained() -> None:
    code, _, err = await run("serve", ICEFLOE_LOG_FORMAT="xml")
    assert code == 2
    assert "--log-format" in err

"""The server over real sockets: bad input hurts whoever sends it, and nobody else."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.frames import Frame, Opcode

from icefloe.signaling import (
    Admission,
    IceServer,
    Join,
    Limits,
    ListenFailed,
    ServerConfiguration,
    SignalingServer,
)
from icefloe.signaling.codec import CLIENT_LIMIT, DESCRIPTION_LIMIT
from tests.signaling import shells
from tests.signaling.shells import serve

pytestmark = pytest.mark.shells(*shells.ALL)

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
OpenRaw = Callable[..., Awaitable[Any]]


class Bystanders:
    """Two clients that have nothing to do with it, and must not notice."""

    def __init__(self, one: Any, two: Any, to: str) -> None:
        self.one, self.two, self.to = one, two, to

    async def check(self) -> None:
        await self.one.say({"type": "message", "to": self.to, "data": "still here"})
        assert (await self.two.hear())["data"] == "still here"


@pytest.fixture
async def bystanders(open_raw: OpenRaw) -> Bystanders:
    one, two = await open_raw(), await open_raw()
    await one.join("one", room="quiet")
    to = (await two.join("two", room="quiet"))["id"]
    return Bystanders(one, two, to)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("hello", "bad-message"),
        ("", "bad-message"),
        ("[]", "bad-message"),
        ('{"type":"dance"}', "bad-message"),
        ('{"type":"bye","to":7}', "bad-message"),
        ('{"type":"join","version":1,"room":"","name":"x"}', "bad-message"),
        ('{"type":"join","version":9,"room":"lobby","name":"x"}', "version"),
        ('{"type":"message","to":"p","data":' + "[" * 64 + "]" * 64 + "}", "bad-message"),
        ('{"type":"bye","to":"p"}', "not-joined"),
        (b'{"type":"leave"}', "bad-message"),
        (b"\xff\x00", "bad-message"),
    ],
)
async def test_bad_input_is_answered_and_the_connection_goes_on(
    open_raw: OpenRaw, bystanders: Bystanders, frame: str | bytes, code: str
) -> None:
    client = await open_raw()
    await client.say(frame)
    error = await client.hear()
    assert (error["type"], error["code"]) == ("error", code)
    await client.join("somebody")
    await bystanders.check()


async def test_joining_twice_is_answered(open_raw: OpenRaw) -> None:
    client = await open_raw()
    await client.join("somebody")
    await client.say({"type": "join", "version": 1, "room": "lobby", "name": "else", "ref": 1})
    error = await client.hear()
    assert (error["code"], error["ref"]) == ("already-joined", 1)


async def test_an_unknown_peer_is_answered(open_raw: OpenRaw) -> None:
    client = await open_raw()
    await client.join("somebody")
    await client.say({"type": "bye", "to": "nobody", "ref": "b"})
    error = await client.hear()
    assert (error["code"], error["ref"]) == ("peer-unavailable", "b")


@pytest.mark.shells(shells.OWN)  # others may read all of it first, see test_asgi_sockets.py
@pytest.mark.parametrize(
    ("joins", "size"),
    [(False, CLIENT_LIMIT + 1), (True, DESCRIPTION_LIMIT + 1), (True, 10_000_000)],
)
async def test_a_frame_that_is_too_large_closes_the_socket(
    open_raw: OpenRaw, bystanders: Bystanders, joins: bool, size: int
) -> None:
    client = await open_raw()
    if joins:
        await client.join("somebody")
    frame = Frame(Opcode.TEXT, b"x" * size).serialize(mask=True)
    client.socket.transport.write(frame[:50_000])  # its size is in front
    with pytest.raises(ConnectionClosed):
        await client.hear()
    assert client.socket.close_code == 1009
    await bystanders.check()


async def test_a_client_that_goes_on_sending_too_much_is_cut_off(
    server: SignalingServer, bystanders: Bystanders
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(Frame(Opcode.TEXT, b"x" * 10_000_000).serialize(mask=True))
            await writer.drain()
            while await reader.read(1000):  # until the server ends it
                pass
    finally:
        writer.transport.abort()
    await bystanders.check()


async def test_the_largest_frame_goes_through(open_raw: OpenRaw) -> None:
    alice, bob = await open_raw(), await open_raw()
    to = (await alice.join("alice"))["id"]
    await bob.join("bob")
    await alice.hear_until("peer-joined")
    frame = json.dumps({"type": "message", "to": to, "data": ""})
    filler = "x" * (64 * 1024 - len(frame))
    await bob.say(json.dumps({"type": "message", "to": to, "data": filler}))
    assert (await alice.hear())["data"] == filler


async def test_the_largest_description_goes_through(open_raw: OpenRaw) -> None:
    alice, bob = await open_raw(), await open_raw()
    to = (await alice.join("alice"))["id"]
    await bob.join("bob")
    await alice.hear_until("peer-joined")

    def message(size: int, **beside: object) -> str:
        bare = {"type": "description", "to": to, "description": {"type": "offer", "sdp": ""}}
        bare |= beside
        text = json.dumps(bare)
        return text.replace('"sdp": ""', f'"sdp": "{"x" * (size - len(text))}"')

    await bob.say(message(DESCRIPTION_LIMIT))
    assert len((await alice.hear())["description"]["sdp"]) > DESCRIPTION_LIMIT - 200
    # Nothing else may be as large.
    await bob.say(message(CLIENT_LIMIT + 1, type="message", data=1, ref="large"))
    error = await bob.hear()
    assert (error["code"], error["type"]) == ("bad-message", "error")


async def test_invalid_utf8_closes_the_socket(
    open_raw: OpenRaw, bystanders: Bystanders, shell: str
) -> None:
    client = await open_raw()
    await client.socket.send(b'{"type":"\xff"}', text=True)
    with pytest.raises(ConnectionClosedError):
        await client.hear()
    assert client.socket.close_code == 1007 or shell in shells.BY_WSPROTO
    await bystanders.check()


@pytest.mark.parametrize(
    "noise",
    [
        b"\xff" * 100,  # reserved bits
        Frame(Opcode.TEXT, b"not masked").serialize(mask=False),
        Frame(Opcode.CONT, b"of nothing").serialize(mask=True),
    ],
    ids=["reserved bits", "not masked", "of nothing"],  # the mask is another one each time
)
async def test_what_is_no_frame_closes_the_socket(
    open_raw: OpenRaw, bystanders: Bystanders, noise: bytes, shell: str
) -> None:
    client = await open_raw()
    client.socket.transport.write(noise)
    with pytest.raises(ConnectionClosedError):
        await client.hear()
    assert client.socket.close_code == 1002 or shell in shells.BY_WSPROTO
    await bystanders.check()


async def test_half_a_frame_and_a_hangup_are_a_lost_connection(
    open_raw: OpenRaw, bystanders: Bystanders
) -> None:
    alice, bob = await open_raw(), await open_raw()
    await alice.join("alice")
    bobs_id = (await bob.join("bob"))["id"]
    await alice.hear_until("peer-joined")
    half = Frame(Opcode.TEXT, b'{"type":"leave"}').serialize(mask=True)[:9]
    bob.socket.transport.write(half)
    bob.socket.transport.abort()
    assert await alice.hear() == {"type": "peer-away", "id": bobs_id}
    await bystanders.check()


async def test_a_message_in_fragments_is_one_message(open_raw: OpenRaw) -> None:
    client = await open_raw()
    join = json.dumps({"type": "join", "version": 1, "room": "lobby", "name": "é"})
    await client.socket.send([join[:20], join[20:40], join[40:]])
    assert (await client.hear())["type"] == "joined"


async def test_leaving_is_answered_with_1000(open_raw: OpenRaw) -> None:
    client = await open_raw()
    await client.join("somebody")
    await client.say({"type": "leave"})
    with pytest.raises(ConnectionClosed):
        await client.hear()
    assert (client.socket.close_code, client.socket.close_reason) == (1000, "left")


async def test_a_socket_that_breaks_is_away_and_resumes(open_raw: OpenRaw) -> None:
    alice, bob = await open_raw(), await open_raw()
    alices_id = (await alice.join("alice"))["id"]
    joined = await bob.join("bob")
    await alice.hear_until("peer-joined")
    bob.socket.transport.abort()
    assert await alice.hear() == {"type": "peer-away", "id": joined["id"]}
    for number in range(3):
        await alice.say({"type": "message", "to": joined["id"], "data": number})
    again = await open_raw()
    resumed = await again.join("bob", resume=joined["resume"], ack=0)
    assert (resumed["id"], resumed["peers"][0]["id"]) == (joined["id"], alices_id)
    assert [(await again.hear())["data"] for _ in range(3)] == [0, 1, 2]
    assert await alice.hear() == {"type": "peer-back", "id": joined["id"]}


async def test_a_second_socket_takes_the_seat_over(open_raw: OpenRaw) -> None:
    old, new = await open_raw(), await open_raw()
    joined = await old.join("bob")
    assert (await new.join("bob", resume=joined["resume"]))["id"] == joined["id"]
    with pytest.raises(ConnectionClosed):
        await old.hear()
    assert old.socket.close_code == 4000


async def test_the_seat_of_who_stays_away_is_given_up(
    stack: AsyncExitStack, open_raw: OpenRaw
) -> None:
    configuration = ServerConfiguration(limits=Limits(away_seconds=0.1))
    server = await stack.enter_async_context(serve(port=0, configuration=configuration))
    alice, bob = await open_raw(server.url), await open_raw(server.url)
    await alice.join("alice")
    bobs_id = (await bob.join("bob"))["id"]
    bob.socket.transport.abort()
    left = await alice.hear_until("peer-left")
    assert left == {"type": "peer-left", "id": bobs_id, "reason": "timeout"}


@pytest.mark.shells(shells.OWN, "uvicorn", "uvicorn-wsproto")  # hypercorn waits for no answer
async def test_a_client_that_answers_no_ping_is_away(
    stack: AsyncExitStack, open_raw: OpenRaw
) -> None:
    configuration = ServerConfiguration(ping_interval=0.1, ping_timeout=0.1, shutdown_timeout=0.2)
    server = await stack.enter_async_context(serve(port=0, configuration=configuration))
    alice, bob = await open_raw(server.url), await open_raw(server.url)
    await alice.join("alice")
    bobs_id = (await bob.join("bob"))["id"]
    bob.socket.transport.pause_reading()
    assert await alice.hear_until("peer-away") == {"type": "peer-away", "id": bobs_id}


async def test_who_does_not_join_is_sent_away(stack: AsyncExitStack, open_raw: OpenRaw) -> None:
    configuration = ServerConfiguration(limits=Limits(join_seconds=0.1))
    server = await stack.enter_async_context(serve(port=0, configuration=configuration))
    client = await open_raw(server.url)
    with pytest.raises(ConnectionClosed):
        await client.hear()
    assert client.socket.close_code == 1008
    assert "join within 0.1 seconds" in client.socket.close_reason


async def test_whoever_sends_too_fast_is_told_once_and_loses_nothing(
    stack: AsyncExitStack, open_raw: OpenRaw
) -> None:
    configuration = ServerConfiguration(rate=20.0, burst=20.0)
    server = await stack.enter_async_context(serve(port=0, configuration=configuration))
    alice, bob = await open_raw(server.url), await open_raw(server.url)
    to = (await alice.join("alice"))["id"]
    await bob.join("bob")
    await alice.hear_until("peer-joined")
    for number in range(50):
        await bob.say({"type": "message", "to": to, "data": number})
    assert [(await alice.hear())["data"] for _ in range(50)] == list(range(50))
    assert (await bob.hear())["code"] == "rate-limited"
    await bob.say({"type": "bye", "to": "nobody"})
    assert (await bob.hear())["code"] == "peer-unavailable"


async def test_a_client_that_does_not_read_is_let_go(
    stack: AsyncExitStack, open_raw: OpenRaw
) -> None:
    # So much that neither the buffers of the kernel nor that of the server hold it.
    configuration = ServerConfiguration(rate=1e6, burst=1e6, shutdown_timeout=0.3)
    server = await stack.enter_async_context(serve(port=0, configuration=configuration))
    alice, bob = await open_raw(server.url), await open_raw(server.url)
    await alice.join("alice")
    joined = await bob.join("bob")
    await alice.hear_until("peer-joined")
    bob.socket.transport.pause_reading()
    away = asyncio.create_task(alice.hear_until("peer-away"))
    number = 0
    while not away.done():
        data = f"{number} " + "x" * 60000
        await alice.say({"type": "message", "to": joined["id"], "data": data})
        number += 1
        assert number < 1000
    assert (await away)["id"] == joined["id"]


async def test_ice_servers_and_their_expiry_are_handed_out(
    stack: AsyncExitStack, open_raw: OpenRaw
) -> None:
    def admit(join: Join) -> Admission | None:
        if join.token != "right":
            return None
        turn = IceServer("turn:turn.example:3478", username=join.name, credential="c")
        return Admission(ice_servers=(turn,), expires=1234)

    configuration = ServerConfiguration(admit=admit)
    server = await stack.enter_async_context(serve(port=0, configuration=configuration))
    client = await open_raw(server.url)
    for wrong in ({}, {"token": "wrong"}, {"token": None}):
        await client.say({"type": "join", "version": 1, "room": "lobby", "name": "x", **wrong})
        assert (await client.hear())["code"] == "unauthorized"
    joined = await client.join("x", token="right")
    assert joined["iceServers"] == [
        {"urls": "turn:turn.example:3478", "username": "x", "credential": "c"}
    ]
    assert joined["expires"] == 1234


async def test_neither_tokens_nor_sdp_are_logged(
    open_raw: OpenRaw, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="icefloe")
    caplog.set_level(logging.DEBUG, logger="websockets.server")
    alice = await open_raw(logger=logging.getLogger("silent"))
    joined = await alice.join("alice", token="TOKEN")
    await alice.say({"type": "description", "to": "p", "description": {"type": "o", "sdp": "SDP"}})
    await alice.hear()
    ours = [r.getMessage() for r in caplog.records if r.name.startswith(("icefloe", "websockets"))]
    assert not [text for text in ours if "TOKEN" in text or "SDP" in text]
    assert not [text for text in ours if joined["resume"] in text]


@pytest.mark.shells(shells.OWN)
async def test_a_port_that_is_taken_is_told(server: SignalingServer) -> None:
    with pytest.raises(ListenFailed, match="Choose another port") as caught:
        async with serve(port=server.port):
            pass
    assert caught.value.port == server.port


@pytest.mark.shells(shells.OWN)
async def test_an_ipv6_address_is_written_in_brackets() -> None:
    async with serve("::1", 0) as server:
        assert server.url == f"ws://[::1]:{server.port}/ws"
        assert server.page_url == f"http://[::1]:{server.port}/"


def test_a_configuration_must_make_sense() -> None:
    for wrong in ({"rate": 0}, {"connections": 0}, {"ping_timeout": -1}, {"shutdown_timeout": 0}):
        with pytest.raises(ValueError, match="must be positive"):
            ServerConfiguration(**wrong)  # type: ignore[arg-type]

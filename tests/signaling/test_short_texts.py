"""Texts that are handled where they are read: the same as those that go through the library."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from icefloe.signaling import ServerConfiguration, serve

DEEP = "[" * 62 + "]" * 62
TOO_DEEP = "[" * 64 + "]" * 64

BODIES = [
    '{"type":"candidate","to":"TO","candidate":{"candidate":"c","sdpMid":"0"}}',
    '{"type":"candidate","to":"TO","candidate":{"candidate":"c","sdpMid":"0","x":[{}]},"y":{"z":1}}',
    '{"type":"candidate","to":"TO","candidate":{"candidate":"c","sdpMid":"0","candidate":"d"}}',
    '{"type":"candidate","to":"NOBODY","to":"TO","candidate":null}',
    '{"type":"candidate","to":"TO","candidate":{"candidate":"c"}}',
    '{"type":"candidate","to":"TO","candidate":{"candidate":"","sdpMLineIndex":65536}}',
    '{"type":"candidate","to":"TO","candidate":{"candidate":"c","sdpMid":"0","sdpMLineIndex":1e0}}',
    '{"to":"TO","candidate":{"sdpMid":"\\u0030","candidate":"\\u00e4\\ud83d\\ude00"},"type":"candidate"}',
    '{"type":"candidate","to":"TO","candidate":{"candidate":"\\ud800","sdpMid":"0"}}',
    ' \t\r\n{ "type" : "bye" ,\n"to" : "TO" } ',
    '{"type":"bye","to":"TO"} x',
    '{"type":"bye","to":"TO","seq":1e400}',
    '{"type":"bye","to":"TO","seq":' + "9" * 5000 + "}",
    '{"type":"bye","to":"TO","seq":9007199254740993}',
    '{"type":"bye","to":"NOBODY","ref":"why"}',
    '{"type":"message","to":"TO","data":' + DEEP + "}",
    '{"type":"message","to":"TO","data":' + TOO_DEEP + "}",
    '{"type":"message","to":"TO","data":{"a":1,"a" : 1e5, "b":"\\u00e4"}}',
    '{"type":"message","to":"TO","data":NaN}',
    '{"type":"message","to":"TO","data":1e999}',
    '{"type":"message","to":"TO","data":"' + "ä😀" * 900 + '"}',
    '{"type":"message","to":"TO"}',
    '{"type":"description","to":"TO","description":{"type":"offer","sdp":"v=0\\r\\n'
    + "x" * 9000
    + '"}}',
    '{"type":"description","to":"TO","description":{"type":"rollback","sdp":""}}',
    '{"type":"join","version":1,"room":"lobby","name":"again","ref":7}',
    '{"type":"remove","to":"TO","ref":1}',
    '{"type":"dance"}',
    "nonsense",
    "",
]


def _without_seq(heard: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in heard.items() if name != "seq"}


async def _pair(open_raw: Any, url: str | None = None) -> tuple[Any, Any, str]:
    """Return two clients in a room, and the id of the second."""
    alice, bob = await open_raw(url), await open_raw(url)
    await alice.join("alice")
    to = (await bob.join("bob"))["id"]
    await alice.hear_until("peer-joined")
    return alice, bob, to


async def test_what_comes_of_a_text_does_not_depend_on_the_way(
    stack: AsyncExitStack, open_raw: Any
) -> None:
    configuration = ServerConfiguration(rate=10000.0, burst=10000.0, shutdown_timeout=2.0)
    server = await stack.enter_async_context(serve(port=0, configuration=configuration))
    alice, bob, to = await _pair(open_raw, server.url)
    end = json.dumps({"type": "message", "to": to, "data": "end"})
    own = json.dumps({"type": "bye", "to": "nobody", "ref": "end"})  # refused, so it is answered
    for body in BODIES:
        text = body.replace("TO", to)
        outcomes = []
        for pieces in (text, [text[:7], text[7:]]):  # a list is sent as fragments
            await alice.socket.send(pieces)
            await alice.say(end)
            await alice.say(own)
            outcome = []
            for client, marks in ((bob, ("data", "end")), (alice, ("ref", "end"))):
                while (heard := await client.hear()).get(marks[0]) != marks[1]:
                    outcome.append(_without_seq(heard))
            outcomes.append(outcome)
        assert outcomes[0] == outcomes[1], body
        assert len(outcomes[0]) == 1, body


async def test_the_bytes_that_arrive_do_not_depend_on_the_way(open_raw: Any) -> None:
    alice, bob, to = await _pair(open_raw)
    data = '{ "a" : [1.0, 1e2,"\\u00e4ä" ] , "a":{}}'
    for pieces in ([""], ["", ""]):
        text = f'{{"type":"message","data":{data},"to":"{to}"}}'
        await alice.socket.send(text if len(pieces) == 1 else [text[:9], text[9:]])
        assert data in await bob.socket.recv()


async def test_texts_keep_their_order_among_fragments_and_pings(open_raw: Any) -> None:
    alice, bob, to = await _pair(open_raw)
    frames, count = [], 60
    for number in range(count):
        text = json.dumps({"type": "message", "to": to, "data": number}).encode()
        if number % 7 == 3:
            frames += [
                Frame(Opcode.TEXT, text[:9], fin=False),
                Frame(Opcode.PING, b"between"),
                Frame(Opcode.CONT, text[9:]),
            ]
        else:
            frames.append(Frame(Opcode.TEXT, text))
        if number % 5 == 0:
            frames.append(Frame(Opcode.PING, b""))
    data = b"".join(frame.serialize(mask=True) for frame in frames)
    for at in range(0, len(data), 701):
        alice.socket.transport.write(data[at : at + 701])
        await asyncio.sleep(0)
    heard = [await bob.hear() for _ in range(count)]
    assert [message["data"] for message in heard] == list(range(count))
    assert [message["seq"] for message in heard] == list(range(1, count + 1))


async def test_large_and_small_texts_keep_their_order(open_raw: Any) -> None:
    alice, bob, to = await _pair(open_raw)
    sizes = [10, 20000, 10, 16300, 16400, 60000, 5]
    for size in sizes:
        await alice.say({"type": "message", "to": to, "data": "x" * size})
    assert [len((await bob.hear())["data"]) for _ in sizes] == sizes


async def test_nothing_is_heard_of_a_client_after_it_left(open_raw: Any) -> None:
    alice, bob, to = await _pair(open_raw)
    frames = [
        Frame(Opcode.TEXT, json.dumps(message).encode()).serialize(mask=True)
        for message in (
            {"type": "message", "to": to, "data": "before"},
            {"type": "leave"},
            {"type": "message", "to": to, "data": "after"},
        )
    ]
    alice.socket.transport.write(b"".join(frames))
    assert (await bob.hear())["data"] == "before"
    assert (await bob.hear())["type"] == "peer-left"
    with pytest.raises(ConnectionClosed):
        await alice.hear()
    assert alice.socket.close_code == 1000
    await bob.say({"type": "bye", "to": "nobody"})
    assert (await bob.hear())["type"] == "error"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (Frame(Opcode.TEXT, b'{"type":"bye","to":"\xff"}').serialize(mask=True), 1007),
        (Frame(Opcode.TEXT, b"{}").serialize(mask=False), 1002),
        (b"\xc1" + Frame(Opcode.TEXT, b"{}").serialize(mask=True)[1:], 1002),
        (Frame(Opcode.CONT, b"{}").serialize(mask=True), 1002),
        (b"\x81\xff" + b"\x00" * 5 + b"\x04\x00\x01" + bytes(4), 1009),
    ],
    ids=["no UTF-8", "no mask", "reserved bit", "continues nothing", "too large"],
)
async def test_what_is_no_valid_text_ends_the_connection(
    open_raw: Any, data: bytes, code: int
) -> None:
    alice, bob, to = await _pair(open_raw)
    text = json.dumps({"type": "message", "to": to, "data": "before"}).encode()
    alice.socket.transport.write(Frame(Opcode.TEXT, text).serialize(mask=True) + data)
    assert (await bob.hear())["data"] == "before"
    assert (await bob.hear())["type"] == "peer-away"
    with pytest.raises(ConnectionClosed):
        await alice.hear()
    assert alice.socket.close_code == code


async def test_a_text_counts_as_many_messages_as_its_size_says(
    stack: AsyncExitStack, open_raw: Any
) -> None:
    configuration = ServerConfiguration(rate=50.0, burst=12.0, shutdown_timeout=2.0)
    server = await stack.enter_async_context(serve(port=0, configuration=configuration))
    alice, bob, to = await _pair(open_raw, server.url)
    await alice.say({"type": "message", "to": to, "data": "x" * 2048 * 3})  # 1 + 3, and 1 before
    await bob.hear()
    for number in range(40):
        await alice.say({"type": "message", "to": to, "data": number})
    assert [(await bob.hear())["data"] for _ in range(40)] == list(range(40))
    # It is told once: it was never quiet in between.
    await alice.say({"type": "bye", "to": "nobody", "ref": "end"})
    heard = [await alice.hear()]
    while heard[-1].get("ref") != "end":
        heard.append(await alice.hear())
    assert [message["code"] for message in heard] == ["rate-limited", "peer-unavailable"]

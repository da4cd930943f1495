"""Data channels over a real connection: back-pressure, typed messages, requests, and the end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from msgspec import Struct

from icefloe.peer import (
    ChannelClosed,
    ChannelMisused,
    ClosedBy,
    DataChannel,
    InvalidMessage,
    MessageTooLarge,
    RemotePeer,
    RequestFailed,
    RequestTimeout,
)
from icefloe.peer._aiortc import SctpTransport
from icefloe.peer.connection.receive_buffer import OVERHEAD
from tests.helpers.calls import Call, eventually, held_call


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    async with held_call() as call:
        yield call


async def pair(call: Call, label: str = "x", **options: Any) -> tuple[DataChannel, DataChannel]:
    """Open a channel; return both of its ends."""
    near: RemotePeer = call.ends[0]
    opened = await near.open_channel(label, **options)
    accepted = await anext(aiter(call.ends[1].channels()))
    return opened, accepted


class Move(Struct, tag="move"):
    x: int
    y: int


class Say(Struct, tag="say"):
    text: str


# --- sending


@pytest.mark.parametrize("label", ["plain", "日本語のチャット", "🧊" * 20, ""])
async def test_labels_and_protocols_are_in_any_language(call: Call, label: str) -> None:
    near, far = await pair(call, label, protocol="プロトコル")
    assert (near.label, far.label, far.protocol) == (label, label, "プロトコル")


async def test_a_negotiated_channel_is_opened_by_both_sides(call: Call) -> None:
    near, far = await asyncio.gather(
        *(end.open_channel("agreed", negotiated=True, id=700) for end in call.ends)
    )
    await near.send("hello")
    assert await far.receive() == "hello"
    assert near.channel.id == far.channel.id == 700
    with pytest.raises(ValueError, match="negotiated"):
        await call.ends[0].open_channel("wrong", negotiated=True)


REFUSED: list[tuple[Any, dict[str, Any]]] = [
    ("\ud83d", {}),
    ("x" * 65536, {}),
    (None, {}),
    ("x", {"protocol": "\udc00"}),
    ("x", {"max_retransmits": -1}),
    ("x", {"max_packet_life_time": 65536}),
    ("x", {"max_packet_life_time": 1, "max_retransmits": 1}),
    ("x", {"negotiated": True, "id": 65535}),
    ("x", {"send_buffer": -1}),
    ("x", {"receive_buffer": 0}),
]


async def test_what_cannot_be_is_refused_before_there_is_a_channel(call: Call) -> None:
    near, far = call.ends
    for label, given in REFUSED:
        with pytest.raises(ValueError):
            await near.open_channel(label, **given)
    good = await near.open_channel("good")
    assert (await anext(far.channels())).label == good.label
    report = await near.connection.getStats()
    labels = [entry.label for entry in report.values() if entry.type == "data-channel"]
    assert labels.count("x") == 0 and labels.count("good") == 1


async def test_try_send_refuses_when_there_is_no_room(call: Call) -> None:
    near, far = await pair(call, send_buffer=10_000)
    sent = 0
    while near.try_send(bytes(4000)):
        sent += 1
    assert sent == 3
    assert (near.counts.sent, near.counts.refused) == (3, 1)
    for _ in range(3):
        assert await far.receive() == bytes(4000)
    await near.drain()
    assert near.channel.bufferedAmount == 0
    assert near.try_send("again")
    assert await far.receive() == "again"
    assert far.counts.received == 4
    assert far.counts.bytes_received == near.counts.bytes_sent == 12_005


async def test_try_receive_takes_what_is_here_and_waits_for_nothing(call: Call) -> None:
    near, far = await pair(call)
    assert far.try_receive() is None
    for message in ("one", b"two", ""):
        await near.send(message)
    await eventually(lambda: far.counts.received == 3)
    assert [far.try_receive() for _ in range(4)] == ["one", b"two", "", None]
    near.close()
    with pytest.raises(ChannelClosed):
        await far.receive()
    assert far.try_receive() is None
    with pytest.raises(ChannelMisused):
        asked, _ = await pair(call, "requests")
        asking: asyncio.Task[object] = asyncio.create_task(asked.request("?"))
        await asyncio.sleep(0)
        try:
            asked.try_receive()
        finally:
            asking.cancel()
            await asyncio.wait((asking,))


async def test_who_listens_to_the_channel_beneath_hears_everything_too(call: Call) -> None:
    near, far = await pair(call)
    heard: list[str | bytes] = []
    far.channel.on("message", heard.append)
    second = DataChannel(far.channel)
    await near.send("one")
    await near.send(b"two")
    for reader in (far, second):
        assert [await reader.receive() for _ in range(2)] == ["one", b"two"]
    assert heard == ["one", b"two"]


async def test_send_waits_for_room_and_keeps_the_order(call: Call) -> None:
    near, far = await pair(call, send_buffer=8192)
    async with asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(near.send(bytes([number]) * 4096))
        for number in range(60):
            message = await far.receive()
            assert message == bytes([number]) * 4096
    assert near.channel.bufferedAmount <= 8192 + 4096


async def test_a_message_beyond_the_limit_is_refused_with_the_limit(call: Call) -> None:
    near, far = await pair(call)
    for send in (near.send, lambda data: asyncio.to_thread(near.try_send, data)):
        with pytest.raises(MessageTooLarge) as caught:
            await send(bytes(near.max_message_size + 1))
        assert caught.value.limit == near.max_message_size
    await near.send(bytes(near.max_message_size))
    assert len(await far.receive()) == near.max_message_size


async def test_a_cancelled_send_sends_nothing(call: Call) -> None:
    near, far = await pair(call, send_buffer=1000)
    assert near.try_send(bytes(200_000))  # whatever follows waits for it
    waiting = asyncio.create_task(near.send("never"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await near.send("after")
    assert await far.receive() == bytes(200_000)
    assert await far.receive() == "after"


# --- receiving


async def test_the_window_is_told_what_waits_to_be_read(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = 0

    def hold(_: SctpTransport, size: int) -> None:
        nonlocal held
        held += size

    def release(_: SctpTransport, size: int) -> None:
        nonlocal held
        held -= size

    monkeypatch.setattr(SctpTransport, "hold", hold, raising=False)
    monkeypatch.setattr(SctpTransport, "release", release, raising=False)
    near, far = await pair(call)
    await near.send("grün")
    await near.send(bytes(1000))
    await eventually(lambda: held == 1005 + 2 * OVERHEAD)
    assert await far.receive() == "grün"
    assert held == 1000 + OVERHEAD
    await near.aclose()
    await eventually(lambda: far.closed)
    assert held == 0
    assert await far.receive() == bytes(1000)
    assert held == 0


async def test_json_and_typed_messages(call: Call) -> None:
    near, far = await pair(call)
    await near.send_json({"größe": [1, 2.5, None, True]})
    assert await far.receive_json() == {"größe": [1, 2.5, None, True]}
    for message in (Move(1, 2), {"type": "jump"}, Say("hi")):
        await near.send_json(message)
    seen: list[Move | Say] = []
    with pytest.raises(InvalidMessage, match="jump") as caught:
        async for message in far.messages(Move | Say):  # type: ignore[arg-type]
            seen.append(message)  # noqa: PERF401 - the iteration raises
    assert caught.value.message == '{"type":"jump"}'
    assert seen == [Move(1, 2)]
    assert await far.receive_json(Say) == Say("hi")
    with pytest.raises(TypeError):
        await near.send_json(object())


# --- unreliable channels


async def test_an_unreliable_channel_drops_and_keeps_what_it_has(call: Call) -> None:
    near, far = await pair(call, "game", ordered=False, max_retransmits=0)
    assert not near.channel.ordered
    assert far.channel.maxRetransmits == 0
    await near.send("position")
    assert await far.receive() == "position"


# --- the end


async def test_closing_flushes(call: Call) -> None:
    near, far = await pair(call)
    for number in range(40):
        await near.send(bytes([number]) * 20_000)
    closing = asyncio.create_task(near.aclose())
    assert [message[0] async for message in far if isinstance(message, bytes)] == list(range(40))
    await closing
    await near.aclose()
    assert (near.closed_by, far.closed_by) == (ClosedBy.US, ClosedBy.THEM)


async def test_errors_say_who_closed(call: Call) -> None:
    near, far = await pair(call)
    other, _ = await pair(call, "other")
    await near.aclose()
    await eventually(lambda: far.closed)
    with pytest.raises(ChannelClosed, match="by this side"):
        await near.send("x")
    with pytest.raises(ChannelClosed, match="by the other side"):
        far.try_send("x")
    call.ends[0].end("hung-up")
    await eventually(lambda: other.closed)
    with pytest.raises(ChannelClosed, match="connection is over"):
        await other.receive()


# --- requests and replies


class Ask(Struct):
    number: int
    mood: Literal["calm", "angry"] = "calm"


async def test_requests_run_at_the_same_time_and_in_both_directions(call: Call) -> None:
    near, far = await pair(call)
    second = asyncio.Event()

    async def square(ask: Ask) -> int:
        if ask.number == 1:
            await second.wait()
        else:
            second.set()
        return ask.number**2

    async with asyncio.TaskGroup() as group:
        serving = [
            group.create_task(channel.serve_requests(square, type=Ask)) for channel in (near, far)
        ]
        await asyncio.sleep(0)
        replies = await asyncio.gather(
            *(near.request(Ask(number), type=int) for number in range(1, 30)), far.request(Ask(7))
        )
        assert replies == [*(number**2 for number in range(1, 30)), 49]
        await near.aclose()
    assert all(task.done() for task in serving)


async def test_what_goes_wrong_with_a_request_is_told(call: Call) -> None:
    near, far = await pair(call)
    with pytest.raises(RequestFailed, match="unserved"):
        await asyncio.gather(near.request(1), far.request(1))

    async def handler(ask: Ask) -> Any:
        match ask.mood, ask.number:
            case "angry", _:
                raise RequestFailed("angry", "not today")
            case _, 0:
                raise ZeroDivisionError("a secret")
            case _, number:
                return "x" * number

    serving = asyncio.create_task(far.serve_requests(handler, type=Ask))
    await asyncio.sleep(0)
    for value, code in (
        (Ask(1, "angry"), "angry"),
        (Ask(0), "error"),
        ({"number": "many"}, "invalid"),
        (Ask(far.max_message_size), "too-large"),
    ):
        with pytest.raises(RequestFailed) as caught:
            await near.request(value)
        assert caught.value.code == code
        assert "secret" not in str(caught.value)
    with pytest.raises(InvalidMessage):
        await near.request(Ask(3), type=int)
    with pytest.raises(MessageTooLarge):
        await near.request("x" * near.max_message_size)
    with pytest.raises(ChannelMisused, match="served already"):
        await far.serve_requests(handler)
    with pytest.raises(ChannelMisused, match="open another"):
        await near.receive()
    await near.aclose()
    await serving
    with pytest.raises(ChannelClosed):
        await near.request(Ask(1))


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_whoever_gives_up_a_request_takes_it_back(call: Call, how: str) -> None:
    near, far = await pair(call)
    begun, taken_back = asyncio.Event(), asyncio.Event()

    async def slow(_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            taken_back.set()

    serving = asyncio.create_task(far.serve_requests(slow))
    if how == "timeout":
        with pytest.raises(RequestTimeout) as caught:
            await near.request("x", timeout=0.3)
        assert caught.value.timeout == 0.3
    else:
        asking: asyncio.Task[Any] = asyncio.create_task(near.request("x", timeout=None))
        await begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    await taken_back.wait()
    await near.aclose()
    await serving


async def test_too_many_requests_are_refused_and_a_lost_connection_fails_the_rest(
    call: Call,
) -> None:
    near, far = await pair(call)
    begun = asyncio.Semaphore(0)

    async def never(_: object) -> None:
        begun.release()
        await asyncio.Event().wait()

    serving = asyncio.create_task(far.serve_requests(never, concurrent=2))
    asking: list[asyncio.Task[Any]] = [
        asyncio.create_task(near.request(number, timeout=None)) for number in range(2)
    ]
    for _ in asking:
        await begun.acquire()
    with pytest.raises(RequestFailed, match="overloaded"):
        await near.request(3)
    call.ends[1].end("hung-up")
    for task in asking:
        with pytest.raises(ChannelClosed):
            await task
    await serving


async def test_nonsense_on_a_channel_for_requests_is_dropped(call: Call) -> None:
    near, far = await pair(call)

    async def echo(value: object) -> object:
        return value

    serving = asyncio.create_task(far.serve_requests(echo))
    await asyncio.sleep(0)
    for nonsense in ("", b"\xff\x00", "[]", '{"request":-1}', '{"reply":9}', '{"cancel":4}', "{}"):
        await near.send(nonsense)
    assert await near.request("still there?") == "still there?"
    await near.aclose()
    await serving

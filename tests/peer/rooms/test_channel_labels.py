"""A label that both sides open is one channel, however their openings cross."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiortc import RTCDataChannel

from icefloe.peer import ChannelClosed, ClosedBy, DataChannel, RemotePeer
from tests.helpers.calls import Call, eventually, held_call

COUNT = 200


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    async with held_call() as call:
        yield call


async def both(call: Call, label: str = "chat", **options: Any) -> list[DataChannel]:
    """Open a channel from both sides at the same moment."""
    return await asyncio.gather(*(end.open_channel(label, **options) for end in call.ends))


async def numbers(channel: DataChannel, sender: str) -> None:
    for number in range(COUNT):
        await channel.send(f"{sender} {number}")


async def received(channel: DataChannel) -> list[str | bytes]:
    return [await channel.receive() for _ in range(COUNT)]


async def test_both_sides_open_it_at_once(call: Call) -> None:
    near, far = await both(call)
    await asyncio.gather(numbers(near, "near"), numbers(far, "far"))
    assert await received(near) == [f"far {number}" for number in range(COUNT)]
    assert await received(far) == [f"near {number}" for number in range(COUNT)]


async def test_one_may_be_for_writing_and_channels_for_reading(call: Call) -> None:
    async def take_part(peer: RemotePeer) -> list[str | bytes]:
        async def write() -> None:
            channel = await peer.open_channel("positions")
            await numbers(channel, peer.name)

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            return await received(await anext(aiter(peer.channels())))

    # Each end calls the other by its own name.
    first, second = await asyncio.gather(*map(take_part, call.ends))
    assert first == [f"polite {number}" for number in range(COUNT)]
    assert second == [f"impolite {number}" for number in range(COUNT)]


@pytest.mark.parametrize("first", [0, 1])
async def test_one_side_opens_it_later(call: Call, first: int) -> None:
    early = await call.ends[first].open_channel("chat")
    await numbers(early, "early")
    late = await call.ends[1 - first].open_channel("chat")
    await numbers(late, "late")
    assert await received(late) == [f"early {number}" for number in range(COUNT)]
    assert await received(early) == [f"late {number}" for number in range(COUNT)]
    assert late.channel.id == early.channel.id
    await early.aclose()
    assert [message async for message in late] == []
    assert late.closed_by is ClosedBy.THEM


async def test_what_channels_gave_is_what_opening_gives(call: Call) -> None:
    near = await call.ends[0].open_channel("chat")
    given = await anext(aiter(call.ends[1].channels()))
    assert await call.ends[1].open_channel("chat") is given
    await given.send("hello")
    assert await near.receive() == "hello"


async def test_opening_it_again_gives_the_same(call: Call) -> None:
    near, far = await both(call)
    assert await both(call) == [near, far]
    one, two = await asyncio.gather(*(call.ends[0].open_channel("new") for _ in range(2)))
    assert one is two
    await one.send("hello")
    assert await (await call.ends[1].open_channel("new")).receive() == "hello"


async def test_another_reliability_or_protocol_is_another_channel(call: Call) -> None:
    near, far = call.ends
    chat = await near.open_channel("chat")
    kinds: list[dict[str, Any]] = [{"ordered": False}, {"protocol": "x"}, {"max_retransmits": 3}]
    for options in kinds:
        other = await far.open_channel("chat", **options)
        await other.send("other")
    assert await far.open_channel("chat", max_packet_life_time=200) is not chat
    same = await far.open_channel("chat")
    await same.send("same")
    assert await chat.receive() == "same"


async def test_one_that_is_not_shared_stands_alone(call: Call) -> None:
    near, far = await both(call, "job", shared=False)
    arrived = [await anext(aiter(end.channels())) for end in call.ends]
    await near.send("from near")
    await far.send("from far")
    assert [await channel.receive() for channel in arrived] == ["from far", "from near"]
    assert near.channel.id != far.channel.id


async def test_closing_one_end_closes_both_after_the_last_message(call: Call) -> None:
    near, far = await both(call)
    await near.send("hello")
    await far.send("hello")
    await numbers(near, "near")
    near.close()
    assert await far.receive() == "hello"
    assert await received(far) == [f"near {number}" for number in range(COUNT)]
    with pytest.raises(ChannelClosed) as caught:
        await far.receive()
    assert caught.value.by is ClosedBy.THEM
    with pytest.raises(ChannelClosed):
        await far.send("too late")
    assert near.closed_by is ClosedBy.US
    await near.aclose()
    again = await both(call)
    await again[0].send("anew")
    assert await again[1].receive() == "anew"


async def test_one_that_was_closed_is_not_given_again(call: Call) -> None:
    near = await call.ends[0].open_channel("chat")
    far = await call.ends[1].open_channel("chat")
    await near.aclose()
    again = await call.ends[1].open_channel("chat")
    assert again is not far
    await again.send("hello")
    assert await (await call.ends[0].open_channel("chat")).receive() == "hello"


class Plain:
    """An end that opens and takes channels as a page does, and knows of no joining.

    It writes over the channel that it opened itself and reads that one alone, or both.
    """

    def __init__(self, peer: RemotePeer, *, reads_both: bool) -> None:
        self.messages: list[str | bytes] = []
        if reads_both:
            peer.connection.on("datachannel", self._read)
        self.channel = peer.connection.createDataChannel("chat")
        self._read(self.channel)

    def _read(self, channel: RTCDataChannel) -> None:
        channel.on("message", self.messages.append)


@pytest.mark.parametrize("reads_both", [False, True])
@pytest.mark.parametrize("ours_first", [False, True])
async def test_the_other_side_knows_nothing_of_it(
    call: Call, ours_first: bool, reads_both: bool
) -> None:
    near, far = call.ends
    opening = asyncio.create_task(near.open_channel("chat")) if ours_first else None
    plain = Plain(far, reads_both=reads_both)
    if opening is None:
        await eventually(lambda: plain.channel.readyState == "open")
    channel = await (opening or near.open_channel("chat"))
    await eventually(lambda: plain.channel.readyState == "open")
    await channel.send("hello")
    await eventually(lambda: plain.messages == ["hello"])
    plain.channel.send("and you")
    assert await channel.receive() == "and you"
    plain.channel.close()
    assert [message async for message in channel] == []


async def test_it_is_closed_when_the_peer_is_gone(call: Call) -> None:
    near, far = await both(call)
    await near.send("hello")
    call.ends[1].end("left")
    assert await far.receive() == "hello"
    assert [message async for message in far] == []
    assert far.closed

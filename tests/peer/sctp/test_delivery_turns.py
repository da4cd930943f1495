"""Messages that arrive many at once: the event loop has turns between them, and none is lost."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from icefloe.peer import DataChannel, PeerConnection
from icefloe.peer._aiortc import SctpTransport
from icefloe.peer.sctp.transport import DELIVERY_SLICE
from tests.helpers.calls import eventually
from tests.helpers.pairs import closing, negotiate, opened
from tests.helpers.turns import Turns

COUNT = 30


@asynccontextmanager
async def slow() -> AsyncIterator[tuple[PeerConnection, PeerConnection, Any, list[int], list[str]]]:
    """Connect two, of which the second takes as long for a message as a turn may have for all."""
    a, b = PeerConnection(), PeerConnection()
    got, told, seen = list[str](), list[Any](), list[int]()
    b.on("datachannel", told.append)
    channel = a.createDataChannel("many")

    def take(message: str) -> None:
        got.append(message)
        seen.append(turns.number)
        time.sleep(DELIVERY_SLICE)

    async with closing(a, b):
        await negotiate(a, b)
        await opened(channel)
        await eventually(lambda: len(told) == 1)
        told[0].on("message", take)
        with Turns() as turns:
            yield a, b, channel, seen, got


async def test_the_loop_has_a_turn_where_handing_out_takes_long() -> None:
    async with slow() as (_, _, channel, turns, got):
        for number in range(COUNT):
            channel.send(str(number))
        await eventually(lambda: len(got) == COUNT)
        assert got == [str(number) for number in range(COUNT)]
        # What is read, what waited, and what a timer finds may fall into one turn.
        assert all(turns.count(turn) <= 3 for turn in turns)


async def test_what_waits_for_its_turn_is_handed_out_before_the_end() -> None:
    async with slow() as (a, b, channel, _, got):
        assert isinstance(b.sctp, SctpTransport)
        for number in range(COUNT):
            channel.send(str(number))
        transport = b.sctp
        await eventually(lambda: transport.shell.is_behind)
        before = len(got)
        await b.close()
        assert before < COUNT
        assert got == [str(number) for number in range(COUNT)]
        await a.close()


async def test_a_channel_that_is_closed_after_many_messages_has_them_all() -> None:
    async with slow() as (_, b, channel, _, got):
        for number in range(COUNT):
            channel.send(str(number))
        channel.close()
        await eventually(lambda: channel.readyState == "closed")
        await eventually(lambda: len(got) == COUNT)
        assert isinstance(b.sctp, SctpTransport)
        transport = b.sctp
        await eventually(lambda: not transport.channels)


async def test_a_reader_that_keeps_up_loses_nothing() -> None:
    a, b = PeerConnection(), PeerConnection()
    told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    b.on("datachannel", told.set_result)
    channel = a.createDataChannel("many")
    async with closing(a, b):
        await negotiate(a, b)
        await opened(channel)
        reader = DataChannel(await told)
        for number in range(20_000):
            channel.send(str(number))
        for number in range(20_000):
            assert await asyncio.wait_for(reader.receive(), 60) == str(number)

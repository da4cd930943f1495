"""Data channels with plain aiortc on the other side, and among ourselves."""

import asyncio
import hashlib
import itertools
from typing import Any

import pytest
from aiortc import RTCDataChannel, RTCPeerConnection

from tests.helpers.pairs import closing, make, negotiate, opened, until

PAIRS = [("icefloe", "aiortc"), ("aiortc", "icefloe"), ("icefloe", "icefloe")]
pytestmark = pytest.mark.parametrize(("offerer", "answerer"), PAIRS)


class BoundedQueue:
    """Takes what arrives on the channels that the other side opens."""

    def __init__(self, connection: RTCPeerConnection) -> None:
        self.channels: list[RTCDataChannel] = []
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        connection.on("datachannel", self._on_channel)

    def _on_channel(self, channel: RTCDataChannel) -> None:
        self.channels.append(channel)
        channel.on("message", self.messages.put_nowait)


@pytest.mark.parametrize("ordered", [True, False])
async def test_megabytes_arrive_whole_both_ways(offerer: str, answerer: str, ordered: bool) -> None:
    a, b = make(offerer), make(answerer)
    inboxes = BoundedQueue(a), BoundedQueue(b)
    async with closing(a, b):
        first = a.createDataChannel("a", ordered=ordered)
        await negotiate(a, b)
        await opened(first)
        second = b.createDataChannel("b", ordered=ordered)
        await opened(second)
        sent = [
            [bytes([number % 251]) * size for number, size in zip(range(60), sizes, strict=False)]
            for sizes in (itertools.cycle((1, 70_000, 1200)), itertools.cycle((65_536, 3, 40_000)))
        ]
        for ours, theirs in zip(*sent, strict=True):
            first.send(ours)
            second.send(theirs)
        for inbox, messages in zip(reversed(inboxes), sent, strict=True):
            arrived = [await inbox.messages.get() for _ in messages]
            assert arrived == messages if ordered else sorted(arrived) == sorted(messages)


async def test_messages_of_every_kind_arrive_as_they_were_sent(offerer: str, answerer: str) -> None:
    a, b = make(offerer), make(answerer)
    inbox = BoundedQueue(b)
    async with closing(a, b):
        channel = a.createDataChannel("kinds")
        await negotiate(a, b)
        await opened(channel)
        messages: list[str | bytes] = ["", b"", "grüezi", b"\0", b"x" * 262_144, "y" * 200_000]
        for message in messages:
            channel.send(message)
        assert [await inbox.messages.get() for _ in messages] == messages
        with pytest.raises(ValueError, match="262144"):
            channel.send(b"x" * 262_145)


async def test_a_channel_closes_on_both_sides_once_all_is_out(offerer: str, answerer: str) -> None:
    a, b = make(offerer), make(answerer)
    inbox = BoundedQueue(b)
    async with closing(a, b):
        channel = a.createDataChannel("brief")
        await negotiate(a, b)
        await opened(channel)
        digest = hashlib.sha256()
        for number in range(20):
            message = bytes([number]) * 50_000
            digest.update(message)
            channel.send(message)
        channel.close()
        await until(channel, "close", lambda: channel.readyState == "closed")
        other = inbox.channels[0]
        await until(other, "close", lambda: other.readyState == "closed")
        found = hashlib.sha256()
        for _ in range(20):
            found.update(inbox.messages.get_nowait())
        assert found.digest() == digest.digest()
        # Its stream can be used again.
        again = a.createDataChannel("again")
        await opened(again)
        again.send("hello")
        assert await inbox.messages.get() == "hello"


async def test_unreliable_channels_carry_messages(offerer: str, answerer: str) -> None:
    a, b = make(offerer), make(answerer)
    inbox = BoundedQueue(b)
    async with closing(a, b):
        channels = [
            a.createDataChannel("count", ordered=False, maxRetransmits=0),
            a.createDataChannel("time", maxPacketLifeTime=10_000),
        ]
        await negotiate(a, b)
        for channel in channels:
            await opened(channel)
            channel.send(channel.label)
        labels = {await inbox.messages.get() for _ in channels}
        assert labels == {"count", "time"}
        told = {c.label: (c.ordered, c.maxRetransmits, c.maxPacketLifeTime) for c in inbox.channels}
        assert told == {"count": (False, 0, None), "time": (True, None, 10_000)}

"""Messages that nobody reads: they stop the sender, or are dropped; nothing else is lost."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from typing import Any

import aioice.ice
import pytest
from aiortc import RTCDataChannel, RTCPeerConnection

from icefloe.peer import DataChannel, PeerConfiguration, PeerConnection, ReceiveOverflow
from icefloe.peer._aiortc import DtlsTransport, SctpTransport
from icefloe.peer.connection.receive_buffer import LOSSY_BUFFER
from icefloe.peer.sctp.states import WINDOW
from tests.helpers.calls import eventually
from tests.helpers.pairs import closing, make, negotiate, until

MESSAGE = 50_000
"""Bytes of a message."""


def accepted(connection: RTCPeerConnection, **options: int) -> asyncio.Queue[DataChannel]:
    """Have the channels that the other side opens."""
    channels: asyncio.Queue[DataChannel] = asyncio.Queue()

    def on_channel(channel: RTCDataChannel) -> None:
        channels.put_nowait(DataChannel(channel, **options))  # type: ignore[arg-type]

    connection.on("datachannel", on_channel)
    return channels


def association(connection: RTCPeerConnection) -> SctpTransport:
    assert isinstance(connection.sctp, SctpTransport)
    return connection.sctp


async def is_closed(connection: RTCPeerConnection) -> None:
    """Fail as soon as a connection is closed: whoever reads at its other side waits for a path."""
    await until(connection, "connectionstatechange", lambda: connection.connectionState == "closed")
    raise AssertionError("the sender's connection is closed")


@pytest.fixture(params=["icefloe", "aiortc"])
async def ends(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[RTCPeerConnection, RTCPeerConnection]]:
    """A sender of either kind, and icefloe."""
    # aioice closes when six answers in a row take more than 0.5 s. They wait behind the SACKs, of
    # which it reads one in a turn of the event loop: on a busy machine that is more.
    monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", float("inf"))
    a, b = make(request.param), make("icefloe")
    yield a, b
    await asyncio.gather(a.close(), b.close())


async def test_a_reader_that_stops_stops_the_sender_and_loses_nothing(
    ends: tuple[RTCPeerConnection, RTCPeerConnection],
) -> None:
    a, b = ends
    channels = accepted(b, receive_buffer=100_000)
    near = DataChannel(a.createDataChannel("bulk"), send_buffer=1_000_000)
    await negotiate(a, b)
    far = await channels.get()
    sent, total = hashlib.sha256(), 250 * MESSAGE

    async def send() -> None:
        chances = random.Random(1)
        for _ in range(total // MESSAGE):
            message = chances.randbytes(MESSAGE)
            sent.update(message)
            await near.send(message)

    async with asyncio.TaskGroup() as group:
        sending = group.create_task(send())
        watching = group.create_task(is_closed(a))
        shell = association(b).shell.association
        assert shell is not None
        await eventually(lambda: shell.window < MESSAGE)
        waiting = far.counts.bytes_received
        assert WINDOW - 2 * MESSAGE < waiting < WINDOW
        assert not sending.done() and not far.closed
        got, size = hashlib.sha256(), 0
        while size < total:
            message = await far.receive()
            assert isinstance(message, bytes)
            got.update(message)
            size += len(message)
            assert far.counts.bytes_received - size < WINDOW
        watching.cancel()
    assert got.digest() == sent.digest()
    await eventually(lambda: shell.window == WINDOW)
    near.close()


async def test_a_plain_aiortc_that_gives_the_path_up_is_noticed_and_what_came_can_be_read() -> None:
    a = make("aiortc")
    b = PeerConnection(PeerConfiguration(disconnected_timeout=0.5, failed_timeout=0.5))
    channels = accepted(b)
    async with closing(a, b):
        near = DataChannel(a.createDataChannel("bulk"))
        await negotiate(a, b)
        far = await channels.get()
        await near.send("the last word")
        await eventually(lambda: far.counts.received == 1)
        states: list[str] = []
        b.on("connectionstatechange", lambda: states.append(b.connectionState))
        # As it does by itself when the answers to its consent checks are late. Nothing tells so.
        assert a.sctp is not None
        await a.sctp.transport.transport._connection.close()
        await until(b, "connectionstatechange", lambda: b.connectionState == "failed")
        assert states == ["disconnected", "failed"]
        assert not far.closed
        assert await far.receive() == "the last word"


async def test_an_unreliable_channel_that_nobody_reads_drops_the_oldest() -> None:
    a, b = make("icefloe"), make("icefloe")
    channels = accepted(b)
    async with closing(a, b):
        unread = DataChannel(a.createDataChannel("unread", maxRetransmits=5))
        read = DataChannel(a.createDataChannel("read"))
        await negotiate(a, b)
        far_unread, far_read = await channels.get(), await channels.get()
        count = 3 * WINDOW // MESSAGE
        for number in range(count):
            await unread.send(number.to_bytes(4, "big") * (MESSAGE // 4))
        # The other channel goes on all the while, and the first one is not closed.
        await read.send("still there")
        assert await far_read.receive() == "still there"
        await eventually(lambda: far_unread.counts.received + unread.counts.abandoned >= count)
        counts = far_unread.counts
        kept = counts.received - counts.dropped
        assert counts.dropped > 0 and kept * MESSAGE <= LOSSY_BUFFER < (kept + 1) * (MESSAGE + 101)
        numbers = [int.from_bytes((await far_unread.receive())[:4], "big") for _ in range(kept)]  # type: ignore[arg-type]
        assert numbers == sorted(numbers) and numbers[0] >= count - kept - unread.counts.abandoned
        shell = association(b).shell.association
        assert shell is not None and shell.window == WINDOW


async def test_over_plain_aiortc_a_flood_that_nobody_reads_ends_the_channel() -> None:
    a, b = make("aiortc"), make("aiortc")
    channels = accepted(b, receive_buffer=10_000)
    async with closing(a, b):
        near = DataChannel(a.createDataChannel("flood"))
        await negotiate(a, b)
        far = await channels.get()
        for _ in range(5):
            await near.send(bytes(4000))
        await eventually(lambda: far.closed and near.closed)
        assert [await far.receive(), await far.receive()] == [bytes(4000)] * 2
        with pytest.raises(ReceiveOverflow):
            await far.receive()


@pytest.mark.parametrize(
    "limit", [{"maxRetransmits": 0}, {"maxPacketLifeTime": 1}], ids=["retransmits", "lifetime"]
)
@pytest.mark.parametrize("ordered", [True, False])
async def test_what_a_lossy_path_loses_is_counted_and_blocks_nothing(
    limit: dict[str, Any], ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = make("icefloe"), make("icefloe")
    channels = accepted(b)
    async with closing(a, b):
        near = DataChannel(a.createDataChannel("lossy", ordered=ordered, **limit))
        reliable = DataChannel(a.createDataChannel("reliable"))
        await negotiate(a, b)
        far, far_reliable = await channels.get(), await channels.get()
        await reliable.opened()
        link = association(a).transport
        assert isinstance(link, DtlsTransport)
        chances, transmit = random.Random(7), link.send_all

        def lose(packets: list[bytes]) -> None:
            transmit([packet for packet in packets if chances.random() > 0.2])

        monkeypatch.setattr(link, "send_all", lose)
        count = 200
        for number in range(count):
            await near.send(str(number))
            if not number % 20:
                await reliable.send(str(number))
            await asyncio.sleep(0.002)  # so that each has a packet of its own
        monkeypatch.setattr(link, "send_all", transmit)
        await near.send("end")
        shell = association(a).shell.association
        assert shell is not None and shell.sender is not None
        sender = shell.sender
        await eventually(lambda: sender.is_done and not sender.abandoned)
        got = [await far.receive() for _ in range(far.counts.received)]
        assert len(set(got)) == len(got)
        assert [await far_reliable.receive() for _ in range(10)] == [
            str(n) for n in range(0, count, 20)
        ]
        if ordered:
            numbers = [int(message) for message in got if message != "end"]
            assert numbers == sorted(numbers)
        counts, lost = near.counts, count + 1 - len(got)
        assert lost > 10
        # What is given up may have arrived: its acknowledgement was late.
        assert lost <= counts.abandoned
        if ordered:
            # Some were given up before they were sent, and have no number.
            assert 0 < far.counts.skipped <= lost
        else:
            assert far.counts.skipped == 0

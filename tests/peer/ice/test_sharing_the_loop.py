"""Datagrams that come many at once: the event loop has its turns between them, and all arrive."""

import asyncio
import struct
import time
from typing import Any

import pytest

from icefloe.peer.ice import udp
from icefloe.peer.ice.server_urls import Transport
from icefloe.peer.ice.turn.transports import Endpoint, open_link
from icefloe.peer.ice.udp import TIME_SLICE, UdpTransport, open_udp
from tests.helpers.calls import eventually
from tests.helpers.turns import Turns

COUNT = 40


class Slow(asyncio.DatagramProtocol):
    """Takes as long for a datagram as a turn may have for all."""

    def __init__(self, turns: Turns) -> None:
        self.got: list[bytes] = []
        self.seen: list[int] = []
        self._turns = turns

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Take it, slowly."""
        self.take(data)

    def take(self, data: bytes) -> None:
        """Note it and the turn in which it came."""
        self.got.append(data)
        self.seen.append(self._turns.number)
        time.sleep(TIME_SLICE)


@pytest.mark.parametrize("merges", [True, False])
async def test_datagrams_in_trains_share_the_loop(
    merges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not merges:
        monkeypatch.setattr(udp, "_has", lambda sock, option, value: False)
    with Turns() as turns:
        to = await open_udp(lambda: Slow(turns), "127.0.0.1", 0, 1 << 20)
        way = await open_udp(lambda: Slow(turns), "127.0.0.1", 0, 1 << 20)
        assert isinstance(way.transport, UdpTransport)
        sent = [bytes([number]) * 1000 for number in range(COUNT)]
        way.transport.send_all(sent, to.transport.get_extra_info("sockname"))
        await eventually(lambda: len(to.got) == COUNT)
        assert to.got == sent
        assert all(to.seen.count(turn) <= 2 for turn in to.seen)
        for one in (to, way):
            assert isinstance(one.transport, UdpTransport)
            one.transport.close()
        await eventually(lambda: way.transport.is_closing())


async def test_what_is_left_of_a_train_goes_with_its_socket() -> None:
    with Turns() as turns:
        to = await open_udp(lambda: Slow(turns), "127.0.0.1", 0, 1 << 20)
        way = await open_udp(lambda: Slow(turns), "127.0.0.1", 0, 1 << 20)
        assert isinstance(to.transport, UdpTransport)
        assert isinstance(way.transport, UdpTransport)
        sent = [bytes([number]) * 1000 for number in range(COUNT)]
        way.transport.send_all(sent, to.transport.get_extra_info("sockname"))
        await eventually(lambda: len(to.got) > 0)
        to.transport.close()
        way.transport.close()
        count = len(to.got)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(to.got) == count < COUNT


async def test_messages_of_one_stream_share_the_loop() -> None:
    sent = [struct.pack("!HH", 0x4001, 1000) + bytes([number]) * 1000 for number in range(COUNT)]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(sent))
        await writer.drain()
        writer.write(b"".join(sent))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    lost: list[Exception | None] = []
    with Turns() as turns:
        slow = Slow(turns)
        endpoint = Endpoint("127.0.0.1", port, Transport.TCP, "")
        link = await open_link(endpoint, slow.take, lost.append)
        await eventually(lambda: len(slow.got) == 2 * COUNT)
        assert slow.got == sent + sent
        assert all(slow.seen.count(turn) <= 2 for turn in slow.seen)
        link.close()
    assert lost == []
    server.close()
    await server.wait_closed()


async def test_a_datagram_that_comes_alone_is_read_by_one_system_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads: list[bool] = []

    class Counting(UdpTransport):
        def _read(self) -> tuple[bytes, int, tuple[Any, ...]] | None:
            batch = super()._read()
            reads.append(batch is not None)
            return batch

    with Turns() as turns:
        to = await open_udp(lambda: Slow(turns), "127.0.0.1", 0, 1 << 20, transport=Counting)
        way = await open_udp(lambda: Slow(turns), "127.0.0.1", 0, 1 << 20)
        assert isinstance(way.transport, UdpTransport) and isinstance(to.transport, UdpTransport)
        address = to.transport.get_extra_info("sockname")
        monkeypatch.setattr(udp, "LONE_AFTER", 0.0)
        for _ in range(3):
            before = len(to.got)
            way.transport.sendto(b"x", address)
            while len(to.got) == before:
                await asyncio.sleep(0)
        assert reads == [True] * 3
        monkeypatch.setattr(udp, "LONE_AFTER", float("inf"))
        way.transport.sendto(b"x", address)
        await eventually(lambda: len(to.got) == 4)
        assert reads[3]
        for one in (to.transport, way.transport):
            one.close()
        await eventually(way.transport.is_closing)

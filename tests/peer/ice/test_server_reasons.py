"""Reasons that STUN and TURN servers give for a refusal: as long as they may be, and longer."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from aioice import stun
from aiortc import RTCIceServer

from icefloe.peer import ConnectFailed, PeerConfiguration, RTCPeerConnectionIceErrorEvent
from icefloe.peer.ice.server_urls import MAX_REASON_LENGTH, Transport
from icefloe.peer.rooms.remote_peer import RemotePeer
from tests.helpers.turn import PASSWORD, USER
from tests.helpers.turnserver import turn_server

_FORGED = "\x1b[2J\r\nforged\u202e"
HOSTILE = _FORGED + "é" * 30_000
"""A reason of 60 kB, of which more does not fit into a datagram."""

SHORTER = _FORGED + "é" * 900
"""One of 1.8 kB: a STUN message that is longer is not read."""


class Refusing(asyncio.DatagramProtocol):
    """A STUN server that refuses, at length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        asked = stun.parse_message(data)
        answer = stun.Message(stun.Method.BINDING, stun.Class.ERROR, asked.transaction_id)
        answer.attributes["ERROR-CODE"] = (420, SHORTER)
        self.transport.sendto(bytes(answer), addr)


@asynccontextmanager
async def refusing(kind: str) -> AsyncIterator[RTCIceServer]:
    if kind == "stun":
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Refusing, local_addr=("127.0.0.1", 0))
        try:
            yield RTCIceServer(f"stun:127.0.0.1:{transport.get_extra_info('sockname')[1]}")
        finally:
            transport.close()
        return
    async with turn_server(Transport(kind)) as server:
        server.reason = HOSTILE
        server.users.clear()
        yield RTCIceServer(server.url, username=USER, credential=PASSWORD)


class Mute:
    """A signaler that reaches nobody."""

    async def description(self, description: object) -> None:
        pass

    async def candidate(self, candidate: object) -> None:
        pass


@pytest.mark.parametrize("kind", ["stun", "udp", "tcp"])
async def test_the_reason_is_cut_and_shown_on_one_line(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    errors: list[RTCPeerConnectionIceErrorEvent] = []
    async with refusing(kind) as server:
        peer = RemotePeer(
            id="1",
            name="bob",
            polite=False,
            signaler=Mute(),
            configuration=PeerConfiguration(iceServers=[server], include_loopback=True),
            connect_timeout=0,
        )
        told = asyncio.Event()
        peer.connection.on("icecandidateerror", errors.append)
        peer.connection.on("icecandidateerror", lambda _: told.set())
        peer.start()
        running = asyncio.create_task(peer.run())
        await told.wait()
        with pytest.raises(ConnectFailed) as caught:
            await peer.connected()
        peer.end("left")
        await running
    assert errors[0].errorCode in (401, 420)
    assert errors[0].errorText == HOSTILE[:MAX_REASON_LENGTH]
    assert len(errors[0].errorText) < 128 and len(errors[0].errorText.encode()) <= 763
    (kept, *_) = caught.value.evidence.server_errors
    assert kept.isprintable() and "forged" in kept and len(kept) < 400
    assert str(caught.value).isprintable()
    for record in caplog.records:
        message = record.getMessage()
        assert "\x1b" not in message and "\u202e" not in message and "é" * 128 not in message

"""Packets that wait are taken in turns with everything else on the event loop."""

import asyncio

import pytest

from icefloe.peer import PeerConnection
from icefloe.peer._aiortc import agent_of
from icefloe.peer.ice import candidate_socket


async def test_who_takes_packets_one_after_the_other_lets_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidate_socket, "TIME_SLICE", -1.0)  # each packet takes longer than that
    connection = PeerConnection()
    connection.createDataChannel("x")
    assert connection.sctp is not None
    agent = agent_of(connection.sctp.transport.transport)
    for number in range(100):
        agent.received.put(bytes([128, number]))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(others())
    for number in range(100):
        assert await agent.recv() == bytes([128, number])
    counting.cancel()
    assert turns >= 99
    await connection.close()

"""What comes in is worked off in small pieces, so that everything else on the loop has its turn."""

import asyncio
import socket
from typing import Any

import pytest

from icefloe.peer import PeerConnection
from icefloe.peer._aiortc import agent_of
from icefloe.peer.ice import agent as agent_module
from icefloe.peer.ice.udp import TURN, UdpTransport
from tests.helpers.calls import eventually

COST = TURN / 4
"""Seconds that a datagram takes to be worked off."""


class Clock:
    """The running loop, by whose time nothing passes but what datagrams cost."""

    def __init__(self) -> None:
        self.now = 0.0
        self._loop = asyncio.get_running_loop()

    def time(self) -> float:
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class Taker(asyncio.DatagramProtocol):
    """Notes in which turn of the loop each datagram came."""

    def __init__(self, clock: Clock) -> None:
        self.turn = 0
        self.came: list[tuple[int, int]] = []
        self._clock = clock

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._clock.now += COST
        self.came.append((self.turn, int.from_bytes(data, "big")))

    async def count_turns(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)


def pair() -> tuple[socket.socket, socket.socket]:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for each in sockets:
        each.setblocking(False)
        each.bind(("127.0.0.1", 0))
    return sockets[0], sockets[1]


@pytest.mark.parametrize("is_train", [False, True], ids=["one by one", "as a train"])
async def test_datagrams_that_are_a_lot_of_work_take_turns_and_none_is_lost(is_train: bool) -> None:
    clock = Clock()
    taker = Taker(clock)
    receiving, sending = pair()
    transport = UdpTransport(clock, receiving, taker)  # type: ignore[arg-type]
    sender = UdpTransport(asyncio.get_running_loop(), sending, asyncio.DatagramProtocol())
    counting = asyncio.create_task(taker.count_turns())
    datagrams = [number.to_bytes(20, "big") for number in range(200)]
    if is_train:
        sender.send_all(datagrams, receiving.getsockname())
    else:
        for datagram in datagrams:
            sender.sendto(datagram, receiving.getsockname())
    await eventually(lambda: len(taker.came) == 200)
    assert [number for _, number in taker.came] == list(range(200))
    turns = [turn for turn, _ in taker.came]
    # What was left of a train, and a read after it.
    assert max(turns.count(turn) for turn in set(turns)) <= 2 * TURN / COST + 1
    counting.cancel()
    transport.close()
    sender.close()
    await asyncio.sleep(0)


async def test_what_waits_of_a_train_is_not_handed_out_after_the_end() -> None:
    clock = Clock()
    taker = Taker(clock)
    receiving, sending = pair()
    transport = UdpTransport(clock, receiving, taker)  # type: ignore[arg-type]
    sender = UdpTransport(asyncio.get_running_loop(), sending, asyncio.DatagramProtocol())
    sender.send_all([number.to_bytes(20, "big") for number in range(40)], receiving.getsockname())
    while not taker.came:
        await asyncio.sleep(0)
    transport.close()
    sender.close()
    count = len(taker.came)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(taker.came) == count < 40


async def test_who_takes_packets_one_after_the_other_lets_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent_module, "TURN", -1.0)  # each packet takes longer than that
    connection = PeerConnection()
    connection.createDataChannel("x")
    assert connection.sctp is not None
    agent = agent_of(connection.sctp.transport.transport)
    for number in range(100):
        agent._on_packet(bytes([128, number]))
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

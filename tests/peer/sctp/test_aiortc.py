"""A plain aiortc that sends never stalls: packets are lost, readers stop, and all arrives.

aiortc sends however little room it is offered, and sends again what was dropped once a second. In
virtual time, seeded.
"""

import asyncio
import random
from dataclasses import replace

import pytest

from tests.helpers.aiortc_sctp import Link, Pair, VirtualLoop, in_virtual_time

PATIENCE = 60.0
"""Seconds in which more has to arrive, once nothing is in the way: a time-out of 1 s or little
more, many times in vain on a path that loses packets."""

LINKS = {
    "near": Link(0.0001),
    "far": Link(0.1),
    "lossy": Link(0.02, loss=0.02),
    "bad": Link(0.02, loss=0.2, jitter=0.05, duplication=0.02),
    "shallow": Link(0.001, queue=20),
    "overtaking": Link(0.001, jitter=0.05, duplication=0.02),
}

BUFFER = 1_000_000
"""Bytes that wait in aiortc's channel."""


async def transfer(loop: VirtualLoop, *, link: Link, seed: int, window: int, size: int) -> None:
    """Send three windows to somebody who stops reading, and goes on, again and again."""
    chances = random.Random(seed)
    link = replace(link)
    pair = Pair(link, chances, loop, window=window)
    count = 3 * window // size

    async def send() -> None:
        channel = await pair.open(ordered=bool(seed % 3))
        for number in range(count):
            while channel.bufferedAmount >= BUFFER:
                await asyncio.sleep(0.01)
            channel.send(number.to_bytes(4, "big") + bytes(size - 4))
            await asyncio.sleep(0)

    pump = asyncio.create_task(pair.pump())
    sending = asyncio.create_task(send())
    try:
        for _ in range(6):
            pair.read(False)
            await asyncio.sleep(chances.choice([0.01, 1.0, 5.0]))
            if chances.random() < 0.3:
                link.cut_until = loop.now + chances.choice([0.5, 3.0])
            pair.read(True)
            await asyncio.sleep(chances.choice([0.01, 1.0, 5.0]))
        while (had := len(pair.messages)) < count:
            async with asyncio.timeout(PATIENCE):
                await pair.until(had + 1)
        await sending
        assert sorted(pair.messages) == [
            n.to_bytes(4, "big") + bytes(size - 4) for n in range(count)
        ]
        if seed % 3:
            assert pair.messages == sorted(pair.messages)
    finally:
        pump.cancel()
        sending.cancel()
        await asyncio.wait((pump, sending))
        pair.close()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("link", LINKS)
def test_all_arrives_however_often_the_reader_stops(
    link: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = random.Random(seed).getrandbits(32) if seed % 2 else 2**32 - 100  # its numbers go round
    monkeypatch.setattr("aiortc.rtcsctptransport.random32", lambda: first)
    size = (500, 5000, 50_000)[seed % 3]
    in_virtual_time(
        lambda loop: transfer(loop, link=LINKS[link], seed=seed, window=300_000, size=size),
        monkeypatch,
    )


def test_a_window_of_the_usual_size_is_filled_and_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    in_virtual_time(
        lambda loop: transfer(
            loop, link=LINKS["near"], seed=1, window=4 * 1024 * 1024, size=50_000
        ),
        monkeypatch,
    )

"""The fast wire, as packets see it that go through one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bench.link import Arrivals, receiving, send
from tests.bench.network import Network, network
from tests.natlab.fast_wire import build, compiler
from tests.natlab.spec import Wire

pytestmark = [
    pytest.mark.system("netns", "iproute2"),
    pytest.mark.skipif(compiler() is None, reason="no C compiler"),
]


@pytest.fixture
async def link(tmp_path: Path) -> AsyncIterator[Network]:
    async with network(Wire(), await build(tmp_path)) as linked:
        yield linked


async def through(link: Network, wire: Wire, packets: int, rate: float) -> Arrivals:
    """Send packets over the wire and wait until none is under way."""
    assert link.wire is not None
    await link.wire.change(wire)
    before = await link.wire.counts()
    async with receiving(link) as arrivals:
        await send(link, packets=packets, rate=rate)
        async with asyncio.timeout(20):
            while True:
                now = await link.wire.counts()
                gone = now.written[0] + now.lost[0] + now.queue_full[0]
                if now.read[0] - before.read[0] >= packets and gone == now.read[0]:
                    break
                await asyncio.sleep(0.02)
    assert now.wire_full == (0, 0)
    return arrivals


async def test_without_anything_all_packets_arrive_in_order(link: Network) -> None:
    arrivals = await through(link, Wire(), 4000, rate=10000)
    assert [number for number, _, _ in arrivals.packets] == list(range(4000))


async def test_none_arrives_before_its_delay(link: Network) -> None:
    arrivals = await through(link, Wire(delay=0.05), 500, rate=5000)
    assert len(arrivals.packets) == 500
    assert arrivals.delays()[0] >= 0.05


async def test_jitter_reorders_but_loses_nothing(link: Network) -> None:
    arrivals = await through(link, Wire(delay=0.05, jitter=0.02), 500, rate=5000)
    numbers = [number for number, _, _ in arrivals.packets]
    assert numbers != sorted(numbers)
    assert sorted(numbers) == list(range(500))
    assert arrivals.delays()[0] >= 0.03


async def test_loss_is_what_was_asked_for_and_the_same_with_the_same_seed(link: Network) -> None:
    async def arrived(seed: int) -> list[int]:
        arrivals = await through(link, Wire(loss=0.05, seed=seed), 20000, rate=20000)
        return [number for number, _, _ in arrivals.packets]

    first = await arrived(7)
    # The number of lost packets is binomial, its standard deviation is 31: this is five of them.
    assert abs(20000 - len(first) - 1000) < 155
    assert first == await arrived(7)
    assert first != await arrived(8)


async def test_a_burst_finds_room_for_the_queue_and_no_more(link: Network) -> None:
    # A packet of 1242 bytes takes 1 ms, so 40 ms of queue are 41 packets and the one that leaves;
    # the burst takes some time too, in which some leave.
    wire = Wire(rate=1242 * 8 * 1000, queue=0.04)
    arrivals = await through(link, wire, 400, rate=0)
    count = len(arrivals.packets)
    sent, came = ([packet[n] for packet in arrivals.packets] for n in (1, 2))
    assert 41 <= count <= 43 + (sent[-1] - sent[0]) * 1000 < 400
    assert [number for number, _, _ in arrivals.packets[:41]] == list(range(41))
    assert came[-1] - sent[0] >= 0.001 * (count - 1) * 0.9

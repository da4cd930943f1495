"""A call and a transfer of one connection on a real link that is too narrow for both."""

import asyncio
import time

import pytest

from tests.bench.network import network
from tests.bench.stacks import Job, Stack
from tests.bench.transfer import Ends, calling
from tests.natlab.spec import Wire

pytestmark = [pytest.mark.alone, pytest.mark.system("netns", "iproute2")]

RATE = 1e6
"""Bits per second of the link; the pictures could use about as much."""

SHARED = Job("shared", ())


async def rates(ends: Ends, seconds: float) -> tuple[float, float]:
    """Return the bits per second of pictures that are sent and of data that arrives."""
    peers = {"video": ends.sender, "data": ends.receiver}
    told: dict[str, list[tuple[float, int]]] = {kind: [] for kind in peers}
    for pause in (seconds, 0.0):
        for kind, peer in peers.items():
            asked = time.monotonic()
            await peer.send("report")
            report = await peer.until("shared", 30, since=asked)
            told[kind].append((report["at"], report[kind]))
        await asyncio.sleep(pause)
    video, data = (
        (after - before) * 8 / (ended - begun) for (begun, before), (ended, after) in told.values()
    )
    return video, data


async def test_a_call_and_a_transfer_share_a_link() -> None:
    wire = Wire(delay=0.025, rate=RATE, queue=0.3)
    async with (
        network(wire, None) as link,
        calling(link, Stack.ICEFLOE, Stack.ICEFLOE, SHARED, size=(640, 360)) as ends,
    ):
        await asyncio.sleep(6)
        alone, _ = await rates(ends, 5)
        await ends.sender.send("send")
        await asyncio.sleep(6)
        video, data = await rates(ends, 12)
        await ends.sender.send("stop")
        await asyncio.sleep(8)
        again, rest = await rates(ends, 5)
    # Without headers, and the machine may be too busy for all of the pictures.
    assert alone > 0.5 * RATE
    assert video > 0.8 * RATE / 3
    assert data > 0.8 * RATE / 3
    assert video + data < RATE
    assert again > 0.8 * alone
    assert rest < 0.05 * RATE

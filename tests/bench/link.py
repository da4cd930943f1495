"""A link measured with packets of our own: whether the wire is fit for the benchmarks.

Also how long packets wait for others, while something else uses the link.
"""

import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.network import ADDRESSES, Network, network
from tests.natlab.fast_wire import Counts, FastWire
from tests.natlab.namespace import DEVNULL, PIPE, stop
from tests.natlab.spec import Wire

_HEADERS = 42
"""Bytes of the UDP, IPv4 and Ethernet headers, which the rate counts too."""

_PORT = 5000
_MANY = 300_000
_PROGRAM = (sys.executable, "-m", "tests.bench.flood")


@dataclass(slots=True)
class Arrivals:
    """Packets that came.

    Attributes:
        packets: The number of each, and when it left and when it came, in seconds.
    """

    packets: list[tuple[int, float, float]] = field(default_factory=list)

    def delays(self, begin: float = 0.0, end: float = float("inf")) -> list[float]:
        """Return the seconds that those took which left in this time, shortest first."""
        return sorted(came - sent for _, sent, came in self.packets if begin <= sent < end)

    def waits(self, begin: float, end: float) -> tuple[float, float, float]:
        """Return the median, the 95th percentile and the most of the queueing delay, in seconds.

        It is how much longer packets took than the fastest of all, those of the idle link.
        """
        least = self.delays()[0]
        waits = [delay - least for delay in self.delays(begin, end)]
        return statistics.median(waits), statistics.quantiles(waits, n=20)[-1], waits[-1]


@asynccontextmanager
async def receiving(link: Network) -> AsyncIterator[Arrivals]:
    """Take packets at the second host; what came is there after the block."""
    arrivals = Arrivals()
    process = await link.hosts[1].start(
        *_PROGRAM, "receive", str(_PORT), stdin=PIPE, stdout=PIPE, limit=2**28
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        await process.stdout.readline()
        yield arrivals
        process.stdin.close()
        arrivals.packets = [tuple(entry) for entry in json.loads(await process.stdout.readline())]
    finally:
        await stop(process)


async def send(link: Network, *, packets: int, rate: float, size: int = 1200) -> float:
    """Send packets from the first host to the second; see :func:`tests.bench.flood.send`."""
    options = f"--packets {packets} --rate {rate} --size {size}".split()
    return float(await link.hosts[0].run(*_PROGRAM, "send", ADDRESSES[1], str(_PORT), *options))


@asynccontextmanager
async def probing(link: Network, seconds: float, rate: float = 100.0) -> AsyncIterator[Arrivals]:
    """Send small packets from the first host to the second during the block.

    Args:
        link: The hosts.
        seconds: At most so long.
        rate: Packets a second.
    """
    options = f"--packets {int(seconds * rate)} --rate {rate} --size 64".split()
    async with receiving(link) as arrivals:
        process = await link.hosts[0].start(
            *_PROGRAM, "send", ADDRESSES[1], str(_PORT), *options, stdout=DEVNULL
        )
        try:
            yield arrivals
        finally:
            await stop(process)


async def check(program: Path) -> list[tuple[str, str, str]]:
    """Measure the fast wire itself; return rows of what was asked for and what was seen."""
    rows = []
    async with network(Wire(), program) as link:
        assert link.wire is not None
        await link.wire.change(Wire(delay=0.025))
        span = await send(link, packets=_MANY, rate=150_000)
        counts = await _settled(link.wire)
        rows.append(
            (
                "1200-byte packets, 25 ms each way",
                f"{_MANY:,}, at 150,000 a second",
                f"{counts.written[0]:,}, at {counts.written[0] / span:,.0f} a second",
            )
        )
    async with network(Wire(), program) as link:
        arrivals, _ = await _through(link, Wire(delay=0.025), packets=2000, rate=1000)
        delays = arrivals.delays()
        rows.append(
            (
                "delay, 1000 packets a second",
                "25 ms",
                f"{delays[len(delays) // 2] * 1000:.2f} ms in the median, at worst "
                f"{delays[-1] * 1000:.1f} ms",
            )
        )
    async with network(Wire(), program) as link:
        wire = Wire(loss=0.01)
        _, counts = await _through(link, wire, packets=100_000, rate=50_000)
        rows.append(("loss", "1 %", f"{counts.lost[0] / counts.read[0]:.2%} of {counts.read[0]:,}"))
    async with network(Wire(), program) as link:
        wire = Wire(rate=100e6, queue=0.05)
        arrivals, counts = await _through(link, wire, packets=20_000, rate=15_000)
        delays = arrivals.delays()
        span = arrivals.packets[-1][2] - arrivals.packets[0][2]
        bits = len(arrivals.packets) * (1200 + _HEADERS) * 8 / span
        rows.append(
            (
                "rate and queue, with half as much again sent",
                "100 Mbit/s, 50 ms",
                f"{bits / 1e6:.1f} Mbit/s, waits of up to {delays[-1] * 1000:.1f} ms, "
                f"{counts.queue_full[0]} found no room",
            )
        )
    return rows


async def _through(
    link: Network, wire: Wire, *, packets: int, rate: float
) -> tuple[Arrivals, Counts]:
    """Send packets over the fast wire; return what came, and the wire's counts."""
    assert link.wire is not None
    await link.wire.change(wire)
    async with receiving(link) as arrivals:
        await send(link, packets=packets, rate=rate)
        counts = await _settled(link.wire)
    return arrivals, counts


async def _settled(wire: FastWire) -> Counts:
    """Wait until no packet is under way; return what became of all."""
    counts = await wire.counts()
    while True:
        await asyncio.sleep(0.2)  # longer than packets are under way
        before, counts = counts, await wire.counts()
        if counts == before:
            return counts

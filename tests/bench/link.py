"""What a link does, measured with packets of our own: whether the wire is fit for the benchmarks.

Also how long packets wait for others, while something else uses the link.
"""

import json
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.bench.network import ADDRESSES, Network
from tests.natlab.namespace import PIPE, stop

_PORT = 5000
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

    def waits(self, begin: float, end: float) -> tuple[float, float]:
        """Return the median and the 95th percentile of the queueing delay, in seconds.

        It is how much longer packets took than the fastest of all, those of the idle link.
        """
        least = self.delays()[0]
        waits = [delay - least for delay in self.delays(begin, end)]
        return statistics.median(waits), statistics.quantiles(waits, n=20)[-1]


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


async def send(link: Network, *, packets: int, rate: float, size: int = 1200) -> None:
    """Send packets from the first host to the second; see :func:`tests.bench.flood.send`."""
    options = f"--packets {packets} --rate {rate} --size {size}".split()
    await link.hosts[0].run(*_PROGRAM, "send", ADDRESSES[1], str(_PORT), *options)


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
        process = await link.hosts[0].start(*_PROGRAM, "send", ADDRESSES[1], str(_PORT), *options)
        try:
            yield arrivals
        finally:
            await stop(process)

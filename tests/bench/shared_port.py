"""Many connections over one UDP port, and what a flood of foreign packets at that port costs them.

Both ends of each connection are in one process, of which one end of each uses the port. Another
process sends packets that are for nobody, as fast as it is told to. It has to run on Linux::

    python -m tests.bench.shared_port                         # 200 connections, 20,000 packets/s
    python -m tests.bench.shared_port --connections 30 --rate 5000 --seconds 3

What counts is what the messages of the connections take while the flood goes elsewhere and while it
goes to their port, and the processor's time that their process spends on a foreign packet.
"""

import argparse
import asyncio
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icefloe.peer import UdpMux, UdpMuxStats
from tests.helpers.muxes import link, over
from tests.helpers.pairs import closing

ROOT = Path(__file__).parent.parent.parent

AT_ONCE = 10
"""Connections that are set up at a time."""

PAUSE = 0.02
"""Seconds between two messages of a connection."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Figures of some seconds of traffic.

    Attributes:
        trips: Seconds that each message took there and back, sorted.
        cpu: Processor time of the process, in seconds.
        foreign: Foreign packets that were dropped.
    """

    trips: list[float]
    cpu: float
    foreign: int

    @property
    def median(self) -> float:
        """The median of the trips, in seconds."""
        return statistics.median(self.trips)

    @property
    def p99(self) -> float:
        """The time within which 99 of 100 trips were done, in seconds."""
        return self.trips[len(self.trips) * 99 // 100]


@dataclass(frozen=True, slots=True)
class Result:
    """Figures of one run.

    Attributes:
        setting_up: Processor time for both ends of a connection, in seconds.
        quiet: With a flood that goes to the port of another socket, and takes as much of the
            machine.
        flooded: With a flood of this port.
        stats: The counters of the port at the end.
        lost: Datagrams that were lost because the kernel's buffer was full.
    """

    setting_up: float
    quiet: Phase
    flooded: Phase
    stats: UdpMuxStats
    lost: int

    @property
    def cost(self) -> float:
        """Processor time for a foreign packet, in seconds."""
        return max(self.flooded.cpu - self.quiet.cpu, 0) / max(self.flooded.foreign, 1)

    def lines(self) -> Sequence[str]:
        """Return what is printed."""
        return (
            f"{self.stats.generations} connections over port {self.stats.port}, "
            f"{self.stats.remote_addresses} remote addresses",
            f"setting up: {self.setting_up * 1e3:.1f} ms of processor for both ends of one",
            *(
                f"{name}: {len(phase.trips)} messages there and back, p50 "
                f"{phase.median * 1e3:.2f} ms, p99 {phase.p99 * 1e3:.2f} ms; "
                f"{phase.foreign} foreign packets; {phase.cpu:.2f} s of processor"
                for name, phase in (("flood elsewhere", self.quiet), ("flood here", self.flooded))
            ),
            f"a foreign packet: {self.cost * 1e6:.1f} µs of processor",
            f"{self.lost} datagrams lost because the socket's buffer was full",
        )


async def _ping(near: Any, until: float, trips: list[float]) -> None:
    back: asyncio.Queue[object] = asyncio.Queue()
    near.on("message", back.put_nowait)
    while time.monotonic() < until:
        begun = time.monotonic()
        near.send(b"ping")
        await back.get()
        trips.append(time.monotonic() - begun)
        await asyncio.sleep(PAUSE)
    near.remove_listener("message", back.put_nowait)


async def _phase(channels: Sequence[Any], mux: UdpMux, seconds: float) -> Phase:
    trips: list[float] = []
    before, foreign = time.process_time(), mux.stats().foreign_datagrams
    until = time.monotonic() + seconds
    await asyncio.gather(*(_ping(channel, until, trips) for channel in channels))
    cpu = time.process_time() - before
    return Phase(sorted(trips), cpu, mux.stats().foreign_datagrams - foreign)


@asynccontextmanager
async def _flood(port: int, rate: float, seconds: float) -> AsyncIterator[None]:
    """Have another process send packets to a port, for a second more than ``seconds``."""
    packets = str(int(rate * (seconds + 1)))
    flood = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.flood", "send", "127.0.0.1", str(port)),
        *("--rate", str(rate), "--packets", packets, "--size", "100"),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
    )
    await asyncio.sleep(0.5)  # it begins
    yield
    await flood.wait()


def _together(phases: Sequence[Phase]) -> Phase:
    return Phase(
        sorted(trip for phase in phases for trip in phase.trips),
        sum(phase.cpu for phase in phases),
        sum(phase.foreign for phase in phases),
    )


def _lost(port: int) -> int:
    """Return the datagrams that found the buffer of a port full, of all its sockets (proc(5))."""
    rows = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]
    return sum(int(row.split()[-1]) for row in rows if row.split()[1].endswith(f":{port:04X}"))


async def measure(
    connections: int, speaking: int, rate: float, seconds: float, rounds: int = 1
) -> Result:
    """Connect, and measure with the flood at another port, and at the port of the connections.

    Args:
        connections: How many use the port.
        speaking: How many of them exchange messages.
        rate: Foreign packets a second.
        seconds: How long each of both is measured.
        rounds: How often, in turn.
    """
    async with await UdpMux.open(addresses=("127.0.0.1",)) as mux:
        here = [over(mux, addresses=("127.0.0.1",)) for _ in range(connections)]
        there = [over(None, addresses=("127.0.0.1",)) for _ in range(connections)]
        async with closing(*here, *there):
            channels = []
            before = time.process_time()
            for first in range(0, connections, AT_ONCE):
                last = first + AT_ONCE
                channels += await asyncio.gather(*map(link, here[first:last], there[first:last]))
            setting_up = (time.process_time() - before) / connections
            for _, far in channels:
                far.on("message", far.send)
            near = [near for near, _ in channels[:speaking]]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
                elsewhere.bind(("127.0.0.1", 0))
                ports = (elsewhere.getsockname()[1], mux.port)
                phases: tuple[list[Phase], list[Phase]] = ([], [])
                for _ in range(rounds):
                    for port, found in zip(ports, phases, strict=True):
                        async with _flood(port, rate, seconds):
                            found.append(await _phase(near, mux, seconds))
                quiet, flooded = map(_together, phases)
            return Result(setting_up, quiet, flooded, mux.stats(), _lost(mux.port))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--speaking", type=int, default=10, help="of them, with messages")
    parser.add_argument("--rate", type=float, default=20_000, help="foreign packets a second")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3, help="of both, in turn")
    given = parser.parse_args()
    result = asyncio.run(
        measure(given.connections, given.speaking, given.rate, given.seconds, given.rounds)
    )
    print(*result.lines(), sep="\n")


if __name__ == "__main__":
    main()

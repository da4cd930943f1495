"""Data channels, two processes in two namespaces: icefloe, and plain aiortc, in one run.

Both ends are of the same kind. A cell is a link and a job; the clock starts when the receiver sees
the channel open, so that slow start counts::

    python -m tests.bench.data --cell "RTT 50 ms" --kind icefloe/uvloop --rounds 2
"""

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.report import Section
from tests.natlab.namespace import PIPE, Namespace, Process, stop
from tests.natlab.spec import Wire
from tests.natlab.wires import start_wire

ROOT = Path(__file__).parent.parent.parent
KINDS = ("icefloe/asyncio", "icefloe/uvloop", "aiortc/asyncio", "aiortc/uvloop")
ADDRESSES = ("198.18.0.1/24", "198.18.0.2/24")

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """What is measured.

    Attributes:
        name: Its name.
        job: What the peers do, see :mod:`tests.bench.data_peer`.
        wire: What the link does; ``None`` is a veth pair.
        shows: Which number of the result counts, and in what unit.
    """

    name: str
    job: dict[str, Any]
    wire: Wire | None = None
    shows: tuple[str, str] = ("rate", "MB/s")

    def value(self, result: Result) -> float:
        """Return the number that counts, in its unit."""
        number: float = result[self.shows[0]]
        scales = {"MB/s": 1e-6, "/s": 1.0, "ms": 1000.0}
        return number * scales[self.shows[1]]


def _bulk(name: str, wire: Wire | None, *, steady: bool = False, seconds: float = 10) -> Cell:
    job = {"job": "bulk", "size": 65536, "seconds": seconds}
    return Cell(name, job, wire, ("steady" if steady else "rate", "MB/s"))


def _rtt(milliseconds: float, **fields: Any) -> Wire:
    return Wire(delay=milliseconds / 2000, **fields)


ECHO = {"job": "echo", "size": 100, "trips": 3000}
CELLS = (
    _bulk("no delay", None),
    _bulk("RTT 20 ms", _rtt(20), steady=True),
    _bulk("RTT 50 ms", _rtt(50), steady=True),
    _bulk("RTT 100 ms", _rtt(100), steady=True),
    _bulk("100 Mbit/s, RTT 50 ms", _rtt(50, rate=100e6, queue=0.05)),
    _bulk("RTT 50 ms, 0.1 % lost", _rtt(50, loss=0.001), seconds=20),
    _bulk("RTT 50 ms, 1 % lost", _rtt(50, loss=0.01), seconds=20),
    _bulk("RTT 50 ms, 5 % lost", _rtt(50, loss=0.05), seconds=20),
    Cell(
        "100-byte messages, one way",
        {"job": "small", "size": 100, "seconds": 5},
        None,
        ("messages", "/s"),
    ),
    Cell("100-byte echo, p50", ECHO, None, ("p50", "ms")),
    Cell("100-byte echo, p99", ECHO, None, ("p99", "ms")),
)


@asynccontextmanager
async def link(wire: Wire | None, folder: Path) -> AsyncIterator[list[Namespace]]:
    """Make two namespaces with a link between them."""
    async with AsyncExitStack() as stack:
        ends = [Namespace(), Namespace()]
        for end in ends:
            stack.callback(end.close)
        if wire is None:
            # Were both ends to have the same index, the kernel might notice the link late.
            command = "ip link add eth0 index 10 type veth peer name eth0 index 11 netns"
            await ends[0].run(*command.split(), ends[1].path)
        elif (program := _compiled(folder)) is not None:
            process = await _start_link(program, ends, wire)
            stack.push_async_callback(stop, process)
        else:
            running = await start_wire((ends[0], "eth0"), (ends[1], "eth0"), wire)
            stack.push_async_callback(running.close)
        for end, address in zip(ends, ADDRESSES, strict=True):
            for command in (f"addr add {address} dev eth0", "link set eth0 up", "link set lo up"):
                await end.run("ip", *command.split())
            await end.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        yield ends


def _compiled(folder: Path) -> Path | None:
    """Compile the link in C; ``None`` if there is no compiler."""
    return folder / "link" if (folder / "link").exists() else None


async def compile_link(folder: Path) -> None:
    """Compile the link, if there is a compiler; without it a slower one in Python is used."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return
    source = Path(__file__).with_name("link.c")
    process = await asyncio.create_subprocess_exec(
        compiler, "-O2", "-o", str(folder / "link"), str(source)
    )
    await process.wait()


async def _start_link(program: Path, ends: list[Namespace], wire: Wire) -> Process:
    process = await ends[0].start(
        str(program),
        *(ends[0].path, "eth0", ends[1].path, "eth0"),
        str(int(wire.delay * 1e6)),
        str(int(wire.loss * 1e6)),
        str(int(wire.rate)),
        str(int(wire.queue * 1e6)),
        str(wire.seed),
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def run(cell: Cell, kinds: tuple[str, str], folder: Path, profile: str = "") -> Result:
    """Measure a cell once; the kinds are those of the sender and the receiver."""
    async with link(cell.wire, folder) as ends, AsyncExitStack() as stack:
        peers = []
        for end, kind, side in zip(ends, kinds, ("offer", "answer"), strict=True):
            arguments = [*kind.split("/"), side, json.dumps(cell.job)]
            if profile:
                arguments += ["--profile", f"{profile}.{side}"]
            process = await end.start(
                sys.executable,
                *("-m", "tests.bench.data_peer", *arguments),
                stdin=PIPE,
                stdout=PIPE,
                cwd=ROOT,
                limit=1 << 20,
            )
            stack.push_async_callback(stop, process)
            peers.append(process)
        sender, receiver = peers
        async with asyncio.timeout(cell.job.get("seconds", 60) + 30):
            _tell(receiver, await _hear(sender))
            _tell(sender, await _hear(receiver))
            if "seconds" not in cell.job:
                result = await _hear(sender)
                _tell(receiver, {})
                await _hear(receiver)
            else:
                result = await _hear(receiver)
                result["sender"] = await _hear(sender)
            for peer in peers:
                _tell(peer, {})
            for peer in peers:
                await peer.wait()
        return result


async def _hear(process: Process) -> Result:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise ConnectionError("a peer of the benchmark has ended")
    found: Result = json.loads(line)
    return found


def _tell(process: Process, message: Result) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")


async def measure(rounds: int, cells: tuple[Cell, ...] = CELLS) -> list[Section]:
    """Run every cell, the kinds in turn."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await compile_link(folder)
        for cell in cells:
            values: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for _ in range(rounds):
                for kind in KINDS:
                    values[kind].append(cell.value(await run(cell, (kind, kind), folder)))
            medians = [statistics.median(values[kind]) for kind in KINDS]
            ratios = (medians[0] / medians[2], medians[1] / medians[3])
            row = (
                f"{cell.name}, {cell.shows[1]}",
                *(_number(median) for median in medians),
                *(f"{ratio:.1f}" for ratio in ratios),
            )
            print(*row, sep=" | ", file=sys.stderr, flush=True)
            rows.append(row)
    return [
        Section(
            "Data channels",
            "Two processes in two network namespaces, both ends alike; 64 KiB messages unless "
            "said, 1 MiB buffered; median. RTT cells count what arrived after the first 2 s, "
            "others all since the channel was open. `python -m tests.bench.data`",
            ("cell", *KINDS, "icefloe / aiortc, asyncio", "uvloop"),
            tuple(rows),
        )
    ]


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


async def _print_runs(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        await compile_link(Path(name))
        kinds = (given.kind, given.receiver or given.kind)
        for cell in CELLS:
            if cell.name in given.cell:
                for _ in range(given.rounds):
                    result = await run(cell, kinds, Path(name), given.profile)
                    print(cell.name, kinds, f"{cell.value(result):.3f}", cell.shows[1], result)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cell", action="append", default=[], help="only this one")
    parser.add_argument("--kind", default=KINDS[1], help="with --cell: of the sender")
    parser.add_argument("--receiver", help="of the receiver; as the sender's if not given")
    parser.add_argument("--profile", default="", help="with --cell: write profiles to this path")
    given = parser.parse_args()
    if given.cell:
        asyncio.run(_print_runs(given))
        return
    for section in asyncio.run(measure(given.rounds)):
        print(section.markdown())


if __name__ == "__main__":
    main()

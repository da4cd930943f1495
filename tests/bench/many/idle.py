"""Cost of many idle data connections to the process that answers them.

Two processes of the same stack have calls with each other, one data channel each, over the
addresses of this machine. Measured is the one that answers: its processor time, all threads
together, and its memory.
"""

import asyncio
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import Section

STACKS = ("icefloe", "aiortc", "wrtc")
COUNTS = (100, 1000)
"""Connections that are idle at a time."""

WARM = 3
"""Calls before anything is measured: the first ones load libraries."""

SETTLE = 12.0
"""Seconds after the last call before idling is measured: what is left of connecting, such as path
MTU discovery and checks of further pairs, is over by then."""

IDLE = 30.0
"""Seconds of idling: six consent checks of a stack that does them as RFC 7675 says."""

NEWEST = 20
"""The caller whose time to connect is compared with the first one's."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Cost of a number of connections of a stack to the process that answers.

    Attributes:
        stack: The stack.
        count: How many connections.
        idle: Milliseconds of processor a second for each, while nothing is sent.
        set_up: Milliseconds of processor for setting one up.
        memory: Kilobytes that the process grew by for each.
        first: Seconds until the first caller's channel was open.
        newest: Seconds until that of caller :data:`NEWEST` was; median of three around it.
    """

    stack: str
    count: int
    idle: float
    set_up: float
    memory: float
    first: float
    newest: float


def is_there(stack: str) -> bool:
    """Return whether Python finds a stack."""
    return importlib.util.find_spec("webrtc" if stack == "wrtc" else stack) is not None


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process on Linux, in seconds, all threads together."""
    return time.clock_gettime((~pid << 3) | 2)  # CLOCK_PROCESS_CPUTIME_ID of another process


def resident(pid: int) -> int:
    """Return the bytes of memory of a process that it does not share."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in told if line.startswith("Private_"))


@asynccontextmanager
async def program(stack: str, role: str, path: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run one end until the end of the block."""
    command = (sys.executable, "-m", "tests.bench.many.data_peer", stack, role, path)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20
    )
    try:
        await _line(process)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> dict[str, list[float]]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a peer has ended before it was to")
    found: dict[str, list[float]] = json.loads(line)
    return found


async def _call(caller: asyncio.subprocess.Process, count: int) -> list[float]:
    """Make calls; return the seconds that each took."""
    assert caller.stdin is not None
    caller.stdin.write(f"{count}\n".encode())
    return (await _line(caller))["seconds"]


async def measure(stack: str, count: int, idle: float = IDLE, settle: float = SETTLE) -> Figures:
    """Have connections of a stack, and see what they cost.

    Args:
        stack: One of :data:`STACKS`.
        count: How many.
        idle: Seconds of idling that are measured.
        settle: Seconds before that.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/offers"
        async with program(stack, "answer", path) as answerer, program(stack, "call", path) as it:
            await _call(it, WARM)
            spent, held = processor_seconds(answerer.pid), resident(answerer.pid)
            taken = await _call(it, count)
            set_up = (processor_seconds(answerer.pid) - spent) / count
            await asyncio.sleep(settle)
            memory = (resident(answerer.pid) - held) / count
            spent, begun = processor_seconds(answerer.pid), time.monotonic()
            await asyncio.sleep(idle)
            used = (processor_seconds(answerer.pid) - spent) / (time.monotonic() - begun)
    around = taken[NEWEST - 2 : NEWEST + 1] or taken[-1:]
    return Figures(
        stack,
        count,
        used / (count + WARM) * 1000,
        set_up * 1000,
        memory / 1000,
        statistics.median(taken[:3]),
        statistics.median(around),
    )


def section(figures: Sequence[Figures]) -> Section:
    """Return the section of the report."""
    return Section(
        "Many idle data connections",
        "What they cost the process that answers, for each connection. Both ends are processes of "
        "the same stack on this machine. Processor time is that of all threads; `connected` is "
        "from `createOffer` to the open channel, calls one after the other. "
        "`python -m tests.bench.many idle`",
        (
            "stack",
            "connections",
            "idle, ms of processor a second",
            "setting up, ms of processor",
            "memory, kB",
            "the first is connected",
            f"the {NEWEST}th",
        ),
        tuple(
            (
                each.stack,
                f"{each.count:,}",
                f"{each.idle:.2f}",
                f"{each.set_up:.1f}",
                f"{each.memory:.0f}",
                f"{each.first * 1000:.0f} ms",
                f"{each.newest * 1000:.0f} ms",
            )
            for each in figures
        ),
    )


async def run_all(stacks: Sequence[str], counts: Sequence[int]) -> Section:
    """Measure stacks in turn; those that are not installed are left out."""
    made = [await measure(stack, count) for count in counts for stack in stacks if is_there(stack)]
    return section(made)


def run(stacks: Sequence[str] = STACKS, counts: Sequence[int] = COUNTS) -> str:
    """Measure, and return the section of the report as Markdown.

    Args:
        stacks: Which of :data:`STACKS`.
        counts: How many connections at a time.
    """
    return asyncio.run(run_all(stacks, counts)).markdown()

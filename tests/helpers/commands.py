"""``icefloe send`` and ``icefloe receive`` as processes, and what the system says of them."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers import complaints, forked

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@asynccontextmanager
async def process(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    through: Sequence[str] = (),
    anew: bool = False,
    **options: Any,
) -> AsyncIterator[Process]:
    """Run ``icefloe`` until the end of the block; it is killed if it still runs then.

    Args:
        arguments: What stands after ``icefloe``.
        environment: Variables beside those of this process.
        through: A program that starts it, with its arguments.
        anew: Whether it is an interpreter of its own and no fork, which has what an interpreter
            decides at its start from this process.
        options: For ``create_subprocess_exec``; its output is piped unless they say otherwise.
    """
    python = ("-m", "icefloe", *arguments)
    variables = {**os.environ, **(environment or {})}
    streams = {"stdin": None, "stdout": PIPE, "stderr": PIPE, **options}
    if through or anew:
        running = await asyncio.create_subprocess_exec(
            *through, sys.executable, *python, env=variables, **streams
        )
    else:
        running = await forked.start(*python, environment=variables, **streams)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        _, logged = await running.communicate()
        complaints.search(
            f"icefloe {' '.join(arguments)}", (logged or b"").decode(errors="replace")
        )


async def event(running: Process, kind: str, **least: int) -> dict[str, Any]:
    """Return the next event of a kind whose numbers are at least these."""
    assert running.stdout is not None
    while line := await running.stdout.readline():
        found: dict[str, Any] = json.loads(line)
        if found["event"] == kind and all(found[key] >= value for key, value in least.items()):
            return found
    assert running.stderr is not None
    raise AssertionError((await running.stderr.read()).decode())


def receive_arguments(told: dict[str, Any], out: Path | str, *more: str) -> list[str]:
    """Return the arguments of the other side that a sender tells of, for a program."""
    json_lines = [] if out == "-" else ["--json"]
    return [*told["command"].split()[1:], "--yes", *json_lines, "--out", str(out), *more]


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources that a process has used so far.

    Attributes:
        cpu: Seconds of the processor, all threads.
        peak: Bytes of memory at most.
    """

    cpu: float
    peak: int


def usage(pid: int) -> Usage:
    """Return what a running process used so far, on Linux."""
    folder = Path(f"/proc/{pid}")
    # proc(5): utime and stime are the fields 14 and 15; the second may contain blanks.
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    lines = (folder / "status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, int(kilobytes) * 1024)


def on_the_wire() -> int:
    """Return how many bytes went over the interfaces of this network namespace, on Linux."""
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    return sum(int(line.partition(":")[2].split()[0]) for line in lines)

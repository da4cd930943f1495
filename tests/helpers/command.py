"""The ``icefloe`` command as a process of its own."""

import os
import re
import signal
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.helpers import complaints, forked


@dataclass(frozen=True)
class Command:
    """A running command.

    Attributes:
        process: The process.
        url: The page that it says to open.
        output: What it has printed, a line each.
        seconds: How long it took until the page was named.
    """

    process: Process
    url: str
    output: list[str]
    seconds: float

    async def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, unless it has ended; return the exit code and what it logged."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        _, logged = await self.process.communicate()
        assert self.process.returncode is not None
        complaints.search("icefloe", logged.decode())
        return self.process.returncode, logged.decode()


@asynccontextmanager
async def icefloe(*arguments: str, **environment: str) -> AsyncIterator[Command]:
    """Run a command that serves, on a free port unless one is given; it is ended afterwards.

    Args:
        arguments: What stands after ``icefloe``.
        environment: Variables beside those of this process.
    """
    begun = time.monotonic()
    port = () if "--port" in arguments else ("--port", "0")
    process = await _start(*arguments, *port, **environment)
    try:
        lines = [await _line(process)]
        seconds = time.monotonic() - begun
        while not lines[-1].startswith("Press Ctrl-C"):
            lines.append(await _line(process))
        found = re.match(r"Open (\S+)", lines[0])
        assert found, lines
        command = Command(process, found[1], lines, seconds)
        yield command
        await command.end()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run a command to its end; return its exit code, what it printed and what it logged."""
    process = await _start(*arguments, **environment)
    out, err = await process.communicate()
    assert process.returncode is not None
    complaints.search(f"icefloe {' '.join(arguments)}", err.decode())
    return process.returncode, out.decode(), err.decode()


async def _start(*arguments: str, **environment: str) -> Process:
    return await forked.start(
        "-m",
        "icefloe",
        *arguments,
        environment={**os.environ, "COLUMNS": "100", **environment},
        stdin=None,
    )


async def _line(process: Process) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    line = await process.stdout.readline()
    if not line:
        raise AssertionError((await process.stderr.read()).decode())
    return line.decode().rstrip("\n")

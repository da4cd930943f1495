"""The servers that are measured, each a process on a core of its own, and what loads them."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from icefloe._serving import loop_factory
from icefloe.signaling import AddressLimits, Limits, ServerConfiguration, serve

ROOT = Path(__file__).parents[3]
_TICKS = os.sysconf("SC_CLK_TCK")
_ALL = 1_000_000


class LoadFailed(Exception):
    """A server did not do what the load needs."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A server and its settings.

    Attributes:
        name: What it is called.
        dialect: What its clients say.
        limits: Whether each connection has the default rate, which is 30 messages a second.
        loop: ``uvloop``, as ``icefloe serve`` has it, or ``asyncio``.
    """

    name: str
    dialect: str = "icefloe"
    limits: bool = False
    loop: str = "uvloop"

    def command(self) -> list[str]:
        """Return the command that starts it."""
        if self.dialect == "PeerServer":
            return [shutil.which("node") or "node", "tests/bench/peers/peer_server.mjs"]
        return [sys.executable, "-m", __name__, json.dumps(asdict(self))]


ICEFLOE = Kind("icefloe")
DEFAULTS = Kind("icefloe, default rate", limits=True)
ASYNCIO = Kind("icefloe without uvloop", loop="asyncio")
PEER_SERVER = Kind("PeerServer", "PeerServer")


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs.

    Attributes:
        urls: Where it listens.
        pid: Its process; 0 if it runs elsewhere.
    """

    urls: tuple[str, ...]
    pid: int = 0

    def processor(self) -> float:
        """Return the seconds of the processor that it has taken, those of all its threads."""
        if not self.pid:
            return 0.0
        # proc(5): utime and stime are the fields 14 and 15; the second may contain blanks.
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> int:
        """Return its resident memory in bytes."""
        if not self.pid:
            return 0
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


@contextmanager
def running(kind: Kind, core: int | None) -> Iterator[Running]:
    """Start a server on a core.

    Raises:
        LoadFailed: It did not start.
    """
    with _process(kind.command(), core) as process:
        url = _read_line(process)
        if not url.startswith("ws"):
            raise LoadFailed(f"{kind.name} did not start: {url!r}")
        yield Running((url,), process.pid)


class Generator:
    """A process with the clients of a server."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Have something done; return what came of it.

        Raises:
            LoadFailed: The server did not do what the load needs.
        """
        self.begin(do, **order)
        return self.finish()

    def begin(self, do: str, **order: Any) -> None:
        """Have something begun; :meth:`finish` waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self._process.stdin.flush()

    def finish(self) -> dict[str, Any]:
        """Return what came of it.

        Raises:
            LoadFailed: The server did not do what the load needs.
        """
        line = _read_line(self._process)
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the generator has ended"}
        if "error" in answer:
            raise LoadFailed(answer["error"])
        return answer


@contextmanager
def generator(
    server: Running, dialect: str, core: int | None, *, first: int = 0, nice: int = 0
) -> Iterator[Generator]:
    """Start a process that loads a server.

    Args:
        server: The server.
        dialect: What its clients say.
        core: The core of the generator.
        first: The number of the first client, which its name and room are made of.
        nice: By how much it steps back behind others on its core.
    """
    urls = [urlsplit(url) for url in server.urls]
    setting = {
        "dialect": dialect,
        "addresses": [(url.hostname, url.port or 80) for url in urls],
        "first": first,
        "nice": nice,
    }
    command = [sys.executable, "-m", "tests.bench.signal_load", json.dumps(setting)]
    with _process(command, core) as process:
        yield Generator(process)


@contextmanager
def _process(command: list[str], core: int | None) -> "Iterator[subprocess.Popen[str]]":
    pinned = ["taskset", "--cpu-list", str(core), *command] if core is not None else command
    pipe = subprocess.PIPE
    process = subprocess.Popen(pinned, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _read_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# ---- the process of an icefloe server ----------------------------------------------------------


def configuration(*, limits: bool) -> ServerConfiguration:
    """Return the configuration of a server for a load.

    Args:
        limits: Whether each connection has the default rate. What all have is raised either way,
            since all clients of a load are on one machine.
    """
    rooms = Limits(rooms=_ALL, address=AddressLimits.unlimited(), join_seconds=60.0)
    if limits:
        return ServerConfiguration(limits=rooms, connections=_ALL, shutdown_timeout=1.0)
    return ServerConfiguration(
        limits=rooms, connections=_ALL, rate=_ALL, burst=_ALL, shutdown_timeout=1.0
    )


async def _serve(kind: Kind) -> None:
    async with serve(port=0, configuration=configuration(limits=kind.limits)) as server:
        print(server.url, flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        await reader.read()


def main() -> None:
    """Serve until standard input ends."""
    kind = Kind(**json.loads(sys.argv[1]))
    factory = loop_factory() if kind.loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(kind))


if __name__ == "__main__":
    main()

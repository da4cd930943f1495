"""The delay of others' joins while one address does what it can to a server with default limits.

The server, the crowd at one address (:mod:`tests.bench.crowd`) and those who join from another are
three processes::

    python -m tests.bench.one_address                   # everything, with TLS and without
    python -m tests.bench.one_address --joins 1000 rooms unread
"""

import argparse
import asyncio
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.bench.crowd import ATTACKS, Server, join
from tests.helpers.command import icefloe
from tests.helpers.commands import usage

ROOT = Path(__file__).parent.parent.parent
ORIGIN = "127.0.0.3"
"""The address of those who only want to get in."""

_PAUSE = 0.01
_WARM_UP = 2.0
_NEVER = 30.0


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome for those who joined.

    Attributes:
        name: The attack.
        tls: Whether it was against a server with TLS.
        latencies: Seconds from opening the connection to being in the room, sorted.
        failures: What kept those out who did not get in.
        grown: Megabytes by which the server grew.
        cpu: Processors that the server used.
    """

    name: str
    tls: bool
    latencies: list[float]
    failures: list[str]
    grown: float
    cpu: float

    def row(self) -> str:
        """Return a line of the table."""
        p50 = statistics.median(self.latencies or [0.0])
        p99 = self.latencies[int(0.99 * (len(self.latencies) - 1))] if self.latencies else 0.0
        last = self.latencies[-1] if self.latencies else 0.0
        told = f" {self.failures[0]}" if self.failures else ""
        return (
            f"{self.name:12} {'TLS' if self.tls else '   '} {len(self.latencies):6} "
            f"{len(self.failures):6} {p50 * 1e3:7.1f} {p99 * 1e3:7.1f} {last * 1e3:7.1f} "
            f"{self.grown:6.0f} {self.cpu:5.2f}{told}"
        )


HEAD = (
    f"{'attack':12} {'':3} {'joins':>6} {'failed':>6} {'p50 ms':>7} {'p99 ms':>7} {'most':>7} "
    f"{'+ MB':>6} {'cores':>5}"
)


async def measure(name: str, *, count: int, tls: bool = False) -> Result:
    """Let others join a server that is attacked.

    Args:
        name: Of :data:`ATTACKS`, or ``none``.
        count: How many join, one after the other.
        tls: Whether the server has a certificate.
    """
    with tempfile.TemporaryDirectory() as cache:
        # Nobody reads what it logs.
        arguments = ("serve", "--log-level=warning", *(("--tls-self-signed",) if tls else ()))
        async with icefloe(*arguments, XDG_CACHE_HOME=cache) as command:
            url = command.url.replace("http", "ws", 1).rstrip("/") + "/ws"
            before = usage(command.process.pid)
            began = time.monotonic()
            async with _crowd(url, name):
                latencies, failures = await _join(Server(url), count)
                used = usage(command.process.pid)
            seconds = time.monotonic() - began
            return Result(
                name,
                tls,
                sorted(latencies),
                failures,
                (used.peak - before.peak) / 1e6,
                (used.cpu - before.cpu) / seconds,
            )


async def _join(server: Server, count: int) -> tuple[list[float], list[str]]:
    latencies: list[float] = []
    failures: list[str] = []
    for number in range(count):
        begun = time.monotonic()
        try:
            said = await _joined(server.url, server.tls, f"other {number}")
        except (OSError, WebSocketException, EOFError) as error:
            failures.append(f"{type(error).__name__}: {error}")
        else:
            if '"joined"' in said:
                latencies.append(time.monotonic() - begun)
            else:
                failures.append(said)
        await asyncio.sleep(_PAUSE)
    return latencies, failures


async def _joined(url: str, tls: ssl.SSLContext | None, room: str) -> str:
    async with connect(
        url, local_addr=(ORIGIN, 0), ssl=tls, compression=None, open_timeout=_NEVER
    ) as socket:
        await socket.send(join(room, "somebody"))
        said = str(await socket.recv())
        await socket.send('{"type":"leave"}')
        return said


@asynccontextmanager
async def _crowd(url: str, name: str) -> AsyncIterator[None]:
    if name == "none":
        yield
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.crowd", url, name),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        await process.stdout.readline()
        await asyncio.sleep(_WARM_UP)
        assert process.returncode is None
        yield
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _all(names: list[str], count: int) -> None:
    print(HEAD, flush=True)
    for tls in (False, True):
        for name in names:
            print((await measure(name, count=count, tls=tls)).row(), flush=True)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=", ".join(ATTACKS))
    parser.add_argument("--joins", type=int, default=300)
    given = parser.parse_args()
    if unknown := set(given.attacks) - {"none", *ATTACKS}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    asyncio.run(_all(given.attacks or ["none", *ATTACKS], given.joins))


if __name__ == "__main__":
    main()

"""The cost of a log in Redis: a server alone, one with Redis, and two that share one.

``python -m tests.bench.signaling_nodes`` has pairs of clients send each other candidates, so many a
second and then as many as the servers relay. With two servers the ends of each pair are on
different ones. Processor time is what counts on a machine that has other work: it is that of all
servers and of Redis, for one message.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from icefloe._serving import loop_factory
from icefloe.signaling import RedisConfiguration, serve
from tests.bench.signal_load.servers import Running, configuration, generator
from tests.helpers import system

ROOT = Path(__file__).parents[2]
SETUPS = {"alone": 0, "one with Redis": 1, "two with Redis": 2}


@contextmanager
def redis_url() -> Iterator[tuple[str, int]]:
    """Run a Redis in memory; its URL and its process."""
    program = system.find("redis-server")
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "redis.sock"
        options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
        process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        try:
            while not socket.exists():
                time.sleep(0.01)
            yield f"unix://{socket}", process.pid
        finally:
            process.kill()
            process.wait()


@contextmanager
def servers(count: int) -> Iterator[list[Running]]:
    """Run so many servers with a Redis, or one without for 0; and Redis itself at the end."""
    with ExitStack() as stack:
        url, pid = stack.enter_context(redis_url()) if count else ("", 0)
        running = []
        for _ in range(max(count, 1)):
            pipe = subprocess.PIPE
            command = [sys.executable, "-m", "tests.bench.signaling_nodes", "--serve", url]
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
            assert process.stdin is not None and process.stdout is not None
            stack.callback(process.wait)
            stack.callback(process.stdin.close)
            stack.callback(process.stdout.close)
            running.append(Running((process.stdout.readline().strip(),), process.pid))
        yield [*running, Running((), pid)] if count else running


def measure(count: int, seconds: float, rate: float) -> dict[str, Any]:
    """Return the figures of one set-up."""
    with servers(count) as running:
        urls = tuple(url for server in running for url in server.urls)
        with generator(Running(urls), "icefloe", None) as generating:
            generating.ask("join", count=100, at_once=8)
            steady = generating.ask("steady", seconds=seconds, rate=rate)
            begin = sum(server.processor() for server in running)
            got = generating.ask("saturate", payload="candidate", seconds=seconds, window=8)
            used = sum(server.processor() for server in running) - begin
            used *= got["seconds"] / (got["seconds"] + 1)  # a second before is not counted
        return {
            "rate": got["messages"] / got["seconds"],
            "cost": used / got["messages"] * 1e6,
            "p50": steady["p50"] * 1e3,
            "p99": steady["p99"] * 1e3,
        }


async def _serve(url: str) -> None:
    settings = configuration(limits=False)
    if url:
        settings = replace(settings, redis=RedisConfiguration(url=url))
    async with serve(port=0, configuration=settings) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Measure all set-ups in turn, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=200.0)
    options = parser.parse_args()
    if options.serve is not None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(options.serve))
        return
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SETUPS}
    for _ in range(options.rounds):
        for name, count in SETUPS.items():
            found[name].append(measure(count, options.seconds, options.rate))
    print(
        "| servers | messages a second | processor time each | p50 | p99 |\n|---|---|---|---|---|"
    )
    for name, rounds in found.items():
        rate, cost, p50, p99 = (
            statistics.median(each[key] for each in rounds)
            for key in ("rate", "cost", "p50", "p99")
        )
        print(f"| {name} | {rate:,.0f} | {cost:.0f} µs | {p50:.2f} ms | {p99:.1f} ms |")


if __name__ == "__main__":
    main()

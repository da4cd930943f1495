"""The signaling server in its shells: its own, and uvicorn and hypercorn with the ASGI application.

Each shell is a process on one core, and what loads it is on another. All are loaded in turn, in
each round, and the medians count::

    python -m tests.bench.signaling_shells
    python -m tests.bench.signaling_shells --rounds 5 --seconds 5 --shell own --shell uvicorn

Messages a second are those that arrived. The time of the processor is that of the server's process,
so that what else the machine does matters less to it than to the rate.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop
from websockets.frames import Frame, Opcode

from icefloe.signaling import AddressLimits, Limits, ServerConfiguration, SignalingApp, serve

ROOT = Path(__file__).parent.parent.parent
UVICORN = {
    "uvicorn": "websockets-sansio",
    "uvicorn-wsproto": "wsproto",
    "uvicorn-legacy": "websockets",
}
SHELLS = ("own", *UVICORN, "hypercorn")
_TICKS = os.sysconf("SC_CLK_TCK")
_REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_CANDIDATE = "candidate:842163049 1 udp 1677729535 203.0.113.77 54321 typ srflx raddr 0.0.0.0"
_CORES = os.sched_getaffinity(0)
_AT_ONCE = 16
"""Clients that join at the same time."""


# ---- the servers -------------------------------------------------------------------------------


async def _serve(shell: str) -> None:
    limits = Limits(rooms=100_000, address=AddressLimits.unlimited())
    configuration = ServerConfiguration(
        rate=1e9, burst=1e9, connections=100_000, limits=limits, ping_interval=3600.0
    )
    if shell == "own":
        async with serve(port=0, configuration=configuration) as server:
            print(server.port, flush=True)
            await asyncio.Event().wait()
    app = SignalingApp(configuration)
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    if shell == "hypercorn":
        from hypercorn import Config
        from hypercorn.asyncio import serve as serve_hypercorn

        settings = Config()
        settings.bind = [f"fd://{listening.detach()}"]
        settings.errorlog = None
        await serve_hypercorn(app, settings, mode="asgi")  # type: ignore[arg-type]
        return
    import uvicorn

    config = uvicorn.Config(
        app,
        ws=UVICORN[shell],
        log_config=None,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
    )
    await uvicorn.Server(config).serve([listening])


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs.

    Attributes:
        pid: Its process.
        port: Its port.
    """

    pid: int
    port: int

    def processor(self) -> float:
        """Return the seconds of the processor that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> int:
        """Return its resident memory in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def running(shell: str) -> Iterator[Server]:
    """Run a server on the first core; what loads it is on the last one."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.signaling_shells"]
    process = subprocess.Popen(
        [*command, "--serve", shell], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    os.sched_setaffinity(process.pid, {min(_CORES)})
    assert process.stdout is not None
    try:
        yield Server(process.pid, int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# ---- the load ----------------------------------------------------------------------------------


class Client(asyncio.Protocol):
    """A client that joins, and answers each message with one.

    Attributes:
        joined: Becomes true when it has joined.
        peer: The id of the other one in its room.
        messages: Messages that have arrived.
        is_over: Whether it answers no more.
    """

    def __init__(self, room: str, name: str) -> None:
        join = {"type": "join", "version": 1, "room": room, "name": name}
        self._join = Frame(Opcode.TEXT, json.dumps(join).encode()).serialize(mask=True)
        self._buffer = b""
        self._is_open = False
        self._frame = b""
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.peer = ""
        self.messages = 0
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self.transport.write(_REQUEST)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.joined.done():
            self.joined.set_exception(ConnectionError("the server has closed it"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            head, end, self._buffer = self._buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            assert b" 101 " in head, head
            self._is_open = True
            self.transport.write(self._join)
        position = 0
        while (frame := self._next_frame(position)) is not None:
            payload, position = frame
            self._take(payload)
        self._buffer = self._buffer[position:]

    def _next_frame(self, at: int) -> tuple[bytes, int] | None:
        if len(self._buffer) < at + 4:
            return None
        size, start = self._buffer[at + 1], at + 2
        if size == 126:
            size, start = int.from_bytes(self._buffer[at + 2 : at + 4]), at + 4
        end = start + size
        return None if len(self._buffer) < end else (self._buffer[start:end], end)

    def _take(self, payload: bytes) -> None:
        if payload.startswith(b'{"type":"candidate"'):
            self.messages += 1
            if not self.is_over:
                self.transport.write(self._frame)
        elif payload.startswith(b'{"type":"joined"'):
            peers = json.loads(payload)["peers"]
            self.peer = peers[0]["id"] if peers else ""
            self.joined.set_result(None)
        elif payload.startswith(b'{"type":"peer-joined"'):
            self.peer = json.loads(payload)["peer"]["id"]

    def begin(self) -> None:
        """Send the first message."""
        candidate = {"candidate": _CANDIDATE, "sdpMid": "0", "sdpMLineIndex": 0}
        message = {"type": "candidate", "to": self.peer, "candidate": candidate}
        self._frame = Frame(Opcode.TEXT, json.dumps(message).encode()).serialize(mask=True)
        self.is_over = False
        self.transport.write(self._frame)


async def _join(port: int, count: int, prefix: str) -> list[Client]:
    """Let clients join, two to a room."""
    turns, loop = asyncio.Semaphore(_AT_ONCE), asyncio.get_running_loop()

    async def join(number: int) -> Client:
        async with turns:
            room, name = f"{prefix} {number // 2}", str(number)
            _, client = await loop.create_connection(lambda: Client(room, name), "127.0.0.1", port)
            await client.joined
            return client

    return list(await asyncio.gather(*(join(number) for number in range(count))))


@dataclass(slots=True)
class Figures:
    """The measurements of a shell, a number for each round.

    Attributes:
        rate: Messages that arrived a second.
        cost: Microseconds of the server's processor for each.
        joins: Joins a second.
        join_cost: Microseconds of the server's processor for each.
        memory: Bytes of the server's memory for each idle connection that has joined.
    """

    rate: list[float]
    cost: list[float]
    joins: list[float]
    join_cost: list[float]
    memory: list[float]


async def _measure(server: Server, pairs: list[Client], figures: Figures, plan: "Plan") -> None:
    loop = asyncio.get_running_loop()
    for client in pairs:
        client.begin()
    await asyncio.sleep(0.5)
    begun, used, had = loop.time(), server.processor(), sum(each.messages for each in pairs)
    await asyncio.sleep(plan.seconds)
    took, used = loop.time() - begun, server.processor() - used
    count = sum(each.messages for each in pairs) - had
    figures.rate.append(count / took)
    figures.cost.append(used / count * 1e6)
    for client in pairs:
        client.is_over = True
    await asyncio.sleep(0.3)
    begun, used, memory = loop.time(), server.processor(), server.memory()
    joined = await _join(server.port, plan.joins, "join")
    took, used = loop.time() - begun, server.processor() - used
    figures.joins.append(plan.joins / took)
    figures.join_cost.append(used / plan.joins * 1e6)
    await asyncio.sleep(0.3)
    if not figures.memory:  # later rounds use again what the first has given back
        figures.memory.append((server.memory() - memory) / plan.joins)
    for client in joined:
        client.transport.abort()
    await asyncio.sleep(1.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts that are measured, and of which shells.

    Attributes:
        shells: Their names, of :data:`SHELLS`.
        rounds: How often each has its turn.
        seconds: How long messages are relayed each time.
        pairs: Pairs of clients that send all the time.
        joins: Clients that join each time.
    """

    shells: tuple[str, ...] = SHELLS
    rounds: int = 3
    seconds: float = 4.0
    pairs: int = 50
    joins: int = 1000


async def measure(plan: Plan) -> dict[str, Figures]:
    """Measure the shells, one after the other in each round."""
    found = {shell: Figures([], [], [], [], []) for shell in plan.shells}
    with ExitStack() as stack:
        servers = {shell: stack.enter_context(running(shell)) for shell in plan.shells}
        loads = {
            shell: await _join(server.port, 2 * plan.pairs, "pair")
            for shell, server in servers.items()
        }
        for _ in range(plan.rounds):
            for shell, server in servers.items():
                await _measure(server, loads[shell], found[shell], plan)
        for client in (client for clients in loads.values() for client in clients):
            client.transport.abort()
    return found


def describe(found: dict[str, Figures]) -> str:
    """Return a table of medians; the ratios are those to the first shell."""
    lines = [
        "| shell | messages a second | ratio | µs a message | joins a second | µs a join "
        "| KiB an idle connection |",
        "|---|---|---|---|---|---|---|",
    ]
    first: float | None = None
    for shell, figures in found.items():
        rate, cost = statistics.median(figures.rate), statistics.median(figures.cost)
        first = first or cost
        lines.append(
            f"| {shell} | {rate:,.0f} | {first / cost:.2f} | {cost:.0f} "
            f"| {statistics.median(figures.joins):,.0f} "
            f"| {statistics.median(figures.join_cost):.0f} "
            f"| {statistics.median(figures.memory) / 1024:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--serve", choices=SHELLS, help=argparse.SUPPRESS)
    parser.add_argument("--shell", choices=SHELLS, action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--joins", type=int, default=1000)
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(_serve(arguments.serve))
        return
    plan = Plan(
        tuple(arguments.shell or SHELLS),
        arguments.rounds,
        arguments.seconds,
        arguments.pairs,
        arguments.joins,
    )
    os.sched_setaffinity(0, {max(_CORES)})
    print(describe(uvloop.run(measure(plan))))


if __name__ == "__main__":
    main()

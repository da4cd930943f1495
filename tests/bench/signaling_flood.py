"""The delay of messages through a signaling server that is being flooded.

A server, many connections that send as fast as they can, and a well-behaved pair: three processes.
The pair's messages are numbered and carry the time at which they were sent::

    python -m tests.bench.signaling_flood --connections 100 --seconds 20 --kind mixed
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect as open_websocket
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from icefloe.signaling import (
    Message,
    PeerMessage,
    ServerConfiguration,
    SignalingClient,
    connect,
    serve,
)

KINDS = ("valid", "nonsense", "pings", "fragments", "large", "reconnects")
ROOT = Path(__file__).parent.parent.parent
_PATIENCE = 240.0
"""Seconds for which the flood goes on until each of its connections was told, after the pair."""

_RETRY_SECONDS = 0.01
_REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: flood\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Flood:
    """The answers that the flooding connections saw.

    Attributes:
        connections: How many there were.
        rate_limited: How many of them were told ``rate-limited``.
        written: Bytes that they got rid of.
        cut_off: How many were cut off.
    """

    connections: int
    rate_limited: int
    written: int
    cut_off: int


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of a run.

    Attributes:
        sent: Messages that the pair sent, in both directions together.
        arrived_in_order: Whether each arrived, once, in order.
        latencies: Seconds from :meth:`SignalingClient.send` to the receiver, sorted.
        flood: What the flooding connections saw.
    """

    sent: int
    arrived_in_order: bool
    latencies: list[float]
    flood: Flood

    def percentile(self, percent: float) -> float:
        """Return the latency, in seconds, that so many percent do not exceed."""
        return self.latencies[
            min(len(self.latencies) - 1, int(len(self.latencies) * percent / 100))
        ]

    def describe(self) -> str:
        """Return one line."""
        p50, p99 = statistics.median(self.latencies), self.percentile(99)
        flood = self.flood
        return (
            f"{self.sent} messages of the pair: p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, "
            f"max {self.latencies[-1] * 1e3:.1f} ms; flood: {flood.connections} connections, "
            f"{flood.written / 1e6:.1f} MB, {flood.rate_limited} told rate-limited, "
            f"{flood.cut_off} cut off"
        )


async def measure(*, connections: int, seconds: float, kind: str, pause: float = 0.05) -> Result:
    """Run server, flood and pair.

    Args:
        connections: How many connections flood.
        seconds: For how long the pair sends.
        kind: What the flood is, of :data:`KINDS`, or ``mixed``, or ``none``.
        pause: Seconds between two messages of one side of the pair.
    """
    async with _process("serve") as (_, server_out):
        url = (await server_out.readline()).decode().strip()
        async with (
            connect(url, room="pair", name="one") as one,
            connect(url, room="pair", name="two") as two,
        ):
            if kind == "none":
                sent, got = await _exchange(one, two, seconds, pause)
                return _result(sent, got, Flood(0, 0, 0, 0))
            async with _process("flood", url, str(connections), kind) as (flood_in, flood_out):
                await flood_out.readline()  # it floods
                sent, got = await _exchange(one, two, seconds, pause)
                flood_in.close()
                flood = Flood(**json.loads(await flood_out.readline()))
            return _result(sent, got, flood)


def _result(sent: int, got: list[list[tuple[int, float]]], flood: Flood) -> Result:
    in_order = all([number for number, _ in side] == list(range(sent // 2)) for side in got)
    latencies = sorted(latency for side in got for _, latency in side)
    return Result(sent, in_order, latencies, flood)


async def _exchange(
    one: SignalingClient, two: SignalingClient, seconds: float, pause: float
) -> tuple[int, list[list[tuple[int, float]]]]:
    count = int(seconds / pause)
    async with asyncio.TaskGroup() as group:
        group.create_task(_send_steadily(one, two.id, count, pause))
        group.create_task(_send_steadily(two, one.id, count, pause))
        receivers = [group.create_task(_receive(client, count)) for client in (one, two)]
    return 2 * count, [receiver.result() for receiver in receivers]


async def _send_steadily(client: SignalingClient, to: str, count: int, pause: float) -> None:
    begin = time.monotonic()
    for number in range(count):
        await client.send(Message(to, {"number": number, "at": time.monotonic()}))
        await asyncio.sleep(max(0.0, begin + (number + 1) * pause - time.monotonic()))


async def _receive(client: SignalingClient, count: int) -> list[tuple[int, float]]:
    got: list[tuple[int, float]] = []
    async for message in client:
        if isinstance(message, PeerMessage):
            got.append((message.data["number"], time.monotonic() - message.data["at"]))
            if len(got) == count:
                break
    return got


@asynccontextmanager
async def _process(
    *arguments: str,
) -> AsyncIterator[tuple[asyncio.StreamWriter, asyncio.StreamReader]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.signaling_flood",
        "--role",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process.stdin, process.stdout
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


# ---- the other processes -----------------------------------------------------------------------


async def _until_stdin_closes() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()


async def _serve() -> None:
    # The answer to a ping waits behind the flood, which is read slowly. After a minute, which is
    # nothing on a busy machine, each connection that floods would be cut off for want of it.
    configuration = ServerConfiguration(ping_timeout=3600.0, shutdown_timeout=1.0)
    async with serve(port=0, configuration=configuration) as server:
        print(server.url, flush=True)
        await _until_stdin_closes()


def _frames(kind: str, to: str) -> bytes:
    """Return some hundred frames, ready for the wire."""
    message = json.dumps({"type": "message", "to": to, "data": "x"}).encode()
    frames = {
        "valid": [Frame(Opcode.TEXT, message)] * 500,
        "nonsense": [Frame(Opcode.TEXT, b"{nonsense")] * 500,
        "pings": [Frame(Opcode.PING, b"")] * 500,
        "fragments": [Frame(Opcode.TEXT, b"", fin=False)]
        + [Frame(Opcode.CONT, b"", fin=False)] * 500
        + [Frame(Opcode.CONT, message)],
        "large": [Frame(Opcode.TEXT, b"[" + b"[]," * 20000 + b"[]]")],
    }[kind]
    return b"".join(frame.serialize(mask=True) for frame in frames)


class _Flooder:
    def __init__(self, url: str, number: int, kind: str) -> None:
        self._url, self._number, self._kind = url, number, kind
        self.rate_limited = False
        self.cut_off = False
        self.written = 0

    async def join(self) -> ClientConnection:
        socket = await open_websocket(self._url, compression=None, ping_interval=None)
        # Two to a room, so that each has somebody to send to.
        room = f"flood {self._number // 2}"
        join = {"type": "join", "version": 1, "room": room, "name": str(self._number)}
        await socket.send(json.dumps(join))
        return socket

    async def flood(self, socket: ClientConnection) -> None:
        first = json.loads(await socket.recv())
        peers = first["peers"]
        to = peers[0]["id"] if peers else json.loads(await socket.recv())["peer"]["id"]
        blob = _frames(self._kind, to)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(socket))
            try:
                while not self.cut_off:
                    socket.transport.write(blob)
                    self.written += len(blob)
                    await socket.drain()  # as fast as the socket takes it
            finally:
                socket.transport.abort()

    async def reconnect(self) -> None:
        """Connect, send what is no frame, be cut off, and again."""
        address = urlsplit(self._url)
        while True:
            try:
                reader, writer = await asyncio.open_connection(address.hostname, address.port)
                try:
                    writer.write(_REQUEST + b"\xff" * 100)
                    self.written += len(_REQUEST) + 100
                    await reader.read()
                finally:
                    writer.transport.abort()
            except OSError:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _listen(self, socket: ClientConnection) -> None:
        try:
            async for text in socket:
                if '"rate-limited"' in str(text):
                    self.rate_limited = True
        except ConnectionClosed:
            self.cut_off = True


async def _flood(url: str, connections: int, kind: str) -> None:
    kinds = itertools.cycle(("valid", "nonsense")) if kind == "mixed" else itertools.repeat(kind)
    flooders = [_Flooder(url, number, next(kinds)) for number in range(connections)]
    if kind == "reconnects":
        tasks = [asyncio.create_task(flooder.reconnect()) for flooder in flooders]
    else:
        sockets = [await flooder.join() for flooder in flooders]
        tasks = [
            asyncio.create_task(flooder.flood(socket))
            for flooder, socket in zip(flooders, sockets, strict=True)
        ]
    print("flooding", flush=True)
    await _until_stdin_closes()
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE if kind != "reconnects" else 0):
            while not all(flooder.rate_limited or flooder.cut_off for flooder in flooders):
                await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    flood = Flood(
        connections,
        sum(flooder.rate_limited for flooder in flooders),
        sum(flooder.written for flooder in flooders),
        sum(flooder.cut_off for flooder in flooders),
    )
    print(json.dumps(asdict(flood)), flush=True)


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--kind", choices=(*KINDS, "mixed", "none"), default="mixed")
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    match arguments.role:
        case ["serve"]:
            asyncio.run(_serve())
        case ["flood", url, connections, kind]:
            asyncio.run(_flood(url, int(connections), kind))
        case _:
            kind, seconds = arguments.kind, arguments.seconds
            result = asyncio.run(
                measure(connections=arguments.connections, seconds=seconds, kind=kind)
            )
            print(f"{kind}: {result.describe()}")
            if not result.arrived_in_order:
                sys.exit("something of the pair was lost or out of order")


if __name__ == "__main__":
    main()

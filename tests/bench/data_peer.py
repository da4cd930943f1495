"""One end of the data-channel benchmark: a peer of icefloe or of plain aiortc, in its own process.

It offers or answers by lines of JSON on standard input and output, and does one job over one
channel. The side that offers sends; both print what they measured::

    python -m tests.bench.data_peer icefloe asyncio offer '{"job": "bulk", "seconds": 10}'
"""

import argparse
import asyncio
import json
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiortc
import uvloop
from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from icefloe.peer import PeerConnection

HIGH = 1024 * 1024
"""Bytes that may be buffered before the sender waits."""
LOW = 256 * 1024
"""Bytes that are left when it goes on."""

WARM_UP = 2.0
"""Seconds whose bytes do not count as steady."""

Job = dict[str, Any]


def make(kind: str) -> RTCPeerConnection:
    """Make a peer connection of a kind."""
    if kind == "icefloe":
        return PeerConnection()
    return RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))


async def read() -> dict[str, Any]:
    """Read a line of standard input."""
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    found: dict[str, Any] = json.loads(line)
    return found


def write(**fields: Any) -> None:
    """Write a line."""
    print(json.dumps(fields), flush=True)


class Sender:
    """Sends as fast as the buffer lets it."""

    def __init__(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        self._room = asyncio.Event()
        channel.bufferedAmountLowThreshold = LOW
        channel.on("bufferedamountlow", self._room.set)

    async def send(self, message: bytes, *, seconds: float) -> int:
        """Send a message again and again; return how often."""
        channel, count = self._channel, 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while channel.bufferedAmount < HIGH and time.monotonic() < end:
                channel.send(message)
                count += 1
            self._room.clear()
            try:
                async with asyncio.timeout(max(end - time.monotonic(), 0)):
                    await self._room.wait()
            except TimeoutError:
                break
        return count


class Receiver:
    """Counts what comes, by tenths of a second from the opening on."""

    def __init__(self, channel: RTCDataChannel, seconds: float) -> None:
        self._started = time.monotonic()
        self._seconds = seconds
        self._bytes: list[int] = [0] * (int(seconds * 10) + 1)
        self.messages = 0
        channel.on("message", self._on_message)

    def _on_message(self, message: bytes) -> None:
        tenth = int((time.monotonic() - self._started) * 10)
        if tenth < len(self._bytes):
            self._bytes[tenth] += len(message)
            self.messages += 1

    def rates(self) -> dict[str, float]:
        """Return bytes a second: from the opening on, and after the warm-up."""
        steady = sum(self._bytes[int(WARM_UP * 10) : int(self._seconds * 10)])
        return {
            "rate": sum(self._bytes[: int(self._seconds * 10)]) / self._seconds,
            "steady": steady / (self._seconds - WARM_UP),
            "messages": self.messages / self._seconds,
        }


async def echo(channel: RTCDataChannel, trips: int, size: int) -> dict[str, float]:
    """Send a message back and forth; return the times of a round trip in seconds."""
    answered: asyncio.Queue[float] = asyncio.Queue()
    channel.on("message", lambda _: answered.put_nowait(time.perf_counter()))
    message, taken = bytes(size), []
    for number in range(trips + 100):
        started = time.perf_counter()
        channel.send(message)
        arrived = await answered.get()
        if number >= 100:
            taken.append(arrived - started)
    parts = statistics.quantiles(taken, n=100)
    return {"p50": parts[49], "p99": parts[98]}


async def offer(connection: RTCPeerConnection, job: Job) -> None:
    """Offer, send, and report."""
    channel = connection.createDataChannel("bench")
    opened = asyncio.Event()
    channel.on("open", opened.set)
    await connection.setLocalDescription(await connection.createOffer())
    write(type="offer", sdp=connection.localDescription.sdp)
    answer = await read()
    await connection.setRemoteDescription(RTCSessionDescription(**answer))
    await opened.wait()
    used = _cpu()
    result: dict[str, float] = {}
    if job["job"] == "echo":
        result = await echo(channel, job["trips"], job["size"])
    else:
        await Sender(channel).send(bytes(job["size"]), seconds=job["seconds"])
    write(**result, cpu=_cpu() - used, **_inside(connection))


async def answer(connection: RTCPeerConnection, job: Job) -> None:
    """Answer, receive, and report."""
    arrived: asyncio.Future[RTCDataChannel] = asyncio.get_running_loop().create_future()
    receivers: list[Receiver] = []

    def on_channel(channel: RTCDataChannel) -> None:
        if job["job"] == "echo":
            channel.on("message", channel.send)
        else:
            receivers.append(Receiver(channel, job["seconds"]))
        arrived.set_result(channel)

    connection.on("datachannel", on_channel)
    offered = await read()
    await connection.setRemoteDescription(RTCSessionDescription(**offered))
    await connection.setLocalDescription(await connection.createAnswer())
    write(type="answer", sdp=connection.localDescription.sdp)
    await arrived
    used = _cpu()
    if not receivers:
        await read()
        write(cpu=_cpu() - used)
        return
    await asyncio.sleep(job["seconds"])
    write(**receivers[0].rates(), cpu=_cpu() - used)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _inside(connection: RTCPeerConnection) -> dict[str, float]:
    """Return what icefloe's association knows of the path."""
    shell = getattr(connection.sctp, "shell", None)
    sender = shell.association.sender if shell is not None and shell.association else None
    if sender is None:
        return {}
    return {
        "retransmitted": sender.recovery.retransmitted,
        "packets": sender.recovery.next_tsn,
        "least_rtt": sender.recovery.round_trip.least,
        "window": sender.controller.window,
    }


async def run(kind: str, side: str, job: Job) -> None:
    """Do the job, wait until the other side has done it too, and close."""
    connection = make(kind)
    roles: dict[str, Callable[[RTCPeerConnection, Job], Awaitable[None]]] = {
        "offer": offer,
        "answer": answer,
    }
    await roles[side](connection, job)
    await read()
    await connection.close()


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=["icefloe", "aiortc"])
    parser.add_argument("loop", choices=["asyncio", "uvloop"])
    parser.add_argument("side", choices=["offer", "answer"])
    parser.add_argument("job", type=json.loads)
    parser.add_argument("--profile", metavar="FILE", help="write a profile")
    given = parser.parse_args()
    factory = uvloop.new_event_loop if given.loop == "uvloop" else asyncio.new_event_loop

    def go() -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(run(given.kind, given.side, given.job))

    if given.profile:
        import cProfile

        profile = cProfile.Profile()
        profile.runcall(go)
        profile.dump_stats(given.profile)
    else:
        go()


if __name__ == "__main__":
    main()

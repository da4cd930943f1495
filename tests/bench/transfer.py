"""Two peers on two hosts, and what runs over the data channel between them."""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.network import Network
from tests.bench.stacks import DATA, Job, Stack
from tests.natlab.fast_wire import Counts
from tests.natlab.lab_peer import LabPeer

OPEN_SECONDS = 20.0
"""Seconds that a channel may take to open."""

REPORT_SECONDS = 30.0
"""Seconds that a busy peer may take to answer."""

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources that a process has used so far.

    Attributes:
        cpu: Seconds of the processor, all threads.
        rss: Bytes of memory now.
        peak: Bytes of memory at most.
    """

    cpu: float
    rss: int
    peak: int


def usage(peer: LabPeer) -> Usage:
    """Return what a peer's process used so far; of a browser's processes nothing is known."""
    if peer.pid is None:
        return Usage(0.0, 0, 0)
    folder = Path(f"/proc/{peer.pid}")
    # proc(5): utime and stime are the fields 14 and 15; the second may contain blanks.
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    status = dict(
        line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line
    )
    rss, peak = (int(status[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, rss, peak)


@dataclass(frozen=True, slots=True)
class Ends:
    """Two peers that are connected, with an open channel if they are for data.

    Attributes:
        link: The hosts.
        sender: The offerer, at the first host.
        receiver: The answerer, at the second.
    """

    link: Network
    sender: LabPeer
    receiver: LabPeer


@asynccontextmanager
async def calling(
    link: Network, sender: Stack, receiver: Stack, job: Job = DATA, **details: Any
) -> AsyncIterator[Ends]:
    """Let two peers connect; they run until the end of the block.

    Args:
        link: Where they run.
        sender: Who offers.
        receiver: Who answers.
        job: What they are for.
        details: What both are told at the start, beside that.

    Raises:
        PeerTrouble: They were not ``open`` in time.
    """
    async with AsyncExitStack() as stack:
        peers = [
            await stack.enter_async_context(kind.peer(link.hosts[host], name, job))
            for host, (name, kind) in enumerate((("sender", sender), ("receiver", receiver)))
        ]
        described: asyncio.Queue[tuple[LabPeer, object]] = asyncio.Queue(2)
        for source, sink in (peers, reversed(peers)):
            source.on_signal = lambda message, sink=sink: described.put_nowait(  # type: ignore[misc]
                (sink, message["description"])
            )
        await asyncio.gather(*(p.send("start", offerer=p is peers[0], **details) for p in peers))
        for source in peers:
            await source.until("description", OPEN_SECONDS)
            sink, description = described.get_nowait()
            await sink.send("description", description=description)
        for peer in peers:
            await peer.until("open", OPEN_SECONDS)
        yield Ends(link, peers[0], peers[1])


@dataclass(frozen=True, slots=True)
class Transfer:
    """The figures of messages sent one way for some seconds.

    Attributes:
        begun: When the sender began, by the monotonic clock.
        ended: When the measurement ended.
        samples: Of the receiver: time, bytes and messages until then.
        cpu: Seconds of the processor that the sender and the receiver used.
        peak: Bytes of memory that they had at most.
        buffer_errors: Datagrams that found the sockets' buffers full, at either end.
        dropped: Packets that the hosts' devices lost before the link; it should be none.
        counts: What the wire did to packets, if that is counted.
    """

    begun: float
    ended: float
    samples: list[tuple[float, int, int]]
    cpu: tuple[float, float]
    peak: tuple[int, int]
    buffer_errors: int
    dropped: int
    counts: Counts | None

    def until(self, at: float, what: int = 1) -> float:
        """Return how many bytes had come by a time, between samples in proportion.

        Args:
            at: The time.
            what: 1 is bytes, 2 messages.
        """
        before = (self.begun, 0, 0)
        if at <= self.begun:
            return 0.0
        for sample in self.samples:
            if sample[0] <= self.begun:
                continue  # the receiver listened before anything was sent
            if sample[0] >= at:
                part = (at - before[0]) / (sample[0] - before[0])
                return before[what] + max(min(part, 1), 0) * (sample[what] - before[what])
            before = sample
        return before[what]

    def rate(self, after: float = 0.0, what: int = 1) -> float:
        """Return the bytes (or messages) a second, leaving out so many seconds at the begin."""
        begin = self.begun + after
        return (self.until(self.ended, what) - self.until(begin, what)) / (self.ended - begin)

    @property
    def size(self) -> float:
        """The bytes that came."""
        return self.until(self.ended)

    def describe(self) -> str:
        """Return what is worth knowing beside the rate."""
        part = self.size / 100e6 or float("nan")
        text = (
            f"CPU {self.cpu[0] / part:.2f} / {self.cpu[1] / part:.2f} s per 100 MB, "
            f"RSS {self.peak[0] / 1e6:.0f} / {self.peak[1] / 1e6:.0f} MB, "
            f"{self.buffer_errors} datagrams lost at full sockets"
        )
        if self.dropped:
            text += f", {self.dropped} packets at busy devices"
        if self.counts is not None:
            late = max(self.counts.worst_lateness_ns) / 1e6
            text += (
                f"; wire: {self.counts.read[0]} packets, {self.counts.lost[0]} lost, "
                f"{self.counts.queue_full[0]} over the queue, {self.counts.read[1]} back, "
                f"at worst {late:.1f} ms late"
            )
        return text


async def transfer(ends: Ends, *, size: int, seconds: float) -> Transfer:
    """Send messages of a size one way for some seconds.

    Raises:
        PeerTrouble: A peer did not do as told.
    """
    sender, receiver = ends.sender, ends.receiver
    await receiver.send("receive", bytes=0)
    await receiver.until("receiving", REPORT_SECONDS)
    before = usage(sender), usage(receiver)
    await sender.send("send", size=size, seconds=seconds, bytes=0)
    begun = (await sender.until("sending", REPORT_SECONDS))["at"]
    await asyncio.sleep(begun + seconds - time.monotonic())  # this is how long it is measured
    ended = time.monotonic()
    after = usage(sender), usage(receiver)
    await receiver.send("report")
    samples = (await receiver.until("received", REPORT_SECONDS))["samples"]
    errors = [await ends.link.receive_buffer_errors(host) for host in (0, 1)]
    return Transfer(
        begun,
        ended,
        [tuple(sample) for sample in samples],
        (after[0].cpu - before[0].cpu, after[1].cpu - before[1].cpu),
        (after[0].peak, after[1].peak),
        sum(errors),
        await ends.link.dropped(),
        await ends.link.counts(),
    )


@dataclass(frozen=True, slots=True)
class Trips:
    """The times of messages there and back, in seconds."""

    p50: float
    p99: float
    count: int


async def echo(ends: Ends, *, size: int, seconds: float, count: int) -> Trips:
    """Send a message whenever the one before is back.

    Args:
        ends: The peers.
        size: Bytes of a message.
        seconds: At most so long.
        count: At most so many.

    Raises:
        PeerTrouble: One did not come back.
    """
    await ends.receiver.send("echo")
    await ends.receiver.until("echoing", REPORT_SECONDS)
    await ends.sender.send("ping", size=size, seconds=seconds, count=count)
    told = await ends.sender.until("pinged", seconds + REPORT_SECONDS)
    trips = told["trips"][len(told["trips"]) // 20 :]  # the first are those of a cold start
    return Trips(statistics.median(trips), statistics.quantiles(trips, n=100)[98], len(trips))

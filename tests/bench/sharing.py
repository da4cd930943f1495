"""A data channel's share of a narrow link beside others, and the queue that it makes."""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.bench.cells import KIB, SHARED
from tests.bench.link import probing
from tests.bench.network import ADDRESSES, Network, network
from tests.bench.stacks import Stack
from tests.bench.transfer import Transfer, calling, transfer
from tests.natlab.namespace import PIPE, stop

_PORT = 5001
_PROGRAM = (sys.executable, "-m", "tests.bench.tcp_flow")
_IDLE = 0.5
"""Seconds of probing before the flows begin, for the delay of the idle link."""

SETTLED = 3.0
"""Seconds at the begin in which nobody is held to a fair share."""


class Rival(StrEnum):
    """The other user of the link beside the data channel."""

    NOBODY = "nobody"
    RENO = "TCP (reno)"
    CUBIC = "TCP (cubic)"
    AIORTC = "a data channel of plain aiortc"
    NEWRENO = "icefloe with NewReno"
    ITSELF = "another of its own"

    def stack(self, own: Stack) -> Stack | None:
        """Return the stack of a rival that is a data channel."""
        if self is Rival.ITSELF:
            return own
        return {Rival.AIORTC: Stack.AIORTC_UVLOOP, Rival.NEWRENO: Stack.ICEFLOE_NEWRENO}.get(self)


@dataclass(frozen=True, slots=True)
class Share:
    """The figures of a run.

    Attributes:
        rate: Bytes a second of the data channel, settled.
        rival: Bytes a second of the other flow.
        wait: Seconds in the queue: median, 95th percentile and at most.
        begin: Seconds in the queue at most before that, when the flows began.
    """

    rate: float
    rival: float
    wait: tuple[float, float, float]
    begin: float

    @property
    def part(self) -> float:
        """The data channel's part of what both brought, 0 to 1."""
        return self.rate / (self.rate + self.rival) if self.rate + self.rival else 0.0


async def share(stack: Stack, rival: Rival, *, seconds: float, program: Path | None) -> Share:
    """Let a data channel and a rival use a link at the same time.

    Args:
        stack: Both ends of the data channel.
        rival: The rival.
        seconds: How long.
        program: The compiled wire; ``None`` is the slow one, which is fast enough here.

    Raises:
        PeerTrouble: A peer did not do as told.
    """
    async with network(SHARED, program) as link, AsyncExitStack() as calls:
        ends = await calls.enter_async_context(calling(link, stack, stack))
        others = None
        if (other := rival.stack(stack)) is not None:
            others = await calls.enter_async_context(calling(link, other, other))
        other_rate = 0.0
        async with probing(link, seconds + 10) as arrivals:
            await asyncio.sleep(_IDLE)  # the probe goes over the idle link
            ours = asyncio.create_task(transfer(ends, size=64 * KIB, seconds=seconds))
            theirs: asyncio.Task[Transfer] | None = None
            try:
                if others is not None:
                    theirs = asyncio.create_task(transfer(others, size=64 * KIB, seconds=seconds))
                    other_rate = (await theirs).rate(SETTLED)
                elif rival is not Rival.NOBODY:
                    other_rate = await _tcp(link, seconds, rival.name.lower())
                result = await ours
            finally:
                for task in (ours, theirs):
                    if task is not None:
                        task.cancel()
                await asyncio.gather(*(t for t in (ours, theirs) if t), return_exceptions=True)
        wait = arrivals.waits(result.begun + SETTLED, result.ended)
        begin = arrivals.waits(result.begun, result.begun + SETTLED)[-1]
        return Share(result.rate(SETTLED), other_rate, wait, begin)


async def _tcp(link: Network, seconds: float, congestion_control: str) -> float:
    """Run a TCP flow; return its bytes a second, settled."""
    receiver = await link.hosts[1].start(
        *_PROGRAM, "receive", str(_PORT), stdin=PIPE, stdout=PIPE, limit=2**24
    )
    assert receiver.stdin is not None and receiver.stdout is not None
    try:
        await receiver.stdout.readline()
        sender = await link.hosts[0].start(
            *(*_PROGRAM, "send", ADDRESSES[1], str(_PORT), "--seconds", str(seconds)),
            *("--congestion-control", congestion_control),
        )
        try:
            begun = time.monotonic()
            await asyncio.sleep(begun + seconds - time.monotonic())  # this long it is measured
        finally:
            await stop(sender)
        receiver.stdin.close()
        samples: list[tuple[float, int]] = json.loads(await receiver.stdout.readline())
    finally:
        await stop(receiver)
    settled = [sample for sample in samples if begun + SETTLED <= sample[0] <= begun + seconds]
    if len(settled) < 2:
        return 0.0
    (first, before), (last, after) = settled[0], settled[-1]
    return (after - before) / (last - first)

"""The memory that a long transfer takes, over time."""

import asyncio
import time
from dataclasses import dataclass

from tests.bench.cells import KIB
from tests.bench.network import network
from tests.bench.stacks import Stack
from tests.bench.transfer import REPORT_SECONDS, Usage, calling, usage

ALL = 10_000_000_000
"""Bytes of the whole transfer."""

_EVERY = 0.5


@dataclass(frozen=True, slots=True)
class Memory:
    """The figures of a run.

    Attributes:
        sent: Bytes that arrived.
        seconds: How long it took.
        history: What the sender and the receiver used, every half second.
    """

    sent: float
    seconds: float
    history: list[tuple[Usage, Usage]]

    def over_time(self, end: int, moments: int = 5) -> str:
        """Return the megabytes of an end at moments spread over the transfer.

        Args:
            end: 0 is the sender, 1 the receiver.
            moments: How many.
        """
        last = len(self.history) - 1
        picked = [self.history[last * k // (moments - 1)][end].rss for k in range(moments)]
        peak = max(used[end].peak for used in self.history)
        return f"{', '.join(f'{rss / 1e6:.0f}' for rss in picked)}; at most {peak / 1e6:.0f} MB"


async def remember(stack: Stack, *, seconds: float) -> Memory:
    """Send without delay and look at the memory of both ends.

    Args:
        stack: Both ends.
        seconds: At most so long, or :data:`ALL` bytes.

    Raises:
        PeerTrouble: A peer did not do as told.
    """
    async with network(None, None) as link, calling(link, stack, stack) as ends:
        await ends.receiver.send("receive", bytes=ALL)
        await ends.receiver.until("receiving", REPORT_SECONDS)
        await ends.sender.send("send", size=64 * KIB, seconds=seconds, bytes=ALL)
        begun = (await ends.sender.until("sending", REPORT_SECONDS))["at"]
        history = [(usage(ends.sender), usage(ends.receiver))]
        while time.monotonic() < begun + seconds and not ends.receiver.told("received"):
            await asyncio.sleep(_EVERY)
            history.append((usage(ends.sender), usage(ends.receiver)))
        await ends.receiver.send("report")
        at, size, _ = (await ends.receiver.until("received", REPORT_SECONDS))["samples"][-1]
        return Memory(size, at - begun, history)

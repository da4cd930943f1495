"""The memory that an hour's worth of frames leaves in two peers, each in a process.

Audio is played by the clock, so an hour of one call cannot pass in less. Eight tracks of audio and
pictures at eight times their usual rate, small ones, go through one connection instead, really
encoded, encrypted, sent over loopback and decoded: in 7.5 minutes as many frames as in an hour of a
call. What grows with time, and not with frames, would grow for 7.5 minutes alone.
"""

import asyncio
import time
from dataclasses import dataclass

from tests.bench.network import network
from tests.bench.stacks import ENDURING, Stack
from tests.bench.transfer import REPORT_SECONDS, calling, usage

TIMES = 8
"""The speed, in multiples of a call's."""

VIDEO, AUDIO = 3600 * 30, 3600 * 50
"""Frames of an hour."""

_EVERY = 1.0
_SLACK = 1.35
"""A busy machine is given so much more time than it takes an idle one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at both peers.

    Attributes:
        video: Pictures that the receiver was given until then.
        audio: Frames of audio, likewise.
        rss: Bytes of memory of the sender and the receiver.
    """

    video: int
    audio: int
    rss: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Endured:
    """The figures of a run.

    Attributes:
        seconds: How long it took.
        samples: Once a second.
    """

    seconds: float
    samples: list[Sample]

    def at(self, part: float) -> Sample:
        """Return the first look after a part of all the pictures, 0 to 1."""
        enough = self.samples[-1].video * part
        return next(sample for sample in self.samples if sample.video >= enough)

    def growth(self, end: int) -> float:
        """Return the bytes that an end grew by between a tenth and the end.

        Args:
            end: 0 is the sender, 1 the receiver.
        """
        return self.samples[-1].rss[end] - self.at(0.1).rss[end]


async def endure(stack: Stack, hours: float, limit: float | None = None) -> Endured:
    """Send so many hours' worth of frames, or what goes through in the time that it should take.

    Args:
        stack: Both ends.
        hours: How many.
        limit: Seconds that it takes at most, if not that.

    Raises:
        PeerTrouble: A peer did not do as told.
    """
    limit = limit or 3600 * hours / TIMES * _SLACK
    async with (
        network(None, None) as link,
        calling(link, stack, stack, ENDURING, rate=30 * TIMES, voices=TIMES) as ends,
    ):
        begun = time.monotonic()
        samples: list[Sample] = []
        while time.monotonic() < begun + limit:
            await asyncio.sleep(_EVERY)
            asked = time.monotonic()
            await ends.receiver.send("count")
            told = await ends.receiver.until("counted", REPORT_SECONDS, since=asked)
            rss = usage(ends.sender).rss, usage(ends.receiver).rss
            samples.append(Sample(told["video"], told["audio"], rss))
            if told["video"] >= VIDEO * hours and told["audio"] >= AUDIO * hours:
                break
        return Endured(time.monotonic() - begun, samples)

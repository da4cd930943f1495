"""From a program that makes a picture to the program that is given it: 720p30, two processes.

The pictures tell their numbers, which are read back from what was decoded
(``tests/bench/peers/coded.py``). A picture is made when its program hands it over, and arrives when
the other one is given it; drawing and reading take no part. All stacks are on one machine and tell
its monotonic clock. A page's clock is matched with it by the fastest of twenty questions, to half
of its way there and back: below 1 ms. ``chromium`` hands its pictures to a track and takes them
from one, as icefloe's and aiortc's programs do (MediaStreamTrackGenerator and -Processor); ``on
screen`` means from a canvas to the video element. As root, on Linux::

    python -m tests.bench.glass
    python -m tests.bench.glass --pair icefloe --link direct --codec H264 --seconds 5
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tests.bench.cells import path
from tests.bench.network import network
from tests.bench.report import Section, load
from tests.bench.stacks import GLASS, Stack
from tests.bench.transfer import REPORT_SECONDS, calling
from tests.helpers import netns
from tests.natlab.fast_wire import build, compiler
from tests.natlab.lab_peer import PeerTrouble
from tests.natlab.spec import Wire

WARM_UP = 5.0
"""Seconds before the first picture that counts: estimates of the path settle."""
_LAST = 1.0
"""Seconds that the last picture is waited for."""

CODECS = ("VP8", "H264")

LINKS: dict[str, tuple[str, Wire | None]] = {
    "direct": ("no delay", None),
    "far": ("RTT 50 ms, 1 % loss each way", path(0.05, loss=0.01)),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """The sender and the receiver.

    Attributes:
        sender: Who makes the pictures.
        receiver: Who is given them.
        screen: Whether pages draw and show them.
    """

    sender: Stack
    receiver: Stack
    screen: bool = False

    @property
    def title(self) -> str:
        """The name of the row."""
        if self.screen:
            return f"{self.sender}, on screen"
        return self.sender if self.sender is self.receiver else f"{self.sender} to {self.receiver}"


PAIRS = {
    "icefloe": Pair(Stack.ICEFLOE, Stack.ICEFLOE),
    "aiortc": Pair(Stack.AIORTC, Stack.AIORTC),
    "chromium": Pair(Stack.CHROMIUM, Stack.CHROMIUM),
    "screen": Pair(Stack.CHROMIUM, Stack.CHROMIUM, screen=True),
    "to-chromium": Pair(Stack.ICEFLOE, Stack.CHROMIUM),
    "from-chromium": Pair(Stack.CHROMIUM, Stack.ICEFLOE),
}
_ALIKE = ("icefloe", "aiortc", "chromium")


@dataclass(frozen=True, slots=True)
class Delays:
    """The delays of pictures.

    Attributes:
        made: How many there were.
        delays: The seconds of those that arrived, shortest first.
        size: Width and height of the last one.
    """

    made: int
    delays: list[float]
    size: tuple[int, int]

    @property
    def p50(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.delays)

    @property
    def p95(self) -> float:
        """The 95th percentile, in seconds."""
        return statistics.quantiles(self.delays, n=20)[-1]

    @property
    def arrived(self) -> float:
        """The part that arrived, 0 to 1."""
        return len(self.delays) / self.made


async def measure_pair(
    pair: Pair,
    wire: Wire | None,
    codec: str,
    seconds: float,
    program: Path | None,
    warm_up: float = WARM_UP,
) -> Delays:
    """Run a pair.

    Args:
        pair: Who.
        wire: What the link does; ``None`` is one without delay.
        codec: Of :data:`CODECS`.
        seconds: How long pictures count.
        program: The compiled wire, if there is a compiler.
        warm_up: Seconds before they do.

    Raises:
        PeerTrouble: A peer did not do as told, or no picture arrived.
    """
    details = {"codec": codec, "screen": pair.screen}
    async with (
        network(wire, program) as link,
        calling(link, pair.sender, pair.receiver, GLASS, **details) as ends,
    ):
        begin = (await ends.receiver.until("open", REPORT_SECONDS))["at"] + warm_up
        await asyncio.sleep(warm_up + seconds + _LAST)
        told = []
        for peer in (ends.sender, ends.receiver):
            await peer.send("report")
            told.append(await peer.until("pictures", REPORT_SECONDS))
        made = {n: at for n, at in told[0]["pictures"] if begin <= at < begin + seconds}
        delays = sorted(at - made[n] for n, at in told[1]["pictures"] if n in made)
        if len(delays) < 2:
            raise ends.receiver.trouble(f"{len(delays)} of {len(made)} pictures arrived")
        return Delays(len(made), delays, tuple(told[1]["size"]))


def runs(
    pairs: Sequence[str] | None, links: Sequence[str] | None, codecs: Sequence[str] | None
) -> Iterator[tuple[str, str, Pair]]:
    """Give the link, the codec and the pair of each run; all that matter where none are named."""
    for link, codec in product(links or LINKS, codecs or CODECS):
        is_first = (link, codec) == (next(iter(LINKS)), CODECS[0])
        if links is None and codec != CODECS[0] and link != next(iter(LINKS)):
            continue
        for name in pairs or (PAIRS if is_first else _ALIKE):
            pair = PAIRS[name]
            if pair.sender.is_there and pair.receiver.is_there:
                yield link, codec, pair


async def measure(
    *,
    pairs: Sequence[str] | None = None,
    links: Sequence[str] | None = None,
    codecs: Sequence[str] | None = None,
    seconds: float = 8.0,
) -> list[Section]:
    """Run pairs with each codec over each link.

    Args:
        pairs: Which of :data:`PAIRS`; by default all, but where it is far, or with another codec
            than the first, only those whose ends are alike.
        links: Which of :data:`LINKS`; by default all, the far one with the first codec alone.
        codecs: Which of :data:`CODECS`.
        seconds: How long pictures count.
    """
    with tempfile.TemporaryDirectory() as folder:
        program = await build(Path(folder)) if compiler() else None
        rows = []
        found: dict[tuple[str, str, Pair], Delays] = {}
        for link, codec, pair in runs(pairs, links, codecs):
            title, wire = LINKS[link]
            try:
                delays = await measure_pair(pair, wire, codec, seconds, program)
                found[link, codec, pair] = delays
            except PeerTrouble as trouble:
                print(f"{pair.title} {link} {codec}: {trouble}", file=sys.stderr, flush=True)
                rows.append((pair.title, codec, title, "failed", *"-----"))
                continue
            ours = found.get((link, codec, PAIRS["icefloe"]))
            rows.append(_row((pair.title, codec, title), delays, ours))
            print(*rows[-1], "load", load(), file=sys.stderr, flush=True)
    return [
        Section(
            "From the camera to the screen",
            f"From a program that makes a picture to the one that is given it, 720p30, two "
            f"processes; {seconds:g} s after {WARM_UP:g} s. Chromium hands pictures to a track and "
            "takes them from one, as the others do; on screen is from a canvas to a video element. "
            "At this size icefloe begins with 1.9 Mbit/s, aiortc with 0.5 (VP8) or 1 (H264), and "
            "Chromium is told to begin with 2. "
            "`python -m tests.bench.glass`",
            ("stack", "codec", "link", "p50", "p95", "most", "arrived", "size", "p50 / icefloe's"),
            tuple(rows),
        )
    ]


def _row(what: tuple[str, str, str], delays: Delays, ours: Delays | None) -> tuple[str, ...]:
    return (
        *what,
        *(f"{value * 1000:.0f} ms" for value in (delays.p50, delays.p95, delays.delays[-1])),
        f"{delays.arrived:.1%}",
        "x".join(map(str, delays.size)),
        f"{delays.p50 / ours.p50:.2f}" if ours else "-",
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pair", action="append", choices=PAIRS)
    parser.add_argument("--link", action="append", choices=LINKS)
    parser.add_argument("--codec", action="append", choices=CODECS)
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    netns.isolate()
    sections = asyncio.run(
        measure(pairs=given.pair, links=given.link, codecs=given.codec, seconds=given.seconds)
    )
    for section in sections:
        print(section.markdown())


if __name__ == "__main__":
    main()

"""Media of icefloe beside plain aiortc, and of Chromium where that can be compared::

    python -m tests.bench.media                # everything but memory and step, some 7 minutes
    python -m tests.bench.media --cell viewers --seconds 10 --codec H264
    python -m tests.bench.media --cell memory  # an hour's frames of each stack, 15 minutes
    python -m tests.bench.media --cell step    # sound and pictures of a recording, 10 minutes
    python -m tests.bench.media --write        # and put it into docs/benchmarks.md

Each cell says what it measures; the ratios say more than the figures.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from tests.bench import audio, closing, enduring, glass, recording, step, viewers
from tests.bench.report import REPORT, Section, load, machine, merge
from tests.bench.stacks import Stack
from tests.helpers import netns, system
from tests.natlab.lab_peer import PeerTrouble

CODECS = ("H264", "VP8")
SECONDS = 5.0
STEP_SECONDS = 600.0
STEP_LOSSES = (0.0, 0.05)

_COUNTS = {"icefloe": (1, 10), "aiortc": (1, 2)}
"""aiortc encodes once for each: ten of them are more than most machines can do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The work that is run.

    Attributes:
        cells: Which of :data:`CELLS`.
        codecs: Which of :data:`CODECS`.
        seconds: How long each run of viewers and of pictures is measured.
        hours: How many hours' worth of frames ``memory`` sends.
    """

    cells: Sequence[str]
    codecs: Sequence[str] = CODECS
    seconds: float = SECONDS
    hours: float = 1.0


async def _viewers(plan: Plan) -> list[Section]:
    rows = []
    for codec in plan.codecs:
        for stack, counts in _COUNTS.items():
            costs = [await viewers.measure(stack, codec, count, plan.seconds) for count in counts]
            for cost in costs:
                print(stack, codec, cost, "load", load(), file=sys.stderr, flush=True)
            first, last = costs[0], costs[-1]
            # A stack that cannot keep up encodes fewer frames: what counts is the cost of one.
            share = (last.for_each_frame - first.for_each_frame) / (last.viewers - 1)
            rows.append(
                (
                    f"{stack}, {codec}",
                    f"{first.for_each_frame:.1f} ms",
                    f"{share:.2f} ms",
                    f"{share / first.for_each_frame * 100:.1f} %",
                    f"{last.viewers}, {last.frames:.0f} frames/s, {last.megabits:.1f} Mbit/s each",
                )
            )
    return [
        Section(
            "One source, many viewers",
            "Processor's time of the sending process for each frame of a 720p30 test pattern; the "
            "viewers are in another process. aiortc shares its source with `MediaRelay`, icefloe "
            "with `EncodedFanout`. `python -m tests.bench.media --cell viewers`",
            ("stack", "first viewer", "each one more", "of the first", "with"),
            tuple(rows),
        )
    ]


async def _glass(plan: Plan) -> list[Section]:
    return await glass.measure(codecs=plan.codecs, seconds=plan.seconds)


async def _audio(plan: Plan) -> list[Section]:
    return await audio.measure(max(8.0, plan.seconds))


async def _recording(plan: Plan) -> list[Section]:
    return await recording.measure()


async def _closing(plan: Plan) -> list[Section]:
    return await closing.measure()


async def _step(plan: Plan) -> list[Section]:
    return await step.measure([step.Call(STEP_SECONDS, loss) for loss in STEP_LOSSES])


async def _memory(plan: Plan) -> list[Section]:
    rows: list[tuple[str, ...]] = []
    for stack in (Stack.ICEFLOE, Stack.AIORTC):
        try:
            endured = await enduring.endure(stack, plan.hours)
        except PeerTrouble as trouble:
            print(f"memory {stack}: failed: {trouble}", file=sys.stderr, flush=True)
            rows.append((stack, "failed", *"---"))
            continue
        for end, name in enumerate(("sends", "receives")):
            last = endured.samples[-1]
            looks = [endured.at(part).rss[end] / 1e6 for part in (0.1, 0.5, 1.0)]
            rows.append(
                (
                    f"{stack} {name}",
                    f"{last.video:,} and {last.audio:,}",
                    f"{endured.seconds:.0f} s",
                    " / ".join(f"{look:.1f}" for look in looks) + " MB",
                    f"{endured.growth(end) / 1e6:+.1f} MB",
                )
            )
            print(*rows[-1], "load", load(), file=sys.stderr, flush=True)
    return [
        Section(
            "Memory of an hour of frames",
            f"Pictures of 160 x 120 at {30 * enduring.TIMES} a second and {enduring.TIMES} tracks "
            "of audio through one connection, because audio is played by the clock: as many frames "
            f"as {plan.hours:g} h of a call have. Resident memory after a tenth, after half and at "
            "the end, and the growth from the tenth on. "
            "`python -m tests.bench.media --cell memory`",
            ("process", "pictures and audio frames", "took", "10 / 50 / 100 %", "growth"),
            tuple(rows),
        )
    ]


CELLS: dict[str, Callable[[Plan], Awaitable[list[Section]]]] = {
    "viewers": _viewers,
    "glass": _glass,
    "audio": _audio,
    "recording": _recording,
    "closing": _closing,
    "memory": _memory,
    "step": _step,
}
USUAL = tuple(name for name in CELLS if name not in ("memory", "step"))
"""Those that take a minute or two."""
_NEEDS: dict[str, tuple[str, ...]] = {
    "glass": ("netns",),
    "memory": ("netns",),
    "closing": ("netns", "xvfb"),
    "step": ("netns", "nftables"),
}
"""The options of those whose peers are in namespaces of their own."""


async def measure(plan: Plan | None = None) -> list[Section]:
    """Run cells, one after the other; what this machine cannot run is left out."""
    plan = plan or Plan(USUAL)
    sections: list[Section] = []
    for name in plan.cells:
        if system.missing(*_NEEDS.get(name, ())):
            continue
        before = load()
        made = await CELLS[name](plan)
        said = f" Load {before} processors before, {load()} after."
        sections += [replace(section, intro=section.intro + said) for section in made]
    return sections


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cell", action="append", choices=CELLS)
    parser.add_argument("--codec", action="append", choices=CODECS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--hours", type=float, default=1.0, help="of frames, for memory")
    parser.add_argument("--write", action="store_true", help=f"put it into {REPORT.name}")
    given = parser.parse_args()
    netns.isolate()
    plan = Plan(given.cell or USUAL, given.codec or CODECS, given.seconds, given.hours)
    sections = asyncio.run(measure(plan))
    print(f"On {machine()}.\n")
    for section in sections:
        print(section.markdown())
    if given.write:
        REPORT.write_text(merge(REPORT.read_text(), sections))


if __name__ == "__main__":
    main()

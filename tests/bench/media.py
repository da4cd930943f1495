"""Media of icefloe beside plain aiortc::

    python -m tests.bench.media                       # everything
    python -m tests.bench.media --cell viewers --seconds 10 --codec H264

Each cell says what it measures; the ratios say more than the figures.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from tests.bench import viewers
from tests.bench.report import Section
from tests.helpers import netns

CELLS = ("viewers",)
CODECS = ("H264", "VP8")

_COUNTS = {"icefloe": (1, 10), "aiortc": (1, 2)}
"""aiortc encodes once for each: ten of them are more than most machines can do."""


async def measure(
    *, cells: Sequence[str] = CELLS, codecs: Sequence[str] = CODECS, seconds: float = 10.0
) -> list[Section]:
    """Run cells, one after the other.

    Args:
        cells: Which of :data:`CELLS`.
        codecs: Which of :data:`CODECS`.
        seconds: How long each run is measured.
    """
    return [await _viewers(codecs, seconds)] if "viewers" in cells else []


async def _viewers(codecs: Sequence[str], seconds: float) -> Section:
    rows = []
    for codec in codecs:
        for stack, counts in _COUNTS.items():
            costs = [await viewers.measure(stack, codec, count, seconds) for count in counts]
            for cost in costs:
                print(stack, codec, cost, file=sys.stderr)
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
    return Section(
        "One source, many viewers",
        "Processor's time of the sending process for each frame of a 720p30 test pattern; the "
        "viewers are in another process. aiortc shares its source with `MediaRelay`, icefloe with "
        "`EncodedFanout`. `python -m tests.bench.media`",
        ("stack", "first viewer", "each one more", "of the first", "with"),
        tuple(rows),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Media of icefloe beside plain aiortc.")
    parser.add_argument("--cell", action="append", choices=CELLS)
    parser.add_argument("--codec", action="append", choices=CODECS)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    netns.isolate()
    cells, codecs = given.cell or CELLS, given.codec or CODECS
    sections = asyncio.run(measure(cells=cells, codecs=codecs, seconds=given.seconds))
    for section in sections:
        print(section.markdown())


if __name__ == "__main__":
    main()

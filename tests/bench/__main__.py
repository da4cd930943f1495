"""Run every benchmark and write docs/benchmarks.md: ``make bench``.

``python -m tests.bench.media --cell memory --cell step --write`` adds what takes long: the memory
of an hour of frames, and a recording of ten minutes; ``python -m tests.bench.capacity --write``
adds video on links that change, which takes three quarters of an hour.
"""

import asyncio
import datetime

from tests.bench import connect, data, media, signaling_flood
from tests.bench.report import REPORT, Section, machine, merge
from tests.helpers import netns

INTRO = """\
# Benchmarks

`make bench` makes this page. It runs icefloe and what one would use instead in turn, in one run, on
one machine. Machines differ: the ratios say more than the figures. A load beside them says how many
processors other programs and the benchmark itself used in the last minute.

Taken on {date}: {machine}.
"""


async def measure() -> list[Section]:
    """Run everything, one after the other."""
    sections = await connect.measure(rounds=9)
    result = await signaling_flood.measure(connections=100, seconds=10.0, kind="mixed")
    quiet = await signaling_flood.measure(connections=0, seconds=5.0, kind="none")
    sections.append(
        Section(
            "A flooded signaling server",
            "How long the messages of a well-behaved pair take while others send as fast as they "
            "can; three processes. `python -m tests.bench.signaling_flood`",
            ("load", "result"),
            (("none", quiet.describe()), ("100 connections, mixed", result.describe())),
        )
    )
    sections += await media.measure()
    if netns.can_isolate():
        sections += await data.measure(data.Plan())
    return sections


def main() -> None:
    """Measure, print, and write the report."""
    netns.isolate()
    sections = asyncio.run(measure())
    intro = INTRO.format(date=datetime.date.today().isoformat(), machine=machine())
    # What takes long is measured by itself, and stays.
    _, found, kept = REPORT.read_text().partition("## ")
    text = merge(f"{intro}\n{found}{kept}", sections)
    REPORT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()

"""Audio through jitter: what is made up, cut out or stretched, and the delay, beside wrtc.

One call at a time; the caller holds each packet back at random, or its event loop is held up for 50
to 200 ms each second or two::

    python -m tests.bench.many.jitter --seconds 30

Plain aiortc neither conceals nor stretches, and has no such statistics: what is lost is a gap.
"""

import argparse
import asyncio
from collections.abc import Sequence

from tests.bench.many.calls import Outcome, is_there, run as run_calls

STACKS = ("icefloe", "wrtc", "aiortc")
JITTERS = (0.0, 0.005, 0.02, 0.1)
_ABOUT = """## Audio through jitter

One call. The sender holds each packet back for a random time up to the one that is named, or is
held up for 50 to 200 ms each second or two. Parts of the samples that are made up or inserted, and
cut out again. `python -m tests.bench.many jitter`

"""

_HEADER = (
    "jitter",
    "stack",
    "concealed",
    "inserted",
    "removed",
    "together",
    "frames late",
    "delay: median",
    "p99",
)


def run(
    stacks: Sequence[str] = STACKS, jitters: Sequence[float] = JITTERS, *, seconds: float = 30.0
) -> str:
    """Measure with each stack in turn, and return the section of the report.

    Args:
        stacks: Of :data:`STACKS`; those that the machine lacks are passed over.
        jitters: Seconds by which packets are late at most; a busy sender comes after them.
        seconds: How long each is measured.
    """
    rows = [f"| {' | '.join(_HEADER)} |", "|" + " --- |" * len(_HEADER)]
    cases = [(f"{jitter * 1000:g} ms", jitter, False) for jitter in jitters]
    cases.append(("busy sender", 0.0, True))
    for name, jitter, busy in cases:
        for stack in filter(is_there, stacks):
            outcome = asyncio.run(
                run_calls(stack, 1, seconds=seconds, settle=15.0, jitter=jitter, busy=busy)
            )
            rows.append(_row(name, stack, outcome))
            print(rows[-1], flush=True)
    return _ABOUT + "\n".join(rows) + "\n"


def _row(name: str, stack: str, outcome: Outcome) -> str:
    stats = outcome.stats
    total = stats.get("totalSamplesReceived", 0.0)
    names = (
        "concealedSamples",
        "insertedSamplesForDeceleration",
        "removedSamplesForAcceleration",
    )
    parts = [stats.get(each, 0.0) / total for each in names] if total else []
    shares = [f"{part:.2%}" for part in (*parts, sum(parts))] if parts else ["–"] * 4
    delay, p99 = outcome.delay * 1000, outcome.delay_p99 * 1000
    cells = (name, stack, *shares, f"{outcome.late:.2%}", f"{delay:.0f} ms", f"{p99:.0f} ms")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", action="append", choices=STACKS)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    print(run(options.stack or STACKS, seconds=options.seconds))


if __name__ == "__main__":
    main()

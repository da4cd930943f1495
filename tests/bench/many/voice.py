"""Many calls at once: what each costs the answering process, and what is heard of it.

The callers are one process of icefloe that sends what was encoded once and decodes nothing, the
same for all stacks. Each call is answered with a tone and listened to::

    python -m tests.bench.many.voice --stack icefloe --stack aiortc --count 1 --count 10

wrtc (libwebrtc in Python) takes part where it is installed or in ``PYTHONPATH``.
"""

import argparse
import asyncio
from collections.abc import Sequence

from tests.bench.many.calls import Kind, Outcome, is_there, run as run_calls

STACKS = ("icefloe", "aiortc", "wrtc")
COUNTS = (1, 10, 20, 50)
VIDEO_CALLS = 10

_ABOUT = """## Many calls at once

What each costs the process that answers, in processor time of all its threads; the frames that it
gets and the packets that it sends, of 50 a second each; and the time from a sound's sending until
its frame is there. `python -m tests.bench.many voice`

"""

_HEADER = (
    "calls",
    "stack",
    "ms of processor a second, each",
    "frames a second, each (worst)",
    "late",
    "packets a second sent, each",
    "delay: median",
    "p99",
    "loop late: p99",
    "all connected",
)


def run(
    stacks: Sequence[str] = STACKS,
    counts: Sequence[int] = COUNTS,
    *,
    seconds: float = 10.0,
    video: int = VIDEO_CALLS,
) -> str:
    """Measure with each stack in turn, and return the section of the report.

    Args:
        stacks: Of :data:`STACKS`; those that the machine lacks are passed over.
        counts: How many audio calls at a time.
        seconds: How long each is measured.
        video: How many video calls, each way; 0 for none.
    """
    rows = [f"| {' | '.join(_HEADER)} |", "|" + " --- |" * len(_HEADER)]
    cases = [(Kind.VOICE, count) for count in counts]
    if video:
        cases += [(Kind.VIDEO_IN, video), (Kind.VIDEO_OUT, video)]
    for kind, count in cases:
        for stack in filter(is_there, stacks):
            name = f"{count} {kind}"
            try:
                outcome = asyncio.run(run_calls(stack, count, kind, seconds=seconds))
            except TimeoutError:
                rows.append(f"| {name} | {stack} | not all were connected |" + " |" * 7)
            else:
                rows.append(_row(name, stack, outcome))
            print(rows[-1], flush=True)
    return _ABOUT + "\n".join(rows) + "\n"


def _row(name: str, stack: str, outcome: Outcome) -> str:
    cells = (
        name,
        stack,
        f"{outcome.processor * 1000:.1f}",
        f"{outcome.frames:.1f} ({outcome.worst:.1f})",
        f"{outcome.late:.2%}",
        f"{outcome.sent:.1f}",
        f"{outcome.delay * 1000:.0f} ms",
        f"{outcome.delay_p99 * 1000:.0f} ms",
        f"{outcome.loop * 1000:.1f} ms",
        f"{outcome.connected:.1f} s",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", action="append", choices=STACKS)
    parser.add_argument("--count", action="append", type=int)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--video", type=int, default=VIDEO_CALLS)
    options = parser.parse_args()
    stacks, counts = options.stack or STACKS, options.count or COUNTS
    print(run(stacks, counts, seconds=options.seconds, video=options.video))


if __name__ == "__main__":
    main()

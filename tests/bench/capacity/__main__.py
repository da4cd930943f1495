"""A video call over a link whose capacity changes: icefloe beside others, on the wire.

The sender and the receiver are processes in network namespaces of their own, with a link between
them that has a capacity for each time and a queue, and that records each packet. Pictures tell
their numbers (``tests/bench/peers/coded.py``) and have so much grain that there is always more to
encode. All contestants of a case take turns. As root, on Linux::

    python -m tests.bench.capacity                                  # all, some 45 minutes
    python -m tests.bench.capacity --case a --stack icefloe --seconds-scale 0.5
    python -m tests.bench.capacity --case b --keep build/capacity   # keeps what was recorded
    python -m tests.bench.capacity --read build/capacity --write    # and makes a report of that

Each stack does what it does by itself: no start rate is set, and Chromium may make pictures
smaller. ``wrtc`` is run if Python finds it, by ``pip install wrtc`` or in ``PYTHONPATH``.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.capacity.cases import ALIKE, CASES, CONTESTANTS, Case
from tests.bench.capacity.plot import plot
from tests.bench.capacity.recording import Recording
from tests.bench.capacity.run import is_there, run
from tests.bench.capacity.table import section
from tests.bench.report import REPORT, Section, load, machine, merge
from tests.helpers import netns
from tests.natlab.lab_peer import PeerTrouble

_PICTURES = "assets"
"""The folder of the plots, from the report."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The runs to make, or to read.

    Attributes:
        cases: Which of :data:`CASES`.
        stacks: Which of :data:`CONTESTANTS`; ``None`` is all that suit the case.
        scale: What the times of schedules are multiplied by.
        seed: By which links lose packets.
        keep: The folder in which recordings are kept.
        read: The folder from which they are read, in the place of runs.
    """

    cases: Sequence[str]
    stacks: Sequence[str] | None = None
    scale: float = 1.0
    seed: int = 1
    keep: Path | None = None
    read: Path | None = None

    def contestants(self, case: Case) -> Sequence[str]:
        """Return who is run; many calls at once only of those whose ends are the same."""
        return self.stacks or (ALIKE if len(case.starts) > 1 else tuple(CONTESTANTS))


async def measure(plan: Plan) -> list[tuple[Section, str, str]]:
    """Run a plan; return for each case its section, and the name and the text of its plot.

    Raises:
        OSError: A recording cannot be kept or read.
        ValueError: Recordings that are read are of different schedules.
    """
    made = []
    for name in plan.cases:
        case = CASES[name]
        case = case.scaled(_scale_of(plan, name))
        before = load()
        notes: list[str] = []
        recordings: dict[str, Recording] = {}
        for stack in plan.contestants(case):
            found = await _recording(plan, name, case, stack, notes)
            if found is not None:
                recordings[stack] = found
        if not recordings:
            continue
        if plan.read is None:
            notes.append(f"Load {before} processors before, {load()} after.")
        if late := max(recording.late for recording in recordings.values()):
            notes.append(f"The link was late by {late * 1000:.0f} ms at worst.")
        file = f"capacity-{name}.svg"
        said = "".join(f" {note}" for note in notes)
        about = section(name, case, recordings, f"{_PICTURES}/{file}", said)
        made.append((about, file, plot(case, recordings)))
    return made


def _scale_of(plan: Plan, name: str) -> float:
    """Return by what the times of a case are multiplied: those of recordings that are read."""
    if plan.read is None:
        return plan.scale
    paths = sorted(plan.read.glob(f"{name}-*.json"))
    scales = {float(json.loads(path.read_text())["scale"]) for path in paths}
    if len(scales) > 1:
        raise ValueError(f"the recordings of case {name} in {plan.read} have different schedules")
    return scales.pop() if scales else plan.scale


async def _recording(
    plan: Plan, name: str, case: Case, stack: str, notes: list[str]
) -> Recording | None:
    if plan.read is not None:
        path = plan.read / f"{name}-{stack}.json"
        return Recording.from_json(json.loads(path.read_text())) if path.exists() else None
    contestant = CONTESTANTS[stack]
    if lacking := [end for end in (contestant.sender, contestant.receiver) if not is_there(end)]:
        print(f"{name} {stack}: there is no {lacking[0]} here", file=sys.stderr, flush=True)
        return None
    try:
        recording = await run(case, contestant, plan.seed)
    except PeerTrouble as trouble:
        print(f"{name} {stack}: failed: {trouble}", file=sys.stderr, flush=True)
        notes.append(f"{contestant.title} failed.")
        return None
    print(f"{name} {stack}: done, load {load()}", file=sys.stderr, flush=True)
    if plan.keep is not None:
        keep(plan.keep, name, stack, plan.scale, recording)
    return recording


def keep(folder: Path, name: str, stack: str, scale: float, recording: Recording) -> None:
    """Write a recording where :attr:`Plan.read` finds it.

    Args:
        folder: The folder, which is made.
        name: The case's name.
        stack: The contestant's name.
        scale: What the times of the schedule were multiplied by.
        recording: What was seen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**recording.to_json(), "scale": scale})
    (folder / f"{name}-{stack}.json").write_text(text)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--stack", action="append", choices=CONTESTANTS)
    parser.add_argument("--seconds-scale", type=float, default=1.0, help="shorter schedules")
    parser.add_argument("--seed", type=int, default=1, help="by which links lose packets")
    parser.add_argument("--keep", type=Path, help="the folder in which recordings are kept")
    parser.add_argument("--read", type=Path, help="read them there in the place of runs")
    parser.add_argument("--plots", type=Path, help="the folder for plots; not with --write")
    parser.add_argument("--write", action="store_true", help=f"put it into {REPORT.name}")
    given = parser.parse_args()
    if given.read is None and not netns.isolate():
        parser.error("it makes network namespaces: run it as root on Linux")
    plan = Plan(
        given.case or list(CASES),
        given.stack,
        given.seconds_scale,
        given.seed,
        given.keep,
        given.read,
    )
    made = asyncio.run(measure(plan))
    print(f"On {machine()}.\n")
    for about, _, _ in made:
        print(about.markdown())
    folder = REPORT.parent / _PICTURES if given.write else given.plots
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for _, file, text in made:
            (folder / file).write_text(text)
    if given.write:
        REPORT.write_text(merge(REPORT.read_text(), [about for about, _, _ in made]))


if __name__ == "__main__":
    main()

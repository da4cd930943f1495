"""The engines: what makes inputs for a target, and runs them past the oracle."""

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from hypothesis import (
    HealthCheck,
    Phase,
    given,
    seed as seeded,
    settings,
    strategies as st,
    target as aim_at,
)

from . import memory
from .mutator import mutator
from .oracle import Finding, Kind, Oracle, watched
from .target import Target

WARM = 2000
"""Inputs after which the memory of a run is looked at first."""

LOOK_EVERY = 50_000
"""Inputs between two looks at it."""

Tell = Callable[[str], None]

_UNHEALTHY = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
"""Health checks of hypothesis that the inputs themselves may fail."""


@dataclass(slots=True)
class Report:
    """The end of a run.

    Attributes:
        target: The name of the target.
        engine: The name of the engine.
        inputs: Inputs that were run.
        seconds: Seconds of processor time that it took, the engine's own included.
        outcomes: How many ended how.
        slowest: Seconds that the slowest input took.
        grown: MiB by which the process has grown since it was warm.
        findings: What did harm, one for each place.
    """

    target: str
    engine: str
    inputs: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    grown: float = 0.0
    findings: list[Finding] = field(default_factory=list)


class Session:
    """One run of a target: keeps the report, and has an eye on memory.

    Args:
        target: The target.
        oracle: The one that checks.
        engine: The name of the engine.
        tell: Called with a line for each million inputs, and for each finding.
    """

    def __init__(self, target: Target, oracle: Oracle, engine: str, tell: Tell) -> None:
        self.report = Report(target.name, engine)
        self._oracle = oracle
        self._tell = tell
        self._places: set[tuple[str, str]] = set()
        self._first = 0.0
        self._highest = 0.0
        self._began = time.process_time()

    def check(self, data: bytes) -> Finding | None:
        """Run one input; return what is new about it."""
        finding = self._oracle.check(data)
        count = self._oracle.inputs
        if count == WARM:
            self._begin()
        elif count % LOOK_EVERY == 0:
            self._look()
            if count % 1_000_000 == 0:
                self._tell(line(self.finish()))
        return self.note(finding) if finding is not None else None

    @property
    def taken(self) -> float:
        """Seconds of processor time that the latest input took."""
        return self._oracle.taken

    def note(self, finding: Finding) -> Finding | None:
        """Keep a finding, unless there is one of its place already."""
        key = (finding.kind, finding.place)
        if key in self._places:
            return None
        self._places.add(key)
        self.report.findings.append(finding)
        self._tell(f"{finding.target}: {finding.kind}: {finding.reason} ({finding.place})")
        return finding

    def _begin(self) -> None:
        self._first = memory.settled()
        gc.freeze()  # what is there now is not garbage; to look at it over and over takes time
        self._highest = memory.peak()

    def _look(self) -> None:
        if (late := self._oracle.late()) is not None:
            self.note(late)
        target, run, recent = self.report.target, self._oracle.run, list(self._oracle.recent)
        if memory.peak() - self._highest > memory.PEAK:
            size, who = memory.most(run, recent)
            self.note(Finding(target, Kind.GREW, "peak", f"it takes {size:.0f} MiB", who))
        self._highest = memory.peak()
        grown = memory.settled() - self._first
        if self._first and grown > memory.GROWTH and ("grew", "leak") not in self._places:
            left, who = max((memory.left_behind(run, [x] * 20), x) for x in recent[-50:])
            told = f"the process grew by {grown:.0f} MiB; this one leaves {left:.0f} bytes"
            self.note(Finding(target, Kind.GREW, "leak", told, who))

    def finish(self) -> Report:
        """Bring the report up to date, and return it."""
        report, oracle = self.report, self._oracle
        report.inputs, report.outcomes = oracle.inputs, oracle.outcomes
        report.slowest = oracle.slowest
        report.seconds = time.process_time() - self._began
        report.grown = memory.settled() - self._first if self._first else 0.0
        return report


@contextmanager
def session(target: Target, engine: str, tell: Tell) -> Iterator[Session]:
    """Set up a run of a target."""
    with watched(target) as oracle:
        made = Session(target, oracle, engine, tell)
        try:
            yield made
            if (late := oracle.late()) is not None:
                made.note(late)
        finally:
            gc.unfreeze()


def by_mutations(
    target: Target, inputs: int, seed: int, *, more: Sequence[bytes] = (), tell: Tell = print
) -> Report:
    """Run the seeds, and then so many mutations of them.

    Args:
        target: The target.
        inputs: How many, the seeds included.
        seed: Of the random numbers: the same one makes the same inputs.
        more: Further seeds.
        tell: Called with lines on how it goes.
    """
    make = mutator(target, more, seed).next
    with session(target, "mutations", tell) as running:
        check = running.check
        first = [*target.seeds(), *more][:inputs]
        for data in first:
            check(data)
        for _ in range(inputs - len(first)):
            check(make())
        return running.finish()


def by_hypothesis(target: Target, inputs: int, seed: int, *, tell: Tell = print) -> Report:
    """Run so many examples of hypothesis, put together of pieces, and aimed at what takes long."""
    seeds = list(target.seeds())
    pieces = st.one_of(
        st.sampled_from(seeds),
        st.builds(_piece, st.sampled_from(seeds), st.integers(0, 2**16), st.integers(0, 256)),
        st.sampled_from([*target.tokens, b""]),
        st.binary(max_size=64),
    )
    with session(target, "hypothesis", tell) as running:

        @seeded(seed)
        @settings(
            max_examples=inputs,
            database=None,
            deadline=None,
            suppress_health_check=_UNHEALTHY,
            phases=[Phase.generate, Phase.target],
        )
        @given(st.lists(pieces, max_size=16).map(b"".join))
        def examine(data: bytes) -> None:
            running.check(data)
            aim_at(running.taken)

        examine()
        return running.finish()


def _piece(data: bytes, start: int, size: int) -> bytes:
    at = start % max(1, len(data))
    return data[at : at + size]


def line(report: Report) -> str:
    """Write a report on one line."""
    outcomes = ", ".join(f"{name} {n:,}" for name, n in report.outcomes.most_common())
    rate = report.inputs / report.seconds if report.seconds else 0.0
    return (
        f"{report.target} ({report.engine}): {report.inputs:,} inputs, {rate:,.0f}/s; {outcomes}; "
        f"slowest {report.slowest * 1000:.1f} ms; grown {report.grown:+.1f} MiB; "
        f"{len(report.findings)} findings"
    )

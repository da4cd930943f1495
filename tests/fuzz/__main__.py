"""The long run: ``python -m tests.fuzz [TARGET ...] --inputs N --seed S --engine E``.

By default a target is explored first, by atheris where it is installed and else by hypothesis;
then come so many mutations of its seeds, its corpus and what was found. One line for each million
inputs, and a table in the end; the exit code is 1 if something did harm. Each finding is a file of
the corpus then, which the tests run.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from . import corpus
from .engine import Report, by_hypothesis, by_mutations, line
from .guided import explore, has_atheris
from .target import Target, load, names

ENGINES = ("all", "atheris", "hypothesis", "mutations")
EXPLORED = 50
"""Of so many inputs one is made by what explores: a guided one costs as much as some ten others."""

MOST_EXAMPLES = 20_000
"""Examples of hypothesis at most: each takes it a millisecond and more."""


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; return the exit code."""
    parser = argparse.ArgumentParser("python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(names())}")
    parser.add_argument("--inputs", type=int, default=10_000_000, help="for each target")
    parser.add_argument("--seed", type=int, default=1, help="the same one makes the same inputs")
    parser.add_argument("--engine", choices=ENGINES, default="all")
    given = parser.parse_args(arguments)
    if unknown := set(given.targets) - set(names()):
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    reports: list[Report] = []
    for name in given.targets or names():
        for report in run(load(name), given.inputs, given.seed, given.engine):
            say(line(report))
            reports.append(report)
            for finding in report.findings:
                say(f"  {corpus.write(finding)}: {finding.kind}: {finding.reason}")
    say("\n" + table(reports))
    return 1 if any(report.findings for report in reports) else 0


def run(target: Target, inputs: int, seed: int, engine: str) -> list[Report]:
    """Run a target with an engine, or with all of them in turn."""
    more = list(corpus.load(target.name).values())
    reports: list[Report] = []
    few = max(1000, inputs // EXPLORED) if engine == "all" else inputs
    guided = has_atheris()
    if engine == "atheris" or (engine == "all" and guided):
        found, harm = explore(target, few, seed)
        say(f"{target.name} (atheris): {few:,} inputs, {len(found)} of them new, {len(harm)} harm")
        more += [*found, *harm]
    elif engine in ("all", "hypothesis"):
        reports.append(by_hypothesis(target, min(few, MOST_EXAMPLES), seed, tell=say))
    if engine == "atheris":
        inputs = len(more) + len(target.seeds())
    if engine != "hypothesis":
        reports.append(by_mutations(target, inputs, seed, more=more, tell=say))
    return reports


def table(reports: Sequence[Report]) -> str:
    """Write the reports as a table in Markdown."""
    columns: list[tuple[str, Callable[[Report], str]]] = [
        ("target", lambda r: r.target),
        ("engine", lambda r: r.engine),
        ("inputs", lambda r: f"{r.inputs:,}"),
        ("inputs/s", lambda r: f"{r.inputs / r.seconds if r.seconds else 0:,.0f}"),
        ("outcomes", lambda r: ", ".join(f"{k} {n:,}" for k, n in r.outcomes.most_common())),
        ("slowest (ms)", lambda r: f"{r.slowest * 1000:.1f}"),
        ("memory (MiB)", lambda r: f"{r.grown:+.1f}"),
        ("findings", lambda r: str(len(r.findings))),
    ]
    rows = [[head for head, _ in columns], ["---"] * len(columns)]
    rows += [[cell(report) for _, cell in columns] for report in reports]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def say(text: str) -> None:
    """Write a line, at once: a run takes hours."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

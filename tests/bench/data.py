"""Data channels of icefloe and of what one would use instead, two processes on two hosts.

The hosts are network namespaces. Between them is a pair of virtual Ethernet devices, or a wire in
user space that delays, loses and queues (``tests/natlab/fast_wire.c``, compiled at the start).
The stacks take turns within each cell; the ratios say more than the figures. The figures count what
the receiving program got from the moment the sending program began, so slow start counts; ``MB`` is
a million bytes. It has to run as root, on Linux::

    python -m tests.bench.data                      # everything, about 40 minutes
    python -m tests.bench.data --quick              # shorter, and stacks in Python alone
    python -m tests.bench.data --mixed              # with other stacks at the other end
    python -m tests.bench.data --cell rtt50 --cell loss1 --stack icefloe --stack aiortc
    python -m tests.bench.data --cell veth64 --stack icefloe-uvloop --seconds 5 --rounds 3
    python -m tests.bench.data --cell memory --full # all of the 10 GB
    python -m tests.bench.data --list

To tune something, choose its cell and the two stacks to compare, ``--rounds 3``, and look at the
line that each run writes to standard error: the rate, the processor's seconds per 100 MB of the
sender and the receiver, their memory at most, the datagrams lost because a socket's buffer was
full, and what the wire did: packets there and back (a SACK is one), lost by chance and at the full
queue. Where a cell is limited by the processor, run nothing beside it.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench import link
from tests.bench.cells import CELLS, MIXED, Cell, Unit
from tests.bench.memory import ALL, remember
from tests.bench.network import network
from tests.bench.report import Section
from tests.bench.sharing import Rival, share
from tests.bench.stacks import COLUMNS, Stack
from tests.bench.transfer import Transfer, calling, echo, transfer
from tests.helpers import netns, node
from tests.natlab.fast_wire import build, compiler
from tests.natlab.lab_peer import PeerTrouble

OTHER_CELLS = {
    "wire": "the wire itself",
    "fair": "a shared link of 20 Mbit/s",
    "memory": "memory of a long transfer",
}
_COSTS = "veth64"
"""The cell by which the processor's time is compared."""

_RATIOS = ((Stack.ICEFLOE, Stack.AIORTC), (Stack.ICEFLOE_UVLOOP, Stack.AIORTC_UVLOOP))
_HOURS = 2 * 3600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The work that is run.

    Attributes:
        cells: The names of cells, of :data:`CELLS`, :data:`MIXED` and :data:`OTHER_CELLS`.
        stacks: The stacks.
        seconds: How long a run is measured.
        rounds: How often each is run; the median counts.
        seed: By which the first round loses packets; each that follows has the next.
        full: Whether the long transfer has all of its bytes.
    """

    cells: Sequence[str] = (*OTHER_CELLS, *CELLS, *MIXED)
    stacks: Sequence[Stack] = COLUMNS
    seconds: float = 10.0
    rounds: int = 1
    seed: int = 1
    full: bool = False


Figures = dict[tuple[str, Stack], list[float]]
"""The measurements, by the title of the row and the stack."""


@dataclass(slots=True)
class Bench:
    """A run of the benchmark.

    Attributes:
        plan: What is run.
        program: The compiled wire, where there is a compiler.
        missing: What this machine lacks.
        notes: That, and what could not be run and why, of the table at work.
    """

    plan: Plan
    program: Path | None = None
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _figures: Figures = field(default_factory=lambda: defaultdict(list))
    _units: dict[str, Unit] = field(default_factory=dict)
    _costs: dict[Stack, list[Transfer]] = field(default_factory=lambda: defaultdict(list))

    async def run(self) -> list[Section]:
        """Run everything, one after the other."""
        sections: list[Section] = []
        await self._run_cells(CELLS)
        if self._figures:
            intro = (
                f"Two processes, both ends the same stack; 64 KiB messages unless said; "
                f"{self._often()} of {self.plan.seconds:g} s, from the first byte on unless said. "
                f"{self._said()}`python -m tests.bench.data`"
            )
            sections.append(self._table("Data channels", intro))
        if self._costs:
            sections.append(self._costs_table())
        await self._run_cells(MIXED)
        if self._figures:
            intro = (
                f"The stack of the column at one end, another at the other, which is the same in "
                f"the whole row; 64 KiB messages; {self._often()} of {self.plan.seconds:g} s, from "
                f"the first byte on. {self._said()}`python -m tests.bench.data --mixed`"
            )
            sections.append(self._table("Against other stacks", intro))
        if "fair" in self.plan.cells:
            sections.append(await self._fair())
        if "memory" in self.plan.cells:
            sections.append(await self._memory())
        if "wire" in self.plan.cells and self.program is not None:
            rows = await link.check(self.program)
            header = ("what", "asked for", "seen")
            intro = "What the other figures rest on. `python -m tests.bench.data --cell wire`"
            sections.append(Section("The wire itself", intro, header, tuple(rows)))
        return sections

    # --- what each stack does alone

    async def _run_cells(self, cells: Mapping[str, Cell]) -> None:
        self._figures.clear()
        self._units.clear()
        self.notes = list(self.missing)
        for name, cell in cells.items():
            if name not in self.plan.cells:
                continue
            if cell.wire is not None and self.program is None and not cell.slow_wire:
                self.notes.append(f"“{cell.title}” needs a C compiler")
                continue
            await self._run_cell(name, cell)

    async def _run_cell(self, name: str, cell: Cell) -> None:
        for seed in range(self.plan.seed, self.plan.seed + self.plan.rounds):
            # Another round meets other losses, and each stack in it the same.
            wire = replace(cell.wire, seed=seed) if cell.wire is not None else None
            for stack in self.plan.stacks:
                ends = cell.ends(stack)
                if ends is None or not all(end.is_there for end in ends):
                    continue
                try:
                    async with (
                        network(wire, self.program) as hosts,
                        calling(hosts, *ends) as peers,
                    ):
                        if cell.unit is Unit.MILLISECONDS:
                            trips = await echo(
                                peers, size=cell.size, seconds=self.plan.seconds, count=3000
                            )
                            self._note(f"{cell.title}, p50", cell.unit, stack, trips.p50 * 1000)
                            self._note(f"{cell.title}, p99", cell.unit, stack, trips.p99 * 1000)
                            text = f"p50 {trips.p50 * 1000:.3f} ms, p99 {trips.p99 * 1000:.3f} ms"
                        else:
                            result = await transfer(
                                peers, size=cell.size, seconds=self.plan.seconds
                            )
                            text = self._note_transfer(name, cell, stack, result)
                except PeerTrouble as trouble:
                    self.notes.append(f"“{cell.title}” failed with {stack}")
                    text = f"failed: {trouble}"
                print(f"{name} {stack}: {text}", file=sys.stderr, flush=True)

    def _note(self, title: str, unit: Unit, stack: Stack, value: float) -> None:
        self._units[title] = unit
        self._figures[title, stack].append(value)

    def _note_transfer(self, name: str, cell: Cell, stack: Stack, result: Transfer) -> str:
        what, scale = (2, 1.0) if cell.unit is Unit.MESSAGES else (1, 1e6)
        value = result.rate(what=what) / scale
        self._note(cell.title, cell.unit, stack, value)
        text = f"{_figure(value, cell.unit)} {cell.unit}"
        if cell.settled and self.plan.seconds > cell.settled:
            title = f"{cell.title}, after {cell.settled:g} s"
            settled = result.rate(cell.settled, what) / scale
            self._note(title, cell.unit, stack, settled)
            text += f" (after {cell.settled:g} s {_figure(settled, cell.unit)})"
        if name == _COSTS:
            self._costs[stack].append(result)
        return f"{text}; {result.describe()}"

    def _table(self, title: str, intro: str) -> Section:
        stacks = [s for s in self.plan.stacks if any(key[1] is s for key in self._figures)]
        ratios = [pair for pair in _RATIOS if set(pair) <= set(stacks)]
        rows = []
        for row_title, unit in self._units.items():
            medians = {
                stack: statistics.median(self._figures[row_title, stack])
                for stack in stacks
                if (row_title, stack) in self._figures
            }
            row = [f"{row_title}, {unit}"]
            row += [_figure(medians[s], unit) if s in medians else "-" for s in stacks]
            row += [
                f"{medians[ours] / medians[theirs]:.2f}"
                if ours in medians and medians.get(theirs)
                else "-"
                for ours, theirs in ratios
            ]
            rows.append(tuple(row))
        header = ("cell", *stacks, *(f"{ours} / {theirs}" for ours, theirs in ratios))
        return Section(title, intro, header, tuple(rows))

    def _often(self) -> str:
        return "one run" if self.plan.rounds == 1 else f"the median of {self.plan.rounds} runs"

    def _said(self) -> str:
        return "".join(f"{note}. " for note in dict.fromkeys(self.notes))

    def _costs_table(self) -> Section:
        rows = []
        for stack, results in self._costs.items():
            cpu = [
                statistics.median(r.cpu[end] / (r.size / 100e6 or float("nan")) for r in results)
                for end in (0, 1)
            ]
            peak = [max(result.peak[end] for result in results) / 1e6 for end in (0, 1)]
            rows.append(
                (stack, f"{cpu[0]:.2f} / {cpu[1]:.2f} s", f"{peak[0]:.0f} / {peak[1]:.0f} MB")
            )
        return Section(
            "What data channels cost",
            f"Sender / receiver, without delay. `python -m tests.bench.data --cell {_COSTS}`",
            ("stack", "processor per 100 MB", "memory at most"),
            tuple(rows),
        )

    # --- the rest

    async def _fair(self) -> Section:
        rows: list[tuple[str, ...]] = []
        for stack in self._measured(Stack.ICEFLOE_UVLOOP, Stack.AIORTC_UVLOOP):
            for rival in Rival:
                try:
                    result = await share(
                        stack,
                        rival,
                        seconds=self.plan.seconds + 5,
                        program=self.program,
                    )
                except PeerTrouble as trouble:
                    print(f"fair {stack}: failed: {trouble}", file=sys.stderr, flush=True)
                    rows.append((stack, rival, "failed", *"----"))
                    continue
                row = (
                    stack,
                    rival,
                    f"{result.rate * 8 / 1e6:.1f} Mbit/s",
                    "-" if rival is Rival.NOBODY else f"{result.rival * 8 / 1e6:.1f} Mbit/s",
                    "-" if rival is Rival.NOBODY else f"{result.part:.0%}",
                    " / ".join(f"{wait * 1000:.0f}" for wait in result.wait) + " ms",
                    f"{result.begin * 1000:.0f} ms",
                )
                rows.append(row)
                print("fair", *row, file=sys.stderr, flush=True)
        return Section(
            "Sharing a link",
            "A link of 20 Mbit/s with a round trip of 50 ms and 200 ms of queue, without the first "
            "3 s. The wait is how long small packets, 100 a second, are held up beyond the delay "
            "of the idle link. "
            "`python -m tests.bench.data --cell fair`",
            (
                "stack",
                "beside",
                "its rate",
                "the other's",
                "its share",
                "wait, median / p95 / most",
                "most in the first 3 s",
            ),
            tuple(rows),
        )

    def _measured(self, *default: Stack) -> list[Stack]:
        """Return the stacks of a long cell: those asked for, or these of all."""
        asked = self.plan.stacks
        chosen = default if len(asked) >= len(COLUMNS) - 2 else asked
        return [stack for stack in chosen if stack.is_there]

    async def _memory(self) -> Section:
        rows: list[tuple[str, ...]] = []
        seconds = _HOURS if self.plan.full else 2 * self.plan.seconds
        for stack in self._measured(Stack.ICEFLOE_UVLOOP, Stack.AIORTC_UVLOOP):
            try:
                memory = await remember(stack, seconds=seconds)
            except PeerTrouble as trouble:
                print(f"memory {stack}: failed: {trouble}", file=sys.stderr, flush=True)
                rows.append((stack, "failed", "-", "-", "-"))
                continue
            row = (
                stack,
                f"{memory.sent / 1e9:.2f} GB",
                f"{memory.seconds:.0f} s",
                memory.over_time(0),
                memory.over_time(1),
            )
            rows.append(row)
            print("memory", *row, file=sys.stderr, flush=True)
        return Section(
            "Memory of a long transfer",
            f"Up to {ALL / 1e9:g} GB in {seconds:g} s; the megabytes of each process at the begin, "
            "after a quarter, half and three quarters of the time, and at the end. "
            "`python -m tests.bench.data --cell memory --full` sends them all.",
            ("stack", "sent", "took", "sender", "receiver"),
            tuple(rows),
        )


def _figure(value: float, unit: Unit) -> str:
    if unit is Unit.MESSAGES:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


async def measure(plan: Plan) -> list[Section]:
    """Run a plan.

    Raises:
        PermissionError: This process may make no network namespaces.
    """
    if not netns.can_isolate():
        raise PermissionError(
            "the data benchmark makes network namespaces: run it as root on Linux"
        )
    bench = Bench(plan)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="icefloe-bench-")))
        if compiler() is not None:
            bench.program = await build(folder)
        else:
            bench.missing.append("Without a C compiler the wire is the slow one")
        needed = _needed(plan)
        if needed & {Stack.WERIFT, Stack.NODE_DATACHANNEL}:
            # What is not there then is told below, and why not on standard error.
            print(await asyncio.to_thread(node.install), end="", file=sys.stderr, flush=True)
        if lacking := sorted(stack for stack in needed if not stack.is_there):
            bench.missing.append(f"Left out, for this machine lacks them: {', '.join(lacking)}")
        return await bench.run()


def _needed(plan: Plan) -> set[Stack]:
    every = {**CELLS, **MIXED}
    cells = [every[name] for name in plan.cells if name in every]
    return {end for cell in cells for stack in plan.stacks for end in cell.ends(stack) or ()}


def _plan(words: Iterable[str] | None = None) -> Plan:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [*CELLS, *MIXED, *OTHER_CELLS]
    parser.add_argument("--cell", action="append", choices=names, help="only this; repeatable")
    parser.add_argument("--stack", action="append", choices=[*Stack], help="likewise")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a run")
    parser.add_argument("--rounds", type=int, default=1, help="the median of so many counts")
    parser.add_argument("--seed", type=int, default=1, help="by which the first round loses")
    parser.add_argument("--quick", action="store_true", help="4 s a run, Python alone")
    parser.add_argument("--mixed", action="store_true", help="with other stacks at the other end")
    parser.add_argument("--full", action="store_true", help="10 GB in the cell “memory”")
    parser.add_argument("--list", action="store_true", help="list the cells")
    given = parser.parse_args(words if words is None else list(words))
    if given.list:
        titles = {name: cell.title for name, cell in (CELLS | MIXED).items()} | OTHER_CELLS
        for name, title in titles.items():
            print(f"{name:18} {title}")
        sys.exit()
    stacks = [Stack(name) for name in given.stack] if given.stack else list(COLUMNS)
    cells = given.cell or [*MIXED] if given.mixed else given.cell or names
    if given.quick:
        stacks = [stack for stack in stacks if given.stack or stack.is_python]
        cells = [n for n in cells if given.cell or n not in MIXED or _is_all_python(MIXED[n])]
    return Plan(
        cells,
        stacks,
        4.0 if given.quick else given.seconds,
        given.rounds,
        given.seed,
        given.full,
    )


def _is_all_python(cell: Cell) -> bool:
    return all(end is None or end.is_python for end in (cell.sender, cell.receiver))


def main() -> None:
    """Run and print."""
    for section in asyncio.run(measure(_plan())):
        print(section.markdown())


if __name__ == "__main__":
    main()

"""The section of the report about a case: a table of its figures. No I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.bench.capacity.cases import CONTESTANTS, Case
from tests.bench.capacity.figures import LONG_GAP, Figures, figures
from tests.bench.capacity.recording import Recording
from tests.bench.report import Section, seconds

TITLE = "Video on a changing link"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes:
        case: The case as it was run.
        step: The number of the step.
        name: The contestant's name.
        call: The number of the call.
        figures: What it did.
        ours: What icefloe did there, if that was run.
    """

    case: Case
    step: int
    name: str
    call: int
    figures: Figures
    ours: Figures | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table.

    Attributes:
        title: Its heading.
        cell: Returns what is in a row.
        needed: Tells whether a case has it.
    """

    title: str
    cell: Callable[[Row], str]
    needed: Callable[[Case], bool] = lambda case: True


def rows_of(case: Case, recordings: Mapping[str, Recording]) -> list[Row]:
    """Return the rows of a case: step by step, and in each the contestants."""
    rows = []
    for step in range(len(case.steps)):
        for name, recording in recordings.items():
            for call in range(len(case.starts)):
                found = figures(case, recording, step, call)
                ours = recordings.get("icefloe")
                if found is not None:
                    other = figures(case, ours, step, call) if ours is not None else None
                    rows.append(Row(case, step, name, call, found, other))
    return rows


def section(
    name: str, case: Case, recordings: Mapping[str, Recording], picture: str, notes: str = ""
) -> Section:
    """Return the section about a case.

    Args:
        name: The case's name on the command line.
        case: The case as it was run.
        recordings: What was seen of each contestant, by its name.
        picture: The path of its plot, from the report.
        notes: What else is to be said, with a blank in front.
    """
    columns = [column for column in COLUMNS if column.needed(case)]
    rows = rows_of(case, recordings)
    return Section(
        f"{TITLE}: {case.title}",
        f"{_intro(name, case)}{notes}\n\n![{_alternative(case)}]({picture})",
        tuple(column.title for column in columns),
        tuple(tuple(column.cell(row) for column in columns) for row in rows),
    )


def _intro(name: str, case: Case) -> str:
    width, height = case.size
    also = " and a tone" if case.sound else ""
    lossy = f", {case.loss:.0%} loss each way" if case.loss else ""
    text = (
        f"{width}x{height} at 30 pictures a second in VP8, with grain{also}; {case.delay * 1000:g} "
        f"ms each way{lossy}, {case.queue * 1000:g} ms of queue, which the way back has not. "
        "Used is the part of the link's bytes; after 5 s, and in all of the step. Delay is that "
        "of pictures, from one program to the other, the wait that of packets in the queue after "
        "5 s (p95). "
    )
    if case.sound:
        text += f"Gaps are those in the sound that are longer than {LONG_GAP * 1000:g} ms. "
    if len(case.steps) > 1 and any(case.is_cut(n) for n in range(len(case.steps))):
        text += (
            "Found is the time until 90 % of the link are used for a second; after a cut that "
            "until less than 0.6 Mbit/s is sent for half a second, and that until the queue is "
            "empty. "
        )
    return f"{text}`python -m tests.bench.capacity --case {name}`"


def _alternative(case: Case) -> str:
    return f"Rate and delay over time, {case.title}: a line of plots for each stack"


# --- cells


def _who(row: Row) -> str:
    title = CONTESTANTS[row.name].title
    return title if len(row.case.starts) == 1 else f"{title}, {row.call + 1}"


def _ratio(row: Row) -> str:
    if row.ours is None or not row.ours.settled:
        return "-"
    return f"{row.figures.settled / row.ours.settled:.2f}"


def _size(row: Row) -> str:
    return "x".join(map(str, row.figures.size)) if row.figures.size else "-"


def _delays(row: Row) -> str:
    if row.figures.delays is None:
        return "-"
    return " / ".join(map(seconds, row.figures.delays))


def _time(value: float | None, row: Row, wanted: bool) -> str:
    """Write how long something took that may have been waited for in vain, or not at all."""
    if not wanted:
        return ""
    return "never" if value is None else seconds(value)


def _gaps(row: Row) -> str:
    gaps = row.figures.gaps
    return f"{len(gaps)}, {seconds(max(gaps))} at most" if gaps else "0"


def _has_cut(case: Case) -> bool:
    return any(case.is_cut(number) for number in range(len(case.steps)))


COLUMNS = (
    Column("step", lambda row: row.case.steps[row.step].title),
    Column("stack", _who),
    Column("used after 5 s", lambda row: f"{row.figures.settled:.0%}"),
    Column("of icefloe's", _ratio),
    Column("used", lambda row: f"{row.figures.whole:.0%}"),
    Column("TCP used", lambda row: f"{row.figures.tcp:.0%}", lambda case: case.tcp > 0),
    Column(
        "pictures made / sent / arrived",
        lambda row: f"{row.figures.made} / {row.figures.sent} / {row.figures.arrived}",
    ),
    Column("size at last", _size),
    Column("longest freeze", lambda row: seconds(row.figures.freeze)),
    Column("delay p50 / p95", _delays),
    Column("wait", lambda row: "-" if row.figures.wait is None else seconds(row.figures.wait)),
    Column("found no room", lambda row: f"{row.figures.dropped:.1%}"),
    Column(
        "found",
        lambda row: _time(row.figures.filled, row, row.case.is_rise(row.step)),
        lambda case: len(case.starts) == 1 and not case.tcp,
    ),
    Column(
        "below 0.6",
        lambda row: _time(row.figures.obeyed, row, row.case.is_cut(row.step)),
        _has_cut,
    ),
    Column(
        "queue empty",
        lambda row: _time(row.figures.drained, row, row.case.is_cut(row.step)),
        _has_cut,
    ),
    Column("gaps in the sound", _gaps, lambda case: case.sound),
)
"""The columns, those included that not every case has."""

"""The result of every benchmark: a section of docs/benchmarks.md."""

import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

REPORT = Path(__file__).parents[2] / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Section:
    """One benchmark's part of the report.

    Attributes:
        title: Its heading.
        intro: What was measured, and with what command.
        header: The columns of its table.
        rows: The table.
    """

    title: str
    intro: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Return the section as Markdown."""
        lines = [f"## {self.title}", "", self.intro, ""]
        lines += [_row(self.header), _row(("---",) * len(self.header))]
        lines += [_row(row) for row in self.rows]
        return "\n".join(lines) + "\n"


def merge(report: str, sections: Iterable[Section]) -> str:
    """Return the report with sections in the place of those that have their titles, or at the end.

    Args:
        report: Markdown.
        sections: What was measured anew.
    """
    for section in sections:
        report = merge_text(report, section.markdown())
    return report


def merge_text(report: str, section: str) -> str:
    """Return the report with a section, given as Markdown; see :func:`merge`."""
    head, *parts = re.split(r"^(?=## )", report, flags=re.MULTILINE)
    made = section + "\n"
    titles = [part.splitlines()[0] for part in parts]
    if (title := made.splitlines()[0]) in titles:
        parts[titles.index(title)] = made
    else:
        parts.append(made)
    return head + "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def seconds(value: float) -> str:
    """Write a duration so that three digits count."""
    return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def load() -> str:
    """Return how busy the machine has been in the last minute, in processors."""
    return f"{os.getloadavg()[0]:.1f} of {os.cpu_count()}"


def machine() -> str:
    """Describe what the figures were taken on."""
    names = ("icefloe", "aiortc", "aioice", "uvloop")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    kind = f"{os.cpu_count()} cores, {platform.system()} {platform.release()} {platform.machine()}"
    return f"{kind}, Python {platform.python_version()}, {packages}"

"""Counters and gauges in the text format that Prometheus reads (version 0.0.4). No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and its value.

    Attributes:
        name: Its name; a counter's ends in ``_total``.
        kind: What it is.
        help: What it tells, in one line.
        value: Its value, if it has no label.
        label: The name of its label.
        values: The values by label.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    value: int | None = None
    label: str = ""
    values: Mapping[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the lines of this metric."""
        head = [f"# HELP {self.name} {self.help}", f"# TYPE {self.name} {self.kind}"]
        if self.value is not None:
            return [*head, f"{self.name} {self.value}"]
        return [
            *head,
            *(
                f'{self.name}{{{self.label}="{_escape(label)}"}} {value}'
                for label, value in sorted(self.values.items())
            ),
        ]


def render(metrics: list[Metric]) -> str:
    """Return what ``/metrics`` answers."""
    return "\n".join(line for metric in metrics for line in metric.lines()) + "\n"


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

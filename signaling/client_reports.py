"""Counts of the reports of clients on their connections, for the metrics. No I/O.

Nobody checks whether a report is true: it changes numbers in the metrics, and nothing else.
"""

from collections import Counter

from msgspec import UNSET

from .histogram import Histogram
from .messages import Report, ReportPath, ReportPhase

MOST_REPORTS = 256
"""Reports of one participant that are counted; a call makes one."""

CONNECT_BOUNDS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 40.0)
"""Upper bounds of the buckets, in seconds."""


class ClientReports:
    """Counts the reports of all clients.

    Attributes:
        seconds: The seconds that connecting took, by phase; of connections that work.
        failures: The number of connections that failed, by phase.
        paths: The number of connections that work, by the kind of their path.
        ignored: The number of reports beyond those that are counted of a participant.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, Histogram] = {
            phase.value: Histogram(CONNECT_BOUNDS) for phase in ReportPhase
        }
        self.failures: Counter[str] = Counter(
            {phase.value: 0 for phase in ReportPhase if phase is not ReportPhase.TOTAL}
        )
        self.paths: Counter[str] = Counter({path.value: 0 for path in ReportPath})
        self.ignored: int = 0

    def record(self, report: Report, before: int) -> None:
        """Count a report.

        Args:
            report: The report.
            before: The number of reports that the participant has made before it.
        """
        if before >= MOST_REPORTS:
            self.ignored += 1
        elif isinstance(report.path, ReportPath):
            self.paths[report.path.value] += 1
            for phase, seconds in report.seconds.items():
                self.seconds[phase.value].observe(seconds)
        elif report.phase is not UNSET:
            self.failures[report.phase.value] += 1

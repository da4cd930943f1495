"""Measurements of the lab's tests, told at the end of the run: printed, never asserted."""

from collections.abc import Callable

import pytest

_MEASURED = "measured"

Note = Callable[[object], None]


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Keep what was seen for the end of the run."""

    def keep(seen: object) -> None:
        line = f"{request.node.name.removeprefix('test_')}: {seen}"
        request.node.user_properties.append((_MEASURED, line))

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
    ]
    measured = [
        value for report in reports for key, value in report.user_properties if key == _MEASURED
    ]
    if measured:
        terminalreporter.section("NAT lab")
        for line in measured:
            terminalreporter.write_line(line)

"""What the lab's tests measured, told at the end of the run: it is printed, never asserted."""

from collections.abc import Callable

import pytest

_measured: list[str] = []

Note = Callable[[object], None]


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Keep what was seen for the end of the run."""

    def keep(seen: object) -> None:
        _measured.append(f"{request.node.name.removeprefix('test_')}: {seen}")

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _measured:
        terminalreporter.section("NAT lab")
        for line in _measured:
            terminalreporter.write_line(line)

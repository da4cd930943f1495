"""Every test: a network of its own where possible, nothing left behind, no silent skip."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.helpers import netns, signals, system
from tests.helpers.leaks import Snapshot, left_behind

_lacking: set[str] = set()

# What hypothesis measures is how busy the machine is: an example that took long once, and not when
# it is tried again, would be called flaky.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure() -> None:
    signals.usual()
    if system.find("ip"):
        netns.isolate()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("system"):
        lacking = system.missing(*mark.args)
        if lacking:
            _lacking.update(lacking)
            pytest.skip(f"needs {', '.join(lacking)}; `make system` installs what there is")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if system.REQUIRED and session.exitstatus == pytest.ExitCode.OK:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and reporter.stats.get("skipped"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _lacking:
        terminalreporter.write_line(
            f"Tests were skipped for want of: {', '.join(sorted(_lacking))}. "
            "`make system` installs what Debian and npm have; namespaces need root.",
            yellow=True,
        )
    if system.REQUIRED and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("ICEFLOE_REQUIRE_SYSTEM=1: a skip is a failure.", red=True)


@pytest.fixture(autouse=True)
async def nothing_left_behind(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Fail a test that leaves a task, a thread, a socket or a file open."""
    before = Snapshot.take()
    yield
    if left := await left_behind(before):
        pytest.fail(f"{request.node.name} left behind:\n  " + "\n  ".join(left))

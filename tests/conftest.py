"""Every test: a network of its own where possible, nothing left behind, no silent skip."""

import os
import re
import sys
import time
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import pytest
from av import Packet
from av.frame import Frame
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.helpers import complaints, netns, room, signals, system
from tests.helpers.leaks import nothing_left

_LACKING = "lacking"
"""The report of a skipped test to the process that tells of the run."""

# What hypothesis measures is how busy the machine is: an example that took long once, and not when
# it is tried again, would be called flaky.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    signals.usual()
    # With several workers each has a network of its own, and the process that directs them none.
    if system.find("ip") and not getattr(config.option, "numprocesses", None):
        netns.isolate()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Pass over files in which nothing is marked ``alone`` where nothing else is wanted.

    To import all of them takes as long as some of these tests.
    """
    if config.option.markexpr != "alone" or collection_path.suffix != ".py":
        return None
    return "mark.alone" not in collection_path.read_text(encoding="utf-8") or None


def pytest_xdist_auto_num_workers() -> int:
    """Return how many tests run side by side with ``-n auto``.

    Two for each processor, since much of their time they wait; fewer where this process gets but a
    part of one, since what talks in real time needs some of it.
    """
    return max(1, min(round(2 * (os.cpu_count() or 1) * _share_of_a_processor()), 8))


def _share_of_a_processor() -> float:
    begun, used = time.monotonic(), time.process_time()
    while (passed := time.monotonic() - begun) < 0.3:
        pass
    return (time.process_time() - used) / passed


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name a value without its address, which is another one in each worker."""
    has_address = type(val).__repr__ is object.__repr__ or isinstance(val, Frame | Packet)
    if not has_address:
        return None
    return re.sub(r" at 0x[0-9a-f]+", "", repr(val))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let as many as there are processors run at a time of those that start browsers and servers.

    With more, other stacks have too little time now and then. What goes by the clock, or computes
    in this process, may be beside them.
    """
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if not is_worker or not any(item.iter_markers("system")):
        return (yield)
    with room.room(os.getppid(), os.cpu_count() or 1):
        return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("system"):
        lacking = system.missing(*mark.args)
        if lacking:
            item.user_properties.append((_LACKING, lacking))
            pytest.skip(f"needs {', '.join(lacking)}; `make system` installs what there is")


def pytest_sessionfinish(session: pytest.Session) -> None:
    room.clear(os.getpid())  # a worker's number is that of no run
    if system.REQUIRED and session.exitstatus == pytest.ExitCode.OK:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and reporter.stats.get("skipped"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    told = [value for report in skipped for key, value in report.user_properties if key == _LACKING]
    if lacking := {part for parts in told for part in parts}:
        terminalreporter.write_line(
            f"Tests were skipped for want of: {', '.join(sorted(lacking))}. "
            "`make system` installs what Debian and npm have; namespaces need root.",
            yellow=True,
        )
    if system.REQUIRED and skipped:
        terminalreporter.write_line("ICEFLOE_REQUIRE_SYSTEM=1: a skip is a failure.", red=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test during which this process, or one that it started, printed a traceback."""
    report: pytest.TestReport = yield
    if report.when == "teardown" and report.passed:
        for _, kind, text in item._report_sections:
            if kind == "stderr":
                complaints.search("standard error", text)
        if printed := complaints.taken():
            report.outcome, report.longrepr = "failed", "\n".join(printed)
    return report


@pytest.fixture(autouse=True)
async def nothing_left_behind(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Fail a test that leaves a task, a thread, a socket or a file open, or an error unread."""
    async with nothing_left(request.node.name):
        yield

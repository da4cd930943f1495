"""The benchmark of many connections tells plausible figures; nothing of time."""

import asyncio

import pytest

from tests.bench.many.idle import STACKS, is_there, measure, processor_seconds, section
from tests.bench.report import merge_text


@pytest.mark.parametrize("stack", [stack for stack in STACKS if stack != "wrtc"])
async def test_a_few_idle_connections(stack: str) -> None:
    assert is_there(stack)
    figures = await measure(stack, 2, idle=0.2, settle=0.1)
    assert figures.count == 2
    assert figures.idle >= 0
    assert figures.set_up > 0
    assert 0 < figures.first < 30
    assert 0 < figures.newest < 30
    made = section([figures])
    assert made.rows[0][0] == stack
    assert len(made.rows[0]) == len(made.header)


async def test_a_peer_that_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.many.idle.sys.executable", "false")
    with pytest.raises(RuntimeError, match="ended before"):
        await measure("icefloe", 1)


async def test_the_processor_time_of_another_process_is_read() -> None:
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
    assert 0 <= processor_seconds(process.pid) < 10
    process.kill()
    await process.wait()


def test_a_section_takes_the_place_of_the_one_with_its_title() -> None:
    report = "# Report\n\n## One\n\n1\n\n## Two\n\n2\n"
    assert merge_text(report, "## One\n\n3\n") == "# Report\n\n## One\n\n3\n\n## Two\n\n2\n"
    assert merge_text(report, "## Three\n\n3\n").endswith("2\n\n## Three\n\n3\n")

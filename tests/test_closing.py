"""Whatever is closed gives back all that it held, soon, also while the network hangs.

``python -m tests.bench.closing`` prints how long it takes; so does this with ``-s``.
"""

from pathlib import Path

import pytest

from tests.bench.closing import measure_end, measure_parts, surroundings
from tests.bench.peers.closer import ENDS, PARTS, Freed

pytestmark = [pytest.mark.alone, pytest.mark.system("netns", "iproute2", "xvfb")]

BOUND = 5.0
"""Seconds; it is a second on a machine that is not busy."""


def check(freed: Freed) -> None:
    print(f"{freed.what}: {freed.freed * 1000:.0f} ms")  # noqa: T201
    assert not freed.left, f"{freed.what} left {', '.join(freed.left)}"
    assert freed.freed < BOUND, freed


async def test_what_is_closed_leaves_no_thread_no_process_no_file(tmp_path: Path) -> None:
    async with surroundings(tmp_path) as (around, company):
        freed = await measure_parts(around, company)
    assert len(freed) == 1 + len(PARTS)
    for each in freed:
        check(each)


async def test_a_program_ends_however_it_is_ended(tmp_path: Path) -> None:
    async with surroundings(tmp_path) as (around, company):
        for what in ENDS:
            check(await measure_end(around, company, what))

"""The benchmark of the shells runs and counts; what it measures is not looked at."""

from pathlib import Path

import pytest

from tests.bench.signaling_shells import SHELLS, Plan, describe, measure


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
async def test_each_shell_is_measured() -> None:
    found = await measure(Plan(SHELLS, rounds=1, seconds=0.5, pairs=2, joins=10))
    assert all(figures.rate[0] > 0 and figures.joins[0] > 0 for figures in found.values())
    assert describe(found).count("\n") == len(SHELLS) + 1

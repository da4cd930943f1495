"""Connections that send as fast as they can, and a pair that must not notice."""

import sys

import pytest

from tests.bench.signaling_flood import measure


@pytest.mark.parametrize("kind", ["mixed", "pings"])
async def test_a_flood_is_slowed_down_and_a_pair_goes_on(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = await measure(connections=100, seconds=3, kind=kind)
    with capsys.disabled():
        sys.stdout.write(f"\n{kind}: {result.describe()}\n")
    assert result.arrived_in_order
    assert result.flood.rate_limited == 100
    assert result.flood.cut_off == 0

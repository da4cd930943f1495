"""The benchmark of a shared port runs, and nobody's messages are lost to a flood."""

import pytest

from tests.bench.shared_port import measure


@pytest.mark.alone
async def test_connections_go_on_while_foreign_packets_flood_their_port() -> None:
    result = await measure(connections=30, speaking=10, rate=2000, seconds=1.0)
    assert result.stats.generations == 30
    assert result.flooded.foreign > 0
    assert len(result.flooded.trips) > 10
    assert result.stats.overflowed_datagrams == 0
    assert len(result.lines()) == 5

"""A server with its default limits that one address attacks: others get in. Nothing of time."""

import pytest

from icefloe.signaling.outbox import BYTES_KEPT_TOTAL
from icefloe.signaling.write_buffers import WRITE_LIMIT_TOTAL
from tests.bench.crowd import ATTACKS
from tests.bench.one_address import measure

COUNT = 10
READING = 100_000_000
"""Bytes beside what waits to be read by others: what was read of 200 sockets and is not handled,
and what Python does not give back."""


@pytest.mark.parametrize("attack", ATTACKS)
async def test_others_join_while_one_address_attacks(attack: str) -> None:
    result = await measure(attack, count=COUNT, tls=attack in ("silent", "slow", "handshakes"))
    assert result.failures == []
    assert len(result.latencies) == COUNT
    assert result.grown * 1e6 < BYTES_KEPT_TOTAL + WRITE_LIMIT_TOTAL + READING

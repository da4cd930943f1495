"""The benchmark of coturn relays what it counts."""

import pytest

from tests.bench.turn_capacity import run


@pytest.mark.system("coturn")
def test_a_few_packets_are_relayed_both_ways() -> None:
    (result,) = run([2], 200, core=0)
    assert result.sent == 400
    assert 0 < result.delivered <= result.sent
    assert result.cpu >= 0

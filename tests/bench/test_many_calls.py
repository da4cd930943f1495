"""The benchmarks of many calls measure something, with each kind of call; but no times here."""

import pytest

from tests.bench.many import jitter, voice
from tests.bench.many.calls import Kind, Outcome, percentile, run


@pytest.mark.alone
@pytest.mark.parametrize("kind", Kind)
async def test_calls_are_answered_and_heard(kind: Kind) -> None:
    outcome = await run("icefloe", 2, kind, seconds=2.0, settle=1.0)
    assert outcome.processor > 0
    if kind is not Kind.VIDEO_OUT:
        assert outcome.worst > 0
    if kind is not Kind.VIDEO_IN:
        assert outcome.sent > 0
    if kind is Kind.VOICE:
        assert outcome.delay > 0
        assert outcome.stats["totalSamplesReceived"] > 0


def test_what_a_table_has_of_a_run() -> None:
    stats = {"totalSamplesReceived": 1000.0, "concealedSamples": 20.0}
    stats["removedSamplesForAcceleration"] = 5.0
    outcome = Outcome(1.5, 0.0204, 49.9, 48.0, 0.001, 50.1, 0.031, 0.055, 0.002, stats)
    assert voice._row("10 voice", "icefloe", outcome) == (
        "| 10 voice | icefloe | 20.4 | 49.9 (48.0) | 0.10% | 50.1 | 31 ms | 55 ms | 2.0 ms "
        "| 1.5 s |"
    )
    assert jitter._row("20 ms", "wrtc", outcome) == (
        "| 20 ms | wrtc | 2.00% | 0.00% | 0.50% | 2.50% | 0.10% | 31 ms | 55 ms |"
    )


def test_percentiles() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0] * 99 + [9.0], 0.99) == 9.0
    assert percentile([], 0.5) != percentile([], 0.5)  # which is no number

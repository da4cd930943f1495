"""The data benchmark: its arithmetic, and that it measures what runs."""

from pathlib import Path

import pytest

from tests.bench.cells import path
from tests.bench.network import network
from tests.bench.stacks import Stack
from tests.bench.transfer import Transfer, calling, echo, transfer
from tests.natlab.fast_wire import build, compiler


def result(*samples: tuple[float, int, int], seconds: float = 4.0) -> Transfer:
    begun = 100.0
    shifted = [(begun + at, size, messages) for at, size, messages in samples]
    return Transfer(begun, begun + seconds, shifted, (0, 0), (0, 0), 0, 0, None)


def test_a_rate_counts_what_came_between_begin_and_end() -> None:
    # It began to listen before the sender began, and was told to stop after the end.
    measured = result((-0.5, 0, 0), (2, 1000, 10), (6, 5000, 50))
    assert measured.size == 3000
    assert measured.rate() == 750
    assert measured.rate(what=2) == 7.5


def test_a_rate_leaves_out_the_begin() -> None:
    measured = result((0, 0, 0), (2, 1000, 10), (4, 5000, 50))
    assert measured.rate(after=2) == 2000
    assert measured.rate(after=3) == 2000


def test_what_stands_still_stays_where_it_is() -> None:
    measured = result((0, 0, 0), (1, 1000, 10), (3.999, 1000, 10))
    assert measured.rate() == 250
    assert measured.rate(after=2) == 0
    assert result((0, 0, 0), (9, 0, 0)).rate() == 0


@pytest.mark.alone
@pytest.mark.system("netns", "iproute2")
@pytest.mark.skipif(compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("stack", [Stack.ICEFLOE, Stack.AIORTC_UVLOOP])
async def test_two_peers_are_measured_over_the_fast_wire(stack: Stack, tmp_path: Path) -> None:
    program = await build(tmp_path)
    async with network(path(0.02), program) as link, calling(link, stack, stack) as ends:
        measured = await transfer(ends, size=16384, seconds=1.0)
        assert measured.size > 0
        assert min(measured.cpu) > 0
        assert measured.counts is not None
        # Every byte crossed the wire, in packets of at most 1200 bytes each.
        assert measured.counts.read[0] > measured.size / 1500
    async with network(path(0.02), program) as link, calling(link, stack, stack) as ends:
        trips = await echo(ends, size=100, seconds=5.0, count=20)
        assert 0.02 <= trips.p50 <= trips.p99

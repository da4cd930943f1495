"""One hostile peer of five: the memory has its bound, and the others go on. Nothing of time."""

import sys

import pytest

from tests.bench.hostile import HEAD, Result, staged

SECONDS = 0.7
MOST_MB = 150.0
"""Megabytes by which a process may grow beyond its usual size while a peer is hostile."""

TOLD = {
    "a message that never ends": "closed",
    "channels without end": "data_channels_refused",
    "pictures as large as can be": "framesDropped",
    "datagrams that are none": "_discarded",
    "descriptions of nonsense": "refused",
}
"""Outcomes of some attacks as the victim reports them: the state of data channels, or a count."""


def tells(result: Result, what: str) -> bool:
    """Return whether the victim says so of the hostile peer."""
    counted = result.hostile.get("discarded", {})
    return what == result.hostile.get("data_state") or any(name.endswith(what) for name in counted)


SOME = [
    "gap blocks without end",
    "tiny fragments",
    "a message that never ends",
    "channels without end",
    "pictures as large as can be",
    "a new source in each packet",
    "requests for everything",
    "candidates without end",
    "descriptions of nonsense",
    "datagrams that are none",
]
"""One of each kind; ``python -m tests.bench.hostile`` has all of them."""


@pytest.mark.alone
async def test_four_peers_go_on_while_a_fifth_is_hostile(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with staged() as stage:
        for name in SOME:
            result = await stage.under(name, SECONDS)
            await stage.go_on()
            with capsys.disabled():
                sys.stdout.write(f"\n{HEAD}\n" if name == SOME[0] else "")
                sys.stdout.write(f"{result.row()}\n")
            assert result.sent, name
            assert result.grown < MOST_MB, name
            assert name not in TOLD or tells(result, TOLD[name]), name

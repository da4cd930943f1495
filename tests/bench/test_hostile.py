"""One hostile peer of five: the memory has its bound, and the others go on. Nothing of time."""

import sys
from types import ModuleType

import pytest

from tests.bench.hostile import HEAD, Result, staged
from tests.bench.hostility import data, media, paths
from tests.bench.hostility.means import ATTACKS

SECONDS = 0.7
MOST_MB = 150.0
"""By which a process may grow beyond its usual size while a peer is hostile."""

TOLD = {
    "a message that never ends": "closed",
    "channels without end": "dataChannelsRefused",
    "long labels": "dataChannelsRefused",
    "pictures as large as can be": "framesDropped",
    "packets that do not parse": "Discarded",
    "datagrams that are none": "Discarded",
    "control without sense": "Discarded",
    "descriptions of nonsense": "refused",
}
"""What the victim says of some attacks: the state of the data channels, or what it counted."""


def tells(result: Result, what: str) -> bool:
    """Return whether the victim says so of the hostile peer."""
    counted = result.hostile.get("discarded", {})
    return what == result.hostile.get("data_state") or any(name.endswith(what) for name in counted)


def attacks_of(module: ModuleType) -> list[str]:
    """Return the names of the attacks that a module has."""
    return [name for name, attack in ATTACKS.items() if attack.__module__ == module.__name__]


@pytest.mark.alone
@pytest.mark.parametrize("module", [data, media, paths], ids=["data", "media", "paths"])
async def test_four_peers_go_on_while_a_fifth_is_hostile(
    module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    names = attacks_of(module)
    assert names
    async with staged() as stage:
        for name in names:
            result = await stage.under(name, SECONDS)
            await stage.go_on()
            with capsys.disabled():
                sys.stdout.write(f"\n{HEAD}\n" if name == names[0] else "")
                sys.stdout.write(f"{result.row()}\n")
            assert result.sent, name
            assert result.grown < MOST_MB, name
            assert name not in TOLD or tells(result, TOLD[name]), name

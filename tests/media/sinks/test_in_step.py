"""Sound and pictures of a call that is recorded are in step: real peers, real paths, real files."""

import asyncio
from pathlib import Path

import pytest

from tests.bench.step import IN_STEP, Call, record

pytestmark = [pytest.mark.alone, pytest.mark.system("netns", "iproute2", "nftables")]

SECONDS = 16.0
CALLS = {
    "nothing is lost": Call(SECONDS),
    "a twentieth is lost": Call(SECONDS, loss=0.05),
    "tracks and the picture's size change": Call(SECONDS, loss=0.01, changes=True),
}


async def test_the_recordings_of_three_calls_are_in_step_from_the_start_to_the_end(
    tmp_path: Path,
) -> None:
    folders = [tmp_path / str(number) for number in range(len(CALLS))]
    for folder in folders:
        folder.mkdir()
    recorded = await asyncio.gather(*map(record, CALLS.values(), folders))
    for (name, call), files in zip(CALLS.items(), recorded, strict=True):
        for suffix, step in files.items():
            told = f"{name}, {suffix}: {step.offsets}"
            # A beep in the midst of a lost one cannot be compared; most can.
            assert len(step.offsets) >= 0.6 * call.seconds, told
            assert step.worst(0, 5) < IN_STEP, told
            assert step.worst(call.seconds - 6, call.seconds + 1) < IN_STEP, told
            assert step.worst(0, call.seconds + 1) < IN_STEP, told

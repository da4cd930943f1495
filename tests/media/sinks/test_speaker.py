"""Speakers are tested with ALSA's own library, whose plugins write to a file and to nothing."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from av.format import ContainerFormat

from icefloe.media import InvalidParameter, OutputUnavailable, Speaker
from tests.media.recordings import constant
from tests.media.tracks import FedTrack, turns


def has_alsa() -> bool:
    try:
        return ContainerFormat("alsa", "w").is_output
    except ValueError:
        return False


alsa = pytest.mark.skipif(not has_alsa(), reason="PyAV's FFmpeg has no ALSA here")

PLAY = """
import asyncio, sys, threading
from icefloe.media import Speaker
from tests.media.recordings import constant
from tests.media.tracks import FedTrack, until

async def main():
    track = FedTrack("audio")
    async with await Speaker.open(track, "tape", driver="alsa") as speaker:
        for number in range(50):
            track.feed(constant(8000, number * 0.02))
            # As fast as the device takes them, so that none is dropped.
            await until(lambda: track.read == number + 1 and not speaker._frames)
        track.end()
        await speaker.wait()
        print(speaker.device, speaker.driver, speaker.dropped)
    print([t.name for t in threading.enumerate()])

asyncio.run(main())
"""


@alsa
def test_the_sound_of_a_track_reaches_the_device(tmp_path: Path) -> None:
    tape, configuration = tmp_path / "tape.raw", tmp_path / "asound.conf"
    configuration.write_text(
        "pcm.null { type null }\n"
        f'pcm.tape {{ type file slave.pcm "null" file "{tape}" format "raw" }}\n'
    )
    done = subprocess.run(
        [sys.executable, "-c", PLAY],
        cwd=Path(__file__).parent.parent.parent.parent,
        env={"ALSA_CONFIG_PATH": str(configuration)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.stdout.splitlines() == ["tape alsa 0", "['MainThread']"], done.stderr
    samples = np.frombuffer(tape.read_bytes(), np.int16).reshape(-1, 2)
    assert len(samples) == 48000
    assert set(np.abs(samples.astype(int)).ravel()) == {8000}


@alsa
async def test_a_device_that_is_not_there_is_said_so() -> None:
    with pytest.raises(OutputUnavailable, match="nowhere") as caught:
        await Speaker.open(FedTrack("audio"), "nowhere", driver="alsa")
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_driver_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputUnavailable, match="no output device horn"):
        await Speaker.open(FedTrack("audio"), driver="horn")
    monkeypatch.setattr(sys, "platform", "plan9")
    with pytest.raises(OutputUnavailable, match="plan9"):
        await Speaker.open(FedTrack("audio"))


async def test_only_sound_can_be_heard() -> None:
    with pytest.raises(InvalidParameter, match="audio"):
        await Speaker.open(FedTrack())


@alsa
async def test_a_track_goes_on_when_its_speaker_could_not_be_opened() -> None:
    track = FedTrack("audio")
    track.feed(constant(8000, 0.0))
    with pytest.raises(OutputUnavailable):
        await Speaker.open(track, "nowhere", driver="alsa")
    await turns()
    assert (track.readyState, track.read) == ("live", 0)

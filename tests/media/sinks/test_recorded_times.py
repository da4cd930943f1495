"""Recordings of tracks that tell any time: nothing is lost, and files are as long as it took."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from av import AudioFrame, VideoFrame

from icefloe.media import Recorder
from icefloe.media.sinks.muxer import FORMATS
from icefloe.media.sinks.recording_writer import FileSettings, FileWriter
from icefloe.media.sinks.sync import SenderClock
from tests.helpers.times import BASE, PICTURES, SOUND, Told
from tests.media.manual_clock import ManualClock
from tests.media.recordings import Recording, constant, gray, read
from tests.media.tracks import FedTrack, until

SECONDS = 6
SAMPLE = Fraction(1, 48000)
FLASH = 4.0, 4.3
"""The times of flashes and beeps."""


def marks(at: float) -> bool:
    return FLASH[0] <= at < FLASH[1]


def picture(at: float, told: Told) -> VideoFrame:
    frame = gray(220 if marks(at) else 40, 0)
    fresh = VideoFrame(frame.width, frame.height, "yuv420p")
    for plane, source in zip(fresh.planes, frame.planes, strict=True):
        plane.update(bytes(source))
    tell(fresh, told)
    return fresh


def sound(at: float, told: Told) -> AudioFrame:
    frame = constant(12000 if marks(at) else 300, 0)
    fresh = AudioFrame("s16", "stereo", frame.samples)
    fresh.planes[0].update(bytes(frame.planes[0])[: fresh.planes[0].buffer_size])
    fresh.sample_rate = 48000
    tell(fresh, told)
    return fresh


def tell(frame: VideoFrame | AudioFrame, told: Told) -> None:
    frame.pts, time_base = told
    if time_base is not None:
        frame.time_base = time_base


def record(
    path: Path,
    pictures: Callable[[int], Told] = lambda n: (n * 3000, BASE),
    sounds: Callable[[int], Told] = lambda n: (n * 960, SAMPLE),
    *,
    rate: float = 30,
    arrival: Callable[[float], float] = lambda at: at,
) -> tuple[Recording, FileWriter]:
    """Record what comes at the times that a clock shows, without waiting for it."""
    settings = FileSettings(
        file_format=FORMATS[path.suffix[1:]],
        audio=None,
        video=None,
        size=None,
        rate=30,
        audio_bitrate=64_000,
        video_bitrate=None,
    )
    tape = FileWriter(str(path), settings)
    video, audio = tape.add("video", SenderClock()), tape.add("audio", SenderClock())
    events = [(n / rate, 0, n) for n in range(round(SECONDS * rate))]
    events += [(n / 50, 1, n) for n in range(SECONDS * 50)]
    advanced = 0.0
    for at, kind, n in sorted(events):
        now = arrival(at)
        while advanced <= now:
            tape.advance(70 + advanced)
            advanced += 0.25
        if kind == 0:
            tape.push(video, picture(at, pictures(n)), None, 70 + now)
        else:
            tape.push(audio, sound(at, sounds(n)), None, 70 + now)
    tape.finish()
    return read(path), tape


def check(recording: Recording, tape: FileWriter, count: int, *, seconds: float = SECONDS) -> None:
    assert tape.dropped == 0
    assert tape.lost_audio < 0.1
    assert len(recording.pictures) == pytest.approx(count, abs=2)
    times = [at for at, _, _ in recording.pictures]
    assert times[-1] - times[0] == pytest.approx(seconds, abs=0.5)
    assert recording.seconds == pytest.approx(seconds, abs=0.3)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [(name, ".mkv") for name in PICTURES]
    + [
        (name, suffix)
        for name in ("no pts", "a leap of a day once")
        for suffix in (".mp4", ".webm")
    ],
)
def test_pictures_are_where_they_came(tmp_path: Path, name: str, suffix: str) -> None:
    recording, tape = record(tmp_path / f"a{suffix}", PICTURES[name])
    check(recording, tape, SECONDS * 30)
    (flash,), (beep,) = recording.flashes(), recording.onsets()[-1:]
    assert abs(flash - beep) < 0.5


@pytest.mark.parametrize("name", SOUND)
def test_sound_is_where_it_came(tmp_path: Path, name: str) -> None:
    recording, tape = record(tmp_path / "a.mkv", sounds=SOUND[name])
    check(recording, tape, SECONDS * 30)
    (flash,), (beep,) = recording.flashes(), recording.onsets()[-1:]
    assert abs(flash - beep) < 0.1
    # All of the beep is there, and nothing twice.
    assert recording.loud(beep, beep + 0.28) == 1
    assert recording.loud(beep + 0.4, SECONDS) == 0


@pytest.mark.parametrize("told", [20, 24, 25, 29, 31, 60, 120])
def test_a_camera_that_gives_another_rate_than_it_says(tmp_path: Path, told: int) -> None:
    recording, tape = record(tmp_path / "a.mkv", lambda n: (n, Fraction(1, told)))
    check(recording, tape, SECONDS * 30)
    (flash,), (beep,) = recording.flashes(), recording.onsets()[-1:]
    assert abs(flash - beep) < 0.3


@pytest.mark.parametrize("pause", [0.4, 1.3, 1.45, 1.6, 2.5, 8.0])
@pytest.mark.parametrize("goes_on", [True, False])
def test_tracks_that_pause(tmp_path: Path, pause: float, goes_on: bool) -> None:
    passed = pause if goes_on else 0.0
    recording, tape = record(
        tmp_path / "a.mkv",
        lambda n: (round((n / 30 + passed * (n >= 60)) * 90000), BASE),
        lambda n: (round((n / 50 + passed * (n >= 100)) * 48000), SAMPLE),
        arrival=lambda at: at + pause * (at >= 2),
    )
    assert tape.dropped == 0
    assert tape.lost_audio < 0.1
    times = [at for at, _, _ in recording.pictures]
    assert times[-1] - times[0] == pytest.approx(SECONDS + pause, abs=0.3)
    assert recording.flashes() == pytest.approx([FLASH[0] + pause], abs=0.2)
    if goes_on or pause > 2:
        assert recording.onsets()[-1] == pytest.approx(FLASH[0] + pause, abs=0.2)


def test_a_clock_of_the_sender_that_is_set_loses_nothing(tmp_path: Path) -> None:
    settings = FileSettings(
        file_format=FORMATS["mkv"],
        audio=None,
        video=None,
        size=None,
        rate=30,
        audio_bitrate=64_000,
        video_bitrate=None,
    )
    tape = FileWriter(str(tmp_path / "a.mkv"), settings)
    track = tape.add("video", SenderClock())
    for n in range(300):
        captured = 1.7e9 + n / 30 + (-86400 if n >= 100 else 0) + (1e7 if n >= 200 else 0)
        tape.push(track, picture(0, (n, Fraction(1, 30))), captured, 50 + n / 30)
        tape.advance(50 + n / 30)
    tape.finish()
    assert tape.dropped == 0
    times = [at for at, _, _ in read(tmp_path / "a.mkv").pictures]
    assert len(times) == 300
    assert times[-1] == pytest.approx(299 / 30, abs=0.1)


async def test_a_recorder_of_tracks_that_tell_nothing(tmp_path: Path) -> None:
    video, audio = FedTrack("video"), FedTrack("audio")
    clock = ManualClock(jumps=False)
    async with Recorder(tmp_path / "a.mkv", clock=clock) as recorder:
        recorder.add_track(video)
        recorder.add_track(audio)
        for n in range(90):
            video.feed(picture(0, (None, None)))
            audio.feed(sound(0, (None, None)), sound(0, (0, SAMPLE)))
            await until(lambda n=n: (video.read, audio.read) == (n + 1, 2 * n + 2))  # type: ignore[misc]
            clock.advance(1 / 25)
        video.end()
        audio.end()
        await recorder.wait()
    recording = read(tmp_path / "a.mkv")
    assert recorder.dropped == 0
    assert len(recording.pictures) == 90
    times = [at for at, _, _ in recording.pictures]
    assert times[-1] - times[0] == pytest.approx(89 / 25, abs=0.1)

"""Sound and pictures of a recording are within 40 ms of each other, at its start and later."""

import heapq
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from av import AudioFrame, VideoFrame
from av.frame import Frame

from icefloe.media.sinks.muxer import FORMATS
from icefloe.media.sinks.recording_writer import FileSettings, FileWriter, RecordedTrack
from icefloe.media.sinks.sync import SenderClock
from tests.media.recordings import constant, gray, read

IN_STEP = 0.04

_AUDIO, _VIDEO = 50.0, 3000.0
"""The time at which the timestamps begin, in seconds."""

SETTINGS = {
    "audio": None,
    "video": None,
    "size": None,
    "rate": 25,
    "audio_bitrate": 64_000,
    "video_bitrate": None,
}

Event = tuple[float, int, str, AudioFrame | VideoFrame, float | None]


def _marks(at: float) -> bool:
    """Return whether there is a flash and a beep."""
    return (at + 0.6) % 1 < 0.0999


class Sender:
    """Flashes and beeps for 0.1 s in each second of its own clock, over a path of its own kind.

    Args:
        drift: By how much its clock is fast.
        loss: What part of the frames does not arrive.
        report: Seconds after which the first sender report comes; None if there are none.
        delays: Seconds that audio and video take, and up to how much more a frame may take.
        hurry: Seconds of delay that the sound makes up for in its first second, as a jitter buffer
            does, by leaving some out.
    """

    def __init__(
        self,
        *,
        drift: float = 0.0,
        loss: float = 0.0,
        report: float | None = None,
        delays: tuple[float, float, float] = (0.05, 0.05, 0.02),
        hurry: float = 0.0,
        rate: int = 25,
    ) -> None:
        self._drift = drift
        self._loss = loss
        self._report = report
        self._delays = delays
        self.hurry = hurry
        self._rate = rate
        self._rng = random.Random(7)

    def events(self, seconds: float) -> Iterator[Event]:
        """Give what arrives, in order."""
        return heapq.merge(
            sorted(self._audio(seconds), key=lambda e: e[:2]),
            sorted(self._video(seconds), key=lambda e: e[:2]),
            key=lambda e: e[:2],
        )

    def _audio(self, seconds: float) -> Iterator[Event]:
        arrived = 0.0
        for number in range(round(seconds * 50)):
            at = number * 0.02
            taken = self._heard(at)
            frame = constant(12000 if _marks(taken) else 0, _AUDIO + at)
            arrived = max(arrived, self._arrival(at, self._delays[0]))
            if self._rng.random() >= self._loss:
                yield arrived, number, "audio", frame, self._captured(frame, arrived)

    def _video(self, seconds: float) -> Iterator[Event]:
        arrived = 0.0
        for number in range(round(seconds * self._rate)):
            at = number / self._rate
            frame = gray(220 if _marks(at) else 40, _VIDEO + at)
            arrived = max(arrived, self._arrival(at, self._delays[1]))
            # A flash that is lost cannot be compared, one of its frames may be.
            if self._rng.random() >= self._loss:
                yield arrived, number, "video", frame, self._captured(frame, arrived)

    def _arrival(self, at: float, delay: float) -> float:
        return 10 + at / (1 + self._drift) + delay + self._rng.random() * self._delays[2]

    def _heard(self, at: float) -> float:
        """Return when what is played after so many seconds was captured."""
        return at - self.hurry * max(0.0, 1 - at)

    def _captured(self, frame: AudioFrame | VideoFrame, arrived: float) -> float | None:
        if self._report is None or arrived < 10 + self._report:
            return None
        return self.capture_time(frame)

    def capture_time(self, frame: Frame) -> float:
        """Return when a frame was captured, as is known once a report has come."""
        assert frame.time is not None
        if isinstance(frame, AudioFrame):
            return 1_700_000_000 + self._heard(frame.time - _AUDIO)
        return 1_700_000_000 + frame.time - _VIDEO


def record(path: Path, sender: Sender, seconds: float) -> None:
    tape = FileWriter(str(path), FileSettings(file_format=FORMATS[path.suffix[1:]], **SETTINGS))  # type: ignore[arg-type]
    clock = SenderClock()
    tell = None if sender._report is None else sender.capture_time
    tracks: dict[str, RecordedTrack] = {k: tape.add(k, clock, tell) for k in ("audio", "video")}
    told = 10.0
    for arrived, _, kind, frame, captured in sender.events(seconds):
        while told + 0.25 <= arrived:
            told += 0.25
            tape.advance(told)
        tape.push(tracks[kind], frame, captured, arrived)
    tape.finish()
    # What was captured before the first frame arrived has no place in the file.
    assert tape.lost_audio < 0.1 + sender.hurry


def offsets(path: Path) -> list[tuple[float, float]]:
    """Return when flashes are, and by how much their beeps come later, in seconds."""
    recording = read(path)
    beeps = recording.onsets()
    flashes = recording.flashes()
    pairs = [(flash, min(beeps, key=lambda beep: abs(beep - flash)) - flash) for flash in flashes]
    # The beep that belongs to a flash may be lost, and then its neighbour is a second away.
    return [(at, off) for at, off in pairs if abs(off) < 0.5]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_they_are_in_step_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"call.{suffix}"
    record(path, Sender(), 6)
    found = offsets(path)
    assert len(found) >= 5
    assert max(abs(off) for _, off in found) < IN_STEP


@pytest.mark.parametrize("report", [1.2, 4.2])
def test_sender_reports_put_them_in_step_from_the_first_frame_on(
    tmp_path: Path, report: float
) -> None:
    path = tmp_path / "call.mkv"
    # The video takes 0.3 s longer: its jitter buffer and its decoder wait.
    record(path, Sender(report=report, delays=(0.05, 0.35, 0.03)), 8)
    found = offsets(path)
    assert len(found) >= 6
    assert found[0][0] < 1.5
    assert max(abs(off) for _, off in found) < IN_STEP


def test_sound_that_was_hurried_before_the_first_report_is_in_step_too(tmp_path: Path) -> None:
    path = tmp_path / "call.mkv"
    record(path, Sender(report=1.2, delays=(0.05, 0.05, 0.0), hurry=0.15), 5)
    found = offsets(path)
    assert len(found) >= 4
    assert found[0][0] < 0.5
    assert max(abs(off) for _, off in found) < IN_STEP


def test_sound_that_waits_for_a_report_while_others_are_recorded_is_not_lost(
    tmp_path: Path,
) -> None:
    path = tmp_path / "call.wav"
    settings = FileSettings(file_format=FORMATS["wav"], **SETTINGS)  # type: ignore[arg-type]
    tape = FileWriter(str(path), settings)
    here = tape.add("audio", SenderClock())
    late = Sender(report=4.2, delays=(0.05, 0.05, 0.0))
    newcomer = tape.add("audio", SenderClock(), late.capture_time)
    coming = [event for event in late.events(8) if event[2] == "audio"]
    told = 5.0
    for number in range(13 * 50):
        now = 5 + number * 0.02
        tape.push(here, constant(0, now), None, now)
        while coming and coming[0][0] <= now:
            arrived, _, _, frame, captured = coming.pop(0)
            tape.push(newcomer, frame, captured, arrived)
        if now - told >= 0.25:
            told = now
            tape.advance(now)
    tape.finish()
    assert tape.lost_audio == 0
    assert len(read(path).onsets()) == 8


@pytest.mark.parametrize("tells", [True, False])
def test_pictures_that_are_too_large_to_wait_are_recorded_at_once(
    tmp_path: Path, tells: bool
) -> None:
    path = tmp_path / "call.mkv"
    settings = FileSettings(file_format=FORMATS["mkv"], **SETTINGS)  # type: ignore[arg-type]
    tape = FileWriter(str(path), settings)
    track = tape.add("video", SenderClock(), (lambda _: None) if tells else None)
    tape.add("audio", SenderClock())
    size = (2560, 1440)  # 5.5 MB each
    for number in range(20):
        tape.push(track, gray(40 + number, number / 25, size), None, 10 + number / 25)
    assert path.exists()
    tape.finish()
    assert tape.dropped == 0
    assert len(read(path).pictures) == 20


def test_without_reports_they_are_as_far_apart_as_they_arrived(tmp_path: Path) -> None:
    path = tmp_path / "call.mkv"
    record(path, Sender(delays=(0.05, 0.35, 0.0)), 6)
    assert all(-0.33 < off < -0.27 for _, off in offsets(path))


@pytest.mark.parametrize(("report", "loss"), [(None, 0.0), (1.2, 0.05)])
def test_they_are_in_step_after_ten_minutes_too(
    tmp_path: Path, loss: float, report: float | None
) -> None:
    path = tmp_path / "call.mkv"
    video = 0.06 if report is None else 0.25
    sender = Sender(drift=100e-6, loss=loss, report=report, delays=(0.05, video, 0.02), rate=10)
    record(path, sender, 600)
    found = offsets(path)
    assert len(found) > (500 if loss else 590)
    early = [off for at, off in found if at < 10]
    late = [off for at, off in found if at > 590]
    assert early
    assert late
    if not loss:
        assert max(abs(off) for _, off in found) < IN_STEP
    else:
        # Where the first frame of a beep or a flash was lost, it is seen to begin a frame later.
        whole = [off for _, off in found if abs(off) < IN_STEP]
        assert len(whole) > 0.8 * len(found)
        assert all(abs(off) < 0.1 + IN_STEP for _, off in found)
        assert sum(abs(off) < IN_STEP for off in late) >= 0.7 * len(late)

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from aiortc import MediaStreamTrack
from av import Packet

from icefloe.media import (
    Fanout,
    InvalidParameter,
    Recorder,
    RecordingFailed,
    TestPatternTrack,
    ToneTrack,
)
from tests.media.manual_clock import ManualClock
from tests.media.recordings import constant, gray, noise, read
from tests.media.tracks import Counted, FedTrack, until

FORMATS = ["mp4", "mkv", "webm", "m3u8"]


class Call:
    """Feeds a recorder on a clock that the test moves."""

    def __init__(self, recorder: Recorder, clock: ManualClock) -> None:
        self.recorder = recorder
        self.clock = clock

    async def add(self, kind: str, participant: str = "alice") -> FedTrack:
        track = FedTrack(kind)
        self.recorder.add_track(track, participant=participant)
        return track

    async def feed(self, track: FedTrack, *frames: object) -> None:
        """Have frames arrive now."""
        read = track.read + len(frames)
        track.feed(*frames)  # type: ignore[arg-type]
        await until(lambda: track.read == read)

    async def play(
        self,
        seconds: float,
        audio: FedTrack | None = None,
        video: FedTrack | None = None,
        luma: int = 100,
        size: tuple[int, int] = (64, 48),
    ) -> None:
        """Have so many seconds of both arrive, a frame of 20 ms and then the picture with it."""
        for _ in range(round(seconds * 50)):
            now = self.clock.now()
            if audio is not None:
                await self.feed(audio, constant(8000, now))
            if video is not None:
                await self.feed(video, gray(luma, now, size))
            self.clock.advance(0.02)


def begin(path: Path, **options: object) -> Call:
    clock = ManualClock(jumps=False)
    return Call(Recorder(path, clock=clock, **options), clock)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", FORMATS)
async def test_sound_and_pictures_are_recorded_at_their_times(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"call.{suffix}"
    call = begin(path)
    async with call.recorder:
        audio, video = await call.add("audio"), await call.add("video")
        await call.play(1.0, audio, video, 60)
        await call.play(1.0, audio, video, 180)
    recording = read(path)
    assert recording.seconds == pytest.approx(2.0, abs=0.06)
    assert recording.loud(0.1, 1.9) > 0.99
    assert len(recording.pictures) == 100
    start = recording.pictures[0][0]
    assert start < 0.03
    for number, (at, size, value) in enumerate(recording.pictures):
        assert at - start == pytest.approx(number * 0.02, abs=0.002)
        assert size == (64, 48)
        assert value == pytest.approx(60 if number < 50 else 180, abs=6)
    assert (call.recorder.dropped, call.recorder.lost_audio) == (0, 0)


async def test_a_wav_has_the_sound_alone(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    call = begin(path)
    async with call.recorder:
        with pytest.raises(InvalidParameter, match="no video"):
            await call.add("video")
        await call.play(0.5, await call.add("audio"))
    recording = read(path)
    assert recording.seconds == pytest.approx(0.5, abs=0.001)
    assert set(abs(recording.sound.astype(int))) == {8000}


async def test_a_change_of_size_in_mid_call_is_scaled_into_the_first_one(tmp_path: Path) -> None:
    path = tmp_path / "call.mkv"
    call = begin(path)
    async with call.recorder:
        video = await call.add("video")
        await call.play(0.5, video=video, luma=60)
        await call.play(0.5, video=video, luma=180, size=(120, 200))
        await call.play(0.5, video=video, luma=100, size=(32, 24))
    pictures = read(path).pictures
    assert len(pictures) == 75
    assert {size for _, size, _ in pictures} == {(64, 48)}
    assert [round(v / 20) for _, _, v in pictures[::25]] == [3, 9, 5]


async def test_all_sound_is_in_one_stream_and_silence_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    call = begin(path)
    async with call.recorder:
        alice = await call.add("audio", "alice")
        bob = await call.add("audio", "bob")
        await call.play(1.0, alice)
        call.clock.advance(1.0)  # nobody says anything
        await call.play(1.0, bob)
        for _ in range(50):
            now = call.clock.now()
            await call.feed(alice, constant(8000, now))
            await call.feed(bob, constant(2000, now))
            call.clock.advance(0.02)
    recording = read(path)
    assert recording.seconds == pytest.approx(4.0, abs=0.001)
    levels = [abs(int(recording.sound[round(at * 48000)])) for at in (0.5, 1.5, 2.5, 3.5)]
    assert levels == [8000, 0, 8000, 10000]


async def test_several_pictures_stand_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "call.mkv"
    call = begin(path, size=(128, 96), rate=25)
    async with call.recorder:
        alice, bob = await call.add("video", "alice"), await call.add("video", "bob")
        for _ in range(50):
            now = call.clock.now()
            await call.feed(alice, gray(60, now))
            await call.feed(bob, gray(180, now))
            call.clock.advance(0.02)
        alice.end()
        await until(lambda: alice.readyState == "ended")
        await call.play(0.5, video=bob, luma=100)
    pictures = read(path).pictures
    # In the grid at most 25 a second, then bob's as they come.
    assert 20 <= sum(at < 0.99 for at, _, _ in pictures) <= 27
    assert 24 <= sum(at >= 0.99 for at, _, _ in pictures) <= 27
    assert {size for _, size, _ in pictures} == {(128, 96)}
    assert pictures[-1][2] == pytest.approx(100, abs=6)


async def test_each_participant_gets_a_file_if_the_path_says_so(tmp_path: Path) -> None:
    call = begin(tmp_path / "{participant}.mkv")
    async with call.recorder as recorder:
        alice = await call.add("audio", "alice")
        await call.play(0.5, alice)
        mallory = await call.add("audio", "../../etc/passwd")
        await call.play(0.5, alice, None)
        await call.play(0.5, mallory, None)
        alice.end()
        await until(lambda: alice.readyState == "ended")
        await call.play(11.0, mallory)
        await call.play(0.5, await call.add("audio", "alice"))
    assert [(Path(f.path).name, f.participant, round(f.start, 2)) for f in recorder.files] == [
        ("alice.mkv", "alice", 0.0),
        ("______etc_passwd.mkv", "../../etc/passwd", 1.0),
        ("alice-2.mkv", "alice", 12.5),
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        Path(f.path).name for f in recorder.files
    )
    seconds = [read(Path(file.path)).seconds for file in recorder.files]
    assert seconds == pytest.approx([1.0, 11.5, 0.5], abs=0.03)


@pytest.mark.parametrize(
    "name",
    ["\U00020000" * 64, "日" * 3000, "-rf", "CON", "a\x1b[2J\n", "..", "\ud83d", "\u202exe.mkv"],
    ids=ascii,
)
async def test_no_name_ends_the_recordings_of_the_others(tmp_path: Path, name: str) -> None:
    long = "x" * 180
    call = begin(tmp_path / f"{long}{{participant}}.mkv")
    async with call.recorder as recorder:
        alice = await call.add("audio", "alice")
        await call.play(0.5, alice)
        await call.play(0.5, await call.add("audio", name))
        await call.play(0.5, alice)
    assert recorder.error is None
    assert [file.participant for file in recorder.files] == ["alice", name]
    made = Path(recorder.files[1].path)
    assert made.parent == tmp_path
    assert len(made.name.encode()) <= 255
    assert made.name.isprintable()
    assert read(Path(recorder.files[0].path)).seconds == pytest.approx(1.5, abs=0.03)


async def test_a_file_has_the_streams_it_was_told_to(tmp_path: Path) -> None:
    path = tmp_path / "call.mkv"
    call = begin(path, audio=True, video=True, size=(64, 48))
    async with call.recorder:
        audio = await call.add("audio")
        await call.play(3.0, audio)
        await call.play(1.0, audio, await call.add("video"), 180)
    recording = read(path)
    assert recording.seconds == pytest.approx(4.0, abs=0.03)
    values = [value for at, _, value in recording.pictures if at < 2.9]
    assert 3 <= len(values) <= 5  # black, once a second
    assert all(abs(value - 16) < 4 for value in values)
    assert recording.pictures[-1][2] == pytest.approx(180, abs=6)


async def test_what_others_hold_is_not_changed(tmp_path: Path) -> None:
    call = begin(tmp_path / "call.mkv")
    async with call.recorder:
        audio, video = await call.add("audio"), await call.add("video")
        sound, shown = constant(8000, 77.0), gray(100, 88.0)
        await call.feed(audio, sound)
        await call.feed(video, shown)
    assert (sound.time, shown.time) == (77.0, 88.0)
    assert {bytes(shown.planes[0])[0], bytes(shown.planes[0])[-1]} == {100}


async def test_waiting_ends_with_the_tracks(tmp_path: Path) -> None:
    call = begin(tmp_path / "call.mkv")
    async with call.recorder as recorder:
        audio, video = await call.add("audio"), await call.add("video")
        waiting = asyncio.create_task(recorder.wait())
        await call.play(0.1, audio, video)
        audio.end()
        await until(lambda: audio.readyState == "ended")
        assert not waiting.done()
        video.end()
        await waiting


async def test_a_removed_track_and_stopping_leave_the_tracks_alone(tmp_path: Path) -> None:
    call = begin(tmp_path / "call.mkv")
    async with call.recorder as recorder:
        audio, video = await call.add("audio"), await call.add("video")
        await call.play(0.1, audio, video)
        await recorder.remove_track(video)
        await recorder.remove_track(video)
        with pytest.raises(InvalidParameter, match="being recorded"):
            recorder.add_track(audio)
        await call.play(0.4, audio)
    assert (audio.readyState, video.readyState) == ("live", "live")
    recording = read(tmp_path / "call.mkv")
    assert recording.seconds == pytest.approx(0.5, abs=0.03)
    assert len(recording.pictures) == 5


async def test_stopping_again_does_nothing_and_starting_again_is_refused(tmp_path: Path) -> None:
    call = begin(tmp_path / "call.mkv")
    recorder = call.recorder
    with pytest.raises(RuntimeError, match="start"):
        await call.add("audio")
    await recorder.start()
    await recorder.start()
    await call.play(0.1, await call.add("audio"))
    await asyncio.gather(recorder.stop(), recorder.stop(), recorder.aclose())
    await recorder.stop()
    with pytest.raises(RuntimeError, match="another"):
        await recorder.start()


async def test_a_recording_of_nothing_leaves_no_file(tmp_path: Path) -> None:
    async with Recorder(tmp_path / "call.mkv") as recorder:
        recorder.add_track(FedTrack())
    await Recorder(tmp_path / "call.mkv").stop()
    assert list(tmp_path.iterdir()) == []
    assert recorder.files == ()


async def test_the_event_loop_does_none_of_the_work(tmp_path: Path) -> None:
    frames = [noise(number, (640, 360)) for number in range(30)]
    track = FedTrack()
    before = time.process_time()
    async with Recorder(tmp_path / "call.mkv") as recorder:
        recorder.add_track(track)
        started = time.thread_time()
        track.feed(*frames)
        track.end()
        await recorder.wait()
        await recorder.stop()
        in_loop = time.thread_time() - started
    in_all = time.process_time() - before
    assert len(read(tmp_path / "call.mkv").pictures) == 30
    assert in_loop < in_all / 20


async def test_what_is_recorded_in_real_time_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "call.mkv"
    video, audio = TestPatternTrack(320, 240, 30), ToneTrack(beep=True)
    fanout = Fanout(video)
    seen, heard = Counted(fanout.subscribe(keep=30)), Counted(audio)
    async with Recorder(path) as recorder:
        recorder.add_track(seen)
        recorder.add_track(heard)
        await until(lambda: min(seen.seconds, heard.seconds) >= 1.5)
    fanout.close()
    audio.stop()
    recording = read(path)
    assert recording.seconds == pytest.approx(heard.seconds, abs=0.3)
    pictures = [at for at, _, _ in recording.pictures]
    assert pictures[-1] - pictures[0] == pytest.approx(seen.seconds, abs=0.3)
    first, second, *_ = recording.onsets()
    assert second - first == pytest.approx(1.0, abs=0.1)
    assert recorder.dropped == 0


KILLED = """
import asyncio, sys
from icefloe.media import Recorder, TestPatternTrack, ToneTrack

async def main():
    async with Recorder(sys.argv[1]) as recorder:
        if not sys.argv[1].endswith("wav"):
            recorder.add_track(TestPatternTrack(320, 240, 30), participant="a")
        recorder.add_track(ToneTrack(), participant="a")
        for second in range(60):
            await asyncio.sleep(1)
            print(second + 1, flush=True)

asyncio.run(main())
"""


@pytest.mark.alone
def test_a_file_can_be_played_after_the_program_was_killed(tmp_path: Path) -> None:
    paths = [tmp_path / f"call.{suffix}" for suffix in (*FORMATS, "wav")]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
                )
            )
            for path in paths
        ]
        for process in processes:
            assert process.stdout is not None
            while process.stdout.readline().strip() != "6":
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
    for path in paths:
        recording = read(path)
        least = 1.9 if path.suffix == ".m3u8" else 3.4
        assert recording.seconds > least, path
        assert recording.loud(0.1, least) > 0.9
        if path.suffix != ".wav":
            assert recording.pictures[-1][0] > least - 0.1


FORGOTTEN = """
import asyncio, sys
from icefloe.media import Recorder, ToneTrack

class Tone(ToneTrack):
    def __init__(self):
        super().__init__()
        self.heard = asyncio.Event()

    async def recv(self):
        frame = await super().recv()
        if frame.pts == 48000:
            self.heard.set()
        return frame

async def main():
    recorder = Recorder(sys.argv[1])
    await recorder.start()
    track = Tone()
    recorder.add_track(track)
    await track.heard.wait()

asyncio.run(main())
"""


def test_a_recorder_that_was_forgotten_lets_the_program_end_and_ends_its_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "call.wav"
    subprocess.run([sys.executable, "-c", FORGOTTEN, str(path)], check=True, timeout=30)
    # Of a file that was ended the header tells the length.
    assert int.from_bytes(path.read_bytes()[4:8], "little") == path.stat().st_size - 8
    assert read(path).seconds > 0.5


async def test_a_track_that_was_added_last_of_all_is_let_go(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "call.mkv")
    await recorder.start()
    track = FedTrack()
    recorder.add_track(track)
    await recorder.stop()
    await recorder.wait()
    assert (track.readyState, track.read) == ("live", 0)


async def test_a_path_that_cannot_be_written_to_is_refused_at_once(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "call.mkv", tmp_path / "nowhere" / "{participant}.mkv"):
        with pytest.raises(RecordingFailed, match="No such file") as caught:
            await Recorder(path).start()
        assert isinstance(caught.value.__cause__, FileNotFoundError)
    with pytest.raises(RecordingFailed, match="directory"):
        await Recorder(tmp_path, format="mkv").start()
    sealed = tmp_path / "sealed.mkv"
    sealed.touch(0o400)
    if os.geteuid():
        with pytest.raises(RecordingFailed) as caught:
            await Recorder(sealed).start()
        assert isinstance(caught.value.__cause__, PermissionError)


async def test_a_check_leaves_what_is_there_alone(tmp_path: Path) -> None:
    path = tmp_path / "call.mkv"
    path.write_bytes(b"precious")
    async with Recorder(path):
        assert path.read_bytes() == b"precious"
    assert path.read_bytes() == b"precious"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
async def test_a_full_disk_ends_the_recording_with_its_cause() -> None:
    clock = ManualClock(jumps=False)
    recorder = Recorder("/dev/full", format="mkv", clock=clock)
    call = Call(recorder, clock)
    await recorder.start()
    audio = await call.add("audio")
    waiting = asyncio.create_task(recorder.wait())
    while not recorder.error:
        audio.feed(constant(8000, clock.now()))
        clock.advance(0.02)
        await asyncio.sleep(0.001)
    with pytest.raises(RecordingFailed, match="No space left") as caught:
        await waiting
    cause = caught.value.__cause__
    assert isinstance(cause, OSError)
    assert cause.errno == errno.ENOSPC
    assert audio.readyState == "live"
    with pytest.raises(RecordingFailed):
        await call.add("audio")
    for _ in range(2):
        with pytest.raises(RecordingFailed):
            await recorder.stop()
    await recorder.aclose()


async def test_packets_cannot_be_recorded(tmp_path: Path) -> None:
    class Encoded(MediaStreamTrack):
        kind = "video"

        async def recv(self) -> Packet:  # type: ignore[type-arg]
            return Packet(b"\x00")

    recorder = Recorder(tmp_path / "call.mkv")
    await recorder.start()
    recorder.add_track(Encoded())
    with pytest.raises(RecordingFailed, match="encoded"):
        await recorder.wait()
    await recorder.aclose()


async def test_a_disk_that_hangs_costs_pictures_and_no_sound_and_does_not_hold_up_the_end(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pipe.mkv"
    os.mkfifo(path)
    # A pipe takes 64 KiB, and then stands still like a disk that does not answer.
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    recorder = Recorder(path, video_bitrate=100_000_000)
    await recorder.start()
    audio, video = FedTrack("audio"), FedTrack()
    recorder.add_track(audio)
    recorder.add_track(video)
    pictures = [noise(number, (1280, 720)) for number in range(8)]
    for number in range(1000):
        audio.feed(constant(8000, number / 30, 1600))
        video.feed(pictures[number % 8])
        await until(lambda wanted=number + 1: video.read == wanted)  # type: ignore[misc]
        if recorder.dropped >= 10:
            break
    assert recorder.lost_audio == 0
    waiting = sum(b for _, b, _ in tuple(recorder._inbox._work))
    assert 50e6 < waiting <= 64 * 1024 * 1024
    # The thread hangs for as long as nobody reads the pipe, and to stop does not wait for that.
    with pytest.raises(RecordingFailed, match=r"in 0\.3 s"):
        await recorder.stop(timeout=0.3)
    (worker,) = (t for t in threading.enumerate() if t.name == "icefloe-recorder")
    assert worker.is_alive()
    # When the disk answers the thread ends: by the pipe's end here.
    os.close(reader)
    await asyncio.to_thread(worker.join)


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    for name, path, options in [
        ("format", "call.avi", {}),
        ("format", "call", {}),
        ("size", "call.mkv", {"size": (63, 48)}),
        ("rate", "call.mkv", {"rate": 0}),
        ("video", "call.wav", {"video": True}),
    ]:
        with pytest.raises(InvalidParameter, match=name):
            Recorder(tmp_path / path, **options)  # type: ignore[arg-type]

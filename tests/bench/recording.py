"""The delay of the event loop by recording a 720p30 call, beside aiortc's own recorder.

``python -m tests.bench.recording`` runs each stack in a process of its own. The delay of a timer is
measured; the time in which the thread waited for a processor, because of other programs or of the
encoder's threads, is given apart where the system counts it (Linux, schedstat).
"""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.contrib.media import MediaRecorder
from av import VideoFrame

from icefloe.media import Recorder, TestPatternTrack, ToneTrack
from tests.bench.report import Section

SECONDS = 8.0
STACKS = ("nothing", "icefloe", "aiortc")
_STEP = 0.002
_VARIANTS = 8


class GrainyTrack(TestPatternTrack):
    """The test pattern with the grain of a camera, which is what an encoder spends its time on."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__(1280, 720, 30)
        rng = np.random.default_rng(1)
        grain = [rng.integers(-12, 13, (720, 1280), np.int16) for _ in range(_VARIANTS)]
        self._pictures = []
        for noise in grain:
            frame = VideoFrame(1280, 720, "yuv420p")
            for plane in frame.planes[1:]:
                plane.update(bytes([128]) * plane.buffer_size)
            ramp = np.linspace(40, 200, 1280, dtype=np.int16)
            frame.planes[0].update((ramp + noise).astype(np.uint8).tobytes())
            self._pictures.append([bytes(plane) for plane in frame.planes])

    async def recv(self) -> VideoFrame:
        shown = await super().recv()
        frame = VideoFrame(1280, 720, "yuv420p")
        number = (shown.pts or 0) // 3000
        for plane, data in zip(frame.planes, self._pictures[number % _VARIANTS], strict=True):
            plane.update(data)
        frame.pts, frame.time_base = shown.pts, shown.time_base
        return frame


class _Waited:
    """The seconds that this thread has waited for a processor."""

    def __init__(self) -> None:
        path = Path("/proc/thread-self/schedstat")
        self._file = path.open() if path.exists() else None

    def __call__(self) -> float:
        if self._file is None:
            return 0.0
        self._file.seek(0)
        return int(self._file.read().split()[1]) / 1e9


async def _measure() -> tuple[list[float], list[float]]:
    """Return by how much timers were late, with and without the wait for a processor."""
    waited, all_of_it, without = _Waited(), [], []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        queued, started = waited(), time.perf_counter()
        await asyncio.sleep(_STEP)
        late = time.perf_counter() - started - _STEP
        all_of_it.append(late)
        without.append(max(0.0, late - (waited() - queued)))
    return all_of_it, without


async def _run(stack: str, folder: str) -> list[str]:
    video, audio = GrainyTrack(), ToneTrack(beep=True)
    path = Path(folder) / "call.mkv"
    if stack == "icefloe":
        async with Recorder(path) as recorder:
            recorder.add_track(video, participant="a")
            recorder.add_track(audio, participant="a")
            delays = await _measure()
        note = f"{recorder.dropped} dropped"
    elif stack == "aiortc":
        old = MediaRecorder(str(path))
        old.addTrack(video)
        old.addTrack(audio)
        await old.start()
        delays = await _measure()
        await old.stop()
        note = ""
    else:
        readers = [asyncio.create_task(_read(track)) for track in (video, audio)]
        delays = await _measure()
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
        note = "the tracks are read and not recorded"
    video.stop()
    audio.stop()
    cells = [f"{_percentile(d, p) * 1e3:.1f} ms" for d in delays for p in (0.5, 0.99, 1.0)]
    return [stack, *cells, f"{time.process_time() / SECONDS:.2f}", note]


async def _read(track: MediaStreamTrack) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await track.recv()


def _percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


async def measure() -> list[Section]:
    """Measure every stack, each in a process of its own."""
    rows: list[tuple[str, ...]] = []
    pipe = asyncio.subprocess.PIPE
    for stack in STACKS:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.recording", stack, stdout=pipe
        )
        try:
            async with asyncio.timeout(SECONDS * 10):
                out, _ = await process.communicate()
            rows.append(
                tuple(json.loads(out)) if not process.returncode else (stack, *"-------", "failed")
            )
        except TimeoutError:
            process.kill()
            await process.wait()
            rows.append((stack, *"-------", "took too long"))
        print(*rows[-1], file=sys.stderr, flush=True)
    return [
        Section(
            "Recording a call",
            "How late timers of the event loop are while 720p30 with the grain of a camera, and "
            "sound, are recorded: the median, the 99th percentile and the most; then the same "
            "without the time in which the thread waited for a processor. Processors are those of "
            "the whole process. `python -m tests.bench.media --cell recording`",
            ("", *("p50", "p99", "most") * 2, "processors", ""),
            tuple(rows),
        )
    ]


def main() -> None:
    """Measure every stack, or the one that is named."""
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asyncio.run(_run(sys.argv[1], folder))))
        return
    for section in asyncio.run(measure()):
        print(section.markdown())


if __name__ == "__main__":
    main()

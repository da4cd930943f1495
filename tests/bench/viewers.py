"""The cost of one more viewer: the processor's time of a program that sends one source to several.

The viewers are in a process of their own and do not count. They receive, report and ask as any, and
do not decode: on a small machine their decoders would take the time that is to be measured.
"""

import asyncio
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.contrib.media import MediaRelay

from icefloe.media import EncodedFanout, TestPatternTrack
from icefloe.peer import ForwardedTrack, forward
from tests.helpers.pairs import make

SIZE = (1280, 720)
"""Of the source, at 30 frames a second."""

WARM_UP = 8.0
"""Seconds before the clock begins: encoders and estimates settle, viewers stop to decode."""

_LIMIT = 1 << 24
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Cost:
    """The resources that a run took.

    Attributes:
        viewers: How many there were.
        cores: Seconds of the processor's time for each second, of the sending process.
        frames: Frames a second that each viewer was sent, in the mean.
        megabits: Mbit/s that each was sent.
    """

    viewers: int
    cores: float
    frames: float
    megabits: float

    @property
    def for_each_frame(self) -> float:
        """Milliseconds of the processor's time for each frame of the source, were all encoded."""
        return self.cores / self.frames * 1000 if self.frames else float("inf")


async def measure(stack: str, codec: str, viewers: int, seconds: float) -> Cost:
    """Run a sender and its viewers, each in a process.

    Args:
        stack: ``"icefloe"`` or ``"aiortc"``, the latter with its ``MediaRelay``.
        codec: ``"H264"`` or ``"VP8"``.
        viewers: How many.
        seconds: How long it is measured.
    """
    near = await _start("send", stack, codec, str(viewers), str(seconds))
    far = await _start("view", str(viewers))
    try:
        await _tell(far, await _hear(near))
        await _tell(near, await _hear(far))
        async with asyncio.timeout(WARM_UP + seconds + _PATIENCE):
            return Cost(**await _hear(near))
    finally:
        for process in (near, far):
            if process.stdin is not None:
                process.stdin.close()
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "tests.bench.viewers", *arguments)
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=_LIMIT)


async def _tell(process: asyncio.subprocess.Process, what: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(what).encode() + b"\n")
    await process.stdin.drain()


async def _hear(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout is not None
    return json.loads(await process.stdout.readline())


# --- in the processes


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def _listen() -> str:
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def _send(stack: str, codec: str, viewers: int, seconds: float) -> None:
    source = TestPatternTrack(*SIZE)
    # One tier: on a busy machine estimates fall, and a smaller picture would cost less.
    fanout, relay = EncodedFanout(source, tiers=(1.0,)), MediaRelay()
    connections = [make(stack) for _ in range(viewers)]
    known = RTCRtpSender.getCapabilities("video").codecs
    for connection in connections:
        track = fanout.subscribe() if stack == "icefloe" else relay.subscribe(source)
        transceiver = connection.addTransceiver(track, direction="sendonly")
        transceiver.setCodecPreferences([c for c in known if c.mimeType == f"video/{codec}"])
        await connection.setLocalDescription(await connection.createOffer())
    _say([connection.localDescription.sdp for connection in connections])
    answers = json.loads(await _listen())
    for connection, sdp in zip(connections, answers, strict=True):
        await connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer"))
    await asyncio.sleep(WARM_UP)
    began, used, before = time.monotonic(), time.process_time(), await _sent(connections)
    await asyncio.sleep(seconds)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    cores = (spent.ru_utime + spent.ru_stime - used) / (time.monotonic() - began)
    after = await _sent(connections)
    frames, size = ((b - a) / seconds / viewers for a, b in zip(before, after, strict=True))
    _say(asdict(Cost(viewers, cores, frames, size * 8 / 1e6)))
    await _listen()
    await asyncio.gather(*(connection.close() for connection in connections))
    fanout.close()
    source.stop()


async def _sent(connections: list[RTCPeerConnection]) -> tuple[int, int]:
    """Return how many frames and bytes were sent to all of them."""
    frames = size = 0
    for connection in connections:
        for stats in (await connection.getStats()).values():
            if stats.type == "outbound-rtp":
                size += stats.bytesSent
        frames += _frames(connection)
    return frames, size


def _frames(connection: RTCPeerConnection) -> int:
    (sender,) = connection.getSenders()
    counted = getattr(sender, "outgoing", None)
    if counted is not None:
        return int(counted.frames)
    # aiortc counts no frames; its timestamps go on by those that are skipped, so count markers.
    counter: dict[str, int] = vars(sender).setdefault("counted", {"frames": 0})
    return counter["frames"]


def _count_frames() -> None:
    """Have aiortc's sender count its frames."""
    original = RTCRtpSender._next_encoded_frame

    async def counted(self: RTCRtpSender, codec: Any) -> Any:
        frame = await original(self, codec)
        if frame is not None:
            vars(self).setdefault("counted", {"frames": 0})["frames"] += 1
        return frame

    RTCRtpSender._next_encoded_frame = counted  # type: ignore[method-assign]


async def _view(viewers: int) -> None:
    connections = [make("icefloe") for _ in range(viewers)]
    kept: list[ForwardedTrack] = []
    answers = []
    for connection, sdp in zip(connections, json.loads(await _listen()), strict=True):
        # What is forwarded and not read is not decoded.
        connection.on("track", lambda track: kept.append(forward(track)))
        await connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        answers.append(connection.localDescription.sdp)
    _say(answers)
    await asyncio.sleep(1)
    reading = [asyncio.ensure_future(_read(track)) for track in kept]
    await _listen()
    for task in reading:
        task.cancel()
    await asyncio.wait(reading)
    await asyncio.gather(*(connection.close() for connection in connections))


async def _read(track: ForwardedTrack) -> None:
    while True:
        await track.recv()


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "send":
        _count_frames()
        asyncio.run(_send(rest[0], rest[1], int(rest[2]), float(rest[3])))
    else:
        asyncio.run(_view(int(rest[0])))

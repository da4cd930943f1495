"""The effect of loss on received audio: gaps and delay, icefloe and plain aiortc in turn.

A sender, the same plain aiortc for both, and a receiver are processes of their own. What is sent is
a tone, and each half second a beep, by the clock that both share; what is heard is what a
loudspeaker would play that takes each frame when it comes. Packets are lost where the sender hands
them to its socket::

    python -m tests.bench.audio --seconds 12
"""

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
import time
from array import array
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from aiortc import AudioStreamTrack, MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from av import AudioFrame

from tests.bench.report import Section
from tests.helpers import netns
from tests.helpers.pairs import make

RATE = 48000
SIZE = 960
PERIOD = 0.5
"""Seconds between two beeps; delays are told apart up to this."""
BEEP = 0.005
TROUBLE = 4.0
"""Seconds after which packets are lost that are not lost by chance."""

Loses = Callable[[int], bool]


def _at_random(part: float) -> Loses:
    chance = random.Random(1)
    return lambda number: chance.random() < part


def _from(number: int, count: int) -> Loses:
    return lambda n: number <= n < number + count


_FIRST = round(TROUBLE / 0.02)
CASES: dict[str, Callable[[], Loses]] = {
    "nothing is lost": lambda: lambda number: False,
    "one packet is lost": lambda: _from(_FIRST, 1),
    "a burst of 300 ms is lost": lambda: _from(_FIRST, 15),
    "1 % is lost": lambda: _at_random(0.01),
    "5 % is lost": lambda: _at_random(0.05),
}


class Beeps(AudioStreamTrack):
    """A quiet tone, and a beep at each multiple of :data:`PERIOD` of the machine's clock."""

    def __init__(self) -> None:
        super().__init__()
        self._began = math.ceil(time.monotonic() / PERIOD) * PERIOD
        self._number = 0

    async def recv(self) -> AudioFrame:
        start = self._number * SIZE
        await asyncio.sleep(self._began + start / RATE - time.monotonic())
        samples = array("h")
        for i in range(start, start + SIZE):
            beeps = i / RATE % PERIOD < BEEP
            loudness, frequency = (20000, 2000) if beeps else (3000, 300)
            samples.extend([round(loudness * math.sin(2 * math.pi * frequency * i / RATE))] * 2)
        frame = AudioFrame("s16", "stereo", SIZE)
        frame.planes[0].update(samples.tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        self._number += 1
        return frame


class _Lossy:
    """A socket's transport that loses packets of audio."""

    def __init__(self, transport: Any, loses: Loses) -> None:
        self._transport = transport
        self._loses = loses
        self._number = 0

    def sendto(self, data: bytes, *address: Any) -> None:
        if 128 <= data[0] <= 191 and data[1] & 0x7F in range(96, 128):
            self._number += 1
            if self._loses(self._number):
                return
        self._transport.sendto(data, *address)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@dataclass(frozen=True, slots=True)
class Heard:
    """The sound that a loudspeaker played.

    Attributes:
        beeps: When each was played, in seconds since the first frame, and how late it was.
        gaps: The seconds without sound, of each beginning when.
    """

    beeps: list[tuple[float, float]]
    gaps: list[tuple[float, float]]

    def delay(self, start: float, end: float) -> float:
        """Return the median delay in a span of time, in seconds; NaN if no beep was heard."""
        found = [late for at, late in self.beeps if start <= at < end]
        return statistics.median(found) if found else math.nan

    def gap(self, start: float) -> float:
        """Return the longest gap from then on, in seconds."""
        return max((length for at, length in self.gaps if at >= start), default=0.0)


class Loudspeaker:
    """Plays frames as they come, and listens to itself."""

    _BLOCK = 48

    def __init__(self) -> None:
        self.beeps: list[tuple[float, float]] = []
        self.gaps: list[tuple[float, float]] = []
        self._first: float | None = None
        self._end = self._sounded = 0.0
        self._beeping = False

    def play(self, now: float, frame: AudioFrame) -> None:
        """Play a frame that came now."""
        samples = array("h", bytes(frame.planes[0])[: 4 * frame.samples])[::2]
        if self._first is None:
            self._first = self._sounded = now
        at = max(now, self._end)
        for offset in range(0, len(samples), self._BLOCK):
            loudest = max(map(abs, samples[offset : offset + self._BLOCK]))
            then = at + offset / RATE
            if loudest > 300:
                if then - self._sounded > 0.005:
                    self.gaps.append((self._sounded - self._first, then - self._sounded))
                self._sounded = then + self._BLOCK / RATE
            beeping = loudest > 9000
            if beeping and not self._beeping and then - (self._first or 0) > 0.1:
                self.beeps.append((then - self._first, then % PERIOD))
            self._beeping = beeping
        self._end = at + len(samples) / RATE


async def send(case: str) -> None:
    """Offer audio on standard output, take the answer, and send until standard input ends."""
    connection = make("aiortc")
    connection.addTrack(Beeps())
    await connection.setLocalDescription(await connection.createOffer())
    print(json.dumps(asdict(connection.localDescription)), flush=True)
    answer = await asyncio.to_thread(sys.stdin.readline)
    await connection.setRemoteDescription(RTCSessionDescription(**json.loads(answer)))
    ice: Any = connection.getSenders()[0].transport.transport
    while not ice._connection._nominated:
        await asyncio.sleep(0.001)
    protocol = ice._connection._nominated[1].protocol
    protocol.transport = _Lossy(protocol.transport, CASES[case]())
    await asyncio.to_thread(sys.stdin.readline)
    await connection.close()


async def receive(stack: str, seconds: float) -> None:
    """Answer what comes on standard input, listen, and write what was heard."""
    connection: RTCPeerConnection = make(stack)
    tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
    connection.on("track", tracks.put_nowait)
    offer = await asyncio.to_thread(sys.stdin.readline)
    await connection.setRemoteDescription(RTCSessionDescription(**json.loads(offer)))
    await connection.setLocalDescription(await connection.createAnswer())
    print(json.dumps(asdict(connection.localDescription)), flush=True)
    track = await tracks.get()
    speaker = Loudspeaker()
    ends = math.inf
    while (now := time.monotonic()) < ends:
        frame = await track.recv()
        assert isinstance(frame, AudioFrame)
        now = time.monotonic()
        ends = min(ends, now + seconds)
        speaker.play(now, frame)
    print(json.dumps({"beeps": speaker.beeps, "gaps": speaker.gaps}), flush=True)
    await connection.close()


async def listen(stack: str, case: str, seconds: float) -> Heard:
    """Run a sender and a receiver."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "tests.bench.audio")
    sender = await asyncio.create_subprocess_exec(*command, "--send", case, stdin=pipe, stdout=pipe)
    receiver = await asyncio.create_subprocess_exec(
        *command, "--receive", stack, "--seconds", str(seconds), stdin=pipe, stdout=pipe
    )
    assert sender.stdin and sender.stdout and receiver.stdin and receiver.stdout
    try:
        async with asyncio.timeout(seconds + 30):
            receiver.stdin.write(await sender.stdout.readline())
            sender.stdin.write(await receiver.stdout.readline())
            heard = json.loads(await receiver.stdout.readline())
            sender.stdin.write(b"\n")
            await asyncio.gather(sender.wait(), receiver.wait())
    finally:
        for process in (sender, receiver):
            if process.returncode is None:
                process.kill()
                await process.wait()
    return Heard(**{name: [tuple(pair) for pair in pairs] for name, pairs in heard.items()})


async def measure(seconds: float = 12.0) -> list[Section]:
    """Run every case with each stack in turn.

    Args:
        seconds: How long each is listened to; more than 8.
    """
    rows = []
    for case in CASES:
        cells = []
        for stack in ("icefloe", "aiortc"):
            heard = await listen(stack, case, seconds)
            before, after = heard.delay(2, TROUBLE), heard.delay(TROUBLE + 2, seconds)
            cells.append(f"{heard.gap(2) * 1000:.0f} ms")
            cells.append(f"{before * 1000:.0f} ms, {after * 1000:.0f} ms")
        rows.append((case, *cells))
    return [
        Section(
            "Audio through loss",
            "The longest gap without sound, and the delay from the microphone to the loudspeaker "
            f"before and from 2 s after the trouble, which is {TROUBLE:g} s after the begin; "
            f"{seconds:g} s each, from one plain aiortc sender, without delay between them. "
            "`python -m tests.bench.audio`",
            ("", "icefloe: gap", "delay before, after", "aiortc: gap", "delay before, after"),
            tuple(rows),
        )
    ]


def main() -> None:
    """Measure and print; or be one of the peers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--send", metavar="CASE", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--receive", metavar="STACK", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        asyncio.run(send(options.send))
    elif options.receive:
        asyncio.run(receive(options.receive, options.seconds))
    else:
        netns.isolate()
        for section in asyncio.run(measure(options.seconds)):
            print(section.markdown())


if __name__ == "__main__":
    main()

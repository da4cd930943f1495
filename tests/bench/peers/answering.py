"""The answering program of the benchmark of many calls: icefloe or plain aiortc; wrtc beside it.

Each call is answered with a tone, or with pictures; what comes is decoded and listened to. Each
line in is an object with ``do``:

===========  =======================================================================
``offer``    ``call``, ``description``: answer a call
``begin``    begin to measure
``report``   report what was measured since
===========  =======================================================================
"""

import asyncio
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame
from numpy.typing import NDArray

from tests.bench.peers.callers import PERIOD, VIDEO_SIZE
from tests.bench.peers.grain import GrainTrack, SteadyTone
from tests.helpers import pairs
from tests.natlab.program import Jobs, Message, emit, lines, log_to_stderr

LATE = 0.02
"""Seconds that a loudspeaker has in hand: a frame that comes later than that after the end of the
one before is late."""
_LOUD = 9000
_PROBE = 0.01


@dataclass(slots=True)
class Ear:
    """Listens to one call.

    Attributes:
        seconds: Of sound that came.
        pictures: That came.
        late: Frames that were late.
        delays: Seconds from the microphone to the loudspeaker, of each beep.
    """

    seconds: float = 0.0
    pictures: int = 0
    late: int = 0
    delays: list[float] = field(default_factory=list)
    _end: float = 0.0
    _beeped: float = 0.0

    def hear(self, now: float, samples: NDArray[np.int16], rate: int) -> None:
        """Take a frame of one channel that came now."""
        length = len(samples) / rate
        if self._end and now > self._end + LATE:
            self.late += 1
            self._end = now
        self._end = max(self._end, now - LATE) + length
        self.seconds += length
        if int(samples.max(initial=0)) > _LOUD and now - self._beeped > PERIOD / 2:
            at = now + int(np.argmax(samples > _LOUD)) / rate
            self._beeped = now
            self.delays.append(at % PERIOD)

    def forget(self) -> None:
        """Measure from now on."""
        self.seconds, self.pictures, self.late = 0.0, 0, 0
        self.delays = []


class Side(Protocol):
    """The connections of one stack."""

    async def answer(self, call: int, description: Message) -> Message:
        """Answer an offer."""
        ...

    async def stats(self, call: int) -> dict[str, float]:
        """Return the members of ``inbound-rtp`` that are numbers."""
        ...

    async def close(self) -> None:
        """Close all."""


class Answering:
    """All calls.

    Args:
        side: Returns the connections of a stack, which are given how to have an :class:`Ear` for a
            call, and where to run tasks.
    """

    def __init__(self, side: Callable[[Callable[[int], Ear], Jobs], Side]) -> None:
        self._ears: dict[int, Ear] = {}
        self._jobs = Jobs()
        self._side = side(self._ear, self._jobs)
        self._late_loop: list[float] = []
        self._began = 0.0
        self._before: dict[int, dict[str, float]] = {}

    def _ear(self, call: int) -> Ear:
        return self._ears.setdefault(call, Ear())

    async def run(self) -> None:
        """Run until standard input ends."""
        self._jobs.start(self._probe())
        emit("ready")
        try:
            async for message in lines():
                match message["do"]:
                    case "offer":
                        self._jobs.start(self._answer(message["call"], message["description"]))
                    case "begin":
                        await self._begin()
                    case "report":
                        await self._report()
        finally:
            await self._jobs.end()
            await self._side.close()

    async def _answer(self, call: int, description: Message) -> None:
        told = await self._side.answer(call, description)
        emit("answer", call=call, description=told)

    async def _begin(self) -> None:
        self._before = {call: await self._side.stats(call) for call in self._ears}
        for ear in self._ears.values():
            ear.forget()
        self._late_loop.clear()
        self._began, self._processor = time.monotonic(), time.process_time()

    async def _report(self) -> None:
        seconds = time.monotonic() - self._began
        processor = time.process_time() - self._processor
        ears = [
            {"seconds": e.seconds, "pictures": e.pictures, "late": e.late, "delays": e.delays}
            for e in self._ears.values()
        ]
        loop = list(self._late_loop)
        stats: dict[str, float] = {}
        for call in self._ears:
            before = self._before.get(call, {})
            for name, value in (await self._side.stats(call)).items():
                stats[name] = stats.get(name, 0.0) + value - before.get(name, 0.0)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        emit(
            "report",
            seconds=seconds,
            processor=processor,
            ears=ears,
            loop=loop,
            stats=stats,
            memory=memory,
        )

    async def _probe(self) -> None:
        while True:
            due = time.monotonic() + _PROBE
            await asyncio.sleep(_PROBE)
            self._late_loop.append(time.monotonic() - due)


class PythonSide:
    """Connections of icefloe or plain aiortc."""

    def __init__(self, stack: str, kind: str, ear: Callable[[int], Ear], jobs: Jobs) -> None:
        self._stack, self._kind, self._ear, self._jobs = stack, kind, ear, jobs
        self._peers: dict[int, RTCPeerConnection] = {}

    async def answer(self, call: int, description: Message) -> Message:
        peer = self._peers[call] = pairs.make(self._stack)
        peer.on("track", lambda track: self._jobs.start(self._take(call, track)))
        await peer.setRemoteDescription(RTCSessionDescription(**description))
        if self._kind == "voice":
            peer.addTrack(SteadyTone())
        elif self._kind == "video-out":
            peer.addTrack(GrainTrack(*VIDEO_SIZE))
        await peer.setLocalDescription(await peer.createAnswer())
        while peer.iceGatheringState != "complete":
            await asyncio.sleep(0.005)
        told = peer.localDescription
        return {"type": told.type, "sdp": told.sdp}

    async def stats(self, call: int) -> dict[str, float]:
        report: Any = await self._peers[call].getStats()
        for each in report.values():
            if each.type == "inbound-rtp":
                return {
                    name: value
                    for name in getattr(each, "__dataclass_fields__", ())
                    if isinstance(value := getattr(each, name), (int, float))
                }
        return {}

    async def close(self) -> None:
        closing = [asyncio.ensure_future(peer.close()) for peer in self._peers.values()]
        if closing:
            await asyncio.wait(closing, timeout=5)

    async def _take(self, call: int, track: MediaStreamTrack) -> None:
        ear = self._ear(call)
        try:
            while True:
                frame = await track.recv()
                now = time.monotonic()
                if isinstance(frame, AudioFrame):
                    channels = frame.layout.nb_channels
                    count = frame.samples * channels
                    samples = np.frombuffer(bytes(frame.planes[0]), np.int16, count)[::channels]
                    ear.hear(now, samples, frame.sample_rate)
                else:
                    ear.pictures += 1
        except MediaStreamError:
            return


async def _main(stack: str, kind: str) -> None:
    def side(ear: Callable[[int], Ear], jobs: Jobs) -> Side:
        if stack == "wrtc":
            from tests.bench.peers.answering_wrtc import WrtcSide

            return WrtcSide(kind, ear, jobs)
        return PythonSide(stack, kind, ear, jobs)

    await Answering(side).run()


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(_main(*sys.argv[1:3]))

"""A lab peer that is a program as people write it: ``join()``, a channel, a picture and a tone.

Beside what :mod:`tests.natlab.program` describes, a line may ask for

============  =====================================================================
``start``     ``url``, ``name``, ``configuration``: join the room
``show``      ``bright``: send a white picture and a loud tone, or the usual ones
``restart``   restart ICE
``pair``      report the selected ``pair``
``servers``   report the user names of the TURN ``servers`` that are in force
``held``      report what is ``held`` that was not when the room was joined
============  =====================================================================

Which picture and tone arrive is reported as ``shown`` when it changes, so what left the other side
after an event can be told from what was under way.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from icefloe.media import TestPatternTrack, ToneTrack, TransformTrack
from icefloe.peer import RemotePeer, Room, join
from tests.helpers.leaks import Snapshot, left_behind
from tests.natlab.icefloe_peer import configuration_from, pair_json
from tests.natlab.program import Jobs, Message, drive, emit, log_to_stderr
from tests.natlab.traffic import PULSE, Traffic

_WHITE = 235
_LOUD = 16
"""Factor by which the loud tone is louder."""


async def brighten(frame: VideoFrame) -> VideoFrame:
    """Return a white picture of the same size."""
    white = VideoFrame(frame.width, frame.height, "yuv420p")
    for plane, level in zip(white.planes, (_WHITE, 128, 128), strict=True):
        plane.update(bytes([level]) * plane.buffer_size)
    return white


async def amplify(frame: AudioFrame) -> AudioFrame:
    """Return the same sound, louder."""
    samples = memoryview(bytes(frame.planes[0])).cast("h")
    louder = AudioFrame(format="s16", layout=frame.layout.name, samples=frame.samples)
    louder.sample_rate = frame.sample_rate
    loud = b"".join((sample * _LOUD).to_bytes(2, "little", signed=True) for sample in samples)
    louder.planes[0].update(loud)
    return louder


def is_bright(frame: Any) -> bool | None:
    """Return whether a frame is of the white picture or the loud tone; silence does not tell."""
    plane = frame.planes[0]
    data = bytes(plane)
    if isinstance(frame, VideoFrame):
        middle = data[frame.height // 2 * plane.line_size :][: frame.width]
        return sum(middle) > 200 * frame.width
    loudest = max(memoryview(data).cast("h"))
    return loudest > 6000 if loudest > 500 else None


class RoomPeer:
    """A participant.

    Args:
        traffic: What runs over its channels.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._jobs = Jobs()
        self._stack = AsyncExitStack()
        self._room: Room | None = None
        self._peer: RemotePeer | None = None
        self._before: Snapshot | None = None
        self._shown: list[TransformTrack] = []

    async def handle(self, message: Message) -> None:
        """Do what a line says."""
        match message["do"]:
            case "start":
                await self._join(message)
            case "show":
                self._show(bright=message["bright"])
            case "held":
                assert self._before is not None
                emit("held", left=await left_behind(self._before))
            case what if self._peer is None:
                raise ValueError(f"cannot {what}: nobody is here")
            case "restart":
                self._peer.connection.restartIce()
            case "pair":
                emit("pair", pair=pair_json(self._peer.connection.selected_candidate_pair))
            case "servers":
                servers = self._peer.connection.getConfiguration().iceServers or []
                emit("servers", usernames=[s.username for s in servers if s.username])
            case unknown:
                raise ValueError(f"cannot {unknown}")

    async def _join(self, message: Message) -> None:
        configuration = await configuration_from(message["configuration"])
        if not message["configuration"].get("iceServers"):
            configuration.iceServers = None  # signaling names them
        room = join(message["url"], room="lab", name=message["name"], configuration=configuration)
        self._room = await self._stack.enter_async_context(room)
        self._jobs.start(self._meet(self._room))
        self._before = Snapshot.take()
        emit("joined", id=self._room.id)

    async def _meet(self, room: Room) -> None:
        async for peer in room:
            emit("peer", name=peer.name)
            self._peer = peer
            self._jobs.start(self._talk(peer))

    async def _talk(self, peer: RemotePeer) -> None:
        connection = peer.connection
        connection.on(
            "connectionstatechange",
            lambda: emit("connectionState", state=connection.connectionState),
        )
        picture = TransformTrack(TestPatternTrack(160, 120, rate=10), None)
        tone = TransformTrack(ToneTrack(level=-30), None)
        self._shown = [picture, tone]
        try:
            async with asyncio.TaskGroup() as group:
                for track in self._shown:
                    peer.add_track(track)
                group.create_task(self._look(peer))
                group.create_task(self._serve(peer))
                emit("ended", reason=await peer.ended())
        finally:
            for track in self._shown:
                track.stop()

    async def _serve(self, peer: RemotePeer) -> None:
        if not peer.polite:
            channel = await peer.open_channel(PULSE, ordered=False, max_retransmits=0)
            await self._traffic.serve(channel)
        async for channel in peer.channels():
            await self._traffic.serve(channel)

    async def _look(self, peer: RemotePeer) -> None:
        async with asyncio.TaskGroup() as group:
            async for track in peer.tracks():
                group.create_task(_watch(track))

    def _show(self, *, bright: bool) -> None:
        picture, tone = self._shown
        picture.function = brighten if bright else None
        tone.function = amplify if bright else None

    async def close(self) -> None:
        """Leave."""
        await self._stack.aclose()
        await self._jobs.end()


async def _watch(track: MediaStreamTrack) -> None:
    """Report what a track shows whenever it is another thing than before."""
    shown: bool | None = None
    try:
        while True:
            bright = is_bright(await track.recv())
            if bright is not shown:
                shown = bright
                if bright is not None:
                    emit("shown", kind=track.kind, bright=bright)
    except MediaStreamError:
        return


async def main() -> None:
    """Run the peer."""
    traffic = Traffic(emit)
    await drive(RoomPeer(traffic), traffic)


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(main())

"""The programs of :mod:`tests.bench.closing`: what opens and closes, and the company around it."""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from icefloe.media import (
    AudioQueue,
    EncodedFanout,
    FileSource,
    Recorder,
    Screen,
    Speaker,
    TestPatternTrack,
    ToneTrack,
    discard,
    frames,
    speech,
)
from icefloe.peer import (
    PeerConfiguration,
    PeerConnection,
    RemotePeer,
    Room,
    RTCOutboundRtpStreamStats,
    join,
)
from icefloe.signaling import IceServer, serve
from tests.helpers.leaks import Snapshot
from tests.helpers.pairs import connected, negotiate

NOWHERE = "203.0.113.7"
"""An address of documentation (RFC 5737): in the namespace, no packet to it ever comes back."""

UNKNOWN = "camera.example"
"""A name that is asked of a name server which is silent."""

_LOOKUP = "icefloe-resolve"
PATIENCE = 15.0
_HANGS = PeerConfiguration(
    iceServers=[
        IceServer(urls=[f"turn:{NOWHERE}"], username="u", credential="p"),  # type: ignore[list-item]
        IceServer(urls=[f"turn:{NOWHERE}?transport=tcp"], username="u", credential="p"),  # type: ignore[list-item]
        IceServer(urls=[f"stun:{UNKNOWN}"]),  # type: ignore[list-item]
    ]
)


@dataclass(frozen=True, slots=True)
class Around:
    """The surroundings of the program.

    Attributes:
        room: URL of the signaling server.
        hanging: URL of a film that stops in the middle.
        mute: URL of a server that never answers.
        display: Name of the X server.
        folder: Where it may write.
    """

    room: str
    hanging: str
    mute: str
    display: str
    folder: str


@dataclass(frozen=True, slots=True)
class Freed:
    """The course of closing.

    Attributes:
        what: What was closed.
        returned: Seconds until closing had returned.
        freed: Seconds until everything was given back.
        left: What was not given back.
    """

    what: str
    returned: float
    freed: float
    left: tuple[str, ...]


Close: TypeAlias = Callable[[], Awaitable[object]]


# --- the program


@dataclass(frozen=True, slots=True)
class Held:
    """The resources of the system and of asyncio that this process has."""

    snapshot: Snapshot
    processes: frozenset[int]
    native_threads: int

    @classmethod
    def take(cls) -> "Held":
        """Look at this process."""
        threads = threading.enumerate()
        passed_over = {t.native_id for t in threads if t.name.startswith(("asyncio_", _LOOKUP))}
        ids = {int(entry.name) for entry in Path("/proc/self/task").iterdir()} - passed_over
        taken = Snapshot.take()
        lookups = frozenset(t for t in taken.threads if t.name.startswith(_LOOKUP))
        sockets = _sockets_of_lookups()
        files = frozenset(f for f in taken.files if f.partition(" -> ")[2] not in sockets)
        kept = replace(taken, threads=taken.threads - lookups, files=files)
        return cls(kept, frozenset(children()), len(ids))

    def since(self, before: "Held") -> list[str]:
        """Describe what is here now and was not before."""
        left = self.snapshot.since(before.snapshot)
        left += [f"child {pid}" for pid in sorted(self.processes - before.processes)]
        # Threads of libraries are counted: a call that goes on may exchange an encoder for another.
        if (more := self.native_threads - before.native_threads) > 0:
            left.append(f"{more} threads")
        return left


def _sockets_of_lookups() -> set[str]:
    """Return the sockets that are connected with port 53, as /proc/self/fd names them."""
    lines = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return {f"socket:[{line[9]}]" for line in lines if line[2].endswith(":0035")}


def children() -> set[int]:
    """Return the processes that this one has started."""
    told = ""
    for entry in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            told += (entry / "children").read_text()
    return {int(pid) for pid in told.split()}


def tell(**message: Any) -> None:
    """Write a message for whoever has started this program."""
    print(json.dumps(message), flush=True)


async def closing(what: str, opening: Awaitable[Close]) -> Freed:
    """Open something, close it, and wait until everything is as before."""
    before = Held.take()
    close = await opening
    begin = time.monotonic()
    await close()
    returned = time.monotonic() - begin
    while (left := Held.take().since(before)) and time.monotonic() - begin < PATIENCE:
        await asyncio.sleep(0.005)
    return Freed(what, returned, time.monotonic() - begin, tuple(left))


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def read(track: MediaStreamTrack | None, count: int) -> None:
    """Read so many frames of a track."""
    assert track is not None
    for _ in range(count):
        await track.recv()


async def a_connection(around: Around) -> Close:
    """Two connections with media both ways; their servers do not answer."""
    sides = PeerConnection(_HANGS), PeerConnection(_HANGS)
    tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
    for side in sides:
        side.on("track", tracks.put_nowait)
        side.addTrack(TestPatternTrack(160, 120))
        side.addTrack(ToneTrack())
        # Trickled candidates: nothing waits for the servers.
        side.on("icecandidate", lambda _: None)
    trickling(*sides)
    await negotiate(*sides)
    await connected(*sides)
    for _ in range(4):
        await read(await tracks.get(), 3)
    return lambda: asyncio.gather(*(side.close() for side in sides))


def trickling(first: PeerConnection, second: PeerConnection) -> None:
    """Hand the candidates of each connection to the other one."""
    for source, sink in ((first, second), (second, first)):
        source.on("icecandidate", sink.addIceCandidate)


async def a_room(around: Around) -> Close:
    """A room with the participants who are there, and media both ways."""
    room = enter(around)
    await room.__aenter__()
    for name in ("bob", "cara"):
        await talk(await room.peer(name, timeout=PATIENCE))
    return lambda: room.__aexit__(None, None, None)


async def a_peer_of_a_room(around: Around) -> Freed:
    """Hang up on one of three peers."""
    async with enter(around) as room:
        for name in ("bob", "cara"):  # whose media begin before dave comes
            await talk(await room.peer(name, timeout=PATIENCE))

        async def meet() -> Close:
            tell(want="dave")
            dave = await room.peer("dave", timeout=PATIENCE)
            await talk(dave)

            async def hang_up() -> None:
                dave.hang_up()
                await dave.ended()

            return hang_up

        return await closing("a peer of a room", meet())


def enter(around: Around) -> Room:
    # A program that does not leave keeps its seat for a while, and with it its name.
    name = f"alice {os.getpid()}"
    return join(around.room, room="lobby", name=name, configuration=_HANGS)


async def talk(peer: RemotePeer) -> None:
    """Send a peer media until it is gone, and receive its own; return when both are under way."""
    peer.add_track(TestPatternTrack(160, 120))
    peer.add_track(ToneTrack())
    received = aiter(peer.tracks())
    for _ in range(2):
        await read(await anext(received), 3)
    async with asyncio.timeout(PATIENCE):
        while await sending(peer) < {"audio", "video"}:
            await asyncio.sleep(0.01)


async def sending(peer: RemotePeer) -> set[str]:
    """Return the kinds of media that have been sent to a peer."""
    report = await peer.connection.getStats()
    return {
        each.kind
        for each in report.values()
        if isinstance(each, RTCOutboundRtpStreamStats) and each.packetsSent > 0
    }


async def a_screen(around: Around) -> Close:
    """A screen, in the place of a camera, shared by two encoders of two sizes."""
    screen = await Screen.open(around.display, rate=15, cursor=True)
    assert screen.video is not None
    fanout = EncodedFanout(screen.video)
    viewers = [fanout.subscribe(codec="H264") for _ in range(2)]
    for viewer in viewers:
        await read(viewer, 3)
    while len({encoder.scale_down_by for encoder in fanout.encoders}) < 2:
        viewers[1].feedback(bitrate=None, loss=0.5, rtt=None)
        await asyncio.sleep(0.05)

    async def close() -> None:
        fanout.close()
        await screen.aclose()

    return close


async def a_hanging_film(around: Around) -> Close:
    """A film over HTTP whose server has gone silent."""
    source = await FileSource.open(around.hanging)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            await read(source.video, 10_000)
    return source.aclose


def opening_of(url: str) -> Callable[[Around], Awaitable[Close]]:
    """Give up opening a source that never opens."""

    async def open_it(around: Around) -> Close:
        task = asyncio.create_task(FileSource.open(url or around.mute, timeout=60))
        await until(lambda: bool(children()))
        await asyncio.sleep(0.5)  # for the process to get to where it hangs

        async def give_up() -> None:
            task.cancel()
            await asyncio.wait([task])

        return give_up

    return open_it


def joining_of(url: str) -> Callable[[Around], Awaitable[Close]]:
    """Give up joining a room whose server does not answer."""

    async def join_it(around: Around) -> Close:
        room = join(url or around.mute.replace("http", "ws"), room="lobby", name="alice")
        task = asyncio.create_task(room.__aenter__())
        await asyncio.sleep(0.3)

        async def give_up() -> None:
            task.cancel()
            await asyncio.wait([task])

        return give_up

    return join_it


async def sinks(around: Around) -> Close:
    """All that takes the media of tracks."""
    stack = AsyncExitStack()
    tone, picture = ToneTrack(), TestPatternTrack(160, 120)
    recorder = await stack.enter_async_context(Recorder(Path(around.folder) / "call.mkv"))
    recorder.add_track(tone)
    recorder.add_track(picture)
    listening = await stack.enter_async_context(speech(ToneTrack()))
    pictures = await stack.enter_async_context(frames(TestPatternTrack(160, 120)))
    await anext(aiter(pictures))
    if os.environ.get("ALSA_CONFIG_PATH"):
        await stack.enter_async_context(await Speaker.open(ToneTrack(), "null", driver="alsa"))
    voice = AudioQueue()
    await voice.push(np.zeros(24000, np.int16), 24000)
    await read(voice, 2)
    waiting = asyncio.create_task(anext(aiter(listening)))
    unread = discard(ToneTrack())
    await until(lambda: bool(recorder.files))

    async def close() -> None:
        waiting.cancel()
        await asyncio.wait([waiting])
        unread.close()
        await unread.wait()
        voice.stop()
        await stack.aclose()

    return close


PARTS: dict[str, Callable[[Around], Awaitable[Close]]] = {
    "a peer connection whose STUN and TURN servers hang": a_connection,
    "a room": a_room,
    "a screen with two encoders of two sizes": a_screen,
    "a film whose server has gone silent": a_hanging_film,
    "a source whose server never answers": opening_of(""),
    "a source to which no packet comes": opening_of(f"http://{NOWHERE}/film.mp4"),
    "a source whose name is not found out": opening_of(f"rtsp://{UNKNOWN}/"),
    "a room whose server never answers": joining_of(""),
    "a room whose name is not found out": joining_of(f"ws://{UNKNOWN}/ws"),
    "a recorder, a reader, speech, a speaker, a voice": sinks,
}

ENDS = {
    "all is closed": "close",
    "all is closed, and the other side hangs": "close-frozen",
    "nothing is closed": "leave",
    "SIGINT": "sigint",
    "SIGTERM": "sigterm",
}


async def close_parts(around: Around) -> None:
    """Open and close one thing after the other."""
    await asyncio.to_thread(lambda: None)  # the executor's thread is not to count
    tell(**asdict(await a_peer_of_a_room(around)))
    for name, opening in PARTS.items():
        tell(**asdict(await closing(name, opening(around))))


async def end(around: Around, how: str) -> None:
    """Open everything, say so, and end."""
    closes = await asyncio.gather(*(opening(around) for opening in PARTS.values()))
    tell(ready=True, children=sorted(children()))
    try:
        told = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin, told.set)
        await told.wait()
    finally:
        if how != "leave":
            await asyncio.gather(*(close() for close in closes))


# --- the company


async def keep_company(around: Around) -> None:
    """Be the signaling server and two participants; more come when they are asked for."""
    async with serve("127.0.0.1", 0) as server, AsyncExitStack() as stack:
        tell(url=server.url)
        tasks = set()
        names = ["bob", "cara"]
        while names:
            for name in names:
                room = await stack.enter_async_context(
                    join(server.url, room="lobby", name=name, configuration=PeerConfiguration())
                )
                tasks.add(asyncio.create_task(_receive_all(room)))
            line = await asyncio.to_thread(sys.stdin.readline)
            names = [line.strip()] if line else []
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _receive_all(room: Room) -> None:
    async with asyncio.TaskGroup() as group:
        async for peer in room:
            peer.add_track(TestPatternTrack(160, 120))
            peer.add_track(ToneTrack())
            group.create_task(_receive(peer))


async def _receive(peer: RemotePeer) -> None:
    with contextlib.suppress(MediaStreamError):
        async for track in peer.tracks():
            discard(track)


def main() -> None:
    """Be one of the programs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("role", choices=["company", "parts", "end"])
    parser.add_argument("--how")
    parser.add_argument("--around")
    given = parser.parse_args()
    around = Around(**json.loads(given.around)) if given.around else Around("", "", "", "", "")
    match given.role:
        case "company":
            asyncio.run(keep_company(around))
        case "parts":
            asyncio.run(close_parts(around))
        case _:
            with contextlib.suppress(KeyboardInterrupt):
                asyncio.run(end(around, given.how))


if __name__ == "__main__":
    main()

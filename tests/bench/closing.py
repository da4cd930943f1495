"""How long closing takes until everything is given back, also while the network hangs.

A program of its own opens things one after the other, closes each, and looks how long it takes
until its threads, child processes, files, sockets and tasks are those of before. Then it has all of
them open at once, and ends in one way or another. Around it are a signaling server with two
participants, an X server, and servers that hang: HTTP that goes silent in the middle, one that
takes connections and never answers, an address to which no packet comes, and a name server that is
silent.

What cannot be ended is not counted: the thread in which the system looks up a name, and its socket.
It is a daemon, for which nothing waits, and the system gives up by itself::

    python -m tests.bench.closing
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
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
from icefloe.peer import PeerConfiguration, PeerConnection, RemotePeer, Room, join
from icefloe.signaling import IceServer, serve
from tests.bench.report import Section, seconds
from tests.helpers import netns
from tests.helpers.leaks import Snapshot
from tests.helpers.pairs import connected, negotiate
from tests.helpers.xserver import x_server
from tests.media.files import make
from tests.media.servers import http, silent
from tests.natlab.namespace import PIPE, Process, stop

NOWHERE = "203.0.113.7"
"""An address of documentation (RFC 5737): in the namespace, no packet to it ever comes back."""

UNKNOWN = "camera.example"
"""A name that is asked of a name server which is silent."""

_LOOKUP = "icefloe-resolve"
_PATIENCE = 15.0
_HANGS = PeerConfiguration(
    iceServers=[
        IceServer(urls=[f"turn:{NOWHERE}"], username="u", credential="p"),  # type: ignore[list-item]
        IceServer(urls=[f"turn:{NOWHERE}?transport=tcp"], username="u", credential="p"),  # type: ignore[list-item]
        IceServer(urls=[f"stun:{UNKNOWN}"]),  # type: ignore[list-item]
    ]
)


@dataclass(frozen=True, slots=True)
class Around:
    """What the program finds around it.

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
    """How closing went.

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
    """What this process has of the system's, and of asyncio's."""

    snapshot: Snapshot
    system: frozenset[str]

    @classmethod
    def take(cls) -> "Held":
        """Look at this process."""
        threads = threading.enumerate()
        passed_over = {t.native_id for t in threads if t.name.startswith(("asyncio_", _LOOKUP))}
        ids = {int(entry.name) for entry in Path("/proc/self/task").iterdir()} - passed_over
        own = {f"thread {id}" for id in ids} | {f"child {pid}" for pid in children()}
        taken = Snapshot.take()
        lookups = frozenset(t for t in taken.threads if t.name.startswith(_LOOKUP))
        sockets = _sockets_of_lookups()
        files = frozenset(f for f in taken.files if f.partition(" -> ")[2] not in sockets)
        return cls(replace(taken, threads=taken.threads - lookups, files=files), frozenset(own))

    def since(self, before: "Held") -> list[str]:
        """Describe what is here now and was not before."""
        return self.snapshot.since(before.snapshot) + sorted(self.system - before.system)


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
    while (left := Held.take().since(before)) and time.monotonic() - begin < _PATIENCE:
        await asyncio.sleep(0.005)
    return Freed(what, returned, time.monotonic() - begin, tuple(left))


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(_PATIENCE):
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
        await talk(await room.peer(name, timeout=_PATIENCE))
    return lambda: room.__aexit__(None, None, None)


async def a_peer_of_a_room(around: Around) -> Freed:
    """Hang up on one of two peers."""
    async with enter(around) as room:
        bob = await room.peer("bob", timeout=_PATIENCE)
        await talk(bob)

        async def meet() -> Close:
            tell(want="dave")
            dave = await room.peer("dave", timeout=_PATIENCE)
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
    """Send a peer media until it is gone, and receive its own."""
    peer.add_track(TestPatternTrack(160, 120))
    peer.add_track(ToneTrack())
    received = aiter(peer.tracks())
    for _ in range(2):
        await read(await anext(received), 3)


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


# --- what is around it


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


@asynccontextmanager
async def surroundings(folder: Path) -> AsyncIterator[tuple[Around, Process]]:
    """Have all that the program finds around it; give the process of the company too."""
    make(folder / "film.webm", frames=300, audio=Fraction(10))
    (folder / "resolv.conf").write_text("nameserver 203.0.113.53\n")
    (folder / "alsa.conf").write_text("pcm.null { type null }\n")
    # Otherwise the kernel asks who has the address, and gives up after 3 s.
    neighbour = f"neigh replace {NOWHERE} lladdr 02:00:00:00:00:07 dev lan0".split()
    subprocess.run(["ip", *neighbour], check=True)
    async with http(folder) as server, silent() as port, x_server("-wr") as display:
        server.silent_after = 60_000
        company = await start("company", "", None)
        try:
            assert company.stdout is not None
            url = json.loads(await company.stdout.readline())["url"]
            yield (
                Around(
                    url,
                    server.url("film.webm"),
                    f"http://127.0.0.1:{port}/film.mp4",
                    display,
                    str(folder),
                ),
                company,
            )
        finally:
            company.send_signal(signal.SIGCONT)
            await stop(company)


async def start(role: str, how: str, around: Around | None) -> Process:
    """Start this file as one of the programs."""
    command = [sys.executable, "-m", "tests.bench.closing", "--role", role, "--how", how]
    environment = dict(os.environ)
    if around is not None:
        command += ["--around", json.dumps(asdict(around))]
        environment["ALSA_CONFIG_PATH"] = str(Path(around.folder) / "alsa.conf")
        # In a view of its own of the files, whose name server is one that never answers.
        mount = f"mount --bind {around.folder}/resolv.conf /etc/resolv.conf && exec "
        command = ["unshare", "--mount", "sh", "-c", mount + '"$@"', "sh", *command]
    return await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, env=environment, limit=2**20
    )


async def measure_parts(around: Around, company: Process) -> list[Freed]:
    """Have the program close one thing after the other."""
    program = await start("parts", "", around)
    assert program.stdout is not None and company.stdin is not None
    freed = []
    try:
        while line := await program.stdout.readline():
            told = json.loads(line)
            if "want" in told:
                company.stdin.write(told["want"].encode() + b"\n")
            else:
                freed.append(Freed(**{**told, "left": tuple(told["left"])}))
        await program.wait()
    finally:
        await stop(program)
    return freed


async def measure_end(around: Around, company: Process, what: str) -> Freed:
    """Have the program open everything, and end."""
    how = ENDS[what]
    program = await start("end", how, around)
    assert program.stdout is not None and program.stdin is not None
    try:
        line = await program.stdout.readline()
        if not line:
            raise RuntimeError("the program has ended before it was to")
        started: list[int] = json.loads(line)["children"]
        if how == "close-frozen":
            company.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        match how:
            case "sigint" | "sigterm":
                program.send_signal(signal.SIGINT if how == "sigint" else signal.SIGTERM)
            case _:
                program.stdin.write(b"\n")
        try:
            async with asyncio.timeout(_PATIENCE):
                await program.wait()
        except TimeoutError:
            return Freed(what, _PATIENCE, _PATIENCE, ("the program",))
        returned = time.monotonic() - begin
        while (left := _alive(started)) and time.monotonic() - begin < _PATIENCE:
            await asyncio.sleep(0.005)
        freed = time.monotonic() - begin
        return Freed(what, returned, freed, tuple(f"child {pid}" for pid in left))
    finally:
        company.send_signal(signal.SIGCONT)
        await stop(program)


def _alive(pids: list[int]) -> list[int]:
    alive = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                alive.append(pid)
    return alive


async def measure() -> list[Section]:
    """Close everything, in every way."""
    with tempfile.TemporaryDirectory() as folder:
        async with surroundings(Path(folder)) as (around, company):
            parts = await measure_parts(around, company)
            ends = [await measure_end(around, company, what) for what in ENDS]
    return [
        Section(
            "Closing",
            "Until closing has returned, and until threads, child processes, files, sockets and "
            "tasks are those of before. `python -m tests.bench.closing`",
            ("closed", "returned", "freed", "left"),
            tuple(_row(freed) for freed in parts),
        ),
        Section(
            "Ending",
            "Until a program that has all of these open has ended, and until its child processes "
            "have. `python -m tests.bench.closing`",
            ("ended", "returned", "freed", "left"),
            tuple(_row(freed) for freed in ends),
        ),
    ]


def _row(freed: Freed) -> tuple[str, ...]:
    left = ", ".join(freed.left) or "nothing"
    return freed.what, seconds(freed.returned), seconds(freed.freed), left


def main() -> None:
    """Measure and print; or be one of the programs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--role", choices=["company", "parts", "end"], help=argparse.SUPPRESS)
    parser.add_argument("--how", help=argparse.SUPPRESS)
    parser.add_argument("--around", help=argparse.SUPPRESS)
    given = parser.parse_args()
    around = Around(**json.loads(given.around)) if given.around else Around("", "", "", "", "")
    match given.role:
        case "company":
            asyncio.run(keep_company(around))
        case "parts":
            asyncio.run(close_parts(around))
        case "end":
            with contextlib.suppress(KeyboardInterrupt):
                asyncio.run(end(around, given.how))
        case _:
            netns.isolate()
            for section in asyncio.run(measure()):
                print(section.markdown())


if __name__ == "__main__":
    main()

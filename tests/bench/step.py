"""The distance of sound and pictures in a recorded call: real peers, paths that lose packets.

A sender flashes and beeps (:mod:`tests.bench.flashes`), another process receives and records, and
the file is looked through. The two are hosts of their own with two ways between them: audio takes
one and video the other, which is slower, and both lose and delay packets. The sender's sound card
is fast by 0.01 %, which is 60 ms in ten minutes. All calls run at the same time::

    python -m tests.bench.step --minutes 10 --loss 0 --loss 5
    python -m tests.bench.step --minutes 1 --changes
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from aiortc import MediaStreamTrack, RTCRtpSender, RTCSessionDescription

from icefloe.media import Fanout, Recorder
from icefloe.peer import PeerConnection
from tests.bench.flashes import Beeps, Flashes, Step, read
from tests.bench.network import ADDRESSES, Network, network
from tests.bench.report import Section
from tests.helpers import netns
from tests.natlab.namespace import PIPE, stop
from tests.natlab.spec import Wire
from tests.natlab.wires import start_wire

IN_STEP = 0.04
"""Seconds that sound and picture may be apart."""

SUFFIXES = ("mkv", "mp4")
AUDIO = Wire(delay=0.02, jitter=0.01)
VIDEO = Wire(delay=0.08, jitter=0.02)
DRIFT = 1e-4

_EDGE = 5.0
"""Seconds that count as the start of a recording, and as its end."""

_SECOND_WAY = """
ip -batch - <<'END'
link set eth1 address {mac}
address add {address}/24 dev eth1
link set eth1 up
neighbour add {there} lladdr {other} nud permanent dev eth1
route add {there} dev eth1 table 7
rule add fwmark 7 table 7 priority 7
END
for device in all eth0 eth1; do echo 0 > /proc/sys/net/ipv4/conf/$device/rp_filter; done
nft -f - <<'END'
table ip ways {{
    chain leaving {{
        type route hook output priority mangle
        udp length > 12 @th,64,2 2 @th,73,7 {{ 97-127 }} meta mark set 7
    }}
}}
END
"""
"""Has RTP of video take the second way, by the payload types behind the UDP header: 96 is Opus."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is recorded.

    Attributes:
        seconds: How long it is.
        loss: The part of the packets that is lost, in each direction.
        changes: Whether both tracks are replaced in mid-call, and the picture changes its size.
        drift: By how much the sender's sound card is fast.
    """

    seconds: float
    loss: float = 0.0
    changes: bool = False
    drift: float = DRIFT

    def __str__(self) -> str:
        return f"{self.loss:.0%} lost" + ", tracks and size change" * self.changes


@asynccontextmanager
async def two_ways(loss: float, seed: int) -> AsyncIterator[Network]:
    """Link two hosts by a way for everything and one for video, until the end of the block."""
    audio = Wire(**{**asdict(AUDIO), "loss": loss, "seed": seed})
    video = Wire(**{**asdict(VIDEO), "loss": loss, "seed": seed + 1})
    async with network(audio, None) as link:
        lower, upper = ((host, "eth1") for host in link.hosts)
        wire = await start_wire(lower, upper, video)
        try:
            for number, host in enumerate(link.hosts):
                script = _SECOND_WAY.format(
                    mac=f"02:00:00:00:08:0{number}",
                    other=f"02:00:00:00:08:0{1 - number}",
                    address=f"198.18.8.{1 + number}",
                    there=ADDRESSES[1 - number],
                )
                await host.run("sh", "-e", stdin=script)
            yield link
        finally:
            await wire.close()


async def send(call: Call) -> None:
    """Offer on standard output, take the answer, and send until standard input ends."""
    connection = PeerConnection()
    # Both clocks begin at a full second.
    origin = float(int(time.monotonic()))
    audio, video = Beeps(origin, call.drift), Flashes(origin)
    senders: list[RTCRtpSender] = [connection.addTrack(audio), connection.addTrack(video)]
    await connection.setLocalDescription(await connection.createOffer())
    print(json.dumps(asdict(connection.localDescription)), flush=True)
    answer = await asyncio.to_thread(sys.stdin.readline)
    await connection.setRemoteDescription(RTCSessionDescription(**json.loads(answer)))
    changing = asyncio.create_task(_change(call, senders, origin)) if call.changes else None
    await asyncio.to_thread(sys.stdin.readline)
    if changing is not None:
        await changing
    await connection.close()


async def _change(call: Call, senders: list[RTCRtpSender], origin: float) -> None:
    await asyncio.sleep(call.seconds * 0.4)
    video = Flashes(origin)
    for sender, track in zip(senders, (Beeps(origin, call.drift), video), strict=True):
        sender.replaceTrack(track)
    await asyncio.sleep(call.seconds * 0.25)
    video.size = (320, 256)


async def receive(call: Call, folder: Path) -> None:
    """Answer what comes on standard input, record, and say so."""
    connection = PeerConnection()
    tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
    connection.on("track", tracks.put_nowait)
    offer = await asyncio.to_thread(sys.stdin.readline)
    await connection.setRemoteDescription(RTCSessionDescription(**json.loads(offer)))
    recorders = [Recorder(folder / f"call.{suffix}") for suffix in SUFFIXES]
    for recorder in recorders:
        await recorder.start()
    for _ in range(2):
        fanout = Fanout(await tracks.get())
        for recorder in recorders:
            recorder.add_track(fanout.subscribe(keep=50), participant="sender")
    await connection.setLocalDescription(await connection.createAnswer())
    print(json.dumps(asdict(connection.localDescription)), flush=True)
    await asyncio.sleep(call.seconds)
    for recorder in recorders:
        await recorder.stop()
    lost = sum(recorder.lost_audio for recorder in recorders)
    dropped = sum(recorder.dropped for recorder in recorders)
    print(json.dumps({"lost_audio": lost, "dropped": dropped}), flush=True)
    await connection.close()


async def record(call: Call, folder: Path, seed: int = 1) -> dict[str, Step]:
    """Have a call and record it; return what is in the file of each suffix."""
    command = (sys.executable, "-m", "tests.bench.step", "--call", json.dumps(asdict(call)))
    async with two_ways(call.loss, seed) as link:
        pipes = {"stdin": PIPE, "stdout": PIPE}
        sender = await link.hosts[0].start(*command, "--role", "send", **pipes)
        receiver = await link.hosts[1].start(*command, "--role", "receive", str(folder), **pipes)
        assert sender.stdin and sender.stdout and receiver.stdin and receiver.stdout
        try:
            async with asyncio.timeout(call.seconds + 30):
                receiver.stdin.write(await sender.stdout.readline())
                sender.stdin.write(await receiver.stdout.readline())
                if not await receiver.stdout.readline():
                    raise ConnectionError("the receiver has ended")
                sender.stdin.write(b"\n")
                await asyncio.gather(sender.wait(), receiver.wait())
        finally:
            await stop(sender)
            await stop(receiver)
    return {suffix: await asyncio.to_thread(read, folder / f"call.{suffix}") for suffix in SUFFIXES}


def parts(step: Step, seconds: float) -> list[tuple[float, float]]:
    """Return the start, each minute, and the end of a recording."""
    end = max((offset.at for offset in step.offsets), default=0.0)
    minutes = [(60.0 * n, 60.0 * n + _EDGE) for n in range(1, int((seconds - _EDGE) // 60) + 1)]
    return [(0.0, _EDGE), *minutes, (end - _EDGE, end + 1)]


def describe(step: Step, begin: float, end: float) -> str:
    """Tell by how much the sound is late in a part, in the median and at worst."""
    late = [o.sound_late * 1000 for o in step.offsets if begin <= o.at < end]
    if not late:
        return "none"
    return f"{statistics.median(late):+.0f} ({max(late, key=abs):+.0f})"


async def measure(calls: list[Call]) -> list[Section]:
    """Have calls at the same time, and look how far sound and pictures are apart."""
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(number) for number in range(len(calls))]
        for folder in folders:
            folder.mkdir()
        steps = await asyncio.gather(
            *(record(c, f, 2 * n) for n, (c, f) in enumerate(zip(calls, folders, strict=True)))
        )
    rows = []
    for call, files in zip(calls, steps, strict=True):
        for suffix, step in files.items():
            cells = [describe(step, *part) for part in parts(step, call.seconds)]
            beeps = f"{len(step.offsets)} of {call.seconds:.0f}"
            rows.append((f"{call}, {suffix}", *cells, describe(step, 0, 1e9), beeps))
    minutes = [f"{n} min" for n in range(1, len(rows[0]) - 4)]
    return [
        Section(
            "Sound and pictures of a recording",
            "By how many milliseconds the sound comes later than its picture, in the median of 5 s "
            "and at worst. Two hosts; audio takes 20 ms and video 80 ms, by ways of their own; the "
            "sender's sound card is fast by 0.01 %. `python -m tests.bench.step`",
            ("", "start", *minutes, "end", "all of it", "beeps"),
            tuple(rows),
        )
    ]


def main() -> None:
    """Measure and print; or be one of the peers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--loss", type=float, action="append", help="percent; again for more calls")
    parser.add_argument("--changes", action="store_true", help="replace tracks, and their size")
    parser.add_argument("--call", help=argparse.SUPPRESS)
    parser.add_argument("--role", choices=["send", "receive"], help=argparse.SUPPRESS)
    parser.add_argument("folder", nargs="?", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role:
        call = Call(**json.loads(given.call))
        peer = send(call) if given.role == "send" else receive(call, given.folder)
        asyncio.run(peer)
        return
    netns.isolate()
    losses = given.loss or [0.0, 1.0, 5.0]
    calls = [Call(given.minutes * 60, loss / 100, given.changes) for loss in losses]
    for section in asyncio.run(measure(calls)):
        print(section.markdown())


if __name__ == "__main__":
    main()

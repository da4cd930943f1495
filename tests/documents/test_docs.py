"""Every Python block of the documentation runs, as it is printed, with real calls and media."""

import asyncio
import base64
import io
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiortc import MediaStreamTrack, RTCPeerConnection
from av import AudioFrame, VideoFrame, open as open_media

from icefloe.media import AudioQueue, DeviceUnavailable, EncodedSource, TestPatternTrack, ToneTrack
from icefloe.peer import (
    PeerConfiguration,
    PeerConnection,
    RemotePeer,
    RequestFailed,
    RTCIceCandidateStats,
    join,
)
from icefloe.signaling import (
    JoinRefused,
    RemovedFromRoom,
    Right,
    ServerConfiguration,
    TokenKeys,
    Webhooks,
    connect,
    make_token,
    serve,
)
from tests.documents.blocks import ROOT, all_blocks, block
from tests.helpers.calls import Call, eventually, held_call
from tests.helpers.turn import free_port
from tests.helpers.xserver import x_server
from tests.media.files import make
from tests.media.tracks import FedTrack, picture, tone

PROGRAMS = {
    "README.md/Use it",
    "README.md/A call",
    "README.md/Two programs",
    "README.md/Two programs/2",
    "javascript.md/Ten lines",
}
"""Blocks that are whole programs; ``test_readme.py`` and ``test_javascript.py`` run them."""

LOOPBACK = PeerConfiguration(include_loopback=True)


def load(id: str) -> SimpleNamespace:
    """Execute a block as a module, and return what it defines."""
    module: dict[str, Any] = {"__name__": "printed"}
    exec(compile(block(id).text, id, "exec"), module)
    return SimpleNamespace(**module)


@asynccontextmanager
async def running(example: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """Run an example beside the test, and end it there if it has not ended; errors are raised."""
    task = asyncio.create_task(example)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.result()


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    async with held_call() as call:
        yield call


@pytest.fixture
def film(tmp_path: Path) -> str:
    path = tmp_path / "film.mkv"
    return str(make(path, frames=90, audio=Fraction(3), codec="libx264"))


async def picture_of(peer: RemotePeer) -> VideoFrame:
    """Return the next picture that comes from a peer."""
    async for track in peer.tracks():
        if track.kind == "video":
            frame = await track.recv()
            assert isinstance(frame, VideoFrame)
            return frame
    raise AssertionError("there is no picture")


async def track_of(peer: RemotePeer, kind: str) -> MediaStreamTrack:
    async for track in peer.tracks():
        if track.kind == kind:
            return track
    raise AssertionError(f"there is no {kind}")


# --- turn.md --------------------------------------------------------------------------------------


async def test_a_server_gives_credentials_for_several_turn_servers() -> None:
    page = load("turn.md/Set it up")
    async with (
        serve(port=0, configuration=page.configuration("n" * 32, "p" * 32)) as server,
        connect(server.url, room="lobby", name="alice") as client,
    ):
        urls = [each.urls for each in client.ice_servers]
        assert urls == [
            ["turn:fra.example.org", "turns:fra.example.org:443"],
            ["turn:iad.example.org"],
        ]
        assert all(each.username and each.credential for each in client.ice_servers)


@pytest.mark.parametrize(
    ("provider", "name", "extra"),
    [("cloudflare", "iceServers", {}), ("twilio", "ice_servers", {"ttl": "3600"})],
)
async def test_a_server_gives_what_a_provider_returned(
    provider: str, name: str, extra: dict[str, Any]
) -> None:
    page = load("turn.md/Credentials of a provider")

    async def post(body: dict[str, Any]) -> dict[str, Any]:
        assert 3600 in body.values()
        servers = [
            {"urls": "stun:stun.example.org"},
            {"urls": ["turn:turn.example.org"], "username": "u", "credential": "c"},
        ]
        return {name: servers, **extra}

    configuration = getattr(page, provider)(post)
    async with (
        serve(port=0, configuration=configuration) as server,
        connect(server.url, room="lobby", name="alice") as client,
    ):
        assert [each.username for each in client.ice_servers] == [None, "u"]
        assert client.expires is not None


# --- README.md, own-signaling.md, configuration.md, statistics.md -------------------------------


async def test_a_connection_with_signaling_over_http(capsys: pytest.CaptureFixture[str]) -> None:
    page = load("README.md/Signaling of your own")
    one, other = (free_port("127.0.0.1", socket.SOCK_STREAM) for _ in range(2))
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(page.talk(one, other))
        group.create_task(page.talk(other, one))
    assert sorted(capsys.readouterr().out.split("\n")[:-1]) == sorted(
        [f"hello from {one}", f"hello from {other}"]
    )


async def test_a_bot_has_one_udp_port_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    page = load("deploy.md/One UDP port for a program")
    port = free_port("127.0.0.1", socket.SOCK_DGRAM)
    async with (
        serve("127.0.0.1", 0) as server,
        running(page.bot(server.url, port)),
        join(server.url, room="lobby", name="guest", configuration=LOOPBACK) as room,
    ):
        peer = await room.peer("bot")
        peer.add_track(TestPatternTrack(160, 120))
        assert (await picture_of(peer)).width == 160
        pair = peer.connection.selected_candidate_pair
        assert pair is not None
        assert pair.remote.port == port


async def test_a_bot_is_reached_over_tcp() -> None:
    page = load("deploy.md/Peers whose network blocks UDP")
    udp_port, tcp_port = (
        free_port("127.0.0.1", kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    )
    met: asyncio.Queue[RemotePeer] = asyncio.Queue()

    async def attend(peer: RemotePeer) -> None:
        await peer.connected()
        met.put_nowait(peer)

    async with (
        serve("127.0.0.1", 0) as server,
        running(page.reachable_bot(server.url, udp_port, tcp_port, attend)),
        join(server.url, room="lobby", name="guest", configuration=LOOPBACK) as room,
    ):
        await (await room.peer("bot")).connected()
        connection = (await met.get()).connection
        offered = {
            (s.protocol, s.tcpType, s.port)
            for s in (await connection.getStats()).values()
            if isinstance(s, RTCIceCandidateStats) and s.type == "local-candidate"
        }
        assert {("udp", None, udp_port), ("tcp", "passive", tcp_port)} <= offered


async def test_what_comes_to_a_shared_port_is_counted() -> None:
    page = load("deploy.md/What comes to the port")
    async with await page.UdpMux.open() as mux:
        assert page.describe(mux).startswith("0 connections from 0 addresses; 0 foreign")


async def test_a_bot_of_a_fleet_answers(call: Call) -> None:
    page = load("scale.md/A runner")
    here, there = call.ends
    async with running(page.answer(there)):
        channel = await here.open_channel("chat")
        await channel.send("hello")
        assert await channel.receive() == "hello"


async def test_a_connection_with_signaling_of_its_own() -> None:
    page = load("own-signaling.md/Signaling of your own")
    answering = PeerConnection()

    class Signaling(page.Signaling):  # type: ignore[misc, name-defined]
        pending: asyncio.Queue[Any] = asyncio.Queue()

        def candidate(self, candidate: Any) -> None:
            self.pending.put_nowait(candidate)

        def offer(self, offer: Any) -> None:
            self.pending.put_nowait(offer)

    pc: PeerConnection = page.call(Signaling())
    offer = await Signaling.pending.get()
    answering.on("icecandidate", pc.addIceCandidate)
    await answering.setRemoteDescription(offer)
    await answering.setLocalDescription()
    await pc.setRemoteDescription(answering.localDescription)

    async def forward() -> None:
        while True:
            await answering.addIceCandidate(await Signaling.pending.get())

    async with running(forward()):
        await eventually(lambda: pc.connectionState == "connected")
    await pc.close()
    await answering.close()


async def test_the_place_of_aiortc() -> None:
    connection = load("aiortc.md/In the place of aiortc").RTCPeerConnection()
    assert isinstance(connection, RTCPeerConnection)
    await connection.close()


async def test_a_configuration() -> None:
    connection = load("configuration.md/Configuration").connection
    assert isinstance(connection, PeerConnection)
    assert connection.getConfiguration().port_range == (50000, 50200)
    await connection.close()


async def test_statistics(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    await load("statistics.md/Statistics").tell_path(call.ends[0])
    assert "host/udp -> host/udp" in capsys.readouterr().out
    page = load("statistics.md/Statistics/2")
    async with running(page.watch(call.ends[0].connection)):
        printed = io.StringIO()

        def has_printed() -> bool:
            printed.write(capsys.readouterr().out)
            return "B/s sent" in printed.getvalue()

        await eventually(has_printed)
        assert printed.getvalue().startswith("host -> host, ")


# --- data-channels.md, files.md -----------------------------------------------------------------


async def test_a_chat(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    talk = load("data-channels.md/Data channels").talk
    near, far = (asyncio.create_task(talk(end)) for end in call.ends)
    printed: list[str] = []

    def both_printed() -> bool:
        printed.extend(capsys.readouterr().out.split())
        return printed == ["hello", "hello"]

    await eventually(both_printed)
    call.ends[0].end("hung-up")
    await near
    await far


async def test_messages_that_may_be_lost(call: Call) -> None:
    page = load("data-channels.md/Messages that may be lost")
    await page.report(call.ends[0], ["one"])
    channels = {}
    async for channel in call.ends[1].channels():
        channels[channel.label] = channel
        if len(channels) == 2:
            break
    assert [await channels[label].receive() for label in ("state", "meter")] == ["one", "one"]
    raw = {label: channel.channel for label, channel in channels.items()}
    assert (raw["state"].ordered, raw["state"].maxRetransmits) == (False, 0)
    assert raw["meter"].maxPacketLifeTime == 200


async def test_json_and_requests(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    page = load("data-channels.md/JSON, types, requests")
    near, far = call.ends
    async with running(page.play(near)) as playing:
        moves = await far.open_channel("moves")
        assert await moves.receive_json() == {"x": 1, "y": 0}
        for x in range(3):
            await moves.send_json({"x": x, "y": 2})
        await moves.aclose()
        await playing
    assert capsys.readouterr().out.split("\n")[0] == "first Move(x=0, y=2)"
    async with running(page.answer(near)) as answering:
        assert await page.ask(far) == 80
        questions = await far.open_channel("questions")
        with pytest.raises(RequestFailed, match="there is no wheel"):
            await questions.request({"get": "wheel"})
        await questions.aclose()
        await answering  # it returns then, as is said


async def test_files_from_python(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "picture.jpg").write_bytes(b"\xff\xd8" * 5000)
    page = load("files.md/From Python")
    async with running(page.receive(call.ends[1])):
        await page.send(call.ends[0])
        await eventually((tmp_path / "downloads" / "holiday" / "picture.jpg").exists)
    assert "10000 bytes were sent" in capsys.readouterr().out


async def test_files_with_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holiday").write_bytes(b"\xff\xd8" * 5000)
    page = load("files.md/With a code")
    printed = ""

    def has_line() -> bool:
        nonlocal printed
        printed += capsys.readouterr().out
        return "\n" in printed

    async with serve("127.0.0.1", 0) as server, asyncio.TaskGroup() as group:
        group.create_task(page.send(server.url))
        await eventually(has_line)
        group.create_task(page.receive(server.url, printed.removeprefix("The code is ").strip()))
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "10000 bytes were sent",
        f"saved as {Path('downloads', 'holiday')}",
    ]
    assert (tmp_path / "downloads" / "holiday").read_bytes() == b"\xff\xd8" * 5000


# --- media.md: sources --------------------------------------------------------------------------


async def test_a_voice(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    pcm = np.full(24000 // 5, 3000, np.int16).tobytes()
    await load("media.md/A voice").say(call.ends[0], pcm)
    assert 0 <= float(capsys.readouterr().out) <= 0.2
    assert isinstance(await (await track_of(call.ends[1], "audio")).recv(), AudioFrame)


async def test_a_generator(call: Call) -> None:
    async with running(load("media.md/Generators").send_noise(call.ends[0])) as sending:
        frame = await picture_of(call.ends[1])
        assert (frame.width, frame.height) == (640, 480)
        call.ends[0].end("hung-up")
        await sending


async def test_a_file(call: Call, film: str) -> None:
    async with running(load("media.md/Files and URLs").show(call.ends[0], film)) as showing:
        assert await picture_of(call.ends[1])
        call.ends[0].end("hung-up")
        await showing


async def test_media_that_is_encoded_already(film: str) -> None:
    pc = PeerConnection()
    source = await load("media.md/Media that is encoded already").pass_on(pc, film)
    assert isinstance(source, EncodedSource)
    pc.addTransceiver("audio")
    offer = await pc.createOffer()
    video = offer.sdp.partition("m=video")[2]
    assert "H264/90000" in video
    assert "VP8/90000" not in video
    await source.aclose()
    await pc.close()


async def test_a_camera(call: Call) -> None:
    looking = load("media.md/Devices").look(call.ends[0])
    if any(Path("/dev").glob("video*")):
        async with running(looking):
            assert await picture_of(call.ends[1])
    else:
        with pytest.raises(DeviceUnavailable):
            await looking


@pytest.mark.system("xvfb")
async def test_a_screen(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    async with x_server() as display:
        monkeypatch.setenv("DISPLAY", display)
        async with running(load("media.md/Devices").share(call.ends[0])):
            assert await picture_of(call.ends[1])


async def test_what_cannot_be_sent_is_told(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    class Odd(ToneTrack):
        async def recv(self) -> AudioFrame:
            frame = await super().recv()
            frame.sample_rate = 0
            return frame

    load("media.md/Sound of any format").watch(call.ends[0])
    track = Odd()
    call.ends[0].add_track(track)
    await eventually(lambda: "sample rate" in capsys.readouterr().out)
    track.stop()


# --- media.md: sinks ----------------------------------------------------------------------------


async def test_arrays(capsys: pytest.CaptureFixture[str]) -> None:
    page = load("media.md/Arrays")
    for example, track in (
        (page.watch, TestPatternTrack(64, 48)),
        (page.listen, ToneTrack()),
    ):
        async with running(example(track)):
            await eventually(lambda: float((capsys.readouterr().out or "0").split()[0]) > 0)
        track.stop()


async def test_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sound, pictures = FedTrack("audio"), FedTrack("video")
    sound.feed(*map(tone, range(50)))
    pictures.feed(*(picture(number, (64, 48)) for number in range(30)))
    sound.end()
    pictures.end()
    await load("media.md/Recording").record(sound, pictures)
    assert (sound.read, pictures.read) == (50, 30)
    with open_media(str(tmp_path / "call.mkv")) as film:
        assert {stream.type for stream in film.streams} == {"audio", "video"}


async def test_a_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = load("media.md/Snapshots")
    track = TestPatternTrack(64, 48)
    await page.take(track)
    assert (tmp_path / "shot.jpg").read_bytes().startswith(b"\xff\xd8")
    frame = await track.recv()
    assert (await page.encode(frame)).startswith(b"\x89PNG")
    track.stop()


_SPEAKER = """
import asyncio
from icefloe.media import OutputUnavailable, ToneTrack

async def main():
    track = ToneTrack()
    asyncio.get_running_loop().call_later(0.5, track.stop)
    try:
        await play(track)
    except OutputUnavailable as error:
        print("no ALSA" if "alsa" not in str(error) else error)
    else:
        print("played")

asyncio.run(main())
"""


def test_a_loudspeaker(tmp_path: Path) -> None:
    id = "media.md/Loudspeakers"
    load(id)
    configuration = tmp_path / "asound.conf"
    configuration.write_text("pcm.!default { type null }\n")
    done = subprocess.run(
        [sys.executable, "-c", block(id).text + _SPEAKER],
        env={**os.environ, "ALSA_CONFIG_PATH": str(configuration)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in ("played", "no ALSA"), done.stdout


# --- media.md: hearing, fan-out -----------------------------------------------------------------


class Speech(MediaStreamTrack):
    """A second and a half of something like a voice, then silence."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    async def recv(self) -> AudioFrame:
        await asyncio.sleep(0.002)
        time = np.arange(self._count * 960, (self._count + 1) * 960) / 48000
        # Voices have a pitch that moves, and syllables.
        pitch = 2 * np.pi * (140 * time + 8 * np.sin(2 * np.pi * 2.3 * time))
        voice = sum(np.sin(pitch * harmonic) / harmonic for harmonic in range(1, 12))
        loudness = 6000 * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time))
        speaks = (time > 0.5) & (time < 2.0)
        samples = (voice * loudness * speaks).astype(np.int16)
        frame = AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48000, self._count * 960
        self._count += 1
        return frame


async def test_speech(capsys: pytest.CaptureFixture[str]) -> None:
    async def recognize(samples: Any) -> str:
        return f"heard {len(samples) > 8000}"

    voice = AudioQueue()
    track = Speech()
    page = load("media.md/Speech")
    async with running(page.converse(track, voice, recognize)):
        await eventually(lambda: "heard True" in capsys.readouterr().out)
    track.stop()
    voice.stop()


async def test_a_detector_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    track = Speech()
    async with running(load("media.md/Speech/2").detect(track)):
        await eventually(lambda: capsys.readouterr().out.endswith(" s\n"))
    track.stop()


async def test_one_encoder_for_many_peers() -> None:
    broadcast = load("media.md/One encoder for many peers").broadcast
    async with (
        serve(port=0) as server,
        join(server.url, room="r", name="camera") as room,
        running(broadcast(room)),
        join(server.url, room="r", name="one") as one,
        join(server.url, room="r", name="two") as two,
    ):
        for viewer in (one, two):
            assert await picture_of(await viewer.peer("camera"))


async def test_forwarding() -> None:
    conduct = load("media.md/Forwarding").conduct
    async with (
        serve(port=0) as server,
        join(server.url, room="r", name="host") as host,
        join(server.url, room="r", name="alice") as alice,
        join(server.url, room="r", name="bob") as bob,
        join(server.url, room="r", name="carol") as carol,
    ):
        peers = [await host.peer(name) for name in ("alice", "bob", "carol")]
        async with running(conduct(*peers)):
            picture = TestPatternTrack(160, 120)
            (await alice.peer("host")).add_track(picture)
            for viewer in (bob, carol):
                assert (await picture_of(await viewer.peer("host"))).width == 160
            picture.stop()


async def test_limits(call: Call) -> None:
    await load("media.md/Limits").limit(call.ends[0])
    assert (await picture_of(call.ends[1])).width == 640
    [sender] = call.ends[0].connection.getSenders()
    assert sender.getParameters().encodings[0].maxFramerate == 15  # type: ignore[attr-defined]


async def test_a_link_of_any_size(call: Call) -> None:
    await load("media.md/A link of any size").show_slides(call.ends[0])
    assert (await picture_of(call.ends[1])).width == 1920
    [sender] = call.ends[0].connection.getSenders()
    assert sender.getParameters().degradationPreference == "maintain-resolution"  # type: ignore[attr-defined]


async def test_muting(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    page = load("media.md/Muting, codecs and other sources")
    voice = ToneTrack()
    page.pause_and_go_on(call.ends[0], voice)
    track = await track_of(call.ends[1], "audio")
    page.notice(track)
    await eventually(lambda: not getattr(track, "muted", True))
    await track.recv()
    call.ends[0].replace_track(call.ends[0].connection.getSenders()[0], None)
    await eventually(lambda: "nothing comes" in capsys.readouterr().out)
    voice.stop()


# --- access.md ----------------------------------------------------------------------------------


async def test_tokens_and_moderators() -> None:
    keys = TokenKeys("s" * 32)
    invite = load("access.md/Tokens").invite
    take_part = load("access.md/When a token expires during a call").take_part
    asked = 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        return str(invite(keys, "bot"))

    async def hold(peer: RemotePeer) -> None:
        await peer.connected()

    async with (
        serve(port=0, configuration=ServerConfiguration(token_keys=keys)) as server,
        running(take_part(server.url, ask, hold)),
        join(
            server.url,
            room="lobby",
            name="host",
            token=make_token(keys, room="lobby", rights=["join", "moderate"]),
            configuration=LOOPBACK,
        ) as room,
        join(server.url, room="lobby", name="bob", token=invite(keys, "bob")) as bobs,
        join(server.url, room="lobby", name="mallory", token=invite(keys, "mallory")) as other,
    ):
        await room.peer("bot")
        for name in ("bob", "mallory"):
            await room.peer(name)
        await load("access.md/Moderators").end_the_meeting(room)
        with pytest.raises(RemovedFromRoom):
            async for _ in other:
                pass
        await eventually(lambda: Right.MODERATE in bobs.rights)
        assert Right.MODERATE not in room.rights
    assert asked == 1


async def test_webhooks_are_verified() -> None:
    page, secret = load("webhooks.md/Verify it"), base64.b64encode(bytes(32)).decode()
    got: asyncio.Queue[bool] = asyncio.Queue()

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        got.put_nowait(page.is_genuine(request.headers, body, f"whsec_{secret}\n"))
        got.put_nowait(page.is_genuine(request.headers, body + b" ", secret))
        got.put_nowait(page.is_genuine(request.headers, body, base64.b64encode(b"x" * 32).decode()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    hooks = Webhooks(urls=(f"http://127.0.0.1:{port}/",), secrets=(secret,))
    try:
        async with serve(port=0, configuration=ServerConfiguration(webhooks=hooks)):
            assert [await got.get() for _ in range(3)] == [True, False, False]
    finally:
        await runner.cleanup()


async def test_a_database_is_asked() -> None:
    async def find(token: object, room: str) -> str | None:
        await asyncio.sleep(0)
        return token if isinstance(token, str) and room == "lobby" else None

    configuration = load("access.md/Ask a database").configuration(find)
    async with serve(port=0, configuration=configuration) as server:
        async with join(server.url, room="lobby", name="host", token="host") as room:
            assert Right.MODERATE in room.rights
        with pytest.raises(JoinRefused):
            async with join(server.url, room="lobby", name="bob"):
                pass


# --- all of them --------------------------------------------------------------------------------


def test_every_block_is_run_by_a_test() -> None:
    """A block that is added needs a test that runs it, here or beside this file."""
    names = ("test_docs.py", "test_tutorials.py", "test_asgi_page.py")
    drivers = [Path(__file__).with_name(name) for name in names]
    text = "".join(driver.read_text(encoding="utf-8") for driver in drivers)
    named = re.findall(r'"([\w/-]+\.md/[^"]+)"', text)
    assert {each.id for each in all_blocks("python")} == set(named)


@pytest.mark.timeout(180)
def test_every_block_is_typed(tmp_path: Path) -> None:
    places = []
    for number, each in enumerate(all_blocks("python")):
        place = tmp_path / f"block_{number}.py"
        place.write_text(each.text, encoding="utf-8")
        places.append(str(place))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), *places],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- troubleshooting.md ---------------------------------------------------------------------------


async def test_a_call_explains_itself_and_its_timeline_is_saved_without_addresses(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = load("troubleshooting.md/When a call does not come about, or is lost")
    peer = call.ends[0]
    verdict = await page.explain(peer)
    assert not verdict.is_failure
    assert str(verdict.cause) in capsys.readouterr().out
    watch = load("troubleshooting.md/When a call does not come about, or is lost/2").watch
    load("troubleshooting.md/The timeline").save(peer.connection, tmp_path)
    lines = (tmp_path / "trace.jsonl").read_text()
    assert '"event":"pair-selected"' in lines and "127.0.0.1" not in lines
    assert (tmp_path / "trace.rtcstats").read_text().startswith("RTCStatsDump\n")
    async with running(watch(peer)) as watching:
        peer.hang_up()
        await watching

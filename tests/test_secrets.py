"""No representation, record of the log or error holds a secret."""

import asyncio
import base64
import logging
import re
from typing import Any

import pytest
from aiortc import RTCIceServer

from icefloe._transfer.receiving import ReceiveSettings
from icefloe._transfer.sending import SendSettings
from icefloe.media import FileSource, SourceError
from icefloe.media.errors import SourceUnreadable
from icefloe.peer import InvalidServerUrl, PeerConfiguration, RemotePeer, join
from icefloe.peer.ice.checks.binding import Credentials
from icefloe.peer.ice.server_urls import parse_url
from icefloe.peer.pairing.errors import InvalidPairingCode
from icefloe.peer.pairing.key_exchange import PairingCode, PairingSide
from icefloe.peer.pairing.rendezvous import meet
from icefloe.peer.sctp.states import Settings
from icefloe.peer.sdp.transport import Transport
from icefloe.signaling import (
    Admission,
    Description,
    IceAccess,
    IceServer,
    InvalidUrl,
    Join,
    Joined,
    MetricsAccess,
    NewIceServers,
    PeerDescription,
    ServerConfiguration,
    SessionDescription,
    TokenKeys,
    TurnServers,
    Unreachable,
    Webhooks,
    serve,
)
from icefloe.signaling.ice_access import Held
from icefloe.text import public_url

SECRET = "hunter2-Ab3"
URL = f"wss://user:{SECRET}@example.org/ws?token={SECRET}#{SECRET}"
SDP = SessionDescription("offer", f"v=0\r\na=ice-pwd:{SECRET}\r\n")
SERVER = IceServer("turn:turn.example", "user", SECRET)
TURN = TurnServers(urls=("turn:turn.example",), secrets=(SECRET * 2,))
WEBHOOKS = Webhooks(
    urls=(f"https://hook.example/{SECRET}",),
    secrets=(base64.b64encode(f"{SECRET:x>32}".encode()).decode(),),
)

CHANGED = PeerConfiguration()
# A URL that is refused when a configuration is made, and may get into it afterwards.
CHANGED.iceServers = [RTCIceServer([f"turn:user:{SECRET}@turn.example"])]


@pytest.mark.parametrize(
    "holder",
    [
        SERVER,
        IceServer([f"turn:user:{SECRET}@turn.example", "stun:stun.example"]),
        Join(room="r", name="n", token=SECRET, resume=SECRET),
        Joined("id", [], SECRET, iceServers=[SERVER]),
        Admission(ice_servers=(SERVER,)),
        ServerConfiguration(ice_servers=(SERVER,)),
        NewIceServers([SERVER]),
        IceAccess((SERVER,)),
        Held((SERVER,)),
        TURN,
        ServerConfiguration(turn=(TURN,)),
        ServerConfiguration(metrics=MetricsAccess(token=SECRET * 4)),
        WEBHOOKS,
        ServerConfiguration(webhooks=WEBHOOKS),
        SDP,
        Description(to="x", description=SDP),
        PeerDescription("x", SDP),
        PeerConfiguration(iceServers=[RTCIceServer("turn:turn.example", "user", SECRET)]),
        CHANGED,
        parse_url("turn:turn.example", "user", SECRET),
        Credentials("ours", SECRET, "theirs", SECRET),
        Transport("ufrag", SECRET),
        Settings(tag=1, tsn=1, secret=SECRET.encode()),
        [PairingCode(7, (SECRET, "falcon"))],  # str() is for the person who is to have it
        ReceiveSettings(
            code=SECRET,
            server="",
            out="",
            yes=True,
            overwrite=True,
            wait=1,
            json=True,
            token=SECRET,
        ),
        TokenKeys(SECRET * 4),
        [TokenKeys(SECRET * 4).signing_key],
        ServerConfiguration(token_keys=TokenKeys(SECRET * 4)),
        SendSettings(paths=(), server="", wait=1, json=True, qr=False, token=SECRET),
        InvalidUrl(URL, "so"),
        Unreachable(URL, "so"),
        InvalidServerUrl(f"turn:user:{SECRET}@turn.example", "so"),
        InvalidServerUrl(RTCIceServer("turn:turn.example", "user", SECRET), "so"),
        InvalidPairingCode(f"7-{SECRET}", "two words follow the number"),
        SourceUnreadable(URL, f"Connection refused: '{URL}'"),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_what_holds_a_secret_does_not_show_it(holder: object) -> None:
    for shown in (repr(holder), str(holder), f"{holder}", f"{[holder]}"):
        assert SECRET not in shown
        assert "user:" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("wss://user:pw@example.org/ws?token=x&b=#f", "wss://…@example.org/ws?token=…&b=#…"),
        ("wss://example.org:8080/ws", "wss://example.org:8080/ws"),
        ("rtsp://a:b@c@camera/1?x", "rtsp://…@camera/1?x"),
        ("turn:user:pa/ss@host:3478?transport=udp", "turn:…@host:3478?transport=udp"),
        ("stun:[::1]:3478", "stun:[::1]:3478"),
        ("http://h/?transport=udp&k=1", "http://h/?transport=udp&k=…"),
        ("http://h/a\n@b", "http://…@b"),
        ("/home/me@work/a?b=c#d.mp4", "/home/me@work/a?b=c#d.mp4"),
        (r"C:\me@work\a#b.mp4", r"C:\me@work\a#b.mp4"),
        ("", ""),
    ],
)
def test_urls_are_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert public_url(url) == shown


async def test_the_error_of_a_camera_has_no_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "icefloe")
    with pytest.raises(SourceError) as caught:
        await FileSource.open(f"http://user:{SECRET}@127.0.0.1:9/film.mp4", timeout=5)
    assert caught.value.path.count(SECRET) == 1
    assert SECRET not in str(caught.value)
    assert SECRET not in caplog.text


def _passwords(*peers: RemotePeer) -> set[str]:
    found: set[str] = set()
    for peer in peers:
        description = peer.connection.localDescription
        assert description is not None
        found |= set(re.findall(r"a=ice-pwd:(\S+)", description.sdp))
    return found


async def test_a_call_logs_no_secret_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "icefloe")
    resumed: list[str] = []

    def admit(asked: Join) -> Admission | None:
        resumed.extend([asked.resume] if isinstance(asked.resume, str) else [])
        server = IceServer("turn:127.0.0.1:9?transport=tcp", "user", f"{SECRET}-turn")
        return Admission(ice_servers=(server,)) if asked.token == SECRET else None

    options: dict[str, Any] = {
        "token": SECRET,
        "configuration": PeerConfiguration(include_loopback=True),
    }
    async with (
        serve(port=0, configuration=ServerConfiguration(admit=admit)) as server,
        join(
            f"{server.url}?key={SECRET}",
            room="r",
            name="a",
            **options,
        ) as one,
        join(server.url, room="r", name="b", **options) as two,
    ):
        here, there = await asyncio.gather(one.peer("b"), two.peer("a"))
        channel, _ = await asyncio.gather(here.open_channel("x"), there.connected())
        await channel.send("hello")
        assert await (await anext(aiter(there.channels()))).receive() == "hello"
        secrets = _passwords(here, there)
        assert len(secrets) == 2
        # Taking up the seat again sends the token of the seat, and each gets a new one.
        seats = [room._client._membership for room in (one, two) if room._client is not None]
        secrets |= {seat.joined.resume for seat in seats if seat is not None}
    assert len(secrets) == 4
    records = [record for record in caplog.records if record.name.startswith("icefloe.")]
    assert {record.levelno for record in records} >= {logging.DEBUG, logging.INFO}
    for secret in (SECRET, *secrets, *resumed):
        assert secret not in caplog.text


async def test_a_pairing_logs_nothing_of_the_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "icefloe")
    code = PairingCode.parse("7-amber-falcon")

    async def first(meeting: object) -> RemotePeer:
        async for peer in meeting:  # type: ignore[attr-defined]
            assert isinstance(peer, RemotePeer)
            return peer
        raise AssertionError("nobody came")

    async with (
        serve(port=0) as server,
        meet(server.url, code, side=PairingSide.SENDER) as sender,
        meet(server.url, code, side=PairingSide.RECEIVER) as receiver,
    ):
        await asyncio.gather(first(sender), first(receiver))
    assert any(record.name.startswith("icefloe.") for record in caplog.records)
    assert "amber" not in caplog.text
    assert "falcon" not in caplog.text

"""Candidates from servers: coturn for real, dead ones, wrong ones, all at the same time."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCIceServer, RTCIceTransportPolicy

from icefloe.peer import (
    InvalidServerUrl,
    PeerConfiguration,
    PeerConnection,
    RTCPeerConnectionIceErrorEvent,
)
from tests.helpers.netns import ADDRESS
from tests.helpers.pairs import closing, negotiate, opened, trickle, until
from tests.helpers.turn import PASSWORD, USER, Coturn, Silent, coturn, silent

needs_coturn = pytest.mark.system("coturn", "netns")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Coturn]:
    async with coturn(tmp_path, ADDRESS) as running:
        yield running


@pytest.fixture
async def dead() -> AsyncIterator[Silent]:
    async with silent("127.0.0.1") as listening:
        yield listening


def turn(url: str, password: str = PASSWORD) -> RTCIceServer:
    return RTCIceServer(url, username=USER, credential=password)


class Gathering:
    """A connection that gathers, and what came of it."""

    def __init__(self, *servers: RTCIceServer, **options: Any) -> None:
        self.connection = PeerConnection(PeerConfiguration(iceServers=list(servers), **options))
        self.connection.createDataChannel("x")
        self.candidates: list[Any] = []
        self.errors: list[RTCPeerConnectionIceErrorEvent] = []
        self.connection.on("icecandidate", self.candidates.append)
        self.connection.on("icecandidateerror", self.errors.append)

    async def complete(self) -> None:
        await self.connection.setLocalDescription()
        await until(self.connection, "icecandidate", lambda: None in self.candidates)

    @property
    def types(self) -> list[str]:
        return sorted(candidate.type for candidate in self.candidates if candidate)


@needs_coturn
async def test_every_server_and_transport_is_used(server: Coturn, dead: Silent) -> None:
    context = ssl.create_default_context()
    server.ca.configure_trust(context)
    relays = [turn(server.turn(transport)) for transport in ("udp", "tcp", "tls")]
    a = Gathering(RTCIceServer([dead.stun, server.stun]), *relays, tlsContext=context)
    async with closing(a.connection):
        a.connection._configuration.serverTimeout = 0.5
        await a.complete()
        assert a.types.count("relay") == 3
        # The server is on this machine: it sees the host candidate itself, which is redundant.
        assert "srflx" not in a.types
        assert {error.url for error in a.errors} == {dead.stun}
        assert {error.errorCode for error in a.errors} == {701}


@needs_coturn
async def test_a_certificate_that_is_not_trusted_gives_no_relay(server: Coturn) -> None:
    a = Gathering(turn(server.turn("tls")))
    async with closing(a.connection):
        await a.complete()
    assert "relay" not in a.types
    assert [error.errorCode for error in a.errors] == [701]
    assert "certificate" in a.errors[0].errorText.lower()


@needs_coturn
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_wrong_password_is_reported_with_the_servers_code(
    server: Coturn, transport: str
) -> None:
    a = Gathering(turn(server.turn(transport), "wrong"))
    async with closing(a.connection):
        await a.complete()
    assert [(error.url, error.errorCode) for error in a.errors] == [(server.turn(transport), 401)]


@needs_coturn
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_two_peers_meet_on_a_relay_alone(server: Coturn, transport: str) -> None:
    relay_only = PeerConfiguration(
        iceServers=[turn(server.turn(transport))], iceTransportPolicy=RTCIceTransportPolicy.RELAY
    )
    a, b = PeerConnection(relay_only), PeerConnection(relay_only)
    trickle(a, b)
    trickle(b, a)
    channel = a.createDataChannel("x")
    async with closing(a, b):
        await negotiate(a, b)
        await opened(channel)
        pair = a.selectedCandidatePair
        assert pair is not None
        assert (pair.local.type, pair.relayed) == ("relay", True)
        assert a.localDescription.sdp.count("typ host") == 0


async def test_dead_servers_hold_nothing_up_with_a_listener(dead: Silent) -> None:
    relays = [turn(dead.turn(transport)) for transport in ("udp", "tcp", "tls")]
    a = Gathering(RTCIceServer(dead.stun), *relays)
    b = PeerConnection()
    trickle(a.connection, b)
    trickle(b, a.connection)
    async with closing(a.connection, b):
        await negotiate(a.connection, b)
        assert a.connection.iceGatheringState == "gathering"
        await until(b, "connectionstatechange", lambda: b.connectionState == "connected")
        assert a.connection.iceGatheringState == "gathering"
        assert dead.received


async def test_dead_servers_hold_up_no_longer_than_the_cap_without_one(dead: Silent) -> None:
    configuration = PeerConfiguration(
        iceServers=[RTCIceServer(dead.stun), turn(dead.turn("udp"))], gatheringTimeout=0.05
    )
    a = PeerConnection(configuration)
    a.createDataChannel("x")
    async with closing(a):
        await a.setLocalDescription()
        assert a.iceGatheringState == "gathering"
        assert "typ host" in a.localDescription.sdp
        assert "a=end-of-candidates" not in a.localDescription.sdp


@needs_coturn
async def test_without_a_listener_the_description_waits_for_servers_that_answer(
    server: Coturn,
) -> None:
    a = PeerConnection(
        PeerConfiguration(iceServers=[turn(server.turn("udp"))], gatheringTimeout=30)
    )
    a.createDataChannel("x")
    async with closing(a):
        await a.setLocalDescription()
        assert a.iceGatheringState == "complete"
        assert "typ relay" in a.localDescription.sdp


async def test_a_name_that_does_not_resolve_costs_only_itself() -> None:
    urls = {
        f"stun:{'x' * 64}.invalid",  # a label over 63 bytes: no resolver takes it
        "stuns:127.0.0.1",
        "turns:127.0.0.1?transport=udp",
    }
    a = Gathering(*map(turn, urls))
    async with closing(a.connection):
        await a.complete()
    assert "host" in a.types
    assert {error.url for error in a.errors} == urls


async def test_a_resolver_that_hangs_costs_only_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        asked.set()
        answer.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    a = Gathering(RTCIceServer("stun:slow.invalid"), serverTimeout=0.05)
    try:
        async with closing(a.connection):
            await a.complete()
        assert asked.is_set()
        assert [error.errorCode for error in a.errors] == [701] * a.types.count("host")
    finally:
        answer.set()


async def test_a_refused_connection_is_reported() -> None:
    a = Gathering(turn("turn:127.0.0.1:1?transport=tcp"))
    async with closing(a.connection):
        await a.complete()
    assert [error.errorCode for error in a.errors] == [701]
    assert "127.0.0.1" in a.errors[0].errorText


@needs_coturn
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_closing_does_not_hang_on_a_relay_that_died(tmp_path: Path, transport: str) -> None:
    async with coturn(tmp_path, ADDRESS) as running:
        context = ssl.create_default_context()
        running.ca.configure_trust(context)
        a = Gathering(turn(running.turn(transport)), tlsContext=context, closeTimeout=0.1)
        await a.complete()
        assert "relay" in a.types
    async with asyncio.timeout(10):  # aiortc: 63 s
        await a.connection.close()


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_closing_while_a_dead_server_is_asked_leaves_nothing(
    dead: Silent, transport: str
) -> None:
    a = Gathering(turn(dead.turn(transport)))
    await a.connection.setLocalDescription()
    await a.connection.close()
    assert a.connection.connectionState == "closed"


@pytest.mark.parametrize("url", ["http://x", "stun:", "turn:h?transport=quic", "stun:h:0", ""])
def test_a_malformed_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidServerUrl, match="not a STUN or TURN URL"):
        PeerConnection(PeerConfiguration(iceServers=[RTCIceServer(url)]))

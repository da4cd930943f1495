"""Candidates from servers: coturn for real, dead ones, wrong ones, all at the same time."""

import asyncio
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aioice import stun
from aiortc import RTCIceServer, RTCIceTransportPolicy

from icefloe.peer import (
    InvalidServerUrl,
    PeerConfiguration,
    PeerConnection,
    RTCPeerConnectionIceErrorEvent,
)
from icefloe.peer.ice.gather import gathering
from icefloe.peer.ice.server_urls import Server, Transport
from tests.helpers.gathering import gathered, owning
from tests.helpers.netns import ADDRESS
from tests.helpers.pairs import closing, negotiate, opened, trickle, until
from tests.helpers.turn import PASSWORD, USER, Coturn, Silent, coturn, silent, stun_server
from tests.helpers.turnserver import turn_server

needs_coturn = pytest.mark.system("coturn", "netns")
ADDRESS6 = "2001:db8:77::1"


@pytest.fixture
def ipv6() -> Iterator[str]:
    """An IPv6 address for the tests' interface."""
    subprocess.run(["ip", "addr", "add", f"{ADDRESS6}/64", "dev", "lan0", "nodad"], check=True)
    try:
        yield ADDRESS6
    finally:
        subprocess.run(["ip", "addr", "del", f"{ADDRESS6}/64", "dev", "lan0"], check=True)


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
    a = Gathering(RTCIceServer([dead.stun, server.stun]), *relays, tls_context=context)
    async with closing(a.connection):
        a.connection._context.configuration.server_timeout = 0.5
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
        pair = a.selected_candidate_pair
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
        iceServers=[RTCIceServer(dead.stun), turn(dead.turn("udp"))], gathering_timeout=0.05
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
        PeerConfiguration(iceServers=[turn(server.turn("udp"))], gathering_timeout=30)
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
    a = Gathering(RTCIceServer("stun:slow.invalid"), server_timeout=0.05)
    try:
        async with closing(a.connection):
            await a.complete()
        assert asked.is_set()
        assert [error.errorCode for error in a.errors] == [701]
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
        a = Gathering(turn(running.turn(transport)), tls_context=context, close_timeout=0.1)
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


# --- without a connection around it


def names(monkeypatch: pytest.MonkeyPatch, **known: list[str]) -> None:
    """Let names with an underscore for each dot resolve to addresses."""
    look_up = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        found = known.get(str(host).replace(".", "_"))
        if found is None:
            return look_up(host, port, *args, **kwargs)
        return [(None, None, None, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


async def test_a_reflexive_candidate_tells_base_server_and_network() -> None:
    async with stun_server("127.0.0.1", mapped=("203.0.113.9", 4567)) as server:
        options = {"include_loopback": True, "addresses": ("127.0.0.0/8",)}
        async with gathered(RTCIceServer(server.url), **options) as owner:
            host, reflexive = owner.candidates
            assert reflexive.base is host.base
            assert (reflexive.host, reflexive.port) == ("203.0.113.9", 4567)
            assert (reflexive.related_address, reflexive.related_port) == (host.host, host.port)
            assert reflexive.url == server.url
            assert reflexive.priority < host.priority
            assert owner.errors == []


async def test_two_servers_that_see_the_same_address_give_one_candidate() -> None:
    mapped = ("203.0.113.9", 4567)
    async with stun_server("127.0.0.1", mapped) as a, stun_server("127.0.0.1", mapped) as b:
        both = [RTCIceServer([a.url, b.url])]
        options = {"include_loopback": True, "addresses": ("127.0.0.0/8",)}
        async with gathered(*both, **options) as owner:
            assert [c.type for c in owner.candidates] == ["host", "srflx"]


async def test_two_servers_that_see_different_addresses_give_different_priorities() -> None:
    async with (
        stun_server("127.0.0.1", ("203.0.113.9", 1)) as a,
        stun_server("127.0.0.1", ("203.0.113.9", 2)) as b,
    ):
        options = {"include_loopback": True, "addresses": ("127.0.0.0/8",)}
        async with gathered(RTCIceServer([a.url, b.url]), **options) as owner:
            assert len({c.priority for c in owner.of_type("srflx")}) == 2


@pytest.mark.system("iproute2", "netns")
async def test_a_name_with_both_families_is_asked_over_both(
    monkeypatch: pytest.MonkeyPatch, ipv6: str
) -> None:
    async with stun_server(ADDRESS, ("203.0.113.9", 1)) as over_ipv4:
        port = over_ipv4.port
        async with stun_server(ipv6, ("2001:db8:9::9", 2), port=port):
            names(monkeypatch, stun_invalid=[ipv6, ADDRESS])
            async with gathered(RTCIceServer(f"stun:stun.invalid:{port}")) as owner:
                found = {c.host: c.related_address for c in owner.of_type("srflx")}
                assert found == {"203.0.113.9": ADDRESS, "2001:db8:9::9": ipv6}


async def test_a_dead_address_of_a_server_costs_half_a_second(
    monkeypatch: pytest.MonkeyPatch, dead: Silent
) -> None:
    async with stun_server("127.0.0.2", ("203.0.113.9", 1), port=dead.udp_port):
        names(monkeypatch, stun_invalid=["127.0.0.1", "127.0.0.2"])
        options = {"include_loopback": True, "addresses": ("127.0.0.0/8",), "server_timeout": 30}
        url = f"stun:stun.invalid:{dead.udp_port}"
        async with gathered(RTCIceServer(url), **options) as owner:
            assert owner.announced("srflx") == [("203.0.113.9", 1)]
            assert dead.received


async def test_a_server_of_another_family_is_reported() -> None:
    options = {"include_loopback": True, "addresses": ("127.0.0.0/8",)}
    async with gathered(RTCIceServer("stun:[2001:db8::1]"), **options) as owner:
        assert [(error.errorCode, "only IPv6" in error.errorText) for error in owner.errors] == [
            (701, True)
        ]


async def test_an_error_names_the_socket_unless_its_address_is_hidden(dead: Silent) -> None:
    server = RTCIceServer(dead.stun)
    options = {"include_loopback": True, "addresses": ("127.0.0.0/8",), "server_timeout": 0.05}
    async with gathered(server, **options) as owner:
        host = owner.candidates[0]
        assert [(e.address, e.port) for e in owner.errors] == [(host.host, host.port)]
    async with gathered(server, hide_host_addresses=True, **options) as owner:
        assert [(e.address, e.port) for e in owner.errors] == [(None, None)]


async def test_bindings_are_kept_until_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "KEEPALIVE_INTERVAL", 0.05)
    async with stun_server("127.0.0.1", mapped=("203.0.113.9", 1)) as server:
        options = {"include_loopback": True, "addresses": ("127.0.0.0/8",)}
        async with gathered(RTCIceServer(server.url), **options) as owner:
            keeping = asyncio.create_task(owner.gathering.keep_alive())
            await server.until(lambda: len(server.requests) == 4)
            assert set(server.requests) == {("127.0.0.1", owner.candidates[0].port)}
            keeping.cancel()
            await asyncio.wait([keeping])


# --- relays


@needs_coturn
async def test_a_relay_candidate_tells_how_its_server_is_spoken_to(server: Coturn) -> None:
    async with gathered(turn(server.turn("udp")), turn(server.turn("tcp"))) as owner:
        relays = {c.relay_protocol: c for c in owner.of_type("relay")}
        assert set(relays) == {"udp", "tcp"}
        assert relays[Transport.UDP].priority > relays[Transport.TCP].priority
        assert relays[Transport.UDP].url == server.turn("udp")
        assert {c.base.local_candidate for c in relays.values()} == set(relays.values())


@needs_coturn
async def test_a_ca_file_is_trusted_beside_the_systems(tmp_path: Path, server: Coturn) -> None:
    server.ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with gathered(turn(server.turn("tls")), tls_ca_file=tmp_path / "ca.pem") as owner:
        assert [c.relay_protocol for c in owner.of_type("relay")] == ["tls"]


@needs_coturn
async def test_a_certificate_must_be_for_the_name_in_the_url(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: Coturn
) -> None:
    server.ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    names(monkeypatch, other_invalid=[ADDRESS])
    url = f"turns:other.invalid:{server.tls_port}"
    async with gathered(turn(url), tls_ca_file=tmp_path / "ca.pem") as owner:
        assert owner.of_type("relay") == []
        assert "other.invalid" in owner.errors[0].errorText


@needs_coturn
async def test_a_server_reached_over_ipv6_relays_ipv6(tmp_path: Path, ipv6: str) -> None:
    async with (
        coturn(tmp_path, ipv6) as running,
        gathered(turn(running.turn("udp")), turn(running.turn("tcp"))) as owner,
    ):
        assert [c.host for c in owner.of_type("relay")] == [ipv6, ipv6]
        assert owner.errors == []


@needs_coturn
async def test_a_server_reached_over_ipv6_relays_ipv4_too_if_it_can(
    tmp_path: Path, ipv6: str
) -> None:
    async with (
        coturn(tmp_path, ipv6, f"relay-ip={ADDRESS}") as running,
        gathered(turn(running.turn("udp"))) as owner,
    ):
        assert {c.host for c in owner.of_type("relay")} == {ipv6, ADDRESS}


@needs_coturn
async def test_broken_ipv6_costs_no_more_than_a_last_chance(
    monkeypatch: pytest.MonkeyPatch, server: Coturn, ipv6: str
) -> None:
    async with silent(ipv6, port=server.port):
        names(monkeypatch, turn_invalid=[ipv6, ADDRESS])
        url = f"turn:turn.invalid:{server.port}"
        async with gathered(turn(url), server_timeout=1000) as owner:
            assert [c.host for c in owner.of_type("relay")] == [ADDRESS]
            assert owner.errors == []


@pytest.mark.parametrize("code", [403, 440, 441, 442, 486, 508])
async def test_what_a_server_refuses_is_reported_with_its_code(code: int) -> None:
    async with turn_server(Transport.UDP) as server:
        server.refuse[stun.Method.ALLOCATE] = [code]
        async with gathered(turn(server.url)) as owner:
            assert [(error.url, error.errorCode, error.errorText) for error in owner.errors] == [
                (server.url, code, "as told")
            ]


async def test_a_mismatch_is_tried_again_from_another_port() -> None:
    async with turn_server(Transport.UDP) as server:
        server.refuse[stun.Method.ALLOCATE] = [437]
        async with gathered(turn(server.url)) as owner:
            assert len(owner.of_type("relay")) == 1
            assert len(server.clients) == 2
            assert owner.errors == []


async def test_a_relay_that_its_server_drops_is_told_with_its_base() -> None:
    async with turn_server(Transport.UDP) as server:
        server.lifetime = 1
        async with gathered(turn(server.url)) as owner:
            (candidate,) = owner.of_type("relay")
            server.refuse[stun.Method.REFRESH] = [437]
            await owner.until(lambda: bool(owner.lost))
            assert owner.lost[0][0] is candidate.base
            assert "437" in owner.lost[0][1]


async def test_a_relay_that_nobody_wants_is_just_closed() -> None:
    async with turn_server(Transport.UDP) as server, owning(turn(server.url)) as owner:
        owner.refuse_late = True
        await owner.gathering.ask_servers()
        await server.until(lambda: bool(server.seen(stun.Method.REFRESH)))
        assert server.seen(stun.Method.REFRESH)[0].attributes["LIFETIME"] == 0
        assert owner.lost == []


async def test_credentials_come_from_who_supplies_them() -> None:
    asked: list[str] = []

    def newest(server: Server) -> tuple[str, str]:
        asked.append(server.url)
        return USER, PASSWORD

    async with (
        turn_server(Transport.UDP) as server,
        gathered(turn(server.url, "expired"), credentials=newest) as owner,
    ):
        assert len(owner.of_type("relay")) == 1
        assert asked == [server.url]


async def test_cancelling_leaves_nothing(dead: Silent) -> None:
    servers = [RTCIceServer(dead.stun), *(turn(dead.turn(t)) for t in ("udp", "tcp", "tls"))]
    async with owning(*servers) as owner:
        await owner.gathering.open_host_sockets()
        asking = asyncio.create_task(owner.gathering.ask_servers())
        while dead.received < 2:
            await asyncio.sleep(0.001)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()

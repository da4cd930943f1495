"""Failures that are provoked on one machine, and the verdicts about them."""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trustme
from aioice import stun
from aiortc import MediaStreamTrack, RTCIceServer, RTCIceTransportPolicy
from aiortc.rtcdtlstransport import SRTP_PROFILES

from icefloe.media import TestPatternTrack
from icefloe.peer import (
    ConnectionClosed,
    ConnectPhase,
    KeyFrameReceived,
    MediaStarted,
    PairNominated,
    PeerConfiguration,
    PeerConnection,
    ServerAsked,
    StateChanged,
    TimerLate,
    Verdict,
    VerdictCause,
    WarningGiven,
    join,
)
from icefloe.peer._aiortc import agent_of
from icefloe.peer.ice.server_urls import Transport
from icefloe.signaling import serve
from tests.helpers.pairs import closing, connected, negotiate, opened, until
from tests.helpers.turn import PASSWORD, USER, silent
from tests.helpers.turnserver import turn_server


class Silent(MediaStreamTrack):
    """A track of which no frame ever comes."""

    kind = "audio"

    async def recv(self) -> Any:
        await asyncio.Event().wait()


def make(**settings: Any) -> PeerConnection:
    return PeerConnection(PeerConfiguration(**settings))


def gave_up(connection: PeerConnection) -> VerdictCause:
    return connection.diagnose(gave_up=True).cause


async def warned(connection: PeerConnection, cause: VerdictCause) -> Verdict:
    """Wait for a warning, and return it."""
    found: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    def look(verdict: Verdict) -> None:
        if verdict.cause is cause and not found.done():
            found.set_result(verdict)

    connection.on("warning", look)
    return await found


# --- STUN and TURN


@asynccontextmanager
async def gathering(server: RTCIceServer, **settings: Any) -> AsyncIterator[PeerConnection]:
    """A connection that has begun to gather, with one server."""
    pc = make(iceServers=[server], include_loopback=True, server_timeout=0.5, **settings)
    pc.on("icecandidate", lambda _: None)
    async with closing(pc):
        pc.createDataChannel("x")
        yield pc


async def begin(pc: PeerConnection) -> None:
    await pc.setLocalDescription(await pc.createOffer())


@pytest.mark.parametrize(
    ("user", "refuse", "cause"),
    [
        ("nobody", [], VerdictCause.TURN_CREDENTIALS_WRONG),
        ("1000000000:bob", [], VerdictCause.TURN_CLOCK_SKEW),
        (f"{2**33}:bob", [], VerdictCause.TURN_CREDENTIALS_WRONG),
        (USER, [486], VerdictCause.TURN_QUOTA_REACHED),
        (USER, [508], VerdictCause.TURN_NO_CAPACITY),
        (USER, [500], VerdictCause.TURN_REFUSED),
    ],
)
async def test_a_turn_server_that_refuses_is_warned_of_before_anything_else(
    user: str, refuse: list[int], cause: VerdictCause
) -> None:
    async with turn_server(Transport.UDP) as server:
        server.refuse[stun.Method.ALLOCATE] = list(refuse)
        async with gathering(RTCIceServer(server.url, user, PASSWORD)) as pc:
            warning = asyncio.create_task(warned(pc, cause))
            await begin(pc)
            verdict = await warning
            assert pc.iceConnectionState == "new"  # nobody has answered yet
            assert verdict.phase is ConnectPhase.TURN
            (named,) = verdict.evidence.servers
            assert named.url == server.url and named.code in (401, *refuse)
            events = [entry.event for entry in pc.timeline]
            asked = next(event for event in events if isinstance(event, ServerAsked))
            assert asked.server.code == named.code
            given = [event for event in events if isinstance(event, WarningGiven)]
            assert [event.cause for event in given] == [cause]


async def test_a_turn_server_that_does_not_answer_is_told_from_one_without_a_name() -> None:
    async with (
        silent("127.0.0.1") as dead,
        gathering(RTCIceServer(dead.turn("udp"), USER, PASSWORD)) as pc,
    ):
        warning = asyncio.create_task(warned(pc, VerdictCause.TURN_UNREACHABLE))
        await begin(pc)
        await warning
    nameless = RTCIceServer(f"turn:{'x' * 64}.invalid", USER, PASSWORD)
    async with gathering(nameless, gathering_timeout=0) as pc:
        warning = asyncio.create_task(warned(pc, VerdictCause.TURN_NAME_UNKNOWN))
        await begin(pc)
        await warning


async def test_a_certificate_that_is_not_trusted_is_told() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listener = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=context)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        async with gathering(RTCIceServer(f"turns:127.0.0.1:{port}", USER, PASSWORD)) as pc:
            warning = asyncio.create_task(warned(pc, VerdictCause.TURN_CERTIFICATE_REFUSED))
            await begin(pc)
            verdict = await warning
            assert "certificate" in verdict.evidence.details[0]


async def test_a_peer_that_the_relay_may_not_reach_is_told() -> None:
    async with turn_server(Transport.UDP) as server:
        server.refuse[stun.Method.CHANNEL_BIND] = [403] * 100
        relay = RTCIceServer(server.url, USER, PASSWORD)
        a = make(iceServers=[relay], iceTransportPolicy=RTCIceTransportPolicy.RELAY)
        b = make()
        async with closing(a, b):
            a.createDataChannel("x")
            await negotiate(a, b)
            agent = agent_of(cast(Any, a.ice_transport))
            while not agent.generation.forbidden:
                await asyncio.sleep(0.02)
            verdict = a.diagnose(gave_up=True)
            assert verdict.cause is VerdictCause.TURN_PEER_FORBIDDEN
            assert "403" in verdict.evidence.details[0]


async def test_a_stun_server_that_does_not_answer_is_told_once_nothing_else_works() -> None:
    async with silent("127.0.0.1") as dead:
        a = make(
            iceServers=[RTCIceServer(dead.turn("udp").replace("turn:", "stun:").partition("?")[0])],
            include_loopback=True,
            server_timeout=0.2,
        )
        b = make(include_loopback=True)
        async with closing(a, b):
            a.createDataChannel("x")
            # Candidates of this side get nowhere: those of the other one are of a test network.
            await negotiate(a, b, without_candidates, elsewhere)
            await until(a, "icegatheringstatechange", lambda: a.iceGatheringState == "complete")
            assert gave_up(a) is VerdictCause.STUN_UNREACHABLE


# --- descriptions and candidates


def without_candidates(text: str) -> str:
    return re.sub(r"a=(candidate|end-of-candidates).*\r\n", "", text)


def elsewhere(text: str) -> str:
    text = re.sub(r"a=candidate:(\S+) 1 udp (\d+) \S+ \d+ typ host", _candidate_elsewhere, text)
    return re.sub(r"a=candidate:\S+ 1 (tcp|TCP) .*\r\n", "", text)


def _candidate_elsewhere(found: re.Match[str]) -> str:
    return f"a=candidate:{found[1]} 1 udp {found[2]} 203.0.113.9 9 typ host"


def hidden(text: str) -> str:
    """Put a name that nobody resolves in the place of each address."""
    return re.sub(r"(a=candidate:\S+ 1 \S+ \d+) \S+", r"\1 no-such-name.local", text)


@pytest.mark.parametrize(
    ("change", "back", "at_offerer", "at_answerer"),
    [
        (
            without_candidates,
            without_candidates,
            VerdictCause.CANDIDATES_NOT_FORWARDED,
            VerdictCause.CANDIDATES_NOT_FORWARDED,
        ),
        (hidden, hidden, VerdictCause.MDNS_UNRESOLVED, VerdictCause.MDNS_UNRESOLVED),
    ],
)
async def test_what_signaling_did_to_candidates_is_told(
    change: Callable[[str], str],
    back: Callable[[str], str],
    at_offerer: VerdictCause,
    at_answerer: VerdictCause,
) -> None:
    a, b = make(), make()
    async with closing(a, b):
        a.createDataChannel("x")
        await negotiate(a, b, change, back)
        assert gave_up(a) is at_offerer
        assert gave_up(b) is at_answerer
        assert a.diagnose().cause is VerdictCause.STILL_CONNECTING


async def test_credentials_of_another_description_are_told_on_both_sides() -> None:
    a, b = make(), make()
    async with closing(a, b):
        a.createDataChannel("x")
        stale = lambda text: re.sub(r"a=ice-pwd:\S+", "a=ice-pwd:" + "x" * 22, text)  # noqa: E731
        await negotiate(a, b, stale, stale)
        checks = agent_of(cast(Any, a.ice_transport)).generation.checks
        while not (checks.refused_by_remote and checks.refused_checks):
            await asyncio.sleep(0.02)
        assert gave_up(a) is VerdictCause.CREDENTIALS_STALE
        assert gave_up(b) is VerdictCause.CREDENTIALS_STALE


async def test_a_section_without_a_common_codec_is_told_on_both_sides() -> None:
    a, b = make(), make()
    async with closing(a, b):
        a.createDataChannel("x")
        a.addTransceiver("video")
        await negotiate(a, b, lambda text: re.sub(r"(VP8|H264)/", "XYZ/", text))
        await connected(a, b)
        assert (await settled(a)).cause is VerdictCause.NO_COMMON_CODEC


async def settled(pc: PeerConnection) -> Verdict:
    """Return the verdict once everything that is to come up has."""
    while pc.diagnose().cause is VerdictCause.STILL_CONNECTING:
        await asyncio.sleep(0.02)
    return pc.diagnose()


# --- DTLS


async def test_a_certificate_that_signaling_did_not_promise_is_told() -> None:
    a, b = make(), make()
    async with closing(a, b):
        a.createDataChannel("x")
        forged = lambda text: re.sub(r"(sha-256 )(\S\S:\S\S)", r"\g<1>00:11", text)  # noqa: E731
        warning = asyncio.create_task(warned(a, VerdictCause.DTLS_FINGERPRINT_MISMATCH))
        await negotiate(a, b, back=forged)
        verdict = await warning
        assert verdict.phase is ConnectPhase.DTLS
        assert a.diagnose() == verdict


async def test_two_clients_of_one_handshake_see_the_conflict() -> None:
    a, b = make(), make()
    async with closing(a, b):
        a.createDataChannel("x")
        swapped = lambda text: text.replace("setup:active", "setup:passive")  # noqa: E731
        await negotiate(a, b, back=swapped)
        while a.diagnose().cause is VerdictCause.STILL_CONNECTING:
            await asyncio.sleep(0.02)
        assert a.diagnose().cause is VerdictCause.DTLS_ROLE_CONFLICT


async def test_two_sides_without_a_common_srtp_profile_are_told() -> None:
    a, b = make(), make()
    async with closing(a, b):
        for pc, profiles in ((a, SRTP_PROFILES[:1]), (b, SRTP_PROFILES[1:])):
            pc.createDataChannel("x")
            pc.sctp.transport._srtp_profiles = profiles  # type: ignore[union-attr]
        await negotiate(a, b)
        for pc in (a, b):
            await until(pc, "connectionstatechange", lambda pc=pc: pc.connectionState == "failed")  # type: ignore[misc]
            assert pc.diagnose().cause is VerdictCause.NO_COMMON_SRTP_PROFILE


@pytest.mark.parametrize(
    ("largest", "cause"),
    [(0, VerdictCause.DTLS_NO_ANSWER), (400, VerdictCause.DTLS_LARGE_PACKETS_LOST)],
)
async def test_what_the_path_drops_of_the_handshake_is_told(
    largest: int, cause: VerdictCause
) -> None:
    a, b = make(), make()
    async with closing(a, b):
        a.createDataChannel("x")
        b.createDataChannel("x")
        for pc in (a, b):
            received = agent_of(cast(Any, pc.sctp).transport.transport).received
            take = received.take
            received.take = lambda data, take=take: len(data) > largest or take(data)
        await negotiate(a, b)
        await until(a, "iceconnectionstatechange", lambda: a.iceConnectionState == "completed")
        if largest:
            dtls = cast(Any, a.sctp).transport
            while not dtls.facts(0.0, remote_role="auto").received:
                await asyncio.sleep(0.02)
        assert a.diagnose().cause is VerdictCause.STILL_CONNECTING
        assert gave_up(a) is cause


# --- above


async def connect(a: PeerConnection, b: PeerConnection) -> None:
    channel = a.createDataChannel("x")
    await negotiate(a, b)
    await opened(channel)


async def test_an_association_that_ends_alone_is_told() -> None:
    a, b = make(), make()
    async with closing(a, b):
        await connect(a, b)
        assert a.diagnose().cause is VerdictCause.NOTHING_WRONG
        warning = asyncio.create_task(warned(a, VerdictCause.SCTP_ABORTED))
        cast(Any, b.sctp).shell.stop()
        verdict = await warning
        assert verdict.evidence.details == ("aborted by the remote peer",)


async def test_an_association_that_nobody_answers_is_told() -> None:
    a, b = make(), make()
    async with closing(a, b):
        a.createDataChannel("x")
        b.createDataChannel("x")
        cast(Any, b.sctp).shell.receive = lambda packet: None
        await negotiate(a, b)
        await connected(a, b)
        assert gave_up(a) in (VerdictCause.SCTP_NO_ANSWER,)


async def test_a_track_without_frames_is_told_on_both_sides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("icefloe.peer.diagnosis.diagnose.MEDIA_PATIENCE", 0.0)
    a, b = make(), make()
    async with closing(a, b):
        a.addTransceiver(Silent(), "sendonly")
        await negotiate(a, b)
        await connected(a, b)
        assert (await settled(a)).cause is VerdictCause.NO_MEDIA_SENT
        assert (await settled(b)).cause is VerdictCause.NO_MEDIA_RECEIVED


async def test_media_that_flows_is_in_the_timeline_with_its_first_packets_and_key_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = make(), make()
    async with closing(a, b):
        track = TestPatternTrack(160, 120)
        a.addTrack(track)
        received: asyncio.Future[MediaStreamTrack] = asyncio.get_running_loop().create_future()
        b.on("track", received.set_result)
        await negotiate(a, b)
        await (await received).recv()
        monkeypatch.setattr("icefloe.peer.diagnosis.diagnose.MEDIA_PATIENCE", 0.0)
        for pc, direction in ((a, "out"), (b, "in")):
            assert pc.diagnose().cause is VerdictCause.NOTHING_WRONG
            events = [entry.event for entry in pc.timeline]
            (started,) = (event for event in events if isinstance(event, MediaStarted))
            assert (started.kind, started.direction) == ("video", direction)
        keys = [entry.event for entry in b.timeline if isinstance(entry.event, KeyFrameReceived)]
        assert keys == [KeyFrameReceived("0")]
        track.stop()


async def test_a_path_that_goes_silent_is_told() -> None:
    a, b = make(disconnected_timeout=0.2, consent_interval=0.2), make(restart_automatically=False)
    async with closing(a, b):
        await connect(a, b)
        warning = asyncio.create_task(warned(a, VerdictCause.PATH_LOST))
        for candidate in agent_of(cast(Any, b.ice_transport)).generation.local_candidates:
            candidate.base.transport.close()
        verdict = await warning
        assert verdict.phase is ConnectPhase.CONSENT
        assert verdict.evidence.details[0].startswith("silent for")


async def test_a_blocked_event_loop_is_in_the_timeline() -> None:
    a, b = make(consent_interval=0.2), make()
    async with closing(a, b):
        await connect(a, b)
        while not any(isinstance(entry.event, PairNominated) for entry in a.timeline):
            await asyncio.sleep(0.02)
        time.sleep(1.5)  # noqa: ASYNC251 - this is what is looked for
        await asyncio.sleep(0.1)
        late = [entry.event for entry in a.timeline if isinstance(entry.event, TimerLate)]
        assert late and late[0].seconds >= 0.5
        assert agent_of(cast(Any, a.ice_transport)).generation.late_timer[0] >= 0.5


async def test_each_side_knows_who_closed() -> None:
    a, b = make(), make()
    async with closing(a, b):
        await connect(a, b)
        await b.close()
        await until(a, "connectionstatechange", lambda: a.connectionState == "closed")
        assert a.diagnose().cause is VerdictCause.CLOSED_BY_PEER
        assert b.diagnose().cause is VerdictCause.CLOSED_HERE
        for pc, by in ((a, "them"), (b, "us")):
            assert [e.event for e in pc.timeline if isinstance(e.event, ConnectionClosed)] == [
                ConnectionClosed(by)
            ]


async def test_the_timeline_has_the_states_in_order_and_is_bounded_by_the_setting() -> None:
    a, b = make(), make(timeline_events=4)
    async with closing(a, b):
        await connect(a, b)
        states = [entry.event for entry in a.timeline if isinstance(entry.event, StateChanged)]
        for of, expected in (
            ("dtls", ["connecting", "connected"]),
            ("sctp", ["connecting", "connected"]),
            ("signaling", ["have-local-offer", "stable"]),
        ):
            assert [event.state for event in states if event.of == of] == expected
        assert len(b.timeline) == 4
        assert b.timeline.dropped > 10
        times = [entry.at for entry in a.timeline]
        assert times == sorted(times)


async def test_a_room_warns_of_a_turn_server_while_the_call_comes_about() -> None:
    async with turn_server(Transport.UDP) as turn, serve("127.0.0.1", 0) as server:
        refused = PeerConfiguration(iceServers=[RTCIceServer(turn.url, "nobody", PASSWORD)])
        async with (
            join(server.url, room="lobby", name="bob"),
            join(server.url, room="lobby", name="alice", configuration=refused) as alices,
        ):
            bob = await alices.peer("bob")
            first = await anext(bob.warnings())
            assert first.cause is VerdictCause.TURN_CREDENTIALS_WRONG
            await bob.connected()
            assert bob.connection.diagnose().cause in (
                VerdictCause.NOTHING_WRONG,
                VerdictCause.STILL_CONNECTING,
            )

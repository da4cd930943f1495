"""A participant that hangs up and calls again, without an end."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiortc import RTCSessionDescription

from icefloe.peer import PeerConnection, Room, join
from icefloe.peer.connection import ice_restart
from icefloe.peer.connection.negotiator import INBOX, INBOX_BYTES
from icefloe.peer.connection.remote_candidates import (
    END_OF_CANDIDATES,
    RemoteCandidate,
    parse_remote,
)
from icefloe.peer.rooms.call_budget import Callers
from icefloe.peer.rooms.remote_peer import RemotePeer
from icefloe.signaling import (
    Bye,
    Description,
    PeerDescription,
    SessionDescription,
    SignalingClient,
    connect,
    serve,
)

OFFER = RTCSessionDescription("v=0", "offer")


def candidate(foundation: str) -> RemoteCandidate:
    """Make a candidate that can be told from others."""
    text = f"candidate:{foundation} 1 udp 1 192.0.2.1 5 typ host"
    return parse_remote({"candidate": text, "sdpMid": "0"})


class Answered:
    """Calls that got a connection."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, RTCSessionDescription, list[RemoteCandidate]]] = []
        self.has_come = asyncio.Event()

    def __call__(
        self, id: str, offer: RTCSessionDescription, candidates: list[RemoteCandidate]
    ) -> None:
        self.calls.append((id, offer, candidates))
        self.has_come.set()

    async def until(self, count: int) -> None:
        while len(self.calls) < count:
            self.has_come.clear()
            await self.has_come.wait()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice_restart, "RESTARTS_AT_ONCE", 2)
    monkeypatch.setattr(ice_restart, "RESTARTS_A_SECOND", 5.0)


@pytest.fixture
def never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice_restart, "RESTARTS_AT_ONCE", 2)
    monkeypatch.setattr(ice_restart, "RESTARTS_A_SECOND", 0.001)


@pytest.mark.usefixtures("never_again")
async def test_one_that_calls_too_often_waits_and_nobody_else_does() -> None:
    answered = Answered()
    callers = Callers(answered)
    for _ in range(10_000):
        callers.call("a", OFFER)
        callers.hang_up("a")
    callers.call("b", OFFER)
    assert [id for id, *_ in answered.calls] == ["a", "a", "b"]
    callers.clear()


@pytest.mark.usefixtures("few")
async def test_the_latest_offer_is_answered_with_its_candidates() -> None:
    answered = Answered()
    callers = Callers(answered)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(50):
        callers.call("a", RTCSessionDescription(str(number), "offer"))
        callers.add_candidate("a", candidate(str(number)))
    callers.add_candidate("a", END_OF_CANDIDATES)
    assert len(answered.calls) == 2
    await answered.until(3)
    assert loop.time() - began >= 0.19
    id, offer, candidates = answered.calls[2]
    assert (id, offer.sdp, candidates) == ("a", "49", [candidate("49"), END_OF_CANDIDATES])


@pytest.mark.usefixtures("few")
async def test_to_hang_up_makes_the_wait_neither_shorter_nor_longer() -> None:
    answered = Answered()
    callers = Callers(answered)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(1000):
        callers.call("a", OFFER)
        callers.hang_up("a")
    callers.call("a", OFFER)
    await answered.until(3)
    assert loop.time() - began >= 0.19
    # What it has hung up of costs nothing: the next one waits for its own turn alone.
    assert callers.budget("a").wait(loop.time()) < 0.2


@pytest.mark.usefixtures("never_again")
async def test_candidates_of_a_call_that_waits_are_bounded_in_number_and_bytes() -> None:
    callers = Callers(Answered())
    for _ in range(3):
        callers.call("a", OFFER)
    caller = callers._callers["a"]
    for number in range(INBOX * 4):
        callers.add_candidate("a", candidate(str(number)))
    assert len(caller.candidates) == INBOX
    callers.call("a", OFFER)
    for _ in range(INBOX):
        callers.add_candidate("a", candidate("x" * 65_536))
    foundations = [c.candidate.foundation for c in caller.candidates if c.candidate]
    assert sum(map(len, foundations)) > INBOX_BYTES - 70_000
    assert caller.size <= INBOX_BYTES
    callers.hang_up("a")
    assert caller.size == 0 and not caller.candidates
    callers.add_candidate("a", candidate("late"))
    assert not caller.candidates
    callers.forget("a")
    callers.add_candidate("a", candidate("gone"))
    assert not callers._callers


class Caller:
    """A participant that makes offers as it likes."""

    def __init__(self, victim: str, client: SignalingClient, sdp: str) -> None:
        self._victim = victim
        self._client = client
        self._sdp = sdp
        self._count = 0

    async def call(self) -> None:
        """Send an offer that is unlike all before."""
        self._count += 1
        fragment = f"again{self._count:06d}"
        sdp = re.sub("a=ice-ufrag:.*", f"a=ice-ufrag:{fragment}", self._sdp)
        await self._client.send(Description(self._victim, SessionDescription("offer", sdp)))

    async def hang_up(self) -> None:
        await self._client.send(Bye(self._victim))

    async def answers(self, count: int) -> None:
        """Wait for so many answers."""
        async for message in self._client:
            if isinstance(message, PeerDescription) and message.description.type == "answer":
                count -= 1
                if not count:
                    return


@asynccontextmanager
async def calling(
    made: list[RemotePeer], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[str, Room, Caller]]:
    """A room in which somebody calls, and its URL; the connections that are made are noted."""
    build: Callable[..., None] = RemotePeer.__init__

    def noting(peer: RemotePeer, **options: object) -> None:
        build(peer, **options)
        made.append(peer)

    monkeypatch.setattr(RemotePeer, "__init__", noting)
    offering = PeerConnection()
    try:
        offering.createDataChannel("x")
        await offering.setLocalDescription()
        sdp = offering.localDescription.sdp
    finally:
        await offering.close()
    async with (
        serve(port=0) as server,
        join(server.url, room="r", name="victim") as victims,
        connect(server.url, room="r", name="caller") as client,
    ):
        yield server.url, victims, Caller(victims.id, client, sdp)


def of_victim(made: list[RemotePeer]) -> list[RemotePeer]:
    """Those with the caller; the friend, which came after it, has one that is not polite."""
    return [peer for peer in made if peer.name == "caller" and peer.polite]


@pytest.mark.usefixtures("never_again")
async def test_connections_for_offers_after_a_bye_are_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[RemotePeer] = []
    async with calling(made, monkeypatch) as (url, victims, caller):
        for _ in range(40):
            await caller.call()
            await caller.hang_up()
        async with join(url, room="r", name="friend") as friends:
            channel = await (await friends.peer("victim")).open_channel("chat")
            await channel.send("hello")
            there = await (await victims.peer("friend")).open_channel("chat")
            assert await there.receive() == "hello"
        # One since it came, and as many as the budget has.
        assert len(of_victim(made)) == 3


@pytest.mark.usefixtures("few")
async def test_who_calls_again_in_reason_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[RemotePeer] = []
    async with calling(made, monkeypatch) as (_, _, caller):
        for _ in range(5):
            await caller.call()
            await caller.answers(1)
            await caller.hang_up()
    assert len(made) == 5


@pytest.mark.usefixtures("never_again")
async def test_restarts_and_new_connections_are_paid_from_one_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[RemotePeer] = []
    async with calling(made, monkeypatch) as (url, _, caller):
        await caller.call()
        await caller.answers(1)
        for _ in range(2):
            await caller.call()  # each restarts ICE
            await caller.answers(1)
        await caller.hang_up()
        await made[0].ended()
        await caller.call()
        async with join(url, room="r", name="friend") as friends:
            await (await friends.peer("victim")).connected()
        assert len(of_victim(made)) == 1

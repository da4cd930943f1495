"""The product as people use it, behind NATs: rooms, a signaling server, TURN servers that it names.

What is sent after an event, over the channel and as picture and sound, is the proof that a call
works after it.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.natlab.conftest import Note
from tests.natlab.lab_peer import Kind, LabPeer, python_peer
from tests.natlab.plan import PUBLIC, SERVERS
from tests.natlab.sites import Site, apart
from tests.natlab.spec import LabSpec, Nat, Peer, Router
from tests.natlab.topology import Lab
from tests.natlab.turn import Credentials, Turn, coturn

pytestmark = pytest.mark.system("iproute2", "nftables", "coturn", "netns")

SIGNALING = SERVERS[1][0]
"""The address of the signaling server; the TURN server is at the other public address."""

HOMES = apart(Site.PORT_RESTRICTED, Site.PORT_RESTRICTED)


@dataclass
class Gathered:
    """A call in a room.

    Attributes:
        lab: Where.
        turn: The TURN server that signaling names.
        server: The signaling server.
        peers: Who is in the room; the second came last.
    """

    lab: Lab
    turn: Turn
    server: LabPeer
    peers: tuple[LabPeer, LabPeer]
    bright: bool = False

    async def talks(self, timeout: float, since: float) -> tuple[float, float]:
        """Wait until data, picture and sound that left after now arrive at both ends.

        Returns:
            When data did, and when all did.
        """
        after = time.monotonic()
        assert after >= since
        self.bright = not self.bright
        for peer in self.peers:
            await peer.send("show", bright=self.bright)
        data = await asyncio.gather(*(peer.flows(timeout, after) for peer in self.peers))
        shown = await asyncio.gather(
            *(
                peer.until("shown", timeout, since=after, kind=kind, bright=self.bright)
                for peer in self.peers
                for kind in ("video", "audio")
            )
        )
        return max(data), max(message["at"] for message in shown)

    async def survives(self, event: Awaitable[object], note: Note, timeout: float = 30) -> None:
        """Let something happen, and see that the call goes on after it."""
        happened = time.monotonic()
        await event
        data, media = await self.talks(timeout, happened)
        joins = [
            f"{m['name']} {m['at'] - happened:.2f}"
            for m in self.server.told("joined", resume=True)
            if m["at"] >= happened
        ]
        states = {peer.name: peer.states(since=happened) for peer in self.peers}
        pairs = " | ".join([str(await peer.pair()) for peer in self.peers])
        note(
            f"data {data - happened:.2f} s, media {media - happened:.2f} s after it; signaling"
            f" resumed {joins}; {pairs}; states {states}"
        )

    def assert_nobody_ended(self) -> None:
        """Check that the call is the one that it was."""
        for peer in self.peers:
            assert peer.told("ended") == []
            assert len(peer.told("peer")) == 1
            assert "closed" not in peer.states()
            assert peer.told("error") == []


@asynccontextmanager
async def gathered(
    spec: LabSpec,
    note: Note,
    *,
    credentials: Credentials = Credentials.LONG_TERM,
    lifetime: float | None = None,
    policy: str = "all",
    away: float = 30.0,
    restart_automatically: bool = True,
) -> AsyncIterator[Gathered]:
    """Let ``a`` and ``b`` meet in a room and talk, until the end of the block."""
    async with (
        Lab(spec) as lab,
        coturn(lab, credentials) as turn,
        python_peer(lab, PUBLIC, Kind.SIGNALING) as server,
        python_peer(lab, "a", Kind.ROOM) as a,
        python_peer(lab, "b", Kind.ROOM) as b,
    ):
        await server.send(
            "start",
            host=SIGNALING,
            port=8080,
            iceServers=[turn.stun(), turn.turn("udp", "tcp")],
            lifetime=lifetime,
            awaySeconds=away,
        )
        url = (await server.until("listening", 10))["url"]
        call = Gathered(lab, turn, server, (a, b))
        begun = time.monotonic()
        for peer in call.peers:
            configuration = {
                "iceTransportPolicy": policy,
                "restart_automatically": restart_automatically,
            }
            await peer.send("start", url=url, name=peer.name, configuration=configuration)
            await peer.until("joined", 10)
        opened = [(await peer.until("open", 15))["at"] for peer in call.peers]
        for peer in call.peers:
            for kind in ("video", "audio"):
                await peer.until("shown", 15, kind=kind, bright=False)
        _, media = await call.talks(15, begun)
        pairs = " | ".join([str(await peer.pair()) for peer in call.peers])
        note(
            f"open {max(opened) - begun:.2f} s, media {media - begun:.2f} s after joining; {pairs}"
        )
        yield call


async def test_a_call(note: Note) -> None:
    async with gathered(HOMES, note) as call:
        call.assert_nobody_ended()
    for peer in call.peers:
        assert peer.told("closed")


async def test_one_interface_goes_and_another_comes(note: Note) -> None:
    """The WebSocket dies with the first, and the restart needs one."""
    spec = LabSpec(
        peers=(Peer("a", ("ra", "mobile"), down=("eth1",)), Peer("b", ("rb",))),
        routers=(Router("ra"), Router("mobile", Nat.SYMMETRIC), Router("rb")),
    )
    async with gathered(spec, note) as call:

        async def change(gone: str, come: str) -> None:
            await call.lab.link_down("a", gone)
            await call.lab.link_up("a", come)

        await call.survives(change("eth0", "eth1"), note)
        await call.survives(change("eth1", "eth0"), note)
        call.assert_nobody_ended()


async def test_a_new_public_address(note: Note) -> None:
    async with gathered(HOMES, note) as call:
        await call.survives(call.lab.new_public_address("ra"), note)
        call.assert_nobody_ended()


async def test_the_path_changes_while_the_signaling_server_cannot_be_reached(note: Note) -> None:
    async with gathered(HOMES, note) as call:
        for node in ("a", "b"):
            await call.lab.cut(node, SIGNALING)
        await call.lab.new_public_address("ra")
        await asyncio.sleep(8)  # the outage is what is tested
        await call.survives(call.lab.mend(), note)
        call.assert_nobody_ended()


async def test_credentials_lapse_and_are_renewed(note: Note) -> None:
    spec = apart(Site.SYMMETRIC, Site.SYMMETRIC)
    async with gathered(
        spec, note, credentials=Credentials.TIME_LIMITED, lifetime=3.0, policy="relay"
    ) as call:
        before = await usernames(call.peers[0])
        await asyncio.sleep(5)  # they lapse meanwhile
        after = await usernames(call.peers[0])
        assert min(after) > max(before)
        old = await call.peers[0].pair()
        await call.survives(call.peers[0].send("restart"), note)
        while await call.peers[0].pair() == old:
            await asyncio.sleep(0.05)
        await call.survives(call.lab.flush_conntrack("ra"), note)
        call.assert_nobody_ended()


async def test_a_call_outlives_the_credentials_of_its_relays_without_a_gap(note: Note) -> None:
    """The TURN server ends each allocation when the name that it was made with expires."""
    spec = apart(Site.SYMMETRIC, Site.SYMMETRIC)
    async with gathered(
        spec, note, credentials=Credentials.ENFORCED, lifetime=10.0, policy="relay"
    ) as call:
        begun = time.monotonic()
        first = [await peer.pair() for peer in call.peers]
        await asyncio.sleep(25)  # the first credentials expire meanwhile, and the second ones
        await call.talks(15, begun)
        assert await call.peers[0].pair() not in first
        for peer in call.peers:
            gaps = [message["seconds"] for message in peer.told("gap") if message["at"] >= begun]
            note(f"{peer.name}: gaps {gaps}, states {peer.states(since=begun)}")
            assert gaps == []
            assert peer.states(since=begun) == []
        renewals = len(call.server.told("provided"))
        note(
            f"{time.monotonic() - begun:.1f} s of a call with credentials for 10 s; they were given"
            f" {renewals} times; {call.turn.ended} allocations were ended by the server"
        )
        assert renewals >= 6
        call.assert_nobody_ended()
        # Renewing has not cost anybody the connection to the signaling server.
        assert call.server.told("joined", resume=True) == []


async def test_that_server_ends_a_call_whose_allocations_are_not_replaced(note: Note) -> None:
    """The test above without what it tests, as its counter-proof."""
    async with gathered(
        apart(Site.SYMMETRIC, Site.SYMMETRIC),
        note,
        credentials=Credentials.ENFORCED,
        lifetime=6.0,
        policy="relay",
        restart_automatically=False,
    ) as call:
        begun = time.monotonic()
        while not any("disconnected" in peer.states(since=begun) for peer in call.peers):
            await asyncio.sleep(0.1)
            assert time.monotonic() < begun + 60, call.turn.ended
        note(f"disconnected {time.monotonic() - begun:.2f} s after it worked")
        assert call.turn.ended > 0


async def usernames(peer: LabPeer) -> list[str]:
    """Return the TURN user names that a peer goes by."""
    asked = time.monotonic()
    await peer.send("servers")
    found: list[str] = (await peer.until("servers", 5, since=asked))["usernames"]
    return found


async def test_the_other_program_is_killed(note: Note) -> None:
    async with gathered(HOMES, note, away=2.0) as call:
        stays, goes = call.peers
        killed = time.monotonic()
        os.kill(goes.told("ready")[0]["pid"], signal.SIGKILL)
        ended = await stays.until("ended", 15, since=killed)
        note(f"ended {ended['at'] - killed:.2f} s after it: {ended['reason']}")
        assert ended["reason"] == "timeout"
        await stays.send("held")
        assert (await stays.until("held", 10, since=killed))["left"] == []

"""Connections whose network changes or fails under them: they come back, and none ends by itself.

Data that left a peer after an event and arrives is the proof that there is a path again. That it
arrives is asserted; how long it takes is printed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum

import pytest

from tests.helpers.at_once import at_once
from tests.natlab.call import Call, Kind, calling
from tests.natlab.conftest import Note
from tests.natlab.lab_peer import Message
from tests.natlab.rules import What
from tests.natlab.sites import Site, apart
from tests.natlab.spec import LabSpec, Nat, Peer, Router
from tests.natlab.topology import Lab
from tests.natlab.turn import Turn, coturn

pytestmark = pytest.mark.system("iproute2", "nftables", "coturn", "netns")

OWN = (Kind.ICEFLOE, Kind.ICEFLOE)
WITH_CHROMIUM = [
    pytest.param(kinds, marks=[pytest.mark.browser, pytest.mark.system("chromium")])
    for kinds in ((Kind.ICEFLOE, Kind.CHROMIUM), (Kind.CHROMIUM, Kind.ICEFLOE))
]
EVERY = [OWN, *WITH_CHROMIUM]

Run = tuple[Lab, Turn, Call]

FILE = 8_000_000
"""Bytes that are on their way when something happens, and have to arrive whole."""


def everything(turn: Turn) -> Message:
    """STUN, and TURN over all transports."""
    return {"iceServers": [turn.stun(), turn.turn()], "tlsCa": str(turn.ca)}


def relay_only(turn: Turn, transport: str) -> Message:
    """A relay over one transport and nothing else."""
    return {
        "iceServers": [turn.turn(transport)],
        "iceTransportPolicy": "relay",
        "tlsCa": str(turn.ca),
    }


@asynccontextmanager
async def connected(
    spec: LabSpec,
    configure: Callable[[Turn], Message] = everything,
    kinds: tuple[Kind, Kind] = OWN,
) -> AsyncIterator[Run]:
    """A call from ``a`` to ``b`` over which data flows."""
    async with (
        Lab(spec) as lab,
        coturn(lab) as turn,
        calling(lab, kinds=kinds, configurations=configure(turn)) as call,
    ):
        await call.connected()
        await call.flows(10)
        yield lab, turn, call
        for peer in call.peers:
            assert peer.told("ended") == []
            assert "closed" not in peer.states()


async def recovers(call: Call, event: Awaitable[object], note: Note, timeout: float = 30) -> None:
    """Let something happen, and wait until data that left after it has arrived both ways, and
    what was being sent when it happened has arrived whole."""
    sending = asyncio.create_task(call.offerer.transfer(FILE, 60))
    happened = time.monotonic()
    await event
    after = time.monotonic()
    flowing = await call.flows(timeout, after)
    states = {peer.name: peer.states(since=happened) for peer in call.peers}
    pairs = " | ".join(str(pair) if pair else "not told" for pair in await call.pairs())
    note(f"data again {flowing - happened:.2f} s after it, {pairs}, states {states}")
    assert (await sending)["intact"]


class Path(StrEnum):
    """The path of a call's data."""

    DIRECT = "direct"
    RELAY_UDP = "relay-udp"
    RELAY_TLS = "relay-tls"

    @property
    def site(self) -> Site:
        """The place of ``a``."""
        return Site.PORT_RESTRICTED if self is Path.DIRECT else Site.SYMMETRIC


PATHS: dict[Path, Callable[[Turn], Message]] = {
    Path.DIRECT: everything,
    Path.RELAY_UDP: lambda turn: relay_only(turn, "udp"),
    Path.RELAY_TLS: lambda turn: relay_only(turn, "tls"),
}

LONG = 30.0
"""Seconds of an outage after which a connection has failed, by the default configuration."""


@pytest.mark.parametrize("path", Path)
async def test_a_new_public_address(path: Path, note: Note) -> None:
    configure = PATHS[path]
    async with connected(apart(path.site, Site.PORT_RESTRICTED), configure) as (lab, _, call):
        await recovers(call, lab.new_public_address("ra"), note)


@pytest.mark.parametrize("kinds", WITH_CHROMIUM)
async def test_a_new_public_address_in_a_call_with_chromium(
    kinds: tuple[Kind, Kind], note: Note
) -> None:
    spec = apart(Site.PORT_RESTRICTED, Site.PORT_RESTRICTED)
    async with connected(spec, everything, kinds) as (lab, _, call):
        await recovers(call, lab.new_public_address("ra"), note)
        note(await call.settled(lambda pair: not pair.relayed, 15))


@pytest.mark.parametrize("configure", [everything, lambda turn: relay_only(turn, "udp")])
async def test_a_symmetric_router_forgets_its_connections(
    configure: Callable[[Turn], Message], note: Note
) -> None:
    spec = apart(Site.SYMMETRIC, Site.SYMMETRIC)
    async with connected(spec, configure) as (lab, _, call):
        await recovers(call, lab.flush_conntrack("ra"), note)


async def test_one_interface_goes_and_another_comes(note: Note) -> None:
    spec = LabSpec(
        peers=(Peer("a", ("ra", "mobile"), down=("eth1",)), Peer("b", ("rb",))),
        routers=(Router("ra"), Router("mobile", Nat.SYMMETRIC), Router("rb")),
    )
    async with connected(spec) as (lab, _, call):

        async def change() -> None:
            await lab.link_down("a", "eth0")
            await lab.link_up("a", "eth1")

        await recovers(call, change(), note)
        await recovers(call, back(lab), note)


async def back(lab: Lab) -> None:
    """Return from the second interface to the first."""
    await lab.link_down("a", "eth1")
    await lab.link_up("a", "eth0")


async def test_one_of_two_interfaces_goes(note: Note) -> None:
    spec = LabSpec(
        peers=(Peer("a", ("ra", "mobile")), Peer("b", ("rb",))),
        routers=(Router("ra"), Router("mobile"), Router("rb")),
    )
    async with connected(spec) as (lab, _, call):
        await recovers(call, lab.link_down("a", "eth0"), note)


async def test_the_direct_path_is_lost_and_the_relay_is_left(note: Note) -> None:
    async with connected(apart(Site.PORT_RESTRICTED, Site.PORT_RESTRICTED)) as (lab, _, call):
        await recovers(call, lab.cut("a", "b"), note)
        note(await call.settled(lambda pair: pair.relayed, 5))
        await lab.mend()


async def test_a_direct_path_that_opens_later_is_taken_without_a_gap(note: Note) -> None:
    spec = apart(Site.PORT_RESTRICTED, Site.PORT_RESTRICTED)
    async with Lab(spec) as lab, coturn(lab) as turn:
        await lab.cut("a", "b")  # each reaches the relay, and not the other
        async with calling(lab, kinds=OWN, configurations=everything(turn)) as call:
            await call.connected()
            note(await call.settled(lambda pair: pair.relayed, 5))
            sending = asyncio.create_task(call.offerer.transfer(2_000_000, 60))
            mended = time.monotonic()
            await lab.mend()
            pairs = await call.settled(lambda pair: not pair.relayed, 30)
            note(f"{pairs}, {time.monotonic() - mended:.1f} s after there was a way")
            assert (await sending)["intact"]
            await call.flows(5)
            for peer in call.peers:
                assert peer.told("gap") == []
                assert "disconnected" not in peer.states()


async def test_udp_is_lost_and_tls_is_left(note: Note) -> None:
    async with connected(apart(Site.PORT_RESTRICTED, Site.PORT_RESTRICTED)) as (lab, _, call):
        await recovers(call, lab.cut("a", what=What.UDP), note)
        note(await call.settled(lambda pair: pair.relayed, 5))


async def test_the_relay_is_restarted(note: Note) -> None:
    def configure(turn: Turn) -> Message:
        return relay_only(turn, "udp")

    spec = apart(Site.SYMMETRIC, Site.SYMMETRIC)
    async with connected(spec, configure) as (_, turn, call):

        async def restart() -> None:
            await turn.stop()
            await turn.start()

        await recovers(call, restart(), note)


async def test_the_network_changes_while_signaling_is_out_of_reach(note: Note) -> None:
    async with connected(apart(Site.PORT_RESTRICTED, Site.PORT_RESTRICTED)) as (lab, _, call):
        call.pause()
        await lab.new_public_address("ra")
        await asyncio.sleep(5)  # the outage is what is tested

        async def resume() -> None:
            call.resume()

        await recovers(call, resume(), note)


async def cut_for(call: Call, lab: Lab, seconds: float, note: Note) -> None:
    """Cut a peer off for a time; data must flow once it is over, from the other side too."""
    begun = time.monotonic()
    await lab.cut("a")
    await asyncio.sleep(seconds)  # the outage is what is tested
    await lab.mend()
    mended = time.monotonic()
    flowing = await call.flows(40, mended)
    states = {
        peer.name: [
            f"{m['state']} {m['at'] - begun:.1f}"
            for m in peer.told("connectionState")
            if m["at"] >= begun
        ]
        for peer in call.peers
    }
    note(f"data again {flowing - mended:.2f} s after the cut of {seconds:g} s, states {states}")
    assert (await call.offerer.transfer(100_000, 30))["intact"]


async def cut_path(path: Path, seconds: float, note: Note) -> None:
    """Connect over a path and cut it for a time."""
    configure = PATHS[path]
    async with connected(apart(path.site, Site.PORT_RESTRICTED), configure) as (lab, _, call):
        await cut_for(call, lab, seconds, lambda seen: note(f"{path}: {seen}"))
        for peer in call.peers:
            await peer.until(
                "connectionState", 10, since=peer.told("open")[0]["at"], state="connected"
            )
            if seconds > LONG:
                assert "failed" in peer.states()


@pytest.mark.slow
async def test_cuts_of_five_of_twenty_and_of_forty_seconds(note: Note) -> None:
    cuts = [*((path, 5.0) for path in Path), (Path.DIRECT, 20.0), *((path, 40.0) for path in Path)]
    await at_once(cut_path, *((path, seconds, note) for path, seconds in cuts))


@pytest.mark.parametrize("kinds", WITH_CHROMIUM)
async def test_a_cut_of_five_seconds_in_a_call_with_chromium(
    kinds: tuple[Kind, Kind], note: Note
) -> None:
    spec = apart(Site.PORT_RESTRICTED, Site.PORT_RESTRICTED)
    async with connected(spec, everything, kinds) as (lab, _, call):
        await cut_for(call, lab, 5, note)


async def test_a_cut_of_five_seconds_in_a_call_with_plain_aiortc(note: Note) -> None:
    spec = apart(Site.PORT_RESTRICTED, Site.PORT_RESTRICTED)
    kinds = (Kind.ICEFLOE, Kind.AIORTC)
    async with connected(spec, lambda turn: {"iceServers": [turn.stun()]}, kinds) as (lab, _, call):
        await cut_for(call, lab, 5, note)


async def test_a_cut_for_good_is_told_and_ends_nothing(note: Note) -> None:
    await at_once(_cut_for_good, *((path, note) for path in Path))


async def _cut_for_good(path: Path, note: Note) -> None:
    def impatient(turn: Turn) -> Message:
        return {**PATHS[path](turn), "failed_timeout": 3}

    async with connected(apart(path.site, Site.PORT_RESTRICTED), impatient) as (lab, _, call):
        begun = time.monotonic()
        await lab.cut("a")
        for peer in call.peers:
            lost = await peer.until("connectionState", 10, since=begun, state="disconnected")
            failed = await peer.until("connectionState", 20, since=begun, state="failed")
            note(
                f"{path}: {peer.name}: disconnected {lost['at'] - begun:.2f} s after the cut,"
                f" failed {failed['at'] - begun:.2f} s after it"
            )


@pytest.mark.parametrize("kinds", EVERY)
async def test_a_restart_that_is_asked_for_loses_nothing(
    kinds: tuple[Kind, Kind], note: Note
) -> None:
    spec = apart(Site.PORT_RESTRICTED, Site.SYMMETRIC)
    async with connected(spec, everything, kinds) as (_, _, call):
        for peer in call.peers:
            # What travels meanwhile arrives, whichever path it takes.
            sending = asyncio.create_task(peer.transfer(2_000_000, 30))
            await recovers(call, peer.send("restart"), note)
            assert (await sending)["intact"]
        gaps = [m["seconds"] for peer in call.peers for m in peer.told("gap")]
        note(f"gaps over half a second: {gaps}")
        offers = sum(m["description"]["type"] == "offer" for m in call.offerer.told("description"))
        assert offers >= 2

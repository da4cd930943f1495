"""Connections over TCP where UDP is blocked and there is no TURN server (RFC 6544)."""

import asyncio
import time
from typing import Any

import pytest

from tests.natlab.call import Kind, Pair, calling
from tests.natlab.conftest import Note
from tests.natlab.lab_peer import Message
from tests.natlab.rules import What
from tests.natlab.sites import Site, apart
from tests.natlab.topology import Lab

pytestmark = pytest.mark.system("iproute2", "nftables", "netns")

BOT: Message = {"tcpPort": 443}

CHROMIUM, HIDING_CHROMIUM = (
    pytest.param(kind, marks=[pytest.mark.browser, pytest.mark.system("chromium")])
    for kind in (Kind.CHROMIUM, Kind.HIDING_CHROMIUM)
)
WITH_CHROMIUM = [CHROMIUM, Kind.ICEFLOE]


def over(protocol: str, pair: Pair) -> bool:
    """Return whether a pair is direct, and over a protocol."""
    return not pair.relayed and pair.local["protocol"] == protocol


@pytest.mark.parametrize("kind", [*WITH_CHROMIUM, HIDING_CHROMIUM])
@pytest.mark.parametrize("bot_offers", [False, True])
async def test_where_udp_is_blocked_a_bot_is_reached_over_tcp_without_a_relay(
    kind: Kind, bot_offers: bool, note: Note
) -> None:
    spec = apart(Site.UDP_BLOCKED, Site.NONE)
    calls: dict[str, Any] = {
        "kinds": (kind, Kind.ICEFLOE),
        "nodes": ("a", "b"),
        "configurations": ({}, BOT),
    }
    if bot_offers:
        calls = {name: both[::-1] for name, both in calls.items()}
    async with Lab(spec) as lab, calling(lab, **calls) as call:
        connected = await call.connected()
        assert (await call.offerer.transfer(2_000_000, 20))["intact"]
        assert (await call.answerer.transfer(2_000_000, 20))["intact"]
        settled = await call.settled(lambda pair: over("tcp", pair), 10)
        note(f"{connected}; later {settled}")


@pytest.mark.parametrize("kind", WITH_CHROMIUM)
async def test_a_call_over_tcp_moves_to_udp_once_that_opens(kind: Kind, note: Note) -> None:
    async with Lab(apart(Site.PORT_RESTRICTED, Site.NONE)) as lab:
        await lab.cut("a", what=What.UDP)
        kinds = (kind, Kind.ICEFLOE)
        async with calling(lab, kinds=kinds, configurations=({}, BOT)) as call:
            await call.connected()
            note(await call.settled(lambda pair: over("tcp", pair), 10))
            mended = time.monotonic()
            await lab.mend()
            sending = asyncio.create_task(call.offerer.transfer(2_000_000, 60))
            pairs = await call.settled(lambda pair: over("udp", pair), 60)
            note(f"{pairs}, {time.monotonic() - mended:.1f} s after UDP was open")
            assert (await sending)["intact"]
            await call.flows(5)
            for peer in call.peers:
                assert peer.told("gap") == []
                assert "disconnected" not in peer.states()


@pytest.mark.parametrize("kind", WITH_CHROMIUM)
async def test_udp_is_lost_in_a_call_and_tcp_is_left(kind: Kind, note: Note) -> None:
    kinds = (kind, Kind.ICEFLOE)
    async with (
        Lab(apart(Site.PORT_RESTRICTED, Site.NONE)) as lab,
        calling(lab, kinds=kinds, configurations=({}, BOT)) as call,
    ):
        await call.connected()
        note(await call.settled(lambda pair: over("udp", pair), 20))
        happened = time.monotonic()
        await lab.cut("a", what=What.UDP)
        flowing = await call.flows(30, time.monotonic())
        note(f"data again {flowing - happened:.2f} s after the cut")
        note(await call.settled(lambda pair: over("tcp", pair), 10))


@pytest.mark.parametrize("kind", WITH_CHROMIUM)
async def test_a_restart_over_tcp_interrupts_nothing(kind: Kind, note: Note) -> None:
    kinds, sites = (kind, Kind.ICEFLOE), apart(Site.UDP_BLOCKED, Site.NONE)
    async with (
        Lab(sites) as lab,
        calling(lab, kinds=kinds, configurations=({}, BOT)) as call,
    ):
        await call.connected()
        for peer in call.peers:
            sending = asyncio.create_task(call.offerer.transfer(2_000_000, 60))
            await peer.send("restart")
            assert (await sending)["intact"]
            await asyncio.sleep(2)  # for the old connections to go
            await call.flows(5)
        note(await call.settled(lambda pair: over("tcp", pair), 10))
        for peer in call.peers:
            assert peer.told("gap") == []
            assert "disconnected" not in peer.states()

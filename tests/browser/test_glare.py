"""Both sides of a call, the page and ``join()``, change something at the same moment."""

import asyncio
import logging
import re
import sys

import pytest
from aiortc import MediaStreamTrack
from playwright.async_api import Browser, Page

from icefloe.media import TestPatternTrack, ToneTrack
from icefloe.peer import RemotePeer, join
from icefloe.signaling import serve
from tests.helpers.browser import open_page
from tests.helpers.pairs import until

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium")]

ROUNDS = 20

_CHANGE = """
  async ([name, round]) => {
    const { pc } = [...icefloe.peers.values()].find((peer) => peer.name === name);
    if (round % 2) {
      const [added] = pc.getSenders().filter(({ track }) => track).slice(-1);
      pc.removeTrack(added);
      return;
    }
    const context = (window.context ??= new AudioContext());
    pc.addTrack(context.createMediaStreamDestination().stream.getAudioTracks()[0]);
  }
"""

_SETTLED = """
  (name) => {
    const { pc } = [...icefloe.peers.values()].find((peer) => peer.name === name);
    const negotiated = pc.getTransceivers().every(({ mid, direction, currentDirection }) => {
      if (mid === null || currentDirection === null) return false;
      return !direction.startsWith("send") || currentDirection.startsWith("send");
    });
    return negotiated && pc.signalingState === "stable" && pc.connectionState === "connected";
  }
"""


@pytest.mark.parametrize("python_is_polite", [True, False], ids=["polite", "impolite"])
async def test_offers_that_cross_leave_both_stable(
    browser: Browser, python_is_polite: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "icefloe.peer.connection.negotiator")
    made: list[MediaStreamTrack] = []
    try:
        async with serve(port=0) as server:
            page = await open_page(browser)
            if not python_is_polite:
                await page.join(server.page_url, name="alice")
                await page.page.wait_for_function("() => icefloe.state === 'joined'")
            async with join(server.url, room="lobby", name="python") as room:
                if python_is_polite:
                    await page.join(server.page_url, name="alice")
                peer = await room.peer("alice")
                await peer.connected()
                assert peer.polite is python_is_polite
                await page.connected("python")
                for number in range(ROUNDS):
                    await asyncio.gather(
                        page.page.evaluate(_CHANGE, ["python", number]),
                        _change(peer, number, made),
                    )
                    await _settled(peer, page.page)
                chat = await peer.open_channel("after it all")
                assert not chat.closed
                assert page.complaints == []
    finally:
        for track in made:
            track.stop()
    collision = "offer .*: (roll-back-and-answer|ignore)"
    collisions = sum(bool(re.match(collision, line)) for line in caplog.messages)
    sys.stdout.write(f"{collisions} collisions in {ROUNDS} rounds\n")
    assert collisions > 0, "nothing collided, so nothing was tested"


async def _change(peer: RemotePeer, number: int, made: list[MediaStreamTrack]) -> None:
    if number % 2:
        peer.remove_track([s for s in peer.connection.getSenders() if s.track is not None][-1])
    else:
        made.append(ToneTrack())
        peer.add_track(made[-1])


async def _settled(peer: RemotePeer, page: Page) -> None:
    """Wait until both are stable, and everything that is to be sent may be sent."""
    pc = peer.connection

    def negotiated() -> bool:
        return pc.signalingState == "stable" and all(
            t.mid is not None and (_sends(t.currentDirection) or not _sends(t.direction))
            for t in pc.getTransceivers()
        )

    await until(pc, "signalingstatechange", negotiated)
    await page.wait_for_function(_SETTLED, arg="python")
    assert (pc.signalingState, pc.connectionState) == ("stable", "connected")


def _sends(direction: str | None) -> bool:
    return direction in ("sendrecv", "sendonly")


async def test_a_track_that_is_offered_while_the_page_offers_its_own_arrives(
    browser: Browser,
) -> None:
    # The newcomer has a channel alone at first, and its next offer meets the page's.
    async with serve(port=0) as server:
        page = await open_page(browser)
        await page.join(server.page_url, name="alice")
        for number in range(10):
            name = f"python {number}"
            async with join(server.url, room="lobby", name=name) as room:
                alice = await room.peer("alice")
                await alice.connected()
                alice.add_track(TestPatternTrack(320, 180))
                await page.plays(name)
                await page.page.wait_for_function(_SETTLED, arg=name)
        assert page.complaints == []

"""Chromium as one viewer among several of one encoder, and of what another peer sends."""

import asyncio

import pytest
from playwright.async_api import Browser

from icefloe.media import EncodedFanout, TestPatternTrack
from icefloe.peer import RemotePeer, Room, forward, join
from icefloe.signaling import serve
from tests.helpers.browser import CallPage, open_page
from tests.media.tracks import until

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium")]

_KEY_FRAMES = """
  async ([name, kind]) => {
    const { pc } = [...icefloe.peers.values()].find((peer) => peer.name === name);
    const entries = [...(await pc.getStats()).values()];
    const video = entries.find((entry) => entry.type === kind && entry.kind === "video");
    return [video?.framesDecoded ?? 0, video?.keyFramesDecoded ?? 0, video?.pliCount ?? 0];
  }
"""


async def arrive(browser: Browser, url: str, room: Room, name: str) -> tuple[CallPage, RemotePeer]:
    """Open a page and have it join; return once it is connected."""
    page = await open_page(browser)
    await page.join(url, name=name)
    peer = await room.peer(name)
    await peer.connected()
    return page, peer


async def test_browsers_see_one_encoder(browser: Browser) -> None:
    source = TestPatternTrack(640, 360)
    fanout = EncodedFanout(source, stop_source=False)
    async with (
        serve(port=0) as server,
        join(server.url, room="lobby", name="python") as room,
    ):
        alice, alice_here = await arrive(browser, server.page_url, room, "alice")
        bob, bob_here = await arrive(browser, server.page_url, room, "bob")
        for peer in (alice_here, bob_here):
            peer.add_track(fanout.subscribe())
        await asyncio.gather(alice.plays("python", 20), bob.plays("python", 20))
        # One, or one for each size where a busy machine has the browsers receive unlike.
        assert sum(report.viewers for report in fanout.encoders) >= 2
        assert {report.codec for report in fanout.encoders} == {"VP8"}
        decoded, keys, _ = await bob.page.evaluate(_KEY_FRAMES, ["python", "inbound-rtp"])
        assert decoded >= 20
        assert 1 <= keys < decoded
        assert alice.complaints == bob.complaints == []
    await until(lambda: fanout.subscribers == 0)
    source.stop()


async def test_what_one_browser_sends_is_forwarded_to_another(browser: Browser) -> None:
    async with (
        serve(port=0) as server,
        join(server.url, room="lobby", name="python") as room,
    ):
        _, alice_here = await arrive(browser, server.page_url, room, "alice")
        bob, bob_here = await arrive(browser, server.page_url, room, "bob")
        async for track in alice_here.tracks():
            if track.kind == "video":
                bob_here.add_track(forward(track))
                break
        await bob.plays("python", 20)
        # The camera's picture, which is green, and no picture of Python's own making.
        await bob.until_colours("python", "c.green > c.red + 40 && c.green > c.blue + 40")

"""Tracks that a browser turns off, as Python sees them."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser

from icefloe.peer import RemotePeer, RemoteTrack, join
from icefloe.signaling import serve
from tests.helpers.browser import open_page
from tests.helpers.calls import eventually

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium")]

_SENDING = """
  async ([name, what]) => {
    const { pc } = [...icefloe.peers.values()].find((peer) => peer.name === name);
    const ways = pc.getTransceivers().filter((way) => way.sender.track || way.kept);
    for (const way of ways) {
      way.kept ??= way.sender.track;
      if (what === "disable") way.kept.enabled = false;
      if (what === "enable") way.kept.enabled = true;
      if (what === "nothing") await way.sender.replaceTrack(null);
      if (what === "something") await way.sender.replaceTrack(way.kept);
      if (what === "stop") way.direction = "recvonly";
      if (what === "start") way.direction = "sendrecv";
    }
    return ways.length;
  }
"""


async def sent_by(peer: RemotePeer) -> list[RemoteTrack]:
    tracks: list[RemoteTrack] = []
    async for track in peer.tracks():
        assert isinstance(track, RemoteTrack)
        tracks.append(track)
        if len(tracks) == 2:
            break
    return tracks


async def packets(peer: RemotePeer) -> dict[str, int]:
    report = await peer.connection.getStats()
    inbound: list[Any] = [s for s in report.values() if s.type == "inbound-rtp"]
    return {stats.kind: stats.packetsReceived for stats in inbound}


async def test_what_a_browser_turns_off_is_muted_and_comes_back(browser: Browser) -> None:
    async with (
        serve(port=0) as server,
        join(server.url, room="lobby", name="python") as room,
    ):
        page = await open_page(browser)
        await page.join(server.page_url, name="alice")
        alice = await room.peer("alice")
        tracks = await sent_by(alice)

        async def turn(what: str, muted: bool) -> None:
            assert await page.page.evaluate(_SENDING, ["python", what]) == 2
            await eventually(lambda: all(track.muted is muted for track in tracks))

        await eventually(lambda: not any(track.muted for track in tracks))
        await turn("stop", muted=True)
        await turn("start", muted=False)
        await turn("nothing", muted=True)
        await turn("something", muted=False)
        # Silence and black pictures are something: the tracks are not muted for it.
        await turn("disable", muted=False)
        before = await packets(alice)
        while (await packets(alice))["audio"] < before["audio"] + 250:  # 5 s
            await asyncio.sleep(0.1)
        assert (await packets(alice))["video"] > before["video"]
        assert not any(track.muted for track in tracks)
        assert page.complaints == []

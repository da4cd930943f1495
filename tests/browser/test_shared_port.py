"""Browsers and Python programs over one UDP port."""

import asyncio
from typing import Any

import pytest
from aiortc import RTCSessionDescription
from playwright.async_api import Browser, Page

from icefloe.peer import PeerConnection, UdpMux
from tests.helpers.calls import eventually
from tests.helpers.muxes import is_empty, link, over, path, says
from tests.helpers.pairs import closing, opened

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium")]

AT_ONCE = 10

_ANSWER = """
  async (offer) => {
    const pc = new RTCPeerConnection();
    (window.pcs ??= []).push(pc);
    pc.ondatachannel = ({ channel }) => {
      channel.onmessage = ({ data }) => channel.send(`${data}, says the page`);
    };
    await pc.setRemoteDescription(offer);
    await pc.setLocalDescription();
    while (pc.iceGatheringState !== "complete")
      await new Promise((done) => pc.addEventListener("icegatheringstatechange", done));
    return pc.localDescription.toJSON();
  }
"""


async def link_page(page: Page, connection: PeerConnection) -> Any:
    """Connect one of the page's connections to one here; return the channel, which echoes."""
    channel = connection.createDataChannel("page")
    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription
    answer = await page.evaluate(_ANSWER, {"type": "offer", "sdp": offer.sdp})
    await connection.setRemoteDescription(RTCSessionDescription(**answer))
    await opened(channel)
    return channel


async def over_one_port(browser: Browser, *, pages: int, programs: int) -> None:
    """Connect pages and Python connections with one port, and exchange messages with each."""
    async with await UdpMux.open() as mux:
        for_pages = [over(mux) for _ in range(pages)]
        for_programs = [over(mux) for _ in range(programs)]
        others = [over(None) for _ in range(programs)]
        page = await browser.new_page()
        async with closing(*for_pages, *for_programs, *others):
            channels: list[tuple[Any, Any]] = []
            for first in range(0, programs, AT_ONCE):
                here, there = (ends[first : first + AT_ONCE] for ends in (for_programs, others))
                channels += await asyncio.gather(*map(link, here, there))
            echoing = [await link_page(page, connection) for connection in for_pages]
            assert {path(one)[0] for one in (*for_pages, *for_programs)} == {mux.port}
            assert mux.stats().generations == pages + programs
            for number, (near, far) in enumerate(channels):
                await says(near, far, f"to {number}")
                await says(far, near, f"from {number}")
            got: list[object] = []
            for number, channel in enumerate(echoing):
                channel.on("message", got.append)
                channel.send(f"number {number}")
            await eventually(lambda: len(got) == pages)
            assert set(got) == {f"number {number}, says the page" for number in range(pages)}
            assert mux.stats().contested_messages == 0
        await eventually(lambda: is_empty(mux))
        await page.close()


async def test_a_page_and_python_programs_share_a_port(browser: Browser) -> None:
    await over_one_port(browser, pages=5, programs=20)


@pytest.mark.slow
async def test_two_hundred_connections_share_a_port(browser: Browser) -> None:
    await over_one_port(browser, pages=30, programs=170)

"""Chromium on the other side of a data channel: megabytes both ways, verified."""

import asyncio
import hashlib

import pytest
from aiortc import RTCSessionDescription
from playwright.async_api import Browser

from icefloe.peer import PeerConnection
from tests.helpers.pairs import closing, opened

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium")]

MESSAGE = 65_536
COUNT = 640
"""Messages each way: 40 MiB."""

_CONNECT = """
  async (offer) => {
    const pc = window.pc = new RTCPeerConnection();
    pc.ondatachannel = ({ channel }) => {
      window.channel = channel;
      channel.binaryType = "arraybuffer";
      window.got = [];
      channel.onmessage = ({ data }) => window.got.push(new Uint8Array(data));
    };
    await pc.setRemoteDescription(offer);
    await pc.setLocalDescription();
    while (pc.iceGatheringState !== "complete")
      await new Promise((done) => pc.addEventListener("icegatheringstatechange", done));
    return pc.localDescription.toJSON();
  }
"""

_RECEIVED = """
  async (count) => {
    while (window.got === undefined || window.got.length < count)
      await new Promise((done) => setTimeout(done, 5));
    const all = new Uint8Array(window.got.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of window.got) { all.set(part, at); at += part.length; }
    const digest = await crypto.subtle.digest("SHA-256", all);
    return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, "0")).join("");
  }
"""

_SEND_BACK = """
  async () => {
    const channel = window.channel;
    channel.bufferedAmountLowThreshold = 1 << 20;
    for (const part of window.got) {
      if (channel.bufferedAmount > 4 << 20)
        await new Promise((done) => { channel.onbufferedamountlow = done; });
      channel.send(part);
    }
  }
"""


async def test_megabytes_go_to_chromium_and_back(browser: Browser) -> None:
    page = await browser.new_page()
    # crypto.subtle wants a secure context, which this address is.
    await page.route("**/*", lambda route: route.fulfill(body="<title>data</title>"))
    await page.goto("http://localhost/")
    connection = PeerConnection()
    channel = connection.createDataChannel("data")
    async with closing(connection):
        await connection.setLocalDescription()
        offer = connection.localDescription
        answer = await page.evaluate(_CONNECT, {"type": offer.type, "sdp": offer.sdp})
        await connection.setRemoteDescription(RTCSessionDescription(**answer))
        await opened(channel)

        room, arrived = asyncio.Event(), asyncio.Queue[bytes]()
        channel.bufferedAmountLowThreshold = MESSAGE
        channel.on("bufferedamountlow", room.set)
        channel.on("message", arrived.put_nowait)
        digest = hashlib.sha256()
        for number in range(COUNT):
            message = number.to_bytes(4, "big") * (MESSAGE // 4)
            digest.update(message)
            while channel.bufferedAmount > 16 * MESSAGE:
                room.clear()
                await room.wait()
            channel.send(message)
        assert await page.evaluate(_RECEIVED, COUNT) == digest.hexdigest()

        await page.evaluate(_SEND_BACK)
        back = hashlib.sha256()
        for _ in range(COUNT):
            back.update(await arrived.get())
        assert back.digest() == digest.digest()
    await page.close()

"""ICE restarts with a real browser, asked for by either side and by both at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiortc import RTCSessionDescription
from playwright.async_api import Browser, Page

from icefloe.media import TestPatternTrack
from icefloe.peer import DataChannel, RemotePeer
from icefloe.peer.connection.candidates import RTCIceCandidateInit
from tests.helpers.browser import open_page
from tests.helpers.calls import eventually

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium")]

ROUNDS = 5

_BROWSER = """
  (polite) => {
    const pc = (window.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" }));
    window.states = [];
    pc.onconnectionstatechange = () => states.push(pc.connectionState);
    let makingOffer = false;
    let ignoring = false;
    let queue = Promise.resolve();
    pc.onnegotiationneeded = async () => {
      try {
        makingOffer = true;
        await pc.setLocalDescription();
        await toPython({ description: pc.localDescription.toJSON() });
      } finally {
        makingOffer = false;
      }
    };
    pc.onicecandidate = ({ candidate }) =>
      toPython({ candidate: candidate ? candidate.toJSON() : null });
    const take = async ({ description, candidate }) => {
      if (description) {
        const collides = makingOffer || pc.signalingState !== "stable";
        ignoring = !polite && description.type === "offer" && collides;
        if (ignoring) return;
        await pc.setRemoteDescription(description);
        if (description.type === "offer") {
          await pc.setLocalDescription();
          await toPython({ description: pc.localDescription.toJSON() });
        }
      } else {
        await pc.addIceCandidate(candidate).catch((error) => { if (!ignoring) throw error; });
      }
    };
    window.fromPython = (message) => (queue = queue.then(() => take(message)));
    pc.ondatachannel = ({ channel }) => {
      channel.onmessage = ({ data }) => channel.send(`echo ${data}`);
    };
    pc.ontrack = ({ track }) => {
      const video = document.createElement("video");
      window.video = video;
      video.muted = true;
      video.srcObject = new MediaStream([track]);
      video.play();
    };
  }
"""

_FRAGMENTS = """
  () => {
    const { local, remote } = pc.sctp.transport.iceTransport.getSelectedCandidatePair();
    return [local.usernameFragment, remote.usernameFragment];
  }
"""

_FRAME = "() => new Promise((go) => video.requestVideoFrameCallback(() => go()))"


class PageSignaler:
    """The way on which messages reach the page."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def description(self, description: RTCSessionDescription) -> None:
        """Send an offer or an answer."""
        await self._send({"description": {"type": description.type, "sdp": description.sdp}})

    async def candidate(self, candidate: RTCIceCandidateInit | None) -> None:
        """Send a candidate, or the end of them."""
        await self._send({"candidate": candidate})

    async def _send(self, message: dict[str, Any]) -> None:
        # Not waited for: what the page does about it may need an answer of this side.
        await self._page.evaluate("(message) => void fromPython(message)", message)


@asynccontextmanager
async def calling(browser: Browser, *, polite: bool) -> AsyncIterator[tuple[RemotePeer, Page]]:
    """Make a call with a page; this side sends a video."""
    call_page = await open_page(browser)
    page = call_page.page
    peer = RemotePeer(id="page", name="page", polite=polite, signaler=PageSignaler(page))
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    await page.expose_function("toPython", inbox.put_nowait)

    async def receive() -> None:
        while True:
            message = await inbox.get()
            if "description" in message:
                described = RTCSessionDescription(**message["description"])
                await peer.negotiator.receive_description(described)
            else:
                await peer.negotiator.receive_candidate(message["candidate"])

    track = TestPatternTrack(160, 120, 10)
    await page.evaluate(_BROWSER, not polite)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(peer.run())
        receiving = group.create_task(receive())
        try:
            if polite:  # the newcomer, the page, makes the first offer
                await page.evaluate("() => void pc.createDataChannel('theirs')")
            else:
                peer.start()
            await peer.connected()
            peer.add_track(track)
            await page.wait_for_function("() => window.video && pc.signalingState === 'stable'")
            yield peer, page
            assert call_page.complaints == []
        finally:
            peer.end("hung-up")
            await running
            receiving.cancel()
            track.stop()


async def fragments(page: Page) -> list[str]:
    """Return the username fragments of the path that the page uses: its own, and ours."""
    found: list[str] = await page.evaluate(_FRAGMENTS)
    return found


def own_fragment(peer: RemotePeer) -> str | None:
    """Return ours of the path that this side uses."""
    pair = peer.connection.selected_candidate_pair
    return pair.local.usernameFragment if pair is not None else None


async def echo(channel: DataChannel, text: str) -> None:
    """Send something and wait for the page's echo."""
    await channel.send(text)
    assert await channel.receive() == f"echo {text}"


@pytest.mark.parametrize("polite", [True, False], ids=["polite", "impolite"])
@pytest.mark.parametrize("who", ["python", "browser", "both"])
async def test_restarts_change_the_path_and_leave_the_call_alone(
    browser: Browser, who: str, polite: bool
) -> None:
    async with calling(browser, polite=polite) as (peer, page):
        pc = peer.connection
        states: list[str] = []
        pc.on("connectionstatechange", lambda: states.append(pc.connectionState))
        channel = await peer.open_channel("chat")
        await page.evaluate(_FRAME)
        await page.evaluate("() => void (states.length = 0)")
        for number in range(ROUNDS):
            before = await fragments(page)
            if who != "browser":
                pc.restartIce()
            if who != "python":
                await page.evaluate("() => pc.restartIce()")
            await echo(channel, f"at once {number}")
            while set(await fragments(page)) & set(before):
                await echo(channel, f"on the way {number}")
            await eventually(lambda: own_fragment(peer) not in before)  # noqa: B023
            await eventually(lambda: pc.signalingState == "stable")
            assert own_fragment(peer) in await fragments(page)
            await echo(channel, f"after {number}")
            await page.evaluate(_FRAME)
        assert states == []
        assert await page.evaluate("() => states") == []
        pc.remove_all_listeners("connectionstatechange")

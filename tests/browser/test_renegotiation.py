"""Offer and answer again and again between ``PeerConnection`` and a real browser."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from aiortc import MediaStreamTrack, RTCRtpTransceiver, RTCSessionDescription
from playwright.async_api import Browser, Page

from icefloe.media import TestPatternTrack, ToneTrack
from icefloe.peer import PeerConnection
from tests.helpers.browser import open_page
from tests.helpers.pairs import closing, connected, until

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium")]

ROUNDS = 10

_BROWSER = """
  const pc = (window.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" }));
  const channels = (window.channels = {});
  const adopt = (channel) => {
    channels[channel.label] = channel;
    channel.onmessage = ({ data }) => channel.send(`echo ${data}`);
  };
  pc.ondatachannel = ({ channel }) => adopt(channel);
  window.until = async (event, condition) => {
    while (!condition()) {
      await new Promise((go) => pc.addEventListener(event, go, { once: true }));
    }
  };
  const gathered = async () => {
    await until("icegatheringstatechange", () => pc.iceGatheringState === "complete");
    return { type: pc.localDescription.type, sdp: pc.localDescription.sdp };
  };
  window.offer = async () => { await pc.setLocalDescription(); return gathered(); };
  window.answer = async (offer) => {
    await pc.setRemoteDescription(offer);
    await pc.setLocalDescription();
    return gathered();
  };
  window.track = (kind) => {
    if (kind === "audio") {
      const context = new AudioContext();
      const tone = new OscillatorNode(context);
      const end = context.createMediaStreamDestination();
      tone.connect(end);
      tone.start();
      return end.stream.getAudioTracks()[0];
    }
    const canvas = document.createElement("canvas");
    canvas.width = 160;
    canvas.height = 120;
    const drawing = canvas.getContext("2d");
    let count = 0;
    setInterval(() => {
      drawing.fillStyle = `hsl(${(count += 7) % 360} 80% 50%)`;
      drawing.fillRect(0, 0, 160, 120);
    }, 50);
    return canvas.captureStream(20).getVideoTracks()[0];
  };
  window.changes = {
    // addTrack() of Chromium throws where it would reuse a transceiver that is being stopped.
    "add audio": () => pc.addTransceiver(track("audio")),
    "add video": () => pc.addTransceiver(track("video")),
    "add receiving video": () => pc.addTransceiver("video", { direction: "recvonly" }),
    "add channel": (round) => adopt(pc.createDataChannel(`browser ${round}`)),
    "remove track": () => {
      const sender = pc.getSenders().slice(1).find(({ track }) => track);
      if (sender) pc.removeTrack(sender);
    },
    "stop transceiver": () => {
      const live = pc.getTransceivers().slice(1).filter(({ stopped, mid }) => !stopped && mid);
      live[0]?.stop();
    },
    "turn around": () => {
      const other = pc.getTransceivers().slice(1).find(({ stopped, mid }) => !stopped && mid);
      if (other) other.direction = other.direction === "inactive" ? "sendrecv" : "inactive";
    },
  };
"""
"""The peer in the browser's place; the first transceiver, a video, stays as it is."""

BROWSER_CHANGES = [
    "add audio",
    "add video",
    "add receiving video",
    "add channel",
    "remove track",
    "stop transceiver",
    "turn around",
]


class PythonSide:
    """The connection on this side, and what can be changed about it."""

    def __init__(self) -> None:
        self.pc = PeerConnection()
        self.received: list[MediaStreamTrack] = []
        self.pc.on("track", self.received.append)
        self.made: list[MediaStreamTrack] = []
        self.changes: dict[str, Callable[[int], None]] = {
            "add audio": lambda _: self.add(ToneTrack()),
            "add video": lambda _: self.add(TestPatternTrack(160, 120, 10)),
            "add channel": lambda n: self._add_channel(n),
            "remove track": lambda _: self._remove_track(),
            "turn around": lambda _: self._turn_around(),
        }

    async def change(self, what: str, number: int) -> None:
        """Do one of the changes."""
        if what == "stop transceiver":
            for transceiver in self._others()[-1:]:
                await transceiver.stop()
        else:
            self.changes[what](number)

    def add(self, track: MediaStreamTrack) -> None:
        self.made.append(track)
        self.pc.addTrack(track)

    def _add_channel(self, number: int) -> None:
        self.pc.createDataChannel(f"python {number}")

    def _remove_track(self) -> None:
        sending = [s for s in self.pc.getSenders()[1:] if s.track is not None]
        if sending:
            self.pc.removeTrack(sending[0])

    def _turn_around(self) -> None:
        for transceiver in self._others()[:1]:
            was = transceiver.direction
            transceiver.direction = "sendrecv" if was == "inactive" else "inactive"

    def _others(self) -> list[RTCRtpTransceiver]:
        return [t for t in self.pc.getTransceivers()[1:] if not t.stopped and t.mid is not None]


PYTHON_CHANGES = [
    "add audio",
    "add video",
    "add channel",
    "remove track",
    "stop transceiver",
    "turn around",
]


class Numbers:
    """The payload types and header-extension ids that were agreed on, by media section."""

    def __init__(self) -> None:
        self._agreed: dict[str, dict[str, str]] = {}

    def take(self, offer: str, answer: str) -> None:
        """Look at a negotiation: both sides mean the same, and what they meant before."""
        offered = _sections(offer)
        for mid, means in _sections(answer).items():
            agreed = self._agreed.setdefault(mid, {})
            for number in means.keys() & offered[mid].keys():
                assert means[number] == offered[mid][number], (mid, number)
                assert agreed.setdefault(number, means[number]) == means[number], (mid, number)
            assert not agreed.keys() - means.keys(), mid


def _sections(sdp: str) -> dict[str, dict[str, str]]:
    """Return what each number means, for each media section that is not rejected."""
    sections = {}
    for section in re.split(r"^(?=m=)", sdp.replace("\r\n", "\n"), flags=re.M)[1:]:
        if re.match(r"m=\w+ 0 ", section) and "a=bundle-only" not in section:
            continue
        mid = re.search(r"^a=mid:(\S+)", section, re.M)
        assert mid, section
        sections[mid[1]] = {
            f"{what} {number}": meaning
            for what, pattern in _NUMBERS.items()
            for number, meaning in re.findall(pattern, section, re.M)
        }
    return sections


_NUMBERS = {
    "payload type": r"^a=rtpmap:(\d+) (.+)",
    "repaired by": r"^a=fmtp:(\d+) apt=(\d+)",
    "header extension": r"^a=extmap:(\d+)(?:/\w+)? (\S+)",
}


class Pair:
    """Both sides, and one negotiation after the other."""

    def __init__(self, page: Page, python: PythonSide) -> None:
        self.page = page
        self.python = python
        self.numbers = Numbers()

    async def offer_from_browser(self) -> None:
        pc = self.python.pc
        offer = await self.page.evaluate("offer()")
        await pc.setRemoteDescription(RTCSessionDescription(**offer))
        await pc.setLocalDescription()
        answer = {"type": pc.localDescription.type, "sdp": pc.localDescription.sdp}
        await self.page.evaluate("answer => pc.setRemoteDescription(answer)", answer)
        self.numbers.take(offer["sdp"], answer["sdp"])

    async def offer_from_python(self) -> None:
        pc = self.python.pc
        await pc.setLocalDescription()
        offer = {"type": pc.localDescription.type, "sdp": pc.localDescription.sdp}
        answer = await self.page.evaluate("offer => answer(offer)", offer)
        await pc.setRemoteDescription(RTCSessionDescription(**answer))
        self.numbers.take(offer["sdp"], answer["sdp"])

    async def is_as_good_as_before(self) -> None:
        """Check that both are stable and connected, and agree on their media sections."""
        pc = self.python.pc
        there = await self.page.evaluate(
            "[pc.signalingState, pc.connectionState, pc.iceConnectionState,"
            " pc.currentLocalDescription.sdp, pc.currentRemoteDescription.sdp]"
        )
        assert there[:2] == ["stable", "connected"]
        assert (pc.signalingState, pc.connectionState) == ("stable", "connected")
        mids = [re.findall(r"^a=mid:(\S+)", sdp, re.M) for sdp in there[3:]]
        assert mids[0] == mids[1]

    async def still_works(self) -> None:
        """Send over a new channel, and see the first picture of both sides move."""
        channel = self.python.pc.createDataChannel("last")
        await self.offer_from_python()
        await until(channel, "open", lambda: channel.readyState == "open")
        echoed: asyncio.Queue[str] = asyncio.Queue()
        channel.on("message", echoed.put_nowait)
        channel.send("still here")
        assert await echoed.get() == "echo still here"
        first = next(t for t in self.python.received if t.kind == "video")
        for _ in range(5):
            await first.recv()
        await self.page.evaluate(
            """async () => {
              const decoded = async () => {
                const [{ receiver }] = pc.getTransceivers();
                const report = [...(await receiver.getStats()).values()];
                return report.find(({ type }) => type === "inbound-rtp")?.framesDecoded ?? 0;
              };
              const before = await decoded();
              while ((await decoded()) < before + 5) await new Promise((go) => setTimeout(go, 20));
            }"""
        )


@pytest_asyncio.fixture(loop_scope="session")
async def pair(browser: Browser) -> AsyncIterator[Pair]:
    """A browser and a ``PeerConnection``, connected, with a video in both directions."""
    page = (await open_page(browser)).page
    await page.evaluate(f"() => {{{_BROWSER}}}")
    await page.evaluate("() => { pc.addTrack(track('video')); }")
    python = PythonSide()
    async with closing(python.pc):
        joined = Pair(page, python)
        python.add(TestPatternTrack(160, 120, 10))
        await joined.offer_from_browser()
        await connected(python.pc)
        await page.evaluate(
            "() => until('connectionstatechange', () => pc.connectionState === 'connected')"
        )
        yield joined
    for track in python.made:
        track.stop()


@pytest.mark.parametrize("seed", range(6))
async def test_either_side_offers_anything_in_any_order(pair: Pair, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(ROUNDS):
        for change in chance.sample(BROWSER_CHANGES, chance.randint(0, 2)):
            await pair.page.evaluate("([change, n]) => { changes[change](n); }", [change, number])
        for change in chance.sample(PYTHON_CHANGES, chance.randint(0, 2)):
            await pair.python.change(change, number)
        offer: Callable[[], Awaitable[None]] = chance.choice(
            [pair.offer_from_browser, pair.offer_from_python]
        )
        await offer()
        await pair.is_as_good_as_before()
    # Whoever did not offer last may have something left to say.
    await pair.offer_from_browser()
    await pair.offer_from_python()
    await pair.is_as_good_as_before()
    await pair.still_works()


async def test_a_stopped_section_is_used_again(pair: Pair) -> None:
    for number in range(ROUNDS):
        await pair.page.evaluate("() => { changes['add audio'](); }")
        await pair.offer_from_browser()
        await pair.page.evaluate("() => { changes['stop transceiver'](); }")
        if number % 2:
            await pair.offer_from_browser()
        else:
            # The answer cannot stop it, and the browser offers next.
            await pair.offer_from_python()
            await pair.offer_from_browser()
        await pair.is_as_good_as_before()
    sections = await pair.page.evaluate("pc.currentLocalDescription.sdp.match(/^m=audio/gm).length")
    assert sections == 1
    await pair.still_works()


@pytest.mark.parametrize("kind", ["audio", "video"])
@pytest.mark.parametrize("first", ["browser", "python"])
async def test_what_python_stopped_the_browser_uses_again(
    pair: Pair, first: str, kind: str
) -> None:
    await pair.python.change("add audio", 0)
    await pair.offer_from_python()
    await pair.python.change("stop transceiver", 0)
    await (pair.offer_from_browser() if first == "browser" else pair.offer_from_python())
    await pair.is_as_good_as_before()
    await pair.page.evaluate("change => { changes[change](); }", f"add {kind}")
    await pair.offer_from_browser()
    await pair.is_as_good_as_before()
    await pair.still_works()

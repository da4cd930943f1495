"""A real browser on the call page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, ViewportSize, async_playwright

from tests.helpers.system import find

SWITCHES = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
FAKE_DEVICES = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]


@asynccontextmanager
async def chromium(*switches: str) -> AsyncIterator[Browser]:
    """Run Chromium without a window.

    Args:
        switches: Beside :data:`SWITCHES`.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find("chromium"), args=[*SWITCHES, *switches]
        )
        try:
            yield browser
        finally:
            await browser.close()


async def open_page(
    browser: Browser, size: tuple[int, int] = (1280, 800), **options: Any
) -> "CallPage":
    """Open an empty page in a context of its own.

    Args:
        browser: The browser.
        size: Width and height in pixels.
        options: What else ``new_context()`` takes.
    """
    viewport = ViewportSize(width=size[0], height=size[1])
    context = await browser.new_context(viewport=viewport, **options)
    return CallPage(await context.new_page())


@dataclass
class WatchedPage:
    """A page in a browser.

    Attributes:
        page: Playwright's page.
        complaints: Errors and warnings of the page so far.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


class CallPage(WatchedPage):
    """The call page in a browser."""

    async def join(self, url: str, *, name: str, room: str | None = None) -> None:
        """Open the page and join."""
        await self.page.goto(url)
        await self.page.get_by_test_id("name").fill(name)
        if room is not None:
            await self.page.get_by_test_id("room").fill(room)
        await self.page.get_by_test_id("join").click()

    async def connected(self, name: str) -> None:
        """Wait until there is a connection to a participant."""
        await self.page.wait_for_function(
            "name => [...icefloe.peers.values()].some("
            "peer => peer.name === name && peer.state === 'connected')",
            arg=name,
        )

    async def plays(self, name: str, frames: int = 5) -> None:
        """Wait until the picture of a participant has moved on by so many frames."""
        await self.page.evaluate(_PLAYS, [name, frames])

    async def say(self, text: str) -> None:
        """Write a line in the chat, which is open."""
        entry = self.page.get_by_test_id("chat-input")
        await entry.fill(text)
        await entry.press("Enter")

    async def reads(self, text: str) -> None:
        """Wait until a line that somebody else wrote has this in it."""
        lines = self.page.get_by_test_id("chat-log").locator(".theirs", has_text=text)
        await lines.first.wait_for()

    async def colours(self, name: str) -> "Colours":
        """Look at the picture of a participant as it is now."""
        return Colours(**await self.page.evaluate(_COLOURS, name))

    async def until_colours(self, name: str, condition: str) -> "Colours":
        """Wait until the picture of a participant is so; the condition is JavaScript about ``c``.

        Returns:
            What was seen then.
        """
        seen = await self.page.evaluate_handle(_UNTIL_COLOURS.replace("CONDITION", condition), name)
        return Colours(**await seen.json_value())

    async def loudness(self, name: str) -> float:
        """Return the loudest sample of what a participant sends in half a second, 0 to 1."""
        loudest: float = await self.page.evaluate(_LOUDNESS, [name, 0.5])
        return loudest

    async def until_loud(self, name: str) -> float:
        """Wait until something can be heard of a participant; return how loud it is."""
        while (heard := await self.loudness(name)) < 0.01:
            pass
        return heard


@dataclass(frozen=True)
class Colours:
    """A picture in numbers, each 0 to 255.

    Attributes:
        luma: Mean brightness.
        chroma: Mean distance of red, green and blue from each other.
        red: Mean.
        green: Mean.
        blue: Mean.
    """

    luma: float
    chroma: float
    red: float
    green: float
    blue: float


_VIDEO = """
  const find = (name) => {
    const all = [...document.querySelectorAll("[data-testid=remote-video]")];
    return all.find((video) => video.dataset.peerName === name);
  };
"""

_PLAYS = (
    "async ([name, frames]) => {"
    + _VIDEO
    + """
  let video;
  while (!(video = find(name))) await new Promise(requestAnimationFrame);
  for (let seen = 0; seen < frames; seen += 1) {
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
  }
}"""
)

_MEASURE = (
    _VIDEO
    + """
  const canvas = new OffscreenCanvas(64, 48);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const measure = () => {
    context.drawImage(find(name), 0, 0, 64, 48);
    const { data } = context.getImageData(0, 0, 64, 48);
    const c = { luma: 0, chroma: 0, red: 0, green: 0, blue: 0 };
    for (let i = 0; i < data.length; i += 4) {
      const [red, green, blue] = data.subarray(i, i + 3);
      c.red += red;
      c.green += green;
      c.blue += blue;
      c.luma += 0.299 * red + 0.587 * green + 0.114 * blue;
      c.chroma += Math.max(red, green, blue) - Math.min(red, green, blue);
    }
    for (const key of Object.keys(c)) c[key] /= data.length / 4;
    return c;
  };
"""
)

_COLOURS = "(name) => {" + _MEASURE + "  return measure(); }"

_UNTIL_COLOURS = (
    "async (name) => {"
    + _MEASURE
    + """
  for (;;) {
    await new Promise((resolve) => find(name).requestVideoFrameCallback(resolve));
    const c = measure();
    if (CONDITION) return c;
  }
}"""
)

_LOUDNESS = (
    "async ([name, seconds]) => {"
    + _VIDEO
    + """
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(find(name).srcObject).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const end = performance.now() + seconds * 1000;
  let loudest = 0;
  while (performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    analyser.getFloatTimeDomainData(samples);
    for (const sample of samples) loudest = Math.max(loudest, Math.abs(sample));
  }
  await context.close();
  return loudest;
}"""
)

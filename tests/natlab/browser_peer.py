"""A peer that is a real Chromium, in a namespace of a lab or elsewhere, driven from outside."""

import os
import shlex
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, Route, async_playwright

from tests.helpers import system
from tests.helpers.browser import SWITCHES
from tests.natlab.lab_peer import Kind, LabPeer, Message
from tests.natlab.namespace import Place
from tests.natlab.topology import Lab

_SCRIPT = Path(__file__).with_name("browser_peer.js")
_URL = "https://peer.invalid/"
"""The address that the page is given; it is answered here, as only secure pages may hash."""

_MORE_SWITCHES = [
    "--ignore-certificate-errors",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-dev-shm-usage",
]

_SHOW_ADDRESSES = "--disable-features=WebRtcHideLocalIpsWithMdns"


class _PageTransport:
    def __init__(self, page: Page) -> None:
        self._page = page
        self._log: deque[str] = deque(maxlen=60)
        page.on("console", lambda message: self._log.append(message.text))
        page.on("pageerror", lambda error: self._log.append(str(error)))

    async def send(self, message: Message) -> None:
        if message["do"] == "start":
            message = {**message, "clock": await self._clock()}
        # Not waited for: what it comes to is reported.
        await self._page.evaluate("message => { lab.handle(message); }", message)

    def log(self) -> str:
        return "\n".join(self._log)

    async def _clock(self) -> float:
        """Return what is to be added to the page's seconds to have this machine's clock."""
        offsets = []
        for _ in range(20):
            before = time.monotonic()
            seen: float = await self._page.evaluate("() => performance.now() / 1000")
            after = time.monotonic()
            offsets.append((after - before, (before + after) / 2 - seen))
        return min(offsets)[1]


def _wrapper(place: Place, folder: Path) -> Path:
    """Write a program that runs Chromium in a namespace; playwright speaks to it over pipes."""
    chromium = system.find("chromium")
    assert chromium is not None
    path = folder / "chromium"
    path.write_text(f'#!/bin/sh\nexec {shlex.join(place.command(chromium))} "$@"\n')
    os.chmod(path, 0o700)
    return path


async def _answer(route: Route, scripts: Sequence[Path]) -> None:
    name = route.request.url.removeprefix(_URL)
    for script in scripts:
        if script.name == name:
            await route.fulfill(content_type="text/javascript", body=script.read_text())
            return
    await route.fulfill(content_type="text/html", body="<p>peer</p>")


@asynccontextmanager
async def chromium_at(place: Place, *, hiding: bool = False) -> AsyncIterator[Browser]:
    """Run Chromium somewhere until the end of the block.

    Args:
        place: Where it runs.
        hiding: Whether it tells names in the place of local addresses, as Chromium does by default.
    """
    switches = [*SWITCHES, *_MORE_SWITCHES, *([] if hiding else [_SHOW_ADDRESSES])]
    with tempfile.TemporaryDirectory(prefix="icefloe-chromium-") as folder:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=_wrapper(place, Path(folder)), args=switches
            )
            try:
                yield browser
            finally:
                await browser.close()


@asynccontextmanager
async def page_in(
    browser: Browser, name: str, kind: str, scripts: Sequence[Path]
) -> AsyncIterator[LabPeer]:
    """Have a page that is a peer until the end of the block.

    Args:
        browser: Where it is opened.
        name: The peer's name.
        kind: What it is made of.
        scripts: The page's script, and those that it imports if it is a module. It defines
            ``lab.handle(message)``, and tells what happens with ``report(event)``.
    """
    peer = LabPeer(name, kind)
    page = await browser.new_page()
    try:
        transport = _PageTransport(page)
        await page.expose_function("report", peer.receive)
        await page.route(f"{_URL}**", lambda route: _answer(route, scripts))
        await page.goto(_URL)
        is_module = "module" if scripts[0].suffix == ".mjs" else ""
        await page.add_script_tag(url=_URL + scripts[0].name, type=is_module)
        peer.attach(transport)
        yield peer
    finally:
        await page.close()


@asynccontextmanager
async def page_peer(
    place: Place, name: str, kind: str, scripts: Sequence[Path], *, hiding: bool = False
) -> AsyncIterator[LabPeer]:
    """Run Chromium with a page that is a peer, as :func:`page_in`, until the end of the block."""
    async with (
        chromium_at(place, hiding=hiding) as browser,
        page_in(browser, name, kind, scripts) as peer,
    ):
        yield peer


@asynccontextmanager
async def chromium_peer(lab: Lab, node: str, kind: Kind = Kind.CHROMIUM) -> AsyncIterator[LabPeer]:
    """Run Chromium, of one kind or the other, at a node until the end of the block."""
    hiding = kind is Kind.HIDING_CHROMIUM
    async with page_peer(lab[node], node, kind, [_SCRIPT], hiding=hiding) as peer:
        yield peer

"""A real browser on the files page, and the command on the other side."""

from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, expect

from tests.helpers.browser import WatchedPage
from tests.helpers.commands import process

PICK_STORED = """
  // What a person would choose in the browser's dialogue, in a folder of the page's own storage.
  const chosen = async () =>
    (await navigator.storage.getDirectory()).getDirectoryHandle("chosen", { create: true });
  window.showDirectoryPicker = chosen;
  window.showSaveFilePicker = async ({ suggestedName }) =>
    (await chosen()).getFileHandle(suggestedName, { create: true });
"""

NO_PICKERS = "delete window.showSaveFilePicker; delete window.showDirectoryPicker;"
"""As in browsers other than Chromium."""

_CHOSEN = """
  async () => {
    const found = {};
    const look = async (folder, path) => {
      for await (const [name, handle] of folder.entries()) {
        if (handle.kind === "directory") {
          found[path + name] = null;
          await look(handle, `${path}${name}/`);
        } else {
          const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
          let text = "";
          for (let i = 0; i < bytes.length; i += 4096)
            text += String.fromCharCode(...bytes.subarray(i, i + 4096));
          found[path + name] = btoa(text);
        }
      }
    };
    const root = await navigator.storage.getDirectory();
    await look(await root.getDirectoryHandle("chosen", { create: true }), "");
    return found;
  }
"""

PATIENCE = 120_000
"""Milliseconds that a page is given for anything: on a quarter of a processor, 100 MB take a
minute."""


class FilesPage(WatchedPage):
    """The files page in a browser."""

    async def send(self, url: str, *paths: Path) -> str:
        """Open the page and choose files; return the code."""
        await self.page.goto(url)
        await self.page.get_by_test_id("file-input").set_input_files([str(path) for path in paths])
        await self.until("waiting")
        return await self.page.get_by_test_id("code").inner_text()

    async def drop(self, url: str, *paths: Path) -> str:
        """Open the page and drop files and folders on it, as from a file manager; return the code.

        Raises:
            ValueError: The page is not there to drop anything on.
        """
        await self.page.goto(url)
        box = await self.page.locator("#drop").bounding_box()
        if box is None:
            raise ValueError("there is nothing to drop files on")
        session = await self.page.context.new_cdp_session(self.page)
        for kind in ("dragEnter", "dragOver", "drop"):
            await session.send(
                "Input.dispatchDragEvent",
                {
                    "type": kind,
                    "x": box["x"] + box["width"] / 2,
                    "y": box["y"] + box["height"] / 2,
                    "data": {
                        "items": [],
                        "files": [str(path) for path in paths],
                        "dragOperationsMask": 1,
                    },
                },
            )
        await self.until("waiting")
        return await self.page.get_by_test_id("code").inner_text()

    async def receive(self, url: str, code: str) -> None:
        """Open the page and enter a code."""
        await self.page.goto(url)
        await self.page.get_by_test_id("code-input").fill(code)
        await self.page.get_by_test_id("receive").click()

    async def accept(self) -> None:
        """Wait for an offer and take it."""
        await self.page.get_by_test_id("accept").click()

    async def until(self, screen: str) -> None:
        """Wait for a screen."""
        await expect(self.page.locator("body")).to_have_attribute(
            "data-screen", screen, timeout=PATIENCE
        )

    async def fails(self, title: str) -> str:
        """Wait until it has failed with this title; return what else is said."""
        await self.until("error")
        await expect(self.page.get_by_test_id("title")).to_have_text(title)
        return " ".join(
            [
                await self.page.get_by_test_id("lead").inner_text(),
                await self.page.get_by_test_id("detail").text_content() or "",
            ]
        )

    async def chosen(self) -> dict[str, str | None]:
        """Return what is in the chosen folder: contents in base64, ``None`` for a folder."""
        found: dict[str, str | None] = await self.page.evaluate(_CHOSEN)
        return found


async def open_files_page(
    browser: Browser | BrowserContext, script: str = "", size: tuple[int, int] = (1280, 800)
) -> FilesPage:
    """Open an empty page, in a context of its own if it is a browser that is given.

    Args:
        browser: The browser, or a context.
        script: What runs before the page's own scripts.
        size: Width and height in pixels.
    """
    context = browser
    if isinstance(browser, Browser):
        context = await browser.new_context(viewport={"width": size[0], "height": size[1]})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE)
    if script:
        await page.add_init_script(script)
    return FilesPage(page)


@asynccontextmanager
async def command(*arguments: str, **pipes: Any) -> AsyncIterator[Process]:
    """Run ``icefloe`` with JSON on its standard output; it is ended afterwards."""
    async with process(*arguments, "--json", **pipes) as running:
        yield running

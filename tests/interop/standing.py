"""The Chromium that stands by for all tests of this folder: to start one takes seconds."""

from contextlib import AsyncExitStack

from playwright.async_api import Browser

from tests.helpers.system import missing
from tests.natlab.browser_peer import chromium_at
from tests.natlab.namespace import Here


class Standing:
    """A Chromium, on a machine that has one."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._browser: Browser | None = None

    async def start(self) -> None:
        """Start it, also if it has crashed; do nothing while it runs."""
        if missing("chromium") or (self._browser is not None and self._browser.is_connected()):
            return
        await self._stack.aclose()
        self._browser = await self._stack.enter_async_context(chromium_at(Here()))

    def browser(self) -> Browser:
        """Return it; it was started."""
        assert self._browser is not None
        return self._browser

    async def end(self) -> None:
        """End it."""
        self._browser = None
        await self._stack.aclose()


CHROMIUM = Standing()

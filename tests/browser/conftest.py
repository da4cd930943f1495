"""One browser for all tests, each in a context of its own, and the demo beside it.

The browser lives as long as the event loop that started it, so here all tests share one; their
asynchronous fixtures say ``loop_scope="session"``.
"""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.helpers.browser import FAKE_DEVICES, CallPage, chromium, open_page
from tests.helpers.command import Command, icefloe
from tests.helpers.leaks import nothing_left

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def nothing_left_behind(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Do what the fixture of all tests does, in the loop of these."""
    async with nothing_left(request.node.name):
        yield


class _Running:
    """Chromium with a camera and a microphone that are not real, started anew if it crashed."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._browser: Browser | None = None

    async def get(self) -> Browser:
        if self._browser is None or not self._browser.is_connected():
            await self._stack.aclose()
            self._browser = await self._stack.enter_async_context(chromium(*FAKE_DEVICES))
        return self._browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_browser() -> AsyncIterator[_Running]:
    """The browser of this run."""
    async with AsyncExitStack() as stack:
        running = _Running(stack)
        await running.get()
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def browser(running_browser: _Running) -> AsyncIterator[Browser]:
    """Chromium with a camera and a microphone that are not real; its contexts are the test's."""
    browser = await running_browser.get()
    yield browser
    for context in browser.contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def demo() -> AsyncIterator[Command]:
    """``icefloe demo`` on a free port; nothing may go wrong in it."""
    async with icefloe("demo") as command:
        yield command
        exit_code, logged = await command.end()
        assert exit_code == 0
        assert not re.search(r" (ERROR|CRITICAL) |Traceback", logged), logged


@pytest_asyncio.fixture(loop_scope="session")
async def call(browser: Browser, demo: Command) -> AsyncIterator[CallPage]:
    """The page in a call with the demo, whose picture moves; it must not have complained."""
    page = await open_page(browser)
    await page.join(demo.url, name="alice")
    await page.plays("python")
    yield page
    assert page.complaints == []

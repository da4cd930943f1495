"""A browser for each test, and the demo beside it."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.helpers.browser import FAKE_DEVICES, CallPage, chromium, open_page
from tests.helpers.command import Command, icefloe


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Chromium with a camera and a microphone that are not real."""
    async with chromium(*FAKE_DEVICES) as running:
        yield running


@pytest.fixture
async def demo() -> AsyncIterator[Command]:
    """``icefloe demo`` on a free port; nothing may go wrong in it."""
    async with icefloe("demo") as command:
        yield command
        exit_code, logged = await command.end()
        assert exit_code == 0
        assert not re.search(r" (ERROR|CRITICAL) |Traceback", logged), logged


@pytest.fixture
async def call(browser: Browser, demo: Command) -> AsyncIterator[CallPage]:
    """The page in a call with the demo, whose picture moves; it must not have complained."""
    page = await open_page(browser)
    await page.join(demo.url, name="alice")
    await page.plays("python")
    yield page
    assert page.complaints == []

"""The programs of the README and of a tutorial with the call page, whoever is there first."""

import pytest
from playwright.async_api import Browser

from icefloe.signaling import SignalingServer
from tests.documents.blocks import Block, block, printed_server, program
from tests.helpers.browser import CallPage, open_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.system("chromium"),
    pytest.mark.timeout(240),
]

TIMES = 10
BOT = block("README.md/Use it")
CLOCK = block("tutorials/long-running-bot.md/Answer in the chat")


async def come(page: CallPage, server: SignalingServer) -> None:
    """Join, and wait until that is done; the chat is in sight on a wide screen."""
    await page.join(server.page_url, name="alice")
    await page.page.wait_for_function("() => icefloe.id !== null")


async def leave(page: CallPage) -> None:
    """Hang up, and wait until nobody else can take the page for one that is there."""
    await page.page.get_by_test_id("hangup").click()
    await page.page.wait_for_function("() => icefloe.id === null")


async def meet(
    page: CallPage, server: SignalingServer, program_block: Block, *, page_first: bool
) -> list[str]:
    """Let the two greet each other and talk; return what the program printed."""
    if page_first:
        await come(page, server)
    async with program(program_block, server) as bot:
        await bot.prints("bot is here")
        if not page_first:
            await come(page, server)
        await page.reads("hello alice, we are connected by ")
        for line in ("good day", "and another"):
            await page.say(line)
            await bot.prints(line)
        await leave(page)
        assert await bot.end() == 0
        return bot.printed


@pytest.mark.parametrize("page_first", [False, True], ids=["bot first", "page first"])
async def test_the_bot_and_the_page_talk(browser: Browser, page_first: bool) -> None:
    page = await open_page(browser)
    async with printed_server() as server:
        for _ in range(TIMES):
            printed = await meet(page, server, BOT, page_first=page_first)
            assert printed == ["bot is here, and waits for others", "good day", "and another"]
    assert page.complaints == []


@pytest.mark.parametrize("page_first", [False, True], ids=["bot first", "page first"])
async def test_the_bot_answers_the_buttons_of_the_chat(browser: Browser, page_first: bool) -> None:
    page = await open_page(browser)
    async with printed_server() as server:
        if page_first:
            await come(page, server)
        async with program(CLOCK, server) as clock:
            if not page_first:
                await come(page, server)
            await page.reads("I know the time.")
            await page.page.get_by_test_id("chat-command").filter(has_text="/time").click()
            await page.reads("It is ")
            await page.say("/path")
            await page.reads("We are connected by host/udp")
            await leave(page)
            assert await clock.end() == 0


async def test_a_program_that_only_listens_hears_the_page(browser: Browser) -> None:
    """A page that is there first opens its chat as one that comes later does."""
    listener = Block(
        "here",
        "",
        1,
        "python",
        block("README.md/Two programs").text.replace("laboratory", "lobby"),
    )
    page = await open_page(browser)
    async with printed_server() as server:
        await come(page, server)
        async with program(listener, server) as display:
            await page.connected("display")
            await page.say("hello")
            assert await display.prints("alice") == "alice: 'hello'"
            await leave(page)
            assert await display.end() == 0

"""A video call between a real browser and the real ``icefloe demo``."""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from icefloe.demos.call import take_part
from icefloe.signaling import serve
from tests.helpers.browser import CallPage, open_page
from tests.helpers.command import Command, icefloe

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium")]


async def test_the_first_picture_comes_by_itself(
    browser: Browser, demo: Command, record_property: Callable[[str, object], None]
) -> None:
    page = await open_page(browser)
    await page.page.goto(demo.url)
    await page.page.get_by_test_id("name").fill("alice")
    clicked = time.monotonic()
    await page.page.get_by_test_id("join").click()
    await page.plays("python", 1)
    milliseconds = round((time.monotonic() - clicked) * 1000)
    record_property("milliseconds to the first frame", milliseconds)
    sys.stdout.write(f"from the click to the first frame: {milliseconds} ms\n")
    await page.plays("python", 30)
    assert page.complaints == []


async def test_effects_change_the_picture(call: CallPage) -> None:
    # The camera shows green, and edges on black by default.
    await call.until_colours("python", "c.chroma < 3")
    await call.say("/effect none")
    plain = await call.until_colours("python", "c.green > c.red + 40 && c.green > c.blue + 40")
    await call.say("/effect negative")
    negative = await call.until_colours("python", "c.red > c.green + 40 && c.blue > c.green + 40")
    await call.say("/effect gray")
    gray = await call.until_colours("python", "c.chroma < 3")
    await call.say("/effect sepia")
    await call.until_colours("python", "c.red > c.green + 10 && c.green > c.blue")
    assert gray.chroma < 3 < negative.chroma
    assert abs(255 - plain.green - negative.green) < 60


async def test_each_command_is_a_button(call: CallPage) -> None:
    await call.page.get_by_test_id("chat-command").get_by_text("/effect negative").click()
    await call.reads("Your picture, negative.")
    await call.until_colours("python", "c.red > c.green + 40")


async def test_a_film_plays_and_ends(call: CallPage) -> None:
    await call.say("/effect none")
    await call.until_colours("python", "c.green > c.red + 40")
    assert await call.loudness("python") < 0.001
    await call.say("/play")
    # The test pattern has as much of each colour.
    await call.until_colours("python", "c.chroma > 50 && Math.abs(c.red - c.green) < 15")
    await call.until_loud("python")
    await call.say("/stop")
    await call.until_colours("python", "c.green > c.red + 40")
    await call.plays("python", 20)


async def test_a_tone_is_heard(call: CallPage) -> None:
    await call.say("/tone")
    await call.until_loud("python")


async def test_chat_goes_both_ways(call: CallPage) -> None:
    await call.reads("Hello alice")
    await call.say("grüß dich ❄")
    await call.reads("You wrote: grüß dich ❄")
    await call.say("/dance")
    await call.reads("I know no /dance")
    await call.say("/stats")
    await call.reads("host/udp -> host/udp")


async def test_the_panel_shows_which_way_the_call_takes(call: CallPage) -> None:
    page = call.page
    await page.get_by_test_id("panel-toggle").click()
    panel = page.get_by_test_id("panel")
    await expect(panel).to_be_in_viewport(ratio=1)
    await expect(page.get_by_test_id("chat-log")).to_be_in_viewport(ratio=1)
    await expect(panel.get_by_test_id("connection-state")).to_have_text("connected")
    await expect(panel.get_by_test_id("selected-pair")).to_contain_text("host/udp")
    await expect(panel.get_by_text("direct")).to_be_visible()
    await expect(page.get_by_test_id("path-badge")).to_have_text("direct")
    for side in ("local-candidates", "remote-candidates"):
        await expect(panel.get_by_test_id(side).locator("tr").first).to_contain_text("udp")


async def test_hanging_up_and_joining_again_works(call: CallPage) -> None:
    for _ in range(3):
        await call.page.get_by_test_id("hangup").click()
        await expect(call.page.get_by_test_id("status")).to_contain_text("You left")
        await call.page.get_by_test_id("join").click()
        await call.plays("python")


async def test_reloading_the_page_in_a_call_works(call: CallPage) -> None:
    await call.page.reload()
    await call.page.get_by_test_id("join").click()
    await call.plays("python")


async def test_two_browsers_and_python_all_see_each_other(call: CallPage, demo: Command) -> None:
    browser = call.page.context.browser
    assert browser is not None
    other = await open_page(browser)
    await other.join(demo.url, name="bob")
    await other.plays("python")
    await other.plays("alice")
    await call.plays("bob")
    # Commands of one change the picture of that one.
    await other.say("/effect none")
    await other.until_colours("python", "c.green > c.red + 40")
    assert (await call.colours("python")).chroma < 3
    # One that leaves does not disturb the others.
    await other.page.get_by_test_id("hangup").click()
    await call.page.wait_for_function("() => icefloe.peers.size === 1")
    await call.plays("python", 20)
    assert other.complaints == []


async def test_python_may_come_last_and_go_first(browser: Browser) -> None:
    async with serve(port=0) as server:
        page = await open_page(browser)
        await page.join(server.page_url, name="alice")
        await expect(page.page.get_by_test_id("status")).to_contain_text("Only you")
        for _ in range(2):
            guest = asyncio.create_task(take_part(server.url))
            await page.plays("python")
            await page.reads("Hello alice")
            await page.say("/effect none")
            await page.until_colours("python", "c.green > c.red + 40")
            guest.cancel()
            await asyncio.wait((guest,))
            await page.page.wait_for_function("() => icefloe.peers.size === 0")
        assert page.complaints == []


async def test_a_browser_trusts_a_self_signed_certificate(browser: Browser, tmp_path: Path) -> None:
    async with icefloe("demo", "--tls-self-signed", XDG_CACHE_HOME=str(tmp_path)) as command:
        assert command.url.startswith("https://")
        page = await open_page(browser, ignore_https_errors=True)
        await page.join(command.url, name="alice")
        await page.plays("python")
        assert page.complaints == []

"""Browsers without a camera, with one that may not be used, and small ones."""

import pytest
from playwright.async_api import Browser, expect

from tests.helpers.browser import FAKE_DEVICES, chromium, open_page
from tests.helpers.command import Command

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium")]


async def test_without_a_camera_a_drawn_picture_is_sent(demo: Command) -> None:
    async with chromium() as browser:
        page = await open_page(browser)
        await page.join(demo.url, name="alice")
        notice = page.page.get_by_test_id("notice")
        await expect(notice).to_contain_text("No camera or microphone was found")
        await page.plays("python")
        await page.say("/effect none")
        # The drawn picture is of ice and water.
        await page.until_colours("python", "c.blue > c.red + 30")
        assert page.complaints == []


async def test_where_the_camera_is_denied_the_page_says_what_to_do(demo: Command) -> None:
    async with chromium("--use-fake-device-for-media-stream", "--deny-permission-prompts") as one:
        page = await open_page(one)
        await page.join(demo.url, name="alice")
        notice = page.page.get_by_test_id("notice")
        await expect(notice).to_contain_text("blocked; allow them in the site settings")
        await page.plays("python")
        await page.say("/effect none")
        await page.until_colours("python", "c.blue > c.red + 30")


UPRIGHT, SIDEWAYS = (360, 640), (640, 360)


@pytest.mark.parametrize("size", [UPRIGHT, SIDEWAYS], ids=["upright", "sideways"])
async def test_it_works_on_a_telephone(demo: Command, size: tuple[int, int]) -> None:
    async with chromium(*FAKE_DEVICES) as browser:
        page = await open_page(browser, size, has_touch=True, is_mobile=True)
        await page.page.goto(demo.url)
        if size == UPRIGHT:
            await expect(page.page.get_by_test_id("join")).to_be_in_viewport(ratio=1)
        await page.join(demo.url, name="alice")
        await page.plays("python")
        video = await page.page.get_by_test_id("remote-video").bounding_box()
        assert video is not None
        assert video["x"] >= 0
        assert video["x"] + video["width"] <= size[0]
        assert await page.page.evaluate("document.documentElement.scrollWidth") <= size[0]
        await page.page.get_by_test_id("chat-toggle").tap()
        await page.say("/stats")
        await page.reads("host/udp")
        await expect(page.page.get_by_test_id("chat-input")).to_be_in_viewport()
        assert page.complaints == []


async def test_muting_is_told_to_others(browser: Browser, demo: Command) -> None:
    one, other = await open_page(browser), await open_page(browser)
    await one.join(demo.url, name="alice", room="quiet")
    await other.join(demo.url, name="bob", room="quiet")
    await one.plays("bob")
    await other.page.get_by_test_id("mute").click()
    await one.page.wait_for_function("() => [...icefloe.peers.values()][0].sending.audio === false")
    assert one.complaints == other.complaints == []

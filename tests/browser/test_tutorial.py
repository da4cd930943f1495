"""The steps of the tutorial on calls, with the call page."""

import pytest
from playwright.async_api import Browser

from tests.documents.blocks import block, printed_server, program
from tests.helpers.browser import open_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.system("chromium"),
    pytest.mark.timeout(240),
]

DRAWN = "c.blue > c.red + 40"
NEGATIVE = "c.red > c.green + 40 && c.blue > c.green + 40"  # Chromium's camera is green


@pytest.mark.parametrize(
    ("heading", "colours"),
    [
        ("Send a picture", DRAWN),
        ("Take the picture of the browser", NEGATIVE),
        ("Hear the browser and answer", NEGATIVE),
    ],
)
async def test_the_page_shows_what_the_studio_sends(
    browser: Browser, heading: str, colours: str
) -> None:
    page = await open_page(browser)
    async with (
        printed_server() as server,
        program(block(f"tutorials/video-call.md/{heading}"), server) as studio,
    ):
        await studio.prints("studio waits")
        await page.join(server.page_url, name="alice")
        assert "/udp, rtt " in await studio.prints("alice is connected by ")
        await page.plays("studio")
        await page.until_colours("studio", colours)
        if heading.startswith("Hear"):
            await page.reads("hello alice, I am listening")
            loudness = 0.0
            while loudness < 0.001:  # Chromium's microphone beeps
                loudness = float((await studio.prints("alice: ")).split()[1])
        await page.page.get_by_test_id("hangup").click()
        await studio.prints("alice has left")
        assert await studio.end() == 0
    assert page.complaints == []

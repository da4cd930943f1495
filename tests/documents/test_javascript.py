"""The page of docs/javascript.md and its Python twin talk to each other, as they are printed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from icefloe.peer import RequestFailed, join
from icefloe.signaling import ServerConfiguration, SignalingServer, serve
from tests.documents.blocks import block, program
from tests.helpers.browser import FAKE_DEVICES, chromium
from tests.helpers.firefox import firefox
from tests.helpers.module_page import ModulePage

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium"), pytest.mark.timeout(120)]

PAGE = block("javascript.md/Ten lines", "html").text
PROGRAM = block("javascript.md/Ten lines")
REQUESTS = block("javascript.md/Data channels", "js").text
COMMAND = block("javascript.md/JavaScript", "sh").text
PORT = 8000
"""The address at which the page says that it is served."""

_PLAYS = """
  async () => {
    const video = document.querySelector("video");
    for (let seen = 0; seen < 5; seen += 1) {
      await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    }
    return video.videoWidth;
  }
"""


_READS = """
  while (!document.body.textContent.includes("WORDS")) {
    await new Promise((go) => setTimeout(go, 50));
  }
  return true;
"""


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[SignalingServer, str]]:
    """Serve the page as it is printed from a web server of its own; give its address."""
    printed = ""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n\r\n"
        )
        writer.write(f"{head}{printed}".encode())
        writer.close()
        await writer.wait_closed()

    web = await asyncio.start_server(answer, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{web.sockets[0].getsockname()[1]}"
    assert f"--allowed-origin http://127.0.0.1:{PORT}" in COMMAND
    configuration = ServerConfiguration(origins=frozenset({origin}))
    async with serve(port=0, configuration=configuration) as server:
        printed = PAGE.replace(":8080/", f":{server.port}/")
        try:
            yield server, f"{origin}/"
        finally:
            web.close()
            await web.wait_closed()


async def open_page(browser: Browser, address: str) -> Page:
    context = await browser.new_context(permissions=["camera"])
    page = await context.new_page()
    await page.goto(address)
    return page


async def reads(page: Page, text: str) -> None:
    await page.wait_for_function("(text) => document.body.textContent.includes(text)", arg=text)


def test_they_are_about_ten_lines() -> None:
    assert len(PAGE.strip().splitlines()) <= 15
    assert len([line for line in PROGRAM.text.splitlines() if line.strip()]) <= 15


async def test_the_page_and_the_program_exchange_words_and_pictures() -> None:
    async with chromium(*FAKE_DEVICES) as browser, serving() as (server, address):
        page = await open_page(browser, address)
        async with program(PROGRAM, server) as python:
            await python.prints("hello python, we are connected by host/udp -> ")
            await reads(page, "hello page, we are connected by host/udp -> ")
            assert await page.evaluate(_PLAYS) > 0
            async with join(server.url, room="lobby", name="viewer") as room:
                # The camera of the page, as a third sees it.
                alice = await room.peer("page")
                async for track in alice.tracks():
                    assert (await track.recv()).width > 0  # type: ignore[union-attr]
                    break
            assert await python.end() == 0
        await browser.close()


async def test_two_copies_of_the_page_talk_to_each_other() -> None:
    async with chromium(*FAKE_DEVICES) as browser, serving() as (_, address):
        pages = [await open_page(browser, address) for _ in range(2)]
        await reads(pages[0], "hello page, we are connected by ")
        await reads(pages[1], "hello page-2, we are connected by ")
        for page in pages:
            assert await page.evaluate(_PLAYS) > 0


@pytest.mark.system("firefox")
async def test_firefox_with_the_page_talks_to_python_and_to_chromium(tmp_path: Path) -> None:
    async with firefox(tmp_path) as fox, serving() as (server, address):
        await fox.open(address)
        async with program(PROGRAM, server) as python:
            await python.prints("hello python, we are connected by host/udp -> ")
            assert await fox.run(_READS.replace("WORDS", "hello page, ")) is True
            assert await fox.run(f"return ({_PLAYS})();") > 0
            async with chromium(*FAKE_DEVICES) as browser:
                page = await open_page(browser, address)
                await reads(page, "hello page-2, we are connected by ")
                await python.prints("hello python, we are connected by ")
                assert await page.evaluate(_PLAYS) > 0
                assert await fox.run(f"return ({_PLAYS})();") > 0
                # Again, now that there are others: a shared channel is one in both browsers.
                assert await fox.run(_READS.replace("WORDS", "hello page, we are")) is True
            assert await python.end() == 0


async def test_requests_are_answered_as_they_are_printed() -> None:
    async with chromium() as browser, serve(port=0) as server:
        page = ModulePage(await (await browser.new_context(bypass_csp=True)).new_page())
        await page.join(server, "page")
        printed = REQUESTS.replace('"icefloe"', f'"{server.page_url}icefloe.js"')
        await page.run(
            """
              const blob = new Blob([given], { type: "text/javascript" });
              window.printed = await import(URL.createObjectURL(blob));
            """,
            printed,
        )
        async with join(server.url, room="lobby", name="python") as room:
            peer = await room.peer("page")
            questions = await peer.open_channel("questions")

            async def battery(query: dict[str, str]) -> dict[str, int]:
                if query != {"get": "battery"}:
                    raise RequestFailed("unknown", "there is no such thing")
                return {"percent": 60}

            serving = asyncio.create_task(questions.serve_requests(battery))
            await page.run("void printed.answer(await peer('python'));")
            assert await page.run("return printed.ask(await peer('python'));") == {"percent": 60}
            assert await questions.request({"get": "battery"}) == {"percent": 80}
            with pytest.raises(RequestFailed, match="there is no bread") as refused:
                await questions.request({"get": "bread"})
            assert refused.value.code == "unknown"
            await questions.aclose()
            await serving

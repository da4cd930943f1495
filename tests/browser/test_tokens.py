"""The call page with a join token in the fragment of its address."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from icefloe.media import TestPatternTrack
from icefloe.peer import join
from icefloe.signaling import ServerConfiguration, SignalingServer, TokenKeys, make_token, serve
from tests.helpers.browser import CallPage, open_page
from tests.helpers.commands import event, process
from tests.helpers.files_page import PICK_STORED, open_files_page
from tests.helpers.transfers import contents, random_file

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium")]

KEYS = TokenKeys("s" * 32)


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[SignalingServer]:
    async with serve(port=0, configuration=ServerConfiguration(token_keys=KEYS)) as server:
        yield server


def token(*rights: str) -> str:
    return make_token(KEYS, room="lobby", rights=("join", *rights))


async def enter(browser: Browser, server: SignalingServer, fragment: str) -> CallPage:
    page = await open_page(browser)
    await page.page.goto(f"{server.page_url}{fragment}")
    await page.page.get_by_test_id("name").fill("alice")
    await page.page.get_by_test_id("join").click()
    return page


async def test_a_page_without_a_token_says_what_it_lacks(
    browser: Browser, server: SignalingServer
) -> None:
    for fragment in ("", "#token=a.b.c"):
        page = await enter(browser, server, fragment)
        await expect(page.page.get_by_text("is open by invitation only")).to_be_visible()
    expired = make_token(KEYS, room="lobby", seconds=1, now=1e9)
    page = await enter(browser, server, f"#token={expired}")
    await expect(page.page.get_by_text("has expired")).to_be_visible()


async def test_a_token_admits_a_page_until_it_is_removed(
    browser: Browser, server: SignalingServer
) -> None:
    async with join(server.url, room="lobby", name="host", token=token("send", "moderate")) as room:
        page = await enter(browser, server, f"#token={token('send')}")
        alice = await room.peer("alice")
        alice.add_track(TestPatternTrack())
        await alice.connected()
        await page.plays("host", 3)
        await room.remove("alice")
        await expect(page.page.get_by_text("You were removed")).to_be_visible()
        assert await alice.ended() == "removed"
        await page.page.get_by_test_id("join").click()
        await expect(page.page.get_by_text("You were removed")).to_be_visible()


async def test_the_files_page_takes_a_token_with_or_without_a_code(
    browser: Browser, server: SignalingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    random_file(tmp_path / "a.bin", 1000)
    given = make_token(KEYS, rooms="files-*")
    host = f"127.0.0.1:{server.port}"
    address = f"http://localhost:{server.port}/files"
    page = await open_files_page(browser, PICK_STORED)
    code = await page.send(f"{address}#token={given}", tmp_path / "a.bin")
    assert given not in page.page.url
    out = tmp_path / "out"
    arguments = ("receive", code, "--server", host, "--yes", "--json", "--out", str(out))
    async with process(*arguments, environment={"ICEFLOE_TOKEN": given}) as receiver:
        await event(receiver, "done")
        assert await receiver.wait() == 0
    assert contents(out) == {"a.bin": (tmp_path / "a.bin").read_bytes()}
    other = await open_files_page(browser, PICK_STORED)
    sending = ("send", str(tmp_path / "a.bin"), "--server", host, "--json")
    async with process(*sending, environment={"ICEFLOE_TOKEN": given}) as sender:
        told = await event(sender, "code")
        await other.page.goto(f"{address}#{told['code']}&token={given}")
        await other.until("offer")


async def test_a_page_refuses_tracks_of_who_may_not_send(
    browser: Browser, server: SignalingServer
) -> None:
    async with (
        join(server.url, room="lobby", name="quiet", token=token()) as quiet,
        join(server.url, room="lobby", name="loud", token=token("send")) as loud,
    ):
        page = await enter(browser, server, f"#token={token('send')}")
        for room in (quiet, loud):
            alice = await room.peer("alice")
            alice.add_track(TestPatternTrack())
            await alice.connected()
        await page.plays("loud", 3)
        tracks = await page.page.evaluate(
            """() => [...window.icefloe.peers.values()].map(({ name, pc }) => [
                name,
                pc.getReceivers().map(({ track }) => track.readyState),
            ])"""
        )
        assert "ended" in dict(tracks)["quiet"]
        assert "ended" not in dict(tracks)["loud"]

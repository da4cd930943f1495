"""The files page with others that come second, leave, or say what cannot be read."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from icefloe.peer.files.protocol import Entries, decode_from_sender
from icefloe.signaling import SignalingServer, serve
from tests.helpers.commands import event
from tests.helpers.files_page import PICK_STORED, command, open_files_page
from tests.helpers.other_side import come, receiver_of_the_command, sender_to_the_command
from tests.helpers.transfers import contents, random_file

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium"), pytest.mark.timeout(180)]

MB = 1024 * 1024
CODE = "7-amber-falcon"


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[SignalingServer]:
    async with serve("0.0.0.0", 0) as running:
        yield running


@pytest.fixture
def address(server: SignalingServer) -> str:
    return f"http://localhost:{server.port}/files"


@pytest.fixture
def host(server: SignalingServer) -> str:
    return f"127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    "message",
    [
        "nonsense",
        b"\0" * 100,
        '{"type":"finish"}',
        '{"type":"entries","entries":[{"path":""}]}',
        '{"type":"offer","count":3,"size":0}',
    ],
)
async def test_an_offer_that_cannot_be_read_is_answered(
    browser: Browser, server: SignalingServer, address: str, message: str | bytes
) -> None:
    page = await open_files_page(browser, PICK_STORED)
    coming = asyncio.create_task(page.receive(address, CODE))
    async with sender_to_the_command(server.url, CODE) as (_, channel):
        await coming
        await channel.send(message)
        answer = json.loads(await channel.receive())
        assert (answer["type"], answer["code"]) == ("failed", "protocol")
        await page.fails("The two do not understand each other")


async def test_a_page_that_comes_second_is_told_why_it_waits(
    browser: Browser, address: str, host: str, tmp_path: Path
) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 1000)
    async with command("send", str(file), "--server", host) as sender:
        told = await event(sender, "code")
        async with receiver_of_the_command(told) as meeting:
            await (await come(meeting)).next_files()
            page = await open_files_page(browser, PICK_STORED)
            await page.receive(address, told["code"])
            lead = page.page.get_by_test_id("lead")
            await expect(lead).to_contain_text("another receiver", timeout=15_000)
            assert await page.page.locator("body").get_attribute("data-screen") == "waiting"
        # The first one has left.
        await page.accept()
        await page.until("done")
        await event(sender, "done")
        assert await sender.wait() == 0
    assert list(await page.chosen()) == ["a.bin"]


async def test_a_page_that_sends_lets_a_second_receiver_wait(
    browser: Browser, server: SignalingServer, address: str, host: str, tmp_path: Path
) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 1000)
    page = await open_files_page(browser, PICK_STORED)
    code = await page.send(address, file)
    target = tmp_path / "target"
    arguments = ("receive", code, "--server", host, "--yes", "--out", str(target))
    async with receiver_of_the_command({"code": code, "server": server.url}) as meeting:
        peer = await come(meeting)
        await peer.next_files()
        async with command(*arguments, "--wait", "6") as second:
            assert "another receiver" in (await event(second, "waiting"))["message"]
            assert (await event(second, "error"))["kind"] == "SenderBusy"
            assert await second.wait() == 11
        assert not peer.has_ended
    async with command(*arguments) as third:
        await event(third, "done")
    await page.until("done")
    assert contents(target) == contents(file.parent)


async def test_a_receiver_that_is_stopped_leaves_the_page_waiting(
    browser: Browser, address: str, host: str, tmp_path: Path
) -> None:
    size = 100 * MB
    file = random_file(tmp_path / "source" / "big.bin", size)
    page = await open_files_page(browser, PICK_STORED)
    code = await page.send(address, file)
    target = tmp_path / "target"
    arguments = ("receive", code, "--server", host, "--yes", "--out", str(target))
    async with command(*arguments) as receiver:
        await event(receiver, "progress", done=size // 8)
        receiver.send_signal(signal.SIGINT)
        assert (await event(receiver, "error"))["code"] == 130
        assert await receiver.wait() == 130
    await page.until("waiting")
    async with command(*arguments) as receiver:
        await event(receiver, "done")
    await page.until("done")
    assert contents(target) == contents(file.parent)


async def test_times_that_cannot_be_said_are_left_out(browser: Browser, address: str) -> None:
    page = await open_files_page(browser, PICK_STORED)
    await page.page.goto(address)
    most = 4_611_686_018_427  # milliseconds, in 2116
    told = await page.page.evaluate(
        """async (times) => {
          const { batches, encode } = await import("/files/protocol.js");
          const file = (lastModified) => ({ path: "a\\ud800", size: 1, lastModified });
          return batches(times.map(file)).map(encode);
        }""",
        [0, -1, most, -most, most + 1, -most - 1, 8_640_000_000_000_000],
    )
    (text,) = told
    message = decode_from_sender(text)
    assert isinstance(message, Entries)
    said = [entry.mtime for entry in message.entries]
    assert said == [0, -(10**6), most * 10**6, -most * 10**6, None, None, None]
    assert {entry.path for entry in message.entries} == {"a\ufffd"}

"""The files page in a real browser: to and from the command, and to another browser."""

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from icefloe.signaling import SignalingServer, serve
from tests.helpers.commands import event
from tests.helpers.files_page import NO_PICKERS, PICK_STORED, FilesPage, command, open_files_page
from tests.helpers.netns import ADDRESS
from tests.helpers.transfers import contents, random_file

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium")]

MB = 1024 * 1024


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[SignalingServer]:
    async with serve("0.0.0.0", 0) as running:
        yield running


@pytest.fixture
def address(server: SignalingServer) -> str:
    """The page as it is opened on the same computer, where browsers trust it."""
    return f"http://localhost:{server.port}/files"


@pytest.fixture
def host(server: SignalingServer) -> str:
    return f"127.0.0.1:{server.port}"


async def page_of(browser: Browser, script: str = PICK_STORED) -> FilesPage:
    return await open_files_page(browser, script)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- with the command ---------------------------------------------------------------------------


async def test_the_page_sends_to_the_command(
    browser: Browser, address: str, host: str, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    big = random_file(source / "big.bin", 50 * MB)
    small = random_file(source / "日本 (1).txt", 10)
    empty = random_file(source / "empty", 0)
    page = await page_of(browser)
    code = await page.send(address, big, small, empty)
    arguments = ("receive", code, "--server", host, "--yes", "--out", str(target))
    async with command(*arguments) as receiver:
        seen = await event(receiver, "progress", done=MB)
        assert seen["total"] == 50 * MB + 10
        await page.until("progress")
        await event(receiver, "done")
        assert await receiver.wait() == 0
    await page.until("done")
    assert sha256(target / "big.bin") == sha256(big)
    assert contents(target).keys() == contents(source).keys()
    # The browser knows when they were changed, to the millisecond.
    changed = (target / "big.bin").stat().st_mtime_ns // 1_000_000
    assert changed == big.stat().st_mtime_ns // 1_000_000
    assert page.complaints == []


async def test_a_folder_goes_from_the_page_to_the_command(
    browser: Browser, address: str, host: str, tmp_path: Path
) -> None:
    source, target = tmp_path / "source" / "holiday", tmp_path / "target"
    random_file(source / "a.bin", MB)
    random_file(source / "deep" / "er" / "b.txt", 7)
    page = await page_of(browser)
    await page.page.goto(address)
    await page.page.get_by_test_id("folder-input").set_input_files(source)
    await page.until("waiting")
    code = await page.page.get_by_test_id("code").inner_text()
    async with command(
        "receive", code, "--server", host, "--yes", "--out", str(target)
    ) as receiver:
        assert (await event(receiver, "done"))["files"] == [str(target / "holiday")]
        assert await receiver.wait() == 0
    assert contents(target / "holiday") == contents(source)


async def test_what_is_dropped_on_the_page_is_sent(
    browser: Browser, address: str, host: str, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    alone = random_file(source / "alone.bin", MB)
    random_file(source / "folder" / "a.txt", 7)
    random_file(source / "folder" / "deep" / "er" / "ü.txt", 0)
    page = await page_of(browser)
    code = await page.drop(address, alone, source / "folder")
    async with command(
        "receive", code, "--server", host, "--yes", "--out", str(target)
    ) as receiver:
        await event(receiver, "done")
        assert await receiver.wait() == 0
    assert contents(target) == contents(source)
    assert page.complaints == []


async def test_the_command_sends_to_the_page(
    browser: Browser, address: str, host: str, tmp_path: Path
) -> None:
    big = random_file(tmp_path / "big.bin", 50 * MB)
    page = await page_of(browser, NO_PICKERS)
    async with command("send", str(big), "--server", host) as sender:
        code = (await event(sender, "code"))["code"]
        await page.receive(address, code.upper().replace("-", " "))
        await page.until("offer")
        await expect(page.page.get_by_test_id("lead")).to_contain_text("“big.bin”, 52 MB")
        async with page.page.expect_download() as arriving:
            await page.accept()
            await page.until("done")
        assert (await event(sender, "done"))["sent"] == 50 * MB
        assert await sender.wait() == 0
    download = await arriving.value
    assert download.suggested_filename == "big.bin"
    assert sha256(Path(await download.path())) == sha256(big)
    assert page.complaints == []


async def test_a_file_goes_to_the_place_that_was_chosen(
    browser: Browser, address: str, host: str, tmp_path: Path
) -> None:
    file = random_file(tmp_path / "a.bin", 3 * MB + 7)
    page = await page_of(browser)
    async with command("send", str(file), "--server", host) as sender:
        await page.receive(address, (await event(sender, "code"))["code"])
        await page.accept()
        await page.until("done")
        assert await sender.wait() == 0
    assert await page.chosen() == {"a.bin": base64.b64encode(file.read_bytes()).decode()}
    await expect(page.page.get_by_role("link")).to_have_count(0)


async def test_folders_and_awkward_names_go_into_a_chosen_folder(
    browser: Browser, address: str, host: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    names = ["plain.txt", "ü 日本 🐧.txt", "con.txt", "a:b?.txt", "end.", "Case", "case"]
    for name in names:
        random_file(source / name, len(name))
    random_file(source / "deep" / "er" / "x", MB + 1)
    (source / "empty folder").mkdir()
    (source / "turned \u202etxt.exe").write_bytes(b"x")
    page = await page_of(browser)
    async with command("send", str(source), "--server", host) as sender:
        code = (await event(sender, "code"))["code"]
        await page.receive(address, code)
        await page.accept()
        await page.until("done")
        assert await sender.wait() == 0
    found = await page.chosen()
    assert found.pop("source") is None
    assert set(found) == {
        f"source/{name}"
        for name in (
            "plain.txt",
            "ü 日本 🐧.txt",
            "_con.txt",
            "a_b_.txt",
            "end_",
            "Case",
            "case (2)",
            "deep",
            "deep/er",
            "deep/er/x",
            "empty folder",
            "turned _txt.exe",
        )
    }
    expected = base64.b64encode((source / "deep" / "er" / "x").read_bytes()).decode()
    assert found["source/deep/er/x"] == expected


async def test_nothing_that_is_there_is_replaced(
    browser: Browser, address: str, host: str, tmp_path: Path
) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    page = await page_of(browser)
    for _ in range(2):
        paths = [str(tmp_path / name) for name in ("a.txt", "b.txt")]
        async with command("send", *paths, "--server", host) as sender:
            await page.receive(address, (await event(sender, "code"))["code"])
            await page.accept()
            await page.until("done")
            assert await sender.wait() == 0
        await page.page.get_by_test_id("again").click()
    assert set(await page.chosen()) == {"a.txt", "b.txt", "a (2).txt", "b (2).txt"}


async def test_a_stream_whose_end_is_not_known_arrives(
    browser: Browser, address: str, host: str
) -> None:
    data = os.urandom(3 * MB)
    page = await page_of(browser, NO_PICKERS)
    async with command("send", "-", "--server", host, stdin=asyncio.subprocess.PIPE) as sender:
        await page.receive(address, (await event(sender, "code"))["code"])
        async with page.page.expect_download() as arriving:
            await page.accept()
            assert sender.stdin is not None
            sender.stdin.write(data)
            sender.stdin.close()
        assert await sender.wait() == 0
    assert Path(await (await arriving.value).path()).read_bytes() == data


async def test_the_sender_serves_the_page_and_names_it(browser: Browser, tmp_path: Path) -> None:
    """Over plain http from another machine: no storage, no pickers, no crypto.subtle."""
    file = random_file(tmp_path / "big.bin", 20 * MB)
    page = await page_of(browser, "")
    async with command("send", str(file)) as sender:
        told = await event(sender, "code")
        assert told["page"].startswith(f"http://{ADDRESS}:")
        assert told["page"].endswith(f"/files#{told['code']}")
        await page.page.goto(told["page"])
        assert await page.page.evaluate("!isSecureContext && crypto.subtle === undefined")
        await page.until("offer")
        assert "#" not in page.page.url  # it is a secret
        await expect(page.page.get_by_test_id("lead")).to_contain_text("1 GB at most")
        async with page.page.expect_download() as arriving:
            await page.accept()
            assert await sender.wait() == 0
    assert sha256(Path(await (await arriving.value).path())) == sha256(file)
    await page.until("done")
    assert page.complaints == []


# --- with another browser -----------------------------------------------------------------------


async def test_one_browser_sends_to_another(browser: Browser, address: str, tmp_path: Path) -> None:
    files = [random_file(tmp_path / name, size) for name, size in [("a.bin", 5 * MB), ("b", 3)]]
    sender, receiver = await page_of(browser), await page_of(browser, NO_PICKERS)
    await sender.send(address, *files)
    link = await sender.page.get_by_test_id("link").text_content()
    assert link is not None
    await receiver.page.goto(link)
    await receiver.until("offer")
    await expect(receiver.page.get_by_test_id("file")).to_have_count(2)
    await receiver.accept()
    await receiver.until("done")
    await sender.until("done")
    for file in files:
        async with receiver.page.expect_download() as arriving:
            await receiver.page.get_by_role("link", name=f"Save {file.name}").click()
        assert sha256(Path(await (await arriving.value).path())) == sha256(file)
    assert sender.complaints == receiver.complaints == []


async def test_declining_is_told_to_both(browser: Browser, address: str, tmp_path: Path) -> None:
    sender, receiver = await page_of(browser), await page_of(browser)
    code = await sender.send(address, random_file(tmp_path / "a", 10))
    await receiver.receive(address, code)
    await receiver.page.get_by_test_id("decline").click()
    await receiver.fails("Declined")
    assert "the person there said no" in await sender.fails("The other side said no")


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_stopping_it_is_told_to_the_other_side(
    browser: Browser, address: str, host: str, tmp_path: Path, who: str
) -> None:
    file = random_file(tmp_path / "source" / "big.bin", 150 * MB)
    page = await page_of(browser)
    if who == "sender":
        code = await page.send(address, file)
        other = command(
            "receive", code, "--server", host, "--yes", "--out", str(tmp_path / "target")
        )
    else:
        other = command("send", str(file), "--server", host)
    async with other as running:
        if who == "receiver":
            await page.receive(address, (await event(running, "code"))["code"])
            await page.accept()
        await event(running, "progress", done=MB)
        await page.page.get_by_test_id("cancel").click()
        await page.fails("Stopped")
        told = await event(running, "error")
        assert f"the {who} stopped it (cancelled)" in told["message"]
        assert await running.wait() == 13
    # Another one can be begun at once.
    await page.page.get_by_test_id("again").click()
    await page.until("start")
    await page.page.get_by_test_id("file-input").set_input_files(file)
    await page.until("waiting")


async def test_an_offer_that_is_taken_back_is_not_asked_about_any_more(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    sender, receiver = await page_of(browser), await page_of(browser)
    code = await sender.send(address, random_file(tmp_path / "a", 10))
    await receiver.receive(address, code)
    await receiver.until("offer")
    await sender.page.get_by_test_id("cancel").click()
    await receiver.fails("Stopped")


# --- what goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("guesser", ["page", "command"])
async def test_a_wrong_code_is_found_out(
    browser: Browser, address: str, host: str, tmp_path: Path, guesser: str
) -> None:
    sender = await page_of(browser)
    code = await sender.send(address, random_file(tmp_path / "a", 10))
    place, first, second = code.split("-")
    wrong = f"{place}-{second}-{first}" if first != second else f"{place}-{first}-window"
    for attempt in range(3):
        if guesser == "page":
            page = await page_of(browser)
            await page.receive(address, wrong)
            await page.fails("The codes differ")
        else:
            async with command("receive", wrong, "--server", host, "--yes") as running:
                assert await running.wait() == 11
        if attempt < 2:
            await sender.until("waiting")
    assert "wrong codes" in await sender.fails("The code is void")


async def test_what_is_no_code_is_said_at_once(browser: Browser, address: str) -> None:
    page = await page_of(browser)
    for text, hint in [
        ("7-amber", "Two words"),
        ("amber-falcon-7", "begins with a number"),
        ("7-ambr-falcon", "Is it “amber”?"),
    ]:
        await page.receive(address, text)
        await expect(page.page.get_by_test_id("code-problem")).to_contain_text(hint)
    await page.until("start")


async def test_nobody_there_is_said_after_a_while(browser: Browser, address: str) -> None:
    page = await page_of(browser)
    await page.receive(address, "7-amber-falcon")
    lead = page.page.get_by_test_id("lead")
    await expect(lead).to_contain_text("Waiting for the sender")
    await expect(lead).to_contain_text("Nobody offers files under this code", timeout=20_000)
    await page.page.get_by_test_id("cancel").click()
    await page.fails("Stopped")


@pytest.mark.parametrize("side", ["sender", "receiver"])
async def test_a_server_that_swaps_fingerprints_is_refused(
    browser: Browser, address: str, host: str, tmp_path: Path, side: str
) -> None:
    file = random_file(tmp_path / "a", 10)
    page = await page_of(browser, _SWAP)
    if side == "sender":
        code = await page.send(address, file)
        other = command("receive", code, "--server", host, "--yes", "--out", str(tmp_path / "t"))
    else:
        other = command("send", str(file), "--server", host)
    async with other as running:
        if side == "receiver":
            await page.receive(address, (await event(running, "code"))["code"])
        assert "Use another server" in await page.fails("Somebody is in between")
        assert await running.wait() == 11
    assert not (tmp_path / "t" / "a").exists()


async def test_a_second_fingerprint_is_never_overlooked(browser: Browser, address: str) -> None:
    page = await page_of(browser)
    await page.page.goto(address)
    good = "a=fingerprint:sha-256 " + ":".join(["AA"] * 32)
    evil = ":".join(["EE"] * 32)
    swapped = [
        f"v=0\r\n{good}\r\n{line} {evil}{end}\r\n"
        for line, end in [
            ("a=fingerprint:sha-256", ""),
            ("a=fingerprint:sha-256", " x"),
            ("a=fingerprint sha-256", ""),
            ("A=FINGERPRINT:sha-256", ""),
            ("a=x:\x0ba=fingerprint:sha-256", ""),
            ("a=x:\u2028a=fingerprint:sha-256", ""),
        ]
    ]
    results = await page.page.evaluate(
        """async ([good, swapped]) => {
          const { Pairing } = await import("/files/pairing.js");
          const [a, b] = ["sender", "receiver"].map((side) => new Pairing("7-amber-falcon", side));
          a.receive(b.pake);
          b.receive(a.pake);
          const mac = a.sign(good);
          return [b.verify(mac, good), ...swapped.map((sdp) => b.verify(mac, sdp))];
        }""",
        [f"v=0\r\n{good}\r\n", swapped],
    )
    assert results == [True] + [False] * len(swapped)


async def test_the_receiver_comes_back_after_a_break(
    browser: Browser, address: str, host: str, tmp_path: Path
) -> None:
    size = 100 * MB
    file = random_file(tmp_path / "source" / "big.bin", size)
    target = tmp_path / "target"
    page = await page_of(browser)
    code = await page.send(address, file)
    arguments = ("receive", code, "--server", host, "--yes", "--out", str(target))
    async with command(*arguments) as receiver:
        await event(receiver, "progress", done=size // 4)
        receiver.kill()
        await receiver.wait()
    (part,) = target.iterdir()
    kept = part.stat().st_size
    await expect(page.page.get_by_test_id("lead")).to_contain_text("Interrupted", timeout=15_000)
    async with command(*arguments) as receiver:
        first = await event(receiver, "progress")
        assert first["done"] >= min(kept, size // 4)
        await event(receiver, "done")
    await page.until("done")
    assert sha256(target / "big.bin") == sha256(file)


async def test_the_sender_comes_back_after_a_break(
    browser: Browser, address: str, host: str, tmp_path: Path
) -> None:
    size = 100 * MB
    file = random_file(tmp_path / "big.bin", size)
    page = await page_of(browser, NO_PICKERS)
    arguments = ("send", str(file), "--server", host)
    async with command(*arguments) as sender:
        await page.receive(address, (await event(sender, "code"))["code"])
        await page.accept()
        await event(sender, "progress", done=size // 4)
        sender.kill()
        await sender.wait()
    async with page.page.expect_download() as arriving, command(*arguments) as sender:
        # What is in the tab already is not sent again.
        assert (await event(sender, "done"))["sent"] <= size - size // 4
    assert sha256(Path(await (await arriving.value).path())) == sha256(file)


async def test_a_file_that_changes_is_an_error_on_both_sides(
    browser: Browser, address: str, host: str, tmp_path: Path
) -> None:
    file = random_file(tmp_path / "source" / "a.bin", MB)
    page = await page_of(browser)
    code = await page.send(address, file)
    file.write_bytes(b"something else")
    target = str(tmp_path / "target")
    async with command("receive", code, "--server", host, "--yes", "--out", target) as receiver:
        assert await receiver.wait() == 14
        assert "(changed)" in (await event(receiver, "error"))["message"]
    assert "a.bin" in await page.fails("A file was changed")


async def test_what_is_too_much_for_a_page_without_https_is_said(
    browser: Browser, server: SignalingServer, host: str, tmp_path: Path
) -> None:
    file = tmp_path / "huge.bin"
    with file.open("wb") as made:
        made.truncate(2 * 1024 * MB)
    page = await page_of(browser, "")
    async with command("send", str(file), "--server", host) as sender:
        code = (await event(sender, "code"))["code"]
        await page.receive(f"http://{ADDRESS}:{server.port}/files", code)
        await page.accept()
        assert "1 GB at most" in await page.fails("No room for it")
        assert await sender.wait() == 14


_SWAP = """
  // A server that puts another fingerprint into what it hands on.
  const Real = WebSocket;
  window.WebSocket = class extends Real {
    set onmessage(handler) {
      super.onmessage = ({ data }) => {
        const swapped = data.replace(
          /(a=fingerprint:sha-256 )([0-9A-F]{2})/gi,
          (_, name, byte) => name + (byte === "00" ? "01" : "00"),
        );
        handler({ data: swapped });
      };
    }
  };
"""

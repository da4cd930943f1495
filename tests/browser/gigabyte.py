"""Measures the files page: a gigabyte from Chromium to the command and back, verified.

``python -m tests.browser.gigabyte``: both run on this machine, in a network of their own. The rate
is that of the whole transfer as the command sees it, from the first byte on.
"""

import argparse
import asyncio
import hashlib
import os
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import BrowserContext, async_playwright

from icefloe.signaling import serve
from tests.helpers import netns
from tests.helpers.browser import SWITCHES
from tests.helpers.commands import event
from tests.helpers.files_page import NO_PICKERS, command, open_files_page
from tests.helpers.system import find
from tests.helpers.transfers import random_file

MB = 1_000_000
_SAMPLE = 0.25  # seconds


async def measure(size: int, folder: Path) -> None:
    """Send a file of so many bytes each way and print what was seen."""
    source = random_file(folder / "source" / "big.bin", size)
    digest = sha256(source)
    async with serve("127.0.0.1", 0) as server, chromium(folder / "profile") as context:
        address = f"http://localhost:{server.port}/files"
        host = f"127.0.0.1:{server.port}"

        page = await open_files_page(context)
        code = await page.send(address, source)
        target = folder / "target"
        arguments = ("receive", code, "--server", host, "--yes", "--out", str(target))
        async with command(*arguments) as receiver:
            seconds, peak = await timed(receiver)
        report("Chromium -> icefloe receive", size, seconds, peak)
        if sha256(target / "big.bin") != digest:
            raise SystemExit("what arrived is not what was sent")
        await page.page.close()

        page = await open_files_page(context, NO_PICKERS)
        async with (
            page.page.expect_download(timeout=600_000) as arriving,
            command("send", str(source), "--server", host) as sender,
        ):
            await page.receive(address, (await event(sender, "code"))["code"])
            await page.accept()
            seconds, peak = await timed(sender)
        report("icefloe send -> Chromium", size, seconds, peak)
        if sha256(Path(await (await arriving.value).path())) != digest:
            raise SystemExit("what arrived is not what was sent")


async def timed(running: Process) -> tuple[float, int]:
    """Return the seconds of a transfer and the most bytes of memory that a tab had."""
    await event(running, "progress", done=1)
    begun = time.monotonic()
    done = asyncio.create_task(event(running, "done"))
    peak = 0
    while not done.done():
        peak = max(peak, *tabs())
        await asyncio.wait((done,), timeout=_SAMPLE)
    await done
    return time.monotonic() - begun, peak


def report(what: str, size: int, seconds: float, peak: int) -> None:
    """Print what was measured."""
    print(  # noqa: T201
        f"{what}: {size / MB:.0f} MB in {seconds:.1f} s, {size / MB / seconds:.1f} MB/s, "
        f"tab at most {peak / MB:.0f} MB, verified"
    )


def tabs() -> list[int]:
    """Return the resident memory of each renderer below this process, in bytes."""
    parents: dict[int, int] = {}
    renderers: list[int] = []
    sizes: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        try:
            status = (entry / "status").read_text()
            is_renderer = b"--type=renderer" in (entry / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        told = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        parents[pid] = int(told["PPid"])
        if is_renderer:
            renderers.append(pid)
            sizes[pid] = int(told.get("VmRSS", "0 kB").split()[0]) * 1024
    return [0, *(sizes[pid] for pid in renderers if _is_below(pid, os.getpid(), parents))]


def _is_below(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        pid = parents.get(pid, 0)
    return False


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[BrowserContext]:
    """Run Chromium with a profile on the disk: without one its storage is memory."""
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile, executable_path=find("chromium"), args=SWITCHES
        )
        try:
            yield context
        finally:
            await context.close()


def sha256(path: Path) -> str:
    """Return the hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    size = parser.parse_args().megabytes * MB
    netns.isolate()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        asyncio.run(measure(size, Path(folder)))


if __name__ == "__main__":
    main()

"""The code blocks of the README and of the pages in docs, as they are printed."""

import re
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from icefloe.signaling import ListenFailed, SignalingServer, serve
from tests.helpers import forked

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
PORT = 8080
"""The one that the pages name."""


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        page: The file's name, below ``docs`` its path: ``tutorials/video-call.md``.
        heading: The heading above it.
        number: Its place among the blocks of its language below that heading, from 1.
        language: What it is written in.
        text: The code.
    """

    page: str
    heading: str
    number: int
    language: str
    text: str

    @property
    def id(self) -> str:
        """The name in tests: ``media.md/A voice``."""
        suffix = f"/{self.number}" if self.number > 1 else ""
        return f"{self.page}/{self.heading}{suffix}"


def all_blocks(language: str) -> list[Block]:
    """Return the blocks of a language, in the order of the pages."""
    blocks: list[Block] = []
    for page in PAGES:
        heading = ""
        name = str(page.relative_to(DOCS if page.is_relative_to(DOCS) else ROOT))
        text = page.read_text(encoding="utf-8")
        # A fence may have a title and marked lines after its language.
        fence = r"^#+ ([^\n]+)$|^```(\w*)(?: [^\n]*)?\n(.*?)^```$"
        for found in re.finditer(fence, text, re.M | re.S):
            if found[1]:
                heading = found[1]
            elif found[2] == language:
                number = 1 + sum((b.page, b.heading) == (name, heading) for b in blocks)
                blocks.append(Block(name, heading, number, language, found[3]))
    return blocks


def block(id: str, language: str = "python") -> Block:
    """Return a block by its :attr:`Block.id`."""
    return {each.id: each for each in all_blocks(language)}[id]


@asynccontextmanager
async def printed_server(port: int = PORT) -> AsyncIterator[SignalingServer]:
    """Serve where the pages say that ``icefloe serve`` does, or elsewhere if that port is taken."""
    server = serve("127.0.0.1", port)
    try:
        await server.__aenter__()
    except ListenFailed:
        server = serve("127.0.0.1", 0)
        await server.__aenter__()
    try:
        yield server
    finally:
        await server.close()


class Program:
    """A block that runs as a program of its own.

    Attributes:
        process: The process.
        printed: The lines that it has printed so far.
        logged: The lines of its standard error so far, as far as :meth:`logs` has read them.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.printed: list[str] = []
        self.logged: list[str] = []

    async def prints(self, part: str) -> str:
        """Wait for a line with this in it, and return the line."""
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode():
            self.printed.append(line.rstrip("\n"))
            if part in line:
                return self.printed[-1]
        raise AssertionError(f"{part!r} was not printed, but {self.printed}")

    async def logs(self, part: str) -> str:
        """Wait for a line of its standard error with this in it, and return the line."""
        assert self.process.stderr is not None
        while line := (await self.process.stderr.readline()).decode():
            self.logged.append(line.rstrip("\n"))
            if part in line:
                return self.logged[-1]
        raise AssertionError(f"{part!r} was not logged, but {self.logged}")

    async def end(self, *, has_log: bool = False) -> int:
        """End it as service managers do; return its exit code.

        Args:
            has_log: Whether it logs to its standard error; otherwise nothing may stand there.
        """
        if self.process.returncode is None:
            self.process.terminate()
        _, complaints = await self.process.communicate()
        if has_log:
            assert b"Traceback" not in complaints, complaints.decode()
        else:
            assert not complaints, complaints.decode()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def program(
    block: Block, server: SignalingServer, folder: Path | None = None
) -> AsyncIterator[Program]:
    """Run a block as a program, as it is printed, until it ends or the test is done with it.

    Args:
        block: The block.
        server: The server that it is to use.
        folder: The folder in which it runs; by default that of the tests.
    """
    text = block.text
    if server.port != PORT:
        text = text.replace(f":{PORT}/", f":{server.port}/")
    process = await forked.start("-c", text, stdin=None, cwd=folder)
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()

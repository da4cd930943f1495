"""An X server that draws into memory, and a program on it that tells what input it gets."""

import asyncio
import os
import re
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import xcffib
import xcffib.xproto

from tests.helpers import system


@asynccontextmanager
async def x_server(*options: str, size: tuple[int, int] = (320, 240)) -> AsyncIterator[str]:
    """Run an X server that draws into memory; give its name.

    Args:
        options: For Xvfb, such as ``-br`` for a black screen and ``-wr`` for a white one.
        size: Width and height in pixels.
    """
    program = system.find("Xvfb")
    assert program is not None
    reading, writing = os.pipe()
    server = await asyncio.create_subprocess_exec(
        program,
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        f"{size[0]}x{size[1]}x24",
        "-nolisten",
        "tcp",
        "-noreset",
        "-r",  # a key that is held down is told once, however slow the machine is
        *options,
        pass_fds=[writing],
        stderr=DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            number = await asyncio.to_thread(told.readline)
        yield f":{number.strip()}"
    finally:
        await _end(server)


@contextmanager
def connected(display: str) -> Iterator[Any]:
    """Be a client of an X server: an ``xcffib.Connection``, most of which has no types."""
    connection = xcffib.connect(display=display)
    try:
        yield connection
    finally:
        connection.disconnect()


def paint(display: str, colour: int) -> None:
    """Fill a screen with a colour, as ``0xRRGGBB``."""
    with connected(display) as connection:
        root = connection.setup.roots[0].root
        connection.core.ChangeWindowAttributes(root, xcffib.xproto.CW.BackPixel, [colour])
        connection.core.ClearArea(0, root, 0, 0, 0, 0)
        connection.core.GetInputFocus().reply()


@dataclass(frozen=True, slots=True)
class Got:
    """An event as xev tells it.

    Attributes:
        kind: ``KeyPress``, ``ButtonRelease``, ``MotionNotify`` …
        at: Where the pointer was, in pixels of the screen.
        state: Modifiers and buttons that were down before.
        keysym: The name of the keysym; empty if it is no key.
        text: What the key gives, as Xlib finds it.
        button: Its number; 0 if it is none.
    """

    kind: str
    at: tuple[int, int]
    state: int
    keysym: str = ""
    text: str = ""
    button: int = 0


@dataclass(slots=True)
class Window:
    """A window that is as large as the screen, and what it got.

    Attributes:
        got: All of it so far.
        shown: Set once it is to be seen.
    """

    got: list[Got] = field(default_factory=list)
    shown: asyncio.Event = field(default_factory=asyncio.Event)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def typed(self) -> str:
        """The characters of all keys that went down."""
        return "".join(got.text for got in self.got if got.kind == "KeyPress")

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Event and keysym of all keys."""
        return [(got.kind, got.keysym) for got in self.got if got.keysym]

    @property
    def buttons(self) -> list[tuple[str, int, tuple[int, int]]]:
        """Event, number and place of all buttons."""
        return [(got.kind, got.button, got.at) for got in self.got if got.button]

    async def next(self) -> None:
        """Wait for the next event."""
        self._more.clear()
        await self._more.wait()

    async def until_typed(self, text: str) -> None:
        """Wait until something was typed, and nothing else."""
        while self.typed != text:
            assert len(self.typed) < len(text) + 40, self.typed
            await self.next()

    async def until_up(self, count: int) -> None:
        """Wait until so many keys and buttons went up."""
        while sum(got.kind.endswith("Release") for got in self.got) < count:
            await self.next()

    async def read(self, process: Process) -> None:
        """Take in what xev prints, to its end."""
        assert process.stdout is not None
        block = ""
        while line := (await process.stdout.readline()).decode(errors="replace"):
            block = line if " event, " in line else block + line
            if line.startswith("Expose event"):
                self.shown.set()
            last = _LAST.get(block.partition(" ")[0])
            if last is not None and last in line:
                self.got.append(_parse(block))
            self._more.set()


@asynccontextmanager
async def window(display: str, size: tuple[int, int] = (320, 240)) -> AsyncIterator[Window]:
    """Run xev in a window that covers the screen; where the pointer is, keys go."""
    program = system.find("xev")
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program,
        *("-display", display, "-geometry", f"{size[0]}x{size[1]}+0+0", "-bw", "0"),
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        stdout=PIPE,
        stderr=DEVNULL,
    )
    opened = Window()
    reading = asyncio.create_task(opened.read(process))
    try:
        await opened.shown.wait()
        yield opened
    finally:
        await _end(process)
        await reading


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    await process.wait()


_LAST = {
    "KeyPress": "XFilterEvent returns",
    "KeyRelease": "XFilterEvent returns",
    "ButtonPress": "same_screen",
    "ButtonRelease": "same_screen",
    "MotionNotify": "same_screen",
}
"""The content of the last line about each kind of event that counts here."""


def _parse(block: str) -> Got:
    place = re.search(r"root:\((-?\d+),(-?\d+)\)", block)
    state = re.search(r"state (0x[0-9a-f]+)", block)
    assert place is not None
    assert state is not None
    key = re.search(r"\(keysym 0x[0-9a-f]+, (\w+)\)", block)
    text = re.search(r"XmbLookupString gives \d+ bytes: \(([0-9a-f ]+)\)", block)
    button = re.search(r"button (\d+)", block)
    return Got(
        block.partition(" ")[0],
        (int(place[1]), int(place[2])),
        int(state[1], 16),
        key[1] if key else "",
        bytes.fromhex(text[1]).decode() if text else "",
        int(button[1]) if button else 0,
    )

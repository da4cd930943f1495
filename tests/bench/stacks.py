"""The stacks that the data benchmark compares, and how their peers are started."""

import asyncio
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from enum import StrEnum
from pathlib import Path

_PEERS = Path(__file__).with_name("peers")
_INSTALL_SECONDS = 180


class Stack(StrEnum):
    """A WebRTC stack, with the event loop it runs on where there is a choice."""

    ICEFLOE = "icefloe"
    AIORTC = "aiortc"
    ICEFLOE_UVLOOP = "icefloe-uvloop"
    AIORTC_UVLOOP = "aiortc-uvloop"
    WERIFT = "werift"
    NODE_DATACHANNEL = "node-datachannel"
    ICEFLOE_NEWRENO = "icefloe-newreno"
    """With the congestion control that RFC 9260 describes, for comparison."""

    @property
    def is_python(self) -> bool:
        """Whether it runs in Python, otherwise in Node.js."""
        return self not in (Stack.WERIFT, Stack.NODE_DATACHANNEL)

    def command(self, node_folder: Path | None) -> tuple[str, ...]:
        """Return the command of its peer.

        Args:
            node_folder: What :func:`install_node` filled.
        """
        if self.is_python:
            return (sys.executable, "-m", "tests.bench.peers.program", self)
        if node_folder is None:
            raise ValueError(f"{self} needs Node.js and what npm installs")
        return ("node", str(node_folder / "main.mjs"), self.replace("-", "_"))


async def install_node(folder: Path) -> str:
    """Install the stacks of Node.js into a folder; return what is in the way, if anything.

    What is there already is left as it is, so that a folder can be used again.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "there is no Node.js with npm"
    _fill(folder)
    process = await asyncio.create_subprocess_exec(
        *("npm", "install", "--no-audit", "--no-fund", "--no-package-lock"),
        cwd=folder,
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(_INSTALL_SECONDS):
            _, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"npm install took more than {_INSTALL_SECONDS} s"
    return f"npm install failed: {err.decode().strip()[-300:]}" if process.returncode else ""


def _fill(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in (*_PEERS.glob("*.mjs"), _PEERS / "package.json"):
        shutil.copy(file, folder)

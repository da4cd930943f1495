"""The stacks that the data benchmark compares, and how their peers are started."""

import sys
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from pathlib import Path

from tests.helpers import system
from tests.natlab.browser_peer import page_peer
from tests.natlab.lab_peer import LabPeer, program_peer
from tests.natlab.namespace import Place

_PEERS = Path(__file__).with_name("peers")


class Stack(StrEnum):
    """A WebRTC stack, with the event loop it runs on where there is a choice."""

    ICEFLOE = "icefloe"
    AIORTC = "aiortc"
    ICEFLOE_UVLOOP = "icefloe-uvloop"
    AIORTC_UVLOOP = "aiortc-uvloop"
    WERIFT = "werift"
    NODE_DATACHANNEL = "node-datachannel"
    CHROMIUM = "chromium"

    @property
    def is_python(self) -> bool:
        """Whether it runs in Python."""
        return self not in (Stack.WERIFT, Stack.NODE_DATACHANNEL, Stack.CHROMIUM)

    @property
    def is_there(self) -> bool:
        """Whether this machine has it."""
        return self.is_python or not system.missing(self)

    def peer(self, place: Place, name: str) -> AbstractAsyncContextManager[LabPeer]:
        """Run a peer of it somewhere, until the end of the block."""
        if self is Stack.CHROMIUM:
            scripts = [_PEERS / script for script in ("page.mjs", "traffic.mjs", "chromium.mjs")]
            return page_peer(place, name, self, scripts)
        command: tuple[str, ...]
        if self.is_python:
            command = (sys.executable, "-m", "tests.bench.peers.program", str(self))
        else:
            command = ("node", str(_PEERS / "main.mjs"), self.replace("-", "_"))
        return program_peer(place, name, self, *command)


COLUMNS = tuple(stack for stack in Stack if stack is not Stack.CHROMIUM)
"""The stacks that are compared; a browser is only ever the other side."""

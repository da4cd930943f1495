"""The stacks that benchmarks compare, and how their peers are started."""

import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.helpers import system
from tests.natlab.browser_peer import page_peer
from tests.natlab.lab_peer import LabPeer, program_peer
from tests.natlab.namespace import Place

_PEERS = Path(__file__).with_name("peers")


@dataclass(frozen=True, slots=True)
class Job:
    """The purpose of peers.

    Attributes:
        program: The module of a peer in Python.
        scripts: The scripts of a page, of which the first is its own.
    """

    program: str
    scripts: tuple[str, ...]


DATA = Job("program", ("data_page.mjs", "traffic.mjs"))
GLASS = Job("glass", ("glass_page.mjs", "pictures.mjs", "coded.mjs"))
ENDURING = Job("enduring", ())


class Stack(StrEnum):
    """A WebRTC stack, with the event loop it runs on where there is a choice."""

    ICEFLOE = "icefloe"
    AIORTC = "aiortc"
    ICEFLOE_UVLOOP = "icefloe-uvloop"
    AIORTC_UVLOOP = "aiortc-uvloop"
    WERIFT = "werift"
    NODE_DATACHANNEL = "node-datachannel"
    CHROMIUM = "chromium"
    ICEFLOE_NEWRENO = "icefloe-newreno"
    """With the congestion control that RFC 9260 describes, for comparison."""
    ICEFLOE_MUX = "icefloe-mux"
    """Over a ``UdpMux``, to see what sharing a port costs."""
    ICEFLOE_MUX_UVLOOP = "icefloe-mux-uvloop"
    ICEFLOE_TCP = "icefloe-tcp"
    """Over ICE-TCP alone (RFC 6544), as where UDP is blocked."""
    ICEFLOE_TCP_UVLOOP = "icefloe-tcp-uvloop"

    @property
    def is_python(self) -> bool:
        """True if it runs in Python."""
        return self not in (Stack.WERIFT, Stack.NODE_DATACHANNEL, Stack.CHROMIUM)

    @property
    def is_there(self) -> bool:
        """True if this machine has it."""
        return self.is_python or not system.missing(self)

    def peer(
        self, place: Place, name: str, job: Job = DATA
    ) -> AbstractAsyncContextManager[LabPeer]:
        """Run a peer of it somewhere, until the end of the block.

        Args:
            place: Where.
            name: The peer's name.
            job: What it can do; data by default. Media are for Python and the browser.
        """
        if self is Stack.CHROMIUM:
            scripts = [_PEERS / script for script in (*job.scripts, "page.mjs", "chromium.mjs")]
            return page_peer(place, name, self, scripts)
        command: tuple[str, ...]
        if self.is_python:
            command = (sys.executable, "-m", f"tests.bench.peers.{job.program}", str(self))
        else:
            command = ("node", str(_PEERS / "main.mjs"), self.replace("-", "_"))
        return program_peer(place, name, self, *command)


_BESIDE = (
    Stack.CHROMIUM,
    Stack.ICEFLOE_NEWRENO,
    Stack.ICEFLOE_MUX,
    Stack.ICEFLOE_MUX_UVLOOP,
    Stack.ICEFLOE_TCP,
    Stack.ICEFLOE_TCP_UVLOOP,
)
COLUMNS = tuple(s for s in Stack if s not in _BESIDE)
"""The stacks that are compared; a browser is only ever the other side, NewReno a rival, and what a
shared port or TCP costs is looked at by itself (``--stack icefloe --stack icefloe-mux``)."""

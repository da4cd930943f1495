"""icefloe on this side, another stack on the other, and a connection between them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiortc import RTCDataChannel, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

from icefloe.peer import DataChannel, PeerConnection
from tests.helpers.pairs import closing
from tests.helpers.turn import stun_server
from tests.interop.standing import CHROMIUM
from tests.natlab.browser_peer import page_in
from tests.natlab.lab_peer import LabPeer, Message, program_peer, warm_peer
from tests.natlab.namespace import Here

FARS = ("node-datachannel", "werift", "chromium", "aiortc")
"""The other stacks."""

PATIENCE = 50.0
"""Seconds that something may take to happen at the other side; the test's time limit is longer."""

_FOLDER = Path(__file__).parent
_MAPPED = ("203.0.113.9", 50000)
"""The address that the STUN server reports: one of documentation (RFC 5737)."""

_CANDIDATE = "a=candidate:"


@asynccontextmanager
async def far_peer(kind: str) -> AsyncIterator[LabPeer]:
    """Run the other side, one of :data:`FARS`, until the end of the block."""
    async with AsyncExitStack() as stack:
        if kind == "chromium":
            scripts = [_FOLDER / "page.mjs", _FOLDER / "far.mjs"]
            running = page_in(CHROMIUM.browser(), "far", kind, scripts)
        elif kind == "aiortc":
            running = warm_peer(None, "far", kind, "tests.interop.aiortc_far")
        else:
            stun = await stack.enter_async_context(stun_server("127.0.0.1", _MAPPED))
            command = ("node", str(_FOLDER / "node.mjs"), kind, stun.url)
            running = program_peer(Here(), "far", kind, *command)
        yield await stack.enter_async_context(running)


class Meeting:
    """This side and the other, with a first channel between them.

    Attributes:
        far: The other side; ``aiortc_far.py`` says what it does and tells.
        connection: This side.
        first: A channel that is open, ``"first"``.
    """

    def __init__(self, far: LabPeer) -> None:
        self.far = far
        self.connection = PeerConnection()
        self.first: DataChannel
        self._opened: asyncio.Queue[RTCDataChannel] = asyncio.Queue()
        self.connection.on("datachannel", self._opened.put_nowait)

    async def begin(self, *, offers: bool) -> None:
        """Connect.

        Args:
            offers: Whether this side does.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                await (self._offer() if offers else self._answer())
                await self.first.opened()
        except TimeoutError:
            raise self.far.trouble(f"{self.connection.connectionState} here") from None
        await self.far.until("open", PATIENCE, label="first")

    async def _offer(self) -> None:
        self.first = self._wrap(self.connection.createDataChannel("first"))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        await self.far.send("start", label=None)
        await self._tell()
        await self._take(await self._told())

    async def _answer(self) -> None:
        await self.far.send("start", label="first")
        offer = await self._told()
        # A libdatachannel that hears of this side's ICE before it has read all of the answer may
        # refuse the certificate, so there is nowhere to send checks to until then.
        lines = offer["sdp"].splitlines(keepends=True)
        candidates = [line for line in lines if line.startswith(_CANDIDATE)]
        held_back = (_CANDIDATE, "a=end-of-candidates")
        sdp = "".join(line for line in lines if not line.startswith(held_back))
        await self._take({**offer, "sdp": sdp})
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        await self._tell()
        await self.far.until("described", PATIENCE)
        for line in candidates:
            candidate = candidate_from_sdp(line.removeprefix(_CANDIDATE).strip())
            candidate.sdpMLineIndex = 0
            await self.connection.addIceCandidate(candidate)
        await self.connection.addIceCandidate(None)
        self.first = await self.taken()

    async def _told(self) -> Message:
        description: Message = (await self.far.until("description", PATIENCE))["description"]
        return description

    async def _take(self, description: Message) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(**description))

    async def open(self, label: str, **options: Any) -> DataChannel:
        """Open a channel, and wait until the other side has it."""
        channel = self._wrap(self.connection.createDataChannel(label, **options))
        await channel.opened()
        await self.far.until("open", PATIENCE, label=label)
        return channel

    async def let_open(self, label: str, **options: Any) -> DataChannel:
        """Let the other side open a channel; return this end of it."""
        await self.far.send("open", label=label, options=options)
        channel = await self.taken()
        await self.far.until("open", PATIENCE, label=label)
        return channel

    async def taken(self) -> DataChannel:
        """Return the next channel that the other side opens."""
        return self._wrap(await self._opened.get())

    async def _tell(self) -> None:
        mine = self.connection.localDescription
        await self.far.send("description", description={"type": mine.type, "sdp": mine.sdp})

    def _wrap(self, channel: RTCDataChannel) -> DataChannel:
        return DataChannel(channel)


@asynccontextmanager
async def meeting(kind: str, *, offers: bool) -> AsyncIterator[Meeting]:
    """Meet another stack until the end of the block.

    Args:
        kind: One of :data:`FARS`.
        offers: Whether this side offers.
    """
    async with far_peer(kind) as far:
        met = Meeting(far)
        async with closing(met.connection):
            await met.begin(offers=offers)
            yield met

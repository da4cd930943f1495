"""Gathering without a peer connection: what it finds, with whoever owns the candidates."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from aioice import Connection, stun
from aioice.ice import StunProtocol
from aiortc import RTCIceServer

from icefloe.peer import PeerConfiguration, RTCPeerConnectionIceErrorEvent
from icefloe.peer.ice.gather.gathering import Gathering
from icefloe.peer.ice.gather.local_candidate import LocalCandidate
from icefloe.peer.ice.server_urls import parse_servers


class Owner:
    """Whoever is told of candidates, and receives what comes in on their sockets."""

    def __init__(self) -> None:
        self.candidates: list[LocalCandidate] = []
        self.errors: list[RTCPeerConnectionIceErrorEvent] = []
        self.lost: list[tuple[StunProtocol, str]] = []
        self.received: list[bytes] = []
        self.changed = asyncio.Event()
        self.refuse_late = False
        """True if relays are closed as soon as they come."""
        self.gathering: Gathering

    def of_type(self, kind: str) -> list[LocalCandidate]:
        return [candidate for candidate in self.candidates if candidate.type == kind]

    def announced(self, kind: str) -> list[tuple[str, int]]:
        """Address and port of each candidate of a type, as the other side is told."""
        told = [candidate.announced() for candidate in self.of_type(kind)]
        return [(candidate.host, candidate.port) for candidate in told if candidate is not None]

    def take(self, candidate: LocalCandidate) -> None:
        self.candidates.append(candidate)
        if self.refuse_late and candidate.type == "relay":
            candidate.base.transport.close()
        self.changed.set()

    def relay_lost(self, base: StunProtocol, reason: str) -> None:
        self.lost.append((base, reason))
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, looking again whenever something comes."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def close(self) -> None:
        bases = list(dict.fromkeys(candidate.base for candidate in self.candidates))
        await asyncio.gather(*(base.close() for base in bases))
        await self.gathering.close()

    # What StunProtocol tells its receiver.

    def data_received(self, data: bytes, component: int) -> None:
        self.received.append(data)
        self.changed.set()

    def request_received(self, message: stun.Message, addr: Any, protocol: StunProtocol) -> None:
        self.changed.set()

    def protocol_lost(self, protocol: StunProtocol) -> None:
        self.changed.set()


@asynccontextmanager
async def owning(
    *servers: RTCIceServer, credentials: Any = None, **options: Any
) -> AsyncIterator[Owner]:
    """Make a gathering, which has not begun; at the end of the block all it found is closed."""
    owner = Owner()
    owner.gathering = Gathering(
        PeerConfiguration(iceServers=list(servers), **options).ice,
        parse_servers(servers),
        protocol_factory=lambda: StunProtocol(cast(Connection, owner)),
        on_candidate=owner.take,
        on_error=owner.errors.append,
        on_relay_lost=owner.relay_lost,
        credentials=credentials,
    )
    try:
        yield owner
    finally:
        await owner.close()


@asynccontextmanager
async def gathered(*servers: RTCIceServer, **options: Any) -> AsyncIterator[Owner]:
    """Gather everything; at the end of the block all of it is closed."""
    async with owning(*servers, **options) as owner:
        await owner.gathering.open_host_sockets()
        await owner.gathering.ask_servers()
        yield owner

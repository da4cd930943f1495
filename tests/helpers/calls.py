"""A call within one process, over signaling in memory that can be paused and read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiortc import RTCSessionDescription

from icefloe.peer import PeerConfiguration, RemotePeer
from icefloe.peer.connection.candidates import RTCIceCandidateInit


class Wire:
    """One direction of signaling.

    Attributes:
        descriptions: What was sent over it so far.
        candidates: Likewise; ``None`` is the end of them.
        is_open: Cleared, it holds back what is sent until it is set again.
    """

    def __init__(self) -> None:
        self.descriptions: list[RTCSessionDescription] = []
        self.candidates: list[Mapping[str, Any] | None] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self._target: RemotePeer | None = None

    def lead_to(self, target: RemotePeer) -> None:
        """Say where it ends."""
        self._target = target

    async def description(self, description: RTCSessionDescription) -> None:
        """Send an offer or an answer."""
        self.descriptions.append(description)
        await self.is_open.wait()
        if self._target is not None:
            await self._target.negotiator.receive_description(description)

    async def candidate(self, candidate: RTCIceCandidateInit | None) -> None:
        """Send a candidate, or the end of them."""
        self.candidates.append(candidate)
        await self.is_open.wait()
        if self._target is not None:
            await self._target.negotiator.receive_candidate(candidate)


class Call:
    """Two ends of a call; the first, which is impolite, made the first offer.

    Attributes:
        ends: Both ends.
        wires: What each of them sends over.
        states: The connection states that each has gone through since the call stood.
    """

    def __init__(self, configuration: PeerConfiguration | None = None) -> None:
        self.wires = Wire(), Wire()
        self.ends = tuple(
            RemotePeer(
                id=name,
                name=name,
                polite=name == "polite",
                signaler=wire,
                configuration=configuration,
            )
            for name, wire in zip(("impolite", "polite"), self.wires, strict=True)
        )
        self.states: tuple[list[str], list[str]] = ([], [])
        for wire, target in zip(self.wires, reversed(self.ends), strict=True):
            wire.lead_to(target)

    def watch(self) -> None:
        """Begin to note the connection states."""
        for end, states in zip(self.ends, self.states, strict=True):
            pc = end.connection
            pc.on("connectionstatechange", lambda pc=pc, to=states: to.append(pc.connectionState))

    def pause(self) -> None:
        """Let nothing through any more."""
        for wire in self.wires:
            wire.is_open.clear()

    def resume(self) -> None:
        """Let everything through again."""
        for wire in self.wires:
            wire.is_open.set()


@asynccontextmanager
async def calling(configuration: PeerConfiguration | None = None) -> AsyncIterator[Call]:
    """Make a call, wait until it stands, and end it."""
    call = Call(configuration)
    async with asyncio.TaskGroup() as group:
        for end in call.ends:
            group.create_task(end.run())
        try:
            call.ends[0].start()
            for end in call.ends:
                await end.connected()
            call.watch()
            yield call
        finally:
            call.resume()
            for states, end in zip(call.states, call.ends, strict=True):
                end.connection.remove_all_listeners("connectionstatechange")
                states.append("end")
                end.end("hung-up")


@asynccontextmanager
async def held_call() -> AsyncIterator[Call]:
    """Connect both ends in a task of their own, for a fixture.

    A task group belongs to one task; a fixture begins and ends in two.
    """
    standing: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def hold() -> None:
        async with calling() as call:
            standing.set_result(call)
            await over.wait()

    holding = asyncio.create_task(hold())
    yield await standing
    over.set()
    await holding


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until something holds of which no event tells; the test's time limit holds."""
    while not condition():
        await asyncio.sleep(0.01)

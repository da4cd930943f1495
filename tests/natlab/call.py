"""A call between two lab peers, whose signaling the test carries, and can hold up."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.natlab.browser_peer import chromium_peer
from tests.natlab.lab_peer import Kind, LabPeer, Message, Pair, PeerTrouble, python_peer
from tests.natlab.topology import Lab

T = TypeVar("T")

CONNECT_TIMEOUT = 30.0
"""Seconds that a connection is waited for."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The way in which a connection came about.

    Attributes:
        seconds: From the exchange of descriptions to the data channel that is open at both ends.
        whole: The same from when the peers were told to call.
        pairs: The selected pairs, as the offerer and the answerer report them; ``None`` where a
            peer cannot tell.
    """

    seconds: float
    whole: float
    pairs: tuple[Pair | None, Pair | None]

    def __str__(self) -> str:
        offerer, answerer = (str(pair) if pair else "not told" for pair in self.pairs)
        return f"{self.seconds:.2f} s, {offerer} | {answerer}"


class NotConnected(Exception):
    """No connection came about.

    Attributes:
        verdicts: What the peers that gave up say, by their names.
    """

    def __init__(self, verdicts: dict[str, Message]) -> None:
        self.verdicts = verdicts
        super().__init__("; ".join(f"{name}: {v['text']}" for name, v in verdicts.items()))


class Call:
    """Two peers, and what carries their descriptions and candidates.

    Attributes:
        offerer: The one that makes the first offer.
        answerer: The other one.
        begun_at: When the peers were told to call.
        exchanged_at: When the first answer was handed to the offerer; before that, infinite.
    """

    def __init__(self, offerer: LabPeer, answerer: LabPeer) -> None:
        self.offerer = offerer
        self.answerer = answerer
        self.begun_at = time.monotonic()
        self.exchanged_at = float("inf")
        self._running = asyncio.Event()
        self._running.set()
        self._ways: dict[LabPeer, asyncio.Queue[Message]] = {}
        for source in (offerer, answerer):
            queue = self._ways[source] = asyncio.Queue(4096)
            source.on_signal = queue.put_nowait

    @property
    def peers(self) -> tuple[LabPeer, LabPeer]:
        """Both, the offerer first."""
        return self.offerer, self.answerer

    # --- signaling

    def pause(self) -> None:
        """Carry nothing from now on, as when the signaling server is out of reach; all waits."""
        self._running.clear()

    def resume(self) -> None:
        """Carry what has waited, in order, and what comes."""
        self._running.set()

    async def carry(self, source: LabPeer, sink: LabPeer) -> None:
        """Hand what one says to the other, until cancelled."""
        queue = self._ways[source]
        while True:
            message = await queue.get()
            await self._running.wait()
            if message["event"] == "candidate":
                await sink.send("candidate", candidate=message["candidate"])
                continue
            description = message["description"]
            if description["type"] == "answer" and sink is self.offerer:
                self.exchanged_at = min(self.exchanged_at, time.monotonic())
            await sink.send("description", description=description)

    # --- what comes of it

    async def connected(self, timeout: float = CONNECT_TIMEOUT) -> Connected:
        """Wait until the data channel is open at both ends.

        Raises:
            NotConnected: A peer gave up.
            PeerTrouble: Nothing came of it within so many seconds.
        """
        opened = asyncio.create_task(self._both("open", timeout))
        failed = asyncio.create_task(self._any_failed())
        try:
            await asyncio.wait((opened, failed), return_when=asyncio.FIRST_COMPLETED)
            if not opened.done():
                raise NotConnected(await failed)
            ends = await opened
        finally:
            for task in (opened, failed):
                task.cancel()
            await asyncio.gather(opened, failed, return_exceptions=True)
        offerer, answerer = [await peer.pair() for peer in self.peers]
        opened_at = max(message["at"] for message in ends)
        return Connected(
            opened_at - self.exchanged_at, opened_at - self.begun_at, (offerer, answerer)
        )

    async def _both(self, event: str, timeout: float) -> list[Message]:
        return await _together([peer.until(event, timeout) for peer in self.peers])

    async def _any_failed(self) -> dict[str, Message]:
        waiting = [asyncio.create_task(peer.until("failed", 600)) for peer in self.peers]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return {peer.name: told[0] for peer in self.peers if (told := peer.told("failed"))}

    async def not_connected(self, timeout: float) -> dict[str, Message]:
        """Wait until a peer gives up; return the verdicts by the peers' names.

        Raises:
            PeerTrouble: They connected instead, or nobody gave up in time.
        """
        try:
            connected = await self.connected(timeout)
        except NotConnected as failure:
            return failure.verdicts
        raise self.offerer.trouble(f"it connected: {connected}")

    async def flows(self, timeout: float, after: float | None = None) -> float:
        """Wait until data flows both ways that left after a time; return when it does.

        Args:
            timeout: Seconds to wait at most.
            after: The time; now by default.

        Raises:
            PeerTrouble: It does not.
        """
        since = time.monotonic() if after is None else after
        return max(await _together([peer.flows(timeout, since) for peer in self.peers]))

    async def pairs(self) -> tuple[Pair | None, Pair | None]:
        """Return the pairs that both use now, the offerer's first."""
        return await self.offerer.pair(), await self.answerer.pair()

    async def settled(self, right: Callable[[Pair], bool], timeout: float) -> str:
        """Wait until the pairs of all peers that can tell are right; return them in words.

        Raises:
            PeerTrouble: They are not within so many seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            pairs = await self.pairs()
            if all(pair is None or right(pair) for pair in pairs):
                break
            if time.monotonic() > deadline:
                raise self.offerer.trouble(f"uses {pairs[0]}, the other side {pairs[1]}")
            await asyncio.sleep(0.1)
        return " | ".join(str(pair) if pair else "not told" for pair in pairs)


async def _together(waiting: list[Coroutine[Any, Any, T]]) -> list[T]:
    """Wait for all of them; the first that raises ends the others, and is raised by itself."""
    tasks = [asyncio.create_task(job) for job in waiting]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def run_peer(lab: Lab, node: str, kind: Kind) -> AsyncIterator[LabPeer]:
    """Run a peer of any kind at a node until the end of the block."""
    is_chromium = kind in (Kind.CHROMIUM, Kind.HIDING_CHROMIUM)
    running = (chromium_peer if is_chromium else python_peer)(lab, node, kind)
    async with running as peer:
        yield peer


@asynccontextmanager
async def calling(
    lab: Lab,
    *,
    kinds: tuple[Kind, Kind] = (Kind.ICEFLOE, Kind.ICEFLOE),
    configurations: tuple[Message, Message] | Message | None = None,
    nodes: tuple[str, str] = ("a", "b"),
    connect_timeout: float = CONNECT_TIMEOUT,
) -> AsyncIterator[Call]:
    """Let one peer call another, until the end of the block.

    Args:
        lab: Where.
        kinds: What the offerer and the answerer are made of.
        configurations: What both, or each, are configured with; see the peers' programs.
        nodes: Where they are.
        connect_timeout: Seconds after which an icefloe peer gives its verdict.
    """
    if not isinstance(configurations, tuple):
        configurations = (configurations or {}, configurations or {})
    (there, back), (first, second) = nodes, kinds
    async with (
        run_peer(lab, there, first) as offerer,
        run_peer(lab, back, second) as answerer,
        asyncio.TaskGroup() as group,
    ):
        call = Call(offerer, answerer)
        carrying = [
            group.create_task(call.carry(offerer, answerer), name="signaling there"),
            group.create_task(call.carry(answerer, offerer), name="signaling back"),
        ]
        options: dict[str, Any] = {"connectTimeout": connect_timeout}
        await answerer.send("start", configuration=configurations[1], offerer=False, **options)
        await offerer.send("start", configuration=configurations[0], offerer=True, **options)
        try:
            yield call
        finally:
            for task in carrying:
                task.cancel()


__all__ = ["Call", "Connected", "Kind", "NotConnected", "Pair", "PeerTrouble", "calling"]

"""``LabPeer``: a peer in a lab as a test sees it, whatever it is made of."""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from tests.helpers import complaints, forked
from tests.natlab.namespace import PIPE, Place, Process
from tests.natlab.topology import Lab

Message = dict[str, Any]


class Kind(StrEnum):
    """The kinds of peers."""

    ICEFLOE = "icefloe"
    AIORTC = "aiortc"
    CHROMIUM = "chromium"
    HIDING_CHROMIUM = "hiding-chromium"
    """Chromium as it is by default, which tells names in the place of local addresses."""

    ROOM = "room"
    """icefloe's ``join()``; its signaling is a real server's."""

    SIGNALING = "signaling"
    """No peer, but that server."""


class PeerTrouble(Exception):
    """A peer did not do what was waited for; the text has what it did, and what it logged."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A selected pair, as one side reports it.

    Attributes:
        local: This side's candidate: ``type``, ``protocol``, ``address``, ``port`` and
            ``relayProtocol``.
        remote: The other side's.
    """

    local: dict[str, Any]
    remote: dict[str, Any]

    @property
    def types(self) -> tuple[str, str]:
        """The types of both."""
        return self.local["type"], self.remote["type"]

    @property
    def relayed(self) -> bool:
        """True if this side's report has a relay in it."""
        return "relay" in self.types

    def __str__(self) -> str:
        relay = self.local.get("relayProtocol")
        local = f"relay/{relay}" if relay else self.local["type"]
        return f"{local} → {self.remote['type']}"


class Transport(Protocol):
    """The pipe on which a peer is spoken to."""

    async def send(self, message: Message) -> None:
        """Hand it a message."""
        ...

    def log(self) -> str:
        """Return the end of what it logged."""
        ...


class LabPeer:
    """A peer.

    Args:
        name: Its name in the lab.
        kind: What it is made of; a word for messages.

    Attributes:
        events: What it has reported, oldest first.
        on_signal: Called with each description and candidate that it sends.
        pid: The number of its process, if it is one.
    """

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.pid: int | None = None
        self.events: deque[Message] = deque(maxlen=4096)
        self.on_signal: Callable[[Message], None] = lambda message: None
        self._count = 0
        self._changed = asyncio.Event()
        self._transport: Transport | None = None

    def attach(self, transport: Transport) -> None:
        """Speak to it this way from now on."""
        self._transport = transport

    # --- what it tells

    def receive(self, message: Message) -> None:
        """Take what it reports."""
        if message["event"] in ("description", "candidate"):
            self.on_signal(message)
        self.events.append(message)
        self._count += 1
        self._changed.set()

    def told(self, event: str, **details: Any) -> list[Message]:
        """Return the reports of an event that have these details."""
        return [
            message
            for message in self.events
            if message["event"] == event
            and all(message.get(key) == value for key, value in details.items())
        ]

    def states(self, event: str = "connectionState", since: float = 0.0) -> list[str]:
        """Return the states that it went through."""
        return [message["state"] for message in self.told(event) if message["at"] >= since]

    async def until(
        self, event: str, timeout: float, *, since: float = 0.0, **details: Any
    ) -> Message:
        """Wait for an event; return the first report of it.

        Args:
            event: Its name.
            timeout: Seconds after which it is taken as not coming.
            since: Reports from before this time do not count.
            details: What the report must have.

        Raises:
            PeerTrouble: It did not come, or the peer has ended.
        """
        try:
            async with asyncio.timeout(timeout):
                while True:
                    found = [m for m in self.told(event, **details) if m["at"] >= since]
                    if found:
                        return found[0]
                    if self.told("exited"):
                        raise self.trouble("it has ended")
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise self.trouble(f"no {event} {details or ''} within {timeout:g} s") from None

    def trouble(self, what: str) -> PeerTrouble:
        """Make the error that tells what happened here."""
        kept = [m for m in self.events if m["event"] not in ("description", "candidate")]
        told = "\n".join(f"  {m['at']:.3f} {_short(m)}" for m in list(kept)[-40:])
        log = self._transport.log() if self._transport else ""
        return PeerTrouble(f"{self.name} ({self.kind}): {what}\nIt told:\n{told}\nIts log:\n{log}")

    # --- what it is told

    async def send(self, do: str, **details: Any) -> None:
        """Tell it to do something."""
        if self._transport is None:
            raise ValueError(f"{self.name} is not running")
        await self._transport.send({"do": do, **details})

    async def pair(self) -> Pair | None:
        """Return the pair that it uses; ``None`` if there is none, or it cannot tell."""
        begun = self._count
        await self.send("pair")
        async with asyncio.timeout(10):
            while True:
                new = list(self.events)[-(self._count - begun) :] if self._count > begun else []
                for message in new:
                    if message["event"] == "pair":
                        return Pair(**message["pair"]) if message["pair"] else None
                self._changed.clear()
                await self._changed.wait()

    async def flows(self, timeout: float, after: float | None = None) -> float:
        """Wait until something arrives here that left the other side after a time; return when.

        Args:
            timeout: Seconds to wait at most.
            after: The time; now by default.

        Raises:
            PeerTrouble: Nothing came.
        """
        after = time.monotonic() if after is None else after
        await self.send("flows", after=after)
        arrived: float = (await self.until("flowing", timeout, after=after))["at"]
        return arrived

    async def transfer(self, size: int, timeout: float) -> Message:
        """Send so many random bytes; return the report, whose ``intact`` says how they arrived."""
        begun = time.monotonic()
        await self.send("transfer", bytes=size)
        return await self.until("transferred", timeout, since=begun, bytes=size)


def _short(message: Message) -> str:
    return " ".join(str(value) for key, value in message.items() if key != "at")


class _ProcessTransport:
    def __init__(self, process: Process, name: str) -> None:
        self._process = process
        self._watch = complaints.Watch(name)
        self._log: deque[str] = deque(maxlen=200)

    async def send(self, message: Message) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # told as "exited"
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            await self._process.stdin.drain()

    def log(self) -> str:
        return "".join(self._log)

    async def read(self, peer: LabPeer) -> None:
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                peer.receive(json.loads(line))
        finally:
            peer.receive({"event": "exited", "at": time.monotonic()})

    async def read_log(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self._log.append(line.decode(errors="replace"))
            self._watch.line(self._log[-1])
        self._watch.end()


@asynccontextmanager
async def program_peer(place: Place, name: str, kind: str, *command: str) -> AsyncIterator[LabPeer]:
    """Run a program that speaks as :mod:`tests.natlab.program` says until the end of the block.

    Args:
        place: Where it runs.
        name: Its name.
        kind: What it is made of.
        command: The program and its arguments.

    Raises:
        PeerTrouble: It is not ``ready`` in time.
    """
    process = await place.start(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=2**20)
    async with _speaking(process, name, kind) as peer:
        yield peer


@asynccontextmanager
async def _speaking(process: Process, name: str, kind: str) -> AsyncIterator[LabPeer]:
    """Speak with a program that was started, and end it at the end of the block."""
    peer = LabPeer(name, kind)
    peer.pid = process.pid
    transport = _ProcessTransport(process, name)
    # No task group: it would hide the error of the block in a group of errors.
    reading = asyncio.create_task(transport.read(peer), name=f"events of {name}")
    logging = asyncio.create_task(transport.read_log(), name=f"log of {name}")
    try:
        peer.attach(transport)
        await peer.until("ready", 20)
        yield peer
    finally:
        await _end(process)
        await asyncio.gather(reading, logging)


@asynccontextmanager
async def warm_peer(
    namespace: str | None, name: str, kind: str, module: str
) -> AsyncIterator[LabPeer]:
    """Run a program of the lab in Python, as a fork, until the end of the block.

    Args:
        namespace: Path of the network namespace in which it runs; ``None`` is that of this process.
        name: Its name.
        kind: What it is made of.
        module: The program.

    Raises:
        PeerTrouble: It is not ``ready`` in time.
    """
    process = await forked.start("-m", module, namespace=namespace, limit=2**20)
    async with _speaking(process, name, kind) as peer:
        yield peer


@asynccontextmanager
async def python_peer(lab: Lab, node: str, kind: Kind) -> AsyncIterator[LabPeer]:
    """Run an icefloe or aiortc peer at a node until the end of the block."""
    async with warm_peer(lab[node].path, node, kind, f"tests.natlab.{kind}_peer") as peer:
        yield peer


async def _end(process: Process) -> None:
    """Close the input of a peer, at which it ends, and end it by force if it does not."""
    assert process.stdin is not None
    process.stdin.close()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await process.stdin.wait_closed()
    try:
        async with asyncio.timeout(5):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()

"""A peer of the data benchmark in Python: icefloe or plain aiortc, with or without uvloop.

JSON lines in, JSON lines out, as the lab's peers (:mod:`tests.natlab.program`). The offerer opens
one channel; both report when it is ``open``. Descriptions carry their candidates.

===============  ==================================================================================
``start``        ``offerer``; once, before all else
``description``  ``description``: the other side's
``receive``      ``bytes``: count what comes; ``receiving`` when it does, ``received`` with samples
                 ``[at, bytes, messages]`` when so many bytes are there (0: not by itself)
``report``       report ``received`` now, if it has not been
``send``         ``size``, ``seconds``, ``bytes``: send messages for so long, or so many bytes (0:
                 any number); ``sending`` at the begin, ``sent`` at the end
``echo``         send every message back
``ping``         ``size``, ``seconds``, ``count``: send a message whenever one is back, and report
                 ``pinged`` with ``trips``, the seconds that each took
===============  ==================================================================================

::

    python -m tests.bench.peers.program icefloe-uvloop
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Protocol

import uvloop
from aiortc import RTCDataChannel

from icefloe.peer import DataChannel, PeerConfiguration, PeerConnection, TcpMux, UdpMux
from icefloe.peer._aiortc import SctpTransport
from icefloe.peer.sctp.congestion.newreno import NewReno
from tests.bench.peers.python_peer import PythonPeer, run
from tests.helpers import pairs
from tests.natlab.program import Message, emit, log_to_stderr

HIGH, LOW = 1024 * 1024, 256 * 1024
"""Bytes in aiortc's buffer at which a sender waits, and at which it goes on."""

SAMPLE_EVERY = 0.1


class Channel(Protocol):
    """A channel as its stack's users use it."""

    async def send(self, message: bytes) -> None:
        """Send a message as soon as it fits the buffer."""

    async def listen(self, handler: Callable[[bytes], bytes | None]) -> None:
        """Give every message to a handler until the channel is closed; send what it returns."""


class IcefloeChannel:
    """icefloe's channel."""

    def __init__(self, channel: RTCDataChannel) -> None:
        self._channel = DataChannel(channel)

    async def send(self, message: bytes) -> None:
        await self._channel.send(message)

    async def listen(self, handler: Callable[[bytes], bytes | None]) -> None:
        async for message in self._channel:
            assert isinstance(message, bytes)
            if (answer := handler(message)) is not None:
                await self._channel.send(answer)


class AiortcChannel:
    """aiortc's channel, with the waiting that its users write themselves."""

    def __init__(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        self._low = asyncio.Event()
        self._handler: Callable[[bytes], bytes | None] = lambda message: None
        channel.bufferedAmountLowThreshold = LOW
        channel.on("bufferedamountlow", self._low.set)
        channel.on("message", self._on_message)

    def _on_message(self, message: bytes) -> None:
        if (answer := self._handler(message)) is not None:
            self._channel.send(answer)

    async def send(self, message: bytes) -> None:
        while self._channel.bufferedAmount > HIGH:
            self._low.clear()
            await self._low.wait()
        self._channel.send(message)

    async def listen(self, handler: Callable[[bytes], bytes | None]) -> None:
        self._handler = handler


class DataPeer(PythonPeer):
    """A peer connection that does what lines say.

    Args:
        stack: ``icefloe`` or ``aiortc``.
        mux: The port to share, for ``icefloe``; with that of TCP there is no UDP.
    """

    def __init__(self, stack: str, mux: UdpMux | TcpMux | None = None) -> None:
        super().__init__(stack)
        if isinstance(mux, UdpMux):
            self._connection = PeerConnection(PeerConfiguration(udp_mux=mux))
        elif mux is not None:
            self._connection = PeerConnection(PeerConfiguration(tcp_mux=mux))
            self._change = pairs.without_udp
        self._stack = stack
        self._channel: Channel | None = None
        self._samples: list[tuple[float, int, int]] = []
        self._size = self._messages = 0
        self._told = False
        self._connection.on("datachannel", self._take)

    async def handle(self, message: Message) -> None:
        """Do what a line says."""
        match message["do"]:
            case "start":
                if message["offerer"]:
                    channel = self._connection.createDataChannel("bench")
                    channel.on("open", lambda: self._take(channel))
                    await self._offer()
            case "description":
                await self._describe(message["description"])
            case "receive":
                self._receive(message["bytes"])
            case "report":
                self._report()
            case "send":
                self._jobs.start(self._send(message["size"], message["seconds"], message["bytes"]))
            case "echo":
                self._jobs.start(self._open.listen(lambda echoed: echoed))
                emit("echoing")
            case "ping":
                self._jobs.start(self._ping(message["size"], message["seconds"], message["count"]))
            case unknown:
                raise ValueError(f"cannot {unknown}")

    @property
    def _open(self) -> Channel:
        if self._channel is None:
            raise ValueError("no channel is open")
        return self._channel

    def _take(self, channel: RTCDataChannel) -> None:
        make = IcefloeChannel if self._stack == "icefloe" else AiortcChannel
        self._channel = make(channel)
        emit("open")

    # --- one way

    def _receive(self, enough: int) -> None:
        self._samples = [(time.monotonic(), 0, 0)]
        next_sample = time.monotonic() + SAMPLE_EVERY

        def count(message: bytes) -> None:
            nonlocal next_sample
            self._size += len(message)
            self._messages += 1
            if (now := time.monotonic()) >= next_sample:
                self._samples.append((now, self._size, self._messages))
                next_sample = now + SAMPLE_EVERY
            if enough and self._size >= enough:
                self._report()

        self._jobs.start(self._open.listen(count))
        emit("receiving")

    def _report(self) -> None:
        if not self._told:
            self._told = True
            self._samples.append((time.monotonic(), self._size, self._messages))
            emit("received", samples=self._samples)

    async def _send(self, size: int, seconds: float, enough: int) -> None:
        channel, message, sent = self._open, b"Z" * size, 0
        emit("sending")
        until = time.monotonic() + seconds
        while time.monotonic() < until and (not enough or sent < enough):
            await channel.send(message)
            sent += size
        emit("sent", bytes=sent)

    # --- there and back

    async def _ping(self, size: int, seconds: float, count: int) -> None:
        channel, message = self._open, b"Z" * size
        trips: list[float] = []
        until = begun = time.monotonic()
        until += seconds

        def back(_: bytes) -> bytes | None:
            nonlocal begun
            now = time.monotonic()
            trips.append(now - begun)
            if len(trips) == count or now >= until:
                emit("pinged", trips=trips)
                return None
            begun = time.monotonic()
            return message

        self._jobs.start(channel.listen(back))
        await channel.send(message)


async def run_over_mux(stack: str) -> None:
    """Run a peer whose connection uses a port that others could share."""
    async with await UdpMux.open() as mux:
        await run(DataPeer(stack, mux))


async def run_over_tcp(stack: str) -> None:
    """Run a peer whose connection uses TCP alone; either side can be connected to."""
    async with await TcpMux.open() as mux:
        await run(DataPeer(stack, mux))


if __name__ == "__main__":
    log_to_stderr()
    name, *variants = sys.argv[1].split("-")
    if "newreno" in variants:
        SctpTransport.controller = NewReno
    with asyncio.Runner(
        loop_factory=uvloop.new_event_loop if "uvloop" in variants else None
    ) as runner:
        if "mux" in variants:
            runner.run(run_over_mux(name))
        elif "tcp" in variants:
            runner.run(run_over_tcp(name))
        else:
            runner.run(run(DataPeer(name)))

"""Common parts of the lab's Python peers: JSON lines in, JSON lines out.

Each line in is an object with ``do``, each line out one with ``event`` and ``at``, the time by the
machine's monotonic clock. The end of the input ends the peer.

==============  ===================================================================
``start``       ``configuration``, ``offerer``, ``connectTimeout``; once, before all else
``description`` ``description``: the other side's
``candidate``   ``candidate``: the other side's, or ``null``
``restart``     restart ICE
``pair``        report the selected ``pair``
``flows``       ``after``: report ``flowing`` at the first pulse sent after that
``transfer``    ``bytes``: send so many, and report ``transferred``
==============  ===================================================================
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Protocol

from aiortc import RTCIceServer, RTCIceTransportPolicy

from icefloe.peer import PeerError
from tests.natlab.traffic import Traffic

Message = dict[str, Any]


def emit(event: str, **details: Any) -> None:
    """Write an event to standard output."""
    line = json.dumps({"event": event, "at": time.monotonic(), **details}, ensure_ascii=False)
    print(line, flush=True)  # noqa: T201


def log_to_stderr() -> None:
    """Log what icefloe does, at the level that ``ICEFLOE_LAB_LOG`` says, ``INFO`` by default."""
    style = "%(asctime)s.%(msecs)03d %(name)s %(message)s"
    logging.basicConfig(level=logging.WARNING, format=style, datefmt="%H:%M:%S")
    logging.getLogger("icefloe").setLevel(os.environ.get("ICEFLOE_LAB_LOG", "INFO"))


class Jobs:
    """The tasks of a peer; one that fails is reported, and ends none of the others."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, job: Coroutine[Any, Any, None]) -> None:
        """Run something until it or the peer ends."""
        task = asyncio.create_task(self._reported(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reported(self, job: Coroutine[Any, Any, None]) -> None:
        try:
            await job
        except PeerError as error:
            emit("error", text=f"{type(error).__name__}: {error}")

    async def end(self) -> None:
        """Cancel them all and wait for them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class PeerProgram(Protocol):
    """A peer as the loop below drives it."""

    async def handle(self, message: Message) -> None:
        """Do what a line says."""

    async def close(self) -> None:
        """Free everything."""


def ice_servers(configuration: Message) -> list[RTCIceServer]:
    """Read ``iceServers`` as browsers have it."""
    return [RTCIceServer(**server) for server in configuration.get("iceServers", ())]


def ice_transport_policy(configuration: Message) -> RTCIceTransportPolicy:
    """Read ``iceTransportPolicy`` as browsers have it."""
    return RTCIceTransportPolicy(configuration.get("iceTransportPolicy", "all"))


async def lines() -> AsyncIterator[Message]:
    """Give what standard input says, a line each, until it ends."""
    reader = asyncio.StreamReader(limit=2**20)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while line := await reader.readline():
            yield json.loads(line)
    finally:
        transport.close()


async def drive(program: PeerProgram, traffic: Traffic | None = None) -> None:
    """Run a peer until standard input ends."""
    emit("ready", pid=os.getpid())
    try:
        async for message in lines():
            if message["do"] == "flows" and traffic is not None:
                traffic.tell_when_flowing(message["after"])
            else:
                await program.handle(message)
    finally:
        await program.close()
        emit("closed")

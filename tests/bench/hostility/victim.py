"""The process that is attacked: five calls at once, and a look at its own loop and memory.

It takes a connection for each peer (see :mod:`tests.bench.hostility.link`), sends each a picture
and a tone, reads what comes, and sends back each message of the channel ``data``. JSON lines in,
JSON lines out, as :mod:`tests.natlab.program`:

===========  =====================================================================================
``begin``    forget the longest hold-up and the peak of the memory
``look``     report ``seen``: ``cpu`` and ``wall``, the longest hold-ups of the loop in seconds,
             ``collecting``, what the garbage collector took at most at once, ``rss`` and ``peak``
             in MB, and ``peers``, what came of each by its name
===========  =====================================================================================
"""

import asyncio
import gc
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aiortc import InvalidStateError
from aiortc.stats import RTCStats

from icefloe.peer import PeerError, run
from tests.bench.hostility.link import LINE_LIMIT, Lines, Peer
from tests.natlab.program import Message, emit, lines, log_to_stderr

_BEAT = 0.002
_MOST_WAITING = 64 * 1024
_MB = 1e6
_PAGE = 4096
_COUNTED = ("Discarded", "Dropped", "_discarded", "_refused")
"""Ends of the names of counters that say what came to nothing."""


class Watch:
    """The standstills of the loop, and the size of the process.

    Attributes:
        cpu: Seconds of the processor that the loop's thread took at most between two beats. What
            other programs take of the machine is not in it.
        wall: Seconds by which a beat was late at most.
        collecting: Seconds of the processor that Python's garbage collector took of that at once.
        peak: Bytes of memory at most.
    """

    def __init__(self) -> None:
        self.cpu = self.wall = self.collecting = 0.0
        self.peak = 0
        self._skips = False
        self._collects_since = 0.0
        self._thread = threading.get_ident()
        gc.callbacks.append(self._collects)

    def begin(self) -> None:
        """Forget what was."""
        self.cpu = self.wall = self.collecting = 0.0
        self.peak = 0
        self.skip()

    def skip(self) -> None:
        """Leave out what is being done now: it is part of measuring."""
        self._skips = True

    def _collects(self, phase: str, _: object) -> None:
        if threading.get_ident() == self._thread:
            now = time.thread_time()
            if phase == "start":
                self._collects_since = now
            else:
                self.collecting = max(self.collecting, now - self._collects_since)

    async def beat(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            cpu, wall = time.thread_time(), time.monotonic()
            await asyncio.sleep(_BEAT)
            if self._skips:
                self._skips = False
            else:
                self.cpu = max(self.cpu, time.thread_time() - cpu)
                self.wall = max(self.wall, time.monotonic() - wall - _BEAT)
            self.peak = max(self.peak, memory())


def memory() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class Victim:
    """Everything that the process does."""

    def __init__(self) -> None:
        self._peers: dict[str, Peer] = {}
        self._refused: Counter[str] = Counter()
        self._watch = Watch()

    async def serve(self) -> None:
        """Take peers until standard input ends."""
        server = await asyncio.start_server(self._guest, "127.0.0.1", 0, limit=LINE_LIMIT)
        beat = asyncio.create_task(self._watch.beat())
        emit("ready", port=server.sockets[0].getsockname()[1])
        async for message in lines():
            await self._obey(message)
        beat.cancel()
        server.close()
        await asyncio.gather(*(peer.close() for peer in self._peers.values()))

    async def _obey(self, message: Message) -> None:
        if message["do"] == "begin":
            gc.collect()  # what was before
            self._watch.begin()
            emit("begun", rss=memory() / _MB)
            return
        watch = self._watch
        watch.skip()
        peers = {name: await self._count(name, peer) for name, peer in list(self._peers.items())}
        emit(
            "seen",
            cpu=watch.cpu,
            wall=watch.wall,
            collecting=watch.collecting,
            rss=memory() / _MB,
            peak=watch.peak / _MB,
            peers=peers,
        )

    async def _count(self, name: str, peer: Peer) -> dict[str, Any]:
        report = await peer.connection.getStats()
        discarded: Counter[str] = Counter()
        for entry in report.values():
            assert isinstance(entry, RTCStats)
            for field, value in vars(entry).items():
                if field.endswith(_COUNTED) and value:
                    discarded[field] += value
        discarded["refused"] = self._refused[name]
        state = peer.connection.connectionState
        sctp = peer.connection.sctp
        return {
            **peer.counts,
            "discarded": dict(+discarded),
            "state": state,
            "data_state": sctp.state if sctp is not None else "none",
        }

    async def _guest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to = Lines(reader, writer)
        first = await to.next()
        if first is None:
            return
        name = first["name"]
        peer = self._peers[name] = Peer(to)
        peer.send_media()
        peer.connection.on("datachannel", lambda channel: self._take(peer, channel))
        while (message := await to.next()) is not None:
            await asyncio.sleep(0)  # there may be many already
            try:
                await peer.hear(message)
            except (PeerError, ValueError, InvalidStateError):
                self._refused[name] += 1
        await peer.close()
        del self._peers[name]
        to.close()

    def _take(self, peer: Peer, channel: Any) -> None:
        def answer(message: str | bytes) -> None:
            peer.counts["data"] += 1
            # A program that answers whoever does not listen sees to it that answers do not pile up.
            if channel.label == "data" and channel.bufferedAmount < _MOST_WAITING:
                channel.send(message)

        channel.on("message", answer)


if __name__ == "__main__":
    log_to_stderr()
    run(Victim().serve())

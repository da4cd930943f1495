"""A peer of the media benchmark's ``memory``: icefloe or plain aiortc, with many frames.

JSON lines in, JSON lines out, as :mod:`tests.bench.peers.program`; it is ``open`` when it is
connected.

===============  ==================================================================================
``start``        ``offerer``, who sends, ``rate``, pictures a second, and ``voices``; once, first
``description``  ``description``: the other side's
``count``        report ``counted``: frames of ``video`` and ``audio`` that were given or taken
===============  ==================================================================================

::

    python -m tests.bench.peers.enduring icefloe
"""

import asyncio
import sys
from collections import Counter
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from icefloe.media import TestPatternTrack, ToneTrack
from tests.bench.peers.python_peer import PythonPeer, run
from tests.natlab.program import Message, emit, log_to_stderr

SIZE = (160, 120)


class Counted(MediaStreamTrack):
    """A track that counts what it gives."""

    def __init__(self, source: MediaStreamTrack, counts: Counter[str]) -> None:
        super().__init__()
        self.kind = source.kind
        self._source, self._counts = source, counts

    async def recv(self) -> Any:
        """Return the next frame."""
        frame = await self._source.recv()
        self._counts[self.kind] += 1
        return frame


class EnduringPeer(PythonPeer):
    """A peer connection that sends frames, or takes and forgets them.

    Args:
        stack: ``icefloe`` or ``aiortc``.
    """

    def __init__(self, stack: str) -> None:
        super().__init__(stack)
        self._counts: Counter[str] = Counter()
        self._connection.on("connectionstatechange", self._on_state)
        self._connection.on("track", lambda track: self._jobs.start(self._take(track)))

    async def handle(self, message: Message) -> None:
        """Do what a line says."""
        match message["do"]:
            case "start":
                if message["offerer"]:
                    self._send(message["rate"], message["voices"])
                    await self._offer()
            case "description":
                await self._describe(message["description"])
            case "count":
                emit("counted", **{kind: self._counts[kind] for kind in ("video", "audio")})
            case unknown:
                raise ValueError(f"cannot {unknown}")

    def _send(self, rate: int, voices: int) -> None:
        self._connection.addTrack(Counted(TestPatternTrack(*SIZE, rate), self._counts))
        for number in range(voices):
            self._connection.addTrack(Counted(ToneTrack(200 + 40 * number), self._counts))

    def _on_state(self) -> None:
        if self._connection.connectionState == "connected":
            emit("open")

    async def _take(self, track: MediaStreamTrack) -> None:
        counted = Counted(track, self._counts)
        while True:
            try:
                await counted.recv()
            except MediaStreamError:
                return


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(run(EnduringPeer(sys.argv[1])))

"""The four well-behaved peers of :mod:`tests.bench.hostile`, in one process.

Each sends a picture, a tone and numbered messages, and takes what comes back. JSON lines in, JSON
lines out, as :mod:`tests.natlab.program`: ``begin`` forgets the longest wait, ``look`` reports
``seen`` with ``peers``: by name the ``audio`` and ``video`` frames and the ``data`` messages that
came, and ``wait``, the longest time between two of the latter in seconds::

    python -m tests.bench.hostility.friends PORT
"""

import asyncio
import sys
import time
from typing import Any

from tests.bench.hostility.link import Lines, Peer, describe
from tests.natlab.program import Message, emit, lines, log_to_stderr

FRIENDS = ("Ann", "Ben", "Cleo", "Dan")
_PAUSE = 0.02


class Friend(Peer):
    """A peer that says something every now and then, and waits for its echo.

    Attributes:
        wait: Seconds between two echoes at most.
        channel: What it sends over.
    """

    def __init__(self, lines: Lines) -> None:
        super().__init__(lines)
        self.wait = 0.0
        self._latest = time.monotonic()
        self.channel = self.connection.createDataChannel("data")
        self.channel.on("message", self._heard)

    async def call(self, name: str) -> None:
        """Offer, and take what the victim says; the call then goes on."""
        self.lines.say({"name": name})
        self.send_media()
        await self.connection.setLocalDescription()
        self.lines.say(describe(self.connection.localDescription))
        while (message := await self.lines.next()) is not None:
            await self.hear(message)

    async def talk(self) -> None:
        """Send messages, until cancelled."""
        number = 0
        while True:
            if self.channel.readyState == "open" and not self.channel.bufferedAmount:
                self.channel.send(str(number))
                number += 1
            await asyncio.sleep(_PAUSE)

    def begin(self) -> None:
        """Forget the longest wait."""
        self.wait, self._latest = 0.0, time.monotonic()

    def _heard(self, _: object) -> None:
        now = time.monotonic()
        self.wait, self._latest = max(self.wait, now - self._latest), now
        self.counts["data"] += 1

    def look(self) -> dict[str, Any]:
        """Return what came so far."""
        wait = max(self.wait, time.monotonic() - self._latest)
        return {**{kind: self.counts[kind] for kind in ("audio", "video", "data")}, "wait": wait}


class Friends:
    """All of them."""

    def __init__(self) -> None:
        self._friends: dict[str, Friend] = {}

    async def call(self, port: int) -> None:
        """Call the victim, and go on until standard input ends."""
        tasks = []
        for name in FRIENDS:
            friend = self._friends[name] = Friend(await Lines.to(port))
            tasks += [asyncio.create_task(job) for job in (friend.call(name), friend.talk())]
        emit("ready")
        async for message in lines():
            self._obey(message)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for friend in self._friends.values():
            await friend.close()
            friend.lines.close()

    def _obey(self, message: Message) -> None:
        if message["do"] == "begin":
            for friend in self._friends.values():
                friend.begin()
        else:
            emit("seen", peers={name: friend.look() for name, friend in self._friends.items()})


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(Friends().call(int(sys.argv[1])))

"""Calls that go on with new seats: two whose signaling server was restarted agree to keep theirs.

The newcomer asks, with the fingerprints of both certificates, and the other one answers whether it
has the same call (``docs/protocol.md``, "Away and resume"). Without an answer there is a new call.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable

from aiortc import RTCSessionDescription

from ..connection.connection import PeerConnection

GO_ON_SECONDS = 2.0
"""Seconds to wait for the answer of the participant that is asked."""

_FINGERPRINT = re.compile(r"^a=fingerprint:(\S+ \S+)", re.MULTILINE)


def fingerprints(description: RTCSessionDescription | None) -> list[str]:
    """Return the certificate fingerprints of a description, as its lines have them."""
    return _FINGERPRINT.findall(description.sdp) if description is not None else []


def claim(connection: PeerConnection) -> dict[str, str] | None:
    """Return what stands for a call in the question; ``None`` if it has no certificates yet."""
    own = fingerprints(connection.localDescription)
    theirs = fingerprints(connection.remoteDescription)
    return {"own": own[0], "theirs": theirs[0]} if own and theirs else None


def is_same(connection: PeerConnection, asked: dict[str, object]) -> bool:
    """Return whether a question is about this call.

    Args:
        connection: The connection of the call.
        asked: The claim of the other side, unchecked.
    """
    own = fingerprints(connection.localDescription)
    theirs = fingerprints(connection.remoteDescription)
    return asked.get("theirs") in own and asked.get("own") in theirs


class Questions:
    """The questions and answers that are under way, at most one for each participant.

    Args:
        say: Sends data to a participant; it may wait.
        unanswered: Called with a participant that did not answer in time.
    """

    def __init__(
        self, say: Callable[[str, object], Awaitable[None]], unanswered: Callable[[str], None]
    ) -> None:
        self._say = say
        self._unanswered = unanswered
        self._asked: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def ask(self, id: str, claim: dict[str, str]) -> None:
        """Ask a participant whether the call goes on."""
        if id not in self._asked:
            self._asked[id] = asyncio.create_task(self._ask(id, claim), name=f"go on {id}")

    def answer(self, id: str, goes_on: bool) -> None:
        """Answer a participant; one that asks again meanwhile gets no further answer."""
        if id in self._answers:
            return
        task = asyncio.create_task(self._answer(id, goes_on), name=f"goes on {id}")
        self._answers[id] = task
        task.add_done_callback(lambda _: self._answers.pop(id, None))

    def forget(self, id: str) -> bool:
        """Ask a participant no more; return whether it was asked and has not answered yet."""
        task = self._asked.pop(id, None)
        if task is None:
            return False
        self._end(task)
        return True

    def clear(self) -> None:
        """End all of them, without waiting."""
        for task in (*self._asked.values(), *self._answers.values()):
            self._end(task)
        self._asked.clear()

    async def ended(self) -> None:
        """Wait until what was ended has ended. Cancellation: safe."""
        if tasks := {*self._ending, *self._answers.values()}:
            await asyncio.wait(tasks)

    def _end(self, task: asyncio.Task[None]) -> None:
        if not task.done():
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            task.cancel()

    async def _ask(self, id: str, claim: dict[str, str]) -> None:
        try:
            async with asyncio.timeout(GO_ON_SECONDS):
                await self._say(id, {"goOn": claim})
                await asyncio.Event().wait()
        except TimeoutError:
            if self._asked.pop(id, None) is not None:
                self._unanswered(id)

    async def _answer(self, id: str, goes_on: bool) -> None:
        try:
            async with asyncio.timeout(GO_ON_SECONDS):
                await self._say(id, {"goesOn": goes_on})
        except TimeoutError:
            return  # the newcomer has begun another call

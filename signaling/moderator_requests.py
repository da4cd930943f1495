"""Requests of a moderator that wait for the server's answer."""

import asyncio
import itertools

from .errors import ModerationRefused, SignalingError
from .messages import Done, Error, ServerMessage


class ModeratorRequests:
    """The requests of one client; the server repeats the ``ref`` of each in its answer."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def add(self) -> tuple[str, asyncio.Future[None]]:
        """Return the ``ref`` of a new request, and a future that its answer resolves."""
        ref = f"icefloe-moderate-{next(self._numbers)}"
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[ref] = answered
        return ref, answered

    def forget(self, ref: str) -> None:
        """Stop waiting for an answer."""
        self._waiting.pop(ref, None)

    def answer(self, message: ServerMessage) -> bool:
        """Return whether a message answers a request, and resolve that."""
        if not isinstance(message, Done | Error) or not isinstance(message.ref, str):
            return False
        answered = self._waiting.pop(message.ref, None)
        if answered is None or answered.done():
            return False
        if isinstance(message, Done):
            answered.set_result(None)
        else:
            answered.set_exception(ModerationRefused(message.code, message.message))
        return True

    def fail(self, error: SignalingError) -> None:
        """Fail all requests: their answers may be lost."""
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(error)
                answered.exception()  # it is no fault if its caller was cancelled
        self._waiting.clear()

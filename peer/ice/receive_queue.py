"""The receive queue of an ICE agent: bounded, and fair to other tasks of the event loop."""

import asyncio
from collections import deque

from .udp import TIME_SLICE

MAX_DATAGRAMS = 2048
"""Maximum number of datagrams in the receive queue; further ones are dropped."""


class ReceiveQueue:
    """A bounded queue of datagrams with one reader."""

    def __init__(self) -> None:
        self._datagrams: deque[bytes] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._slice_began_at = float("-inf")
        self._is_closed = False

    def put(self, datagram: bytes) -> None:
        """Append a datagram; drop it if the queue is full."""
        if len(self._datagrams) < MAX_DATAGRAMS:
            self._datagrams.append(datagram)
            self._wake()

    async def get(self) -> bytes:
        """Return the next datagram; wait for one if the queue is empty.

        Raises:
            ConnectionError: The queue is closed and empty.

        Cancellation: safe; no datagram is lost.
        """
        loop = asyncio.get_running_loop()
        if self._datagrams and loop.time() - self._slice_began_at > TIME_SLICE:
            await asyncio.sleep(0)  # a full queue must not starve the other tasks
            self._slice_began_at = loop.time()
        while not self._datagrams:
            if self._is_closed:
                raise ConnectionError("the ICE agent is closed")
            self._arrival = loop.create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
            self._slice_began_at = loop.time()
        return self._datagrams.popleft()

    def close(self) -> None:
        """Let a waiting reader end with ``ConnectionError``; a second call does nothing."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

"""A WebSocket of an ASGI server: fair reading, a bounded queue of what waits to be sent, closing.

The ASGI server has the TCP connection, and reads ahead until its own queue is full. So this module
limits the rate by not asking for the next message: once the queue of the ASGI server is full, TCP
makes the client wait. ``send()`` of ASGI waits for a slow client; so each connection has a queue,
and a task that exists while there is something in it.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from logging import Logger
from typing import Any

from icefloe._util.token_bucket import TokenBucket
from icefloe.logs import get_logger

from .codec import CLIENT_LIMIT, DESCRIPTION_LIMIT
from .messages import CloseCode
from .reading import BYTES_PER_TOKEN
from .write_buffers import WRITE_LIMIT, WRITE_LIMIT_SCARCE, WRITE_LIMIT_TOTAL

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""Returns the next event of an ASGI server."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
"""Passes an event to an ASGI server."""

_DRAIN_TIMEOUT = 10.0
"""Seconds for which messages of a connection are taken after its end, until the ASGI server says
that it is closed. Hypercorn keeps a connection for ever if nobody takes what it has read."""

logger: Logger = get_logger(__name__)

_numbers = itertools.count(1)


class WriteBudget:
    """The bytes that wait in the queues of all connections.

    Attributes:
        waiting: The number of bytes.
    """

    def __init__(self) -> None:
        self.waiting: int = 0

    @property
    def share(self) -> int:
        """Bytes that may wait in one queue at the moment."""
        is_scarce = self.waiting > WRITE_LIMIT_TOTAL // 2
        return WRITE_LIMIT_SCARCE if is_scarce else WRITE_LIMIT


class AsgiSocket:
    """A WebSocket that was accepted; a client of the hub.

    Args:
        receive: The function that the ASGI server gave for this connection.
        send: Likewise.
        budget: The bytes that wait in all connections.
        rate: Messages per second.
        burst: Messages at once.
        close_timeout: Seconds that the client has to answer a close.
        on_throttled: Called with the number of the connection when it gets into debt, and again
            only after at least half of the tokens were there.

    Attributes:
        number: The number of the connection.
    """

    # Every connection has one of these, most of which are idle.
    __slots__ = (
        "_ahead",
        "_bucket",
        "_budget",
        "_close",
        "_close_timeout",
        "_deadline",
        "_error",
        "_gone",
        "_is_closing",
        "_is_disconnected",
        "_is_throttled",
        "_limit",
        "_loop",
        "_on_throttled",
        "_queue",
        "_receive",
        "_scope",
        "_send",
        "_waiting",
        "_writer",
        "number",
    )

    def __init__(
        self,
        receive: Receive,
        send: Send,
        *,
        budget: WriteBudget,
        rate: float,
        burst: float,
        close_timeout: float,
        on_throttled: Callable[[int], None],
    ) -> None:
        self.number = next(_numbers)
        self._receive = receive
        self._send = send
        self._budget = budget
        self._close_timeout = close_timeout
        self._on_throttled = on_throttled
        self._loop = asyncio.get_running_loop()
        self._bucket = TokenBucket(rate, burst, self._loop.time())
        self._limit = CLIENT_LIMIT
        self._is_throttled = False
        self._queue: deque[bytes] = deque()
        self._waiting = 0
        self._close: MutableMapping[str, Any] | None = None
        self._is_closing = False
        self._is_disconnected = False
        self._writer: asyncio.Task[None] | None = None
        self._ahead: asyncio.Future[MutableMapping[str, Any]] | None = None
        self._gone = asyncio.Event()
        self._scope: asyncio.Timeout | None = None
        self._deadline: float | None = None
        self._error: Exception | None = None

    async def serve(
        self, handle: Callable[[str | bytes], Awaitable[None]], on_lost: Callable[[], None]
    ) -> None:
        """Handle the messages of the client until the ASGI server has let the connection go.

        Args:
            handle: Called with each message.
            on_lost: Called once, when the client sends nothing more or was cut off.

        Cancellation: safe; what waits to be sent is dropped.
        """
        try:
            try:
                await self._read(handle)
            finally:
                self._is_closing = True
                self._gone.set()
                on_lost()
            # The ASGI server may hold the connection of a client that was cut off. It counts as
            # open, and what it still sends is dropped, since some servers keep the connection for
            # ever if nobody takes that.
            await self._read(_drop)
        finally:
            await self._end()
        if self._error is not None:
            raise self._error

    @property
    def is_disconnected(self) -> bool:
        """True if the ASGI server has said that the connection is closed."""
        return self._is_disconnected

    async def drain(self) -> None:
        """Take what the ASGI server has read, after :meth:`serve`. Cancellation: safe."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_TIMEOUT):
                while True:
                    if (await self._receive())["type"] != "websocket.receive":
                        return
                    await asyncio.sleep(0)

    def abandon(self) -> None:
        """Make :meth:`serve` return soon, whatever the client does."""
        self._is_closing = True
        self._finish_within(0.0)

    # ---- the client of the hub -----------------------------------------------------------------

    def write(self, payloads: tuple[bytes, ...]) -> bool:
        if self._is_closing:
            return True  # as in a socket that is closed
        if self._waiting > self._budget.share:
            return False
        self._queue.extend(payloads)
        self._count(sum(map(len, payloads)))
        self._start_writing()
        return True

    def close_soon(self, code: CloseCode, reason: str) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._close = {"type": "websocket.close", "code": int(code), "reason": reason}
            self._start_writing()

    def cut_off(self) -> None:
        if self._close is None:
            # ASGI cannot abort a connection. If the client ever reads again, it is told.
            reason = "you did not read what the server sent"
            self._close = {"type": "websocket.close", "code": int(CloseCode.POLICY)}
            self._close["reason"] = reason
        self._is_closing = True
        self._drop_queue()
        self._start_writing()
        self._interrupt(self._loop.time())

    def charge(self, tokens: float) -> None:
        self._bucket.take(tokens, self._loop.time())

    def allow_descriptions(self) -> None:
        self._limit = DESCRIPTION_LIMIT

    async def wait_closed(self) -> None:
        # Called while a message is handled: the next event may be that the client is gone.
        if self._ahead is None:
            self._ahead = asyncio.ensure_future(self._receive())
        event = await asyncio.shield(self._ahead)
        if event["type"] == "websocket.receive":
            await self._gone.wait()

    # ---- reading -------------------------------------------------------------------------------

    async def _read(self, handle: Callable[[str | bytes], Awaitable[None]]) -> None:
        """Pass on messages until the client is gone, or for as long as :meth:`_interrupt` says."""
        if self._is_disconnected:
            return
        scope = asyncio.timeout_at(self._deadline)
        try:
            async with scope:
                self._scope = scope
                while (event := await self._next())["type"] == "websocket.receive":
                    await self._take(event, handle)
                    await self._pause()
                self._is_disconnected = True
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self._scope = None

    async def _next(self) -> MutableMapping[str, Any]:
        if self._ahead is None:
            return await self._receive()
        event = await asyncio.shield(self._ahead)  # it is not lost if this is interrupted
        self._ahead = None
        return event

    async def _take(
        self, event: MutableMapping[str, Any], handle: Callable[[str | bytes], Awaitable[None]]
    ) -> None:
        text: str | None = event.get("text")
        frame: str | bytes = event.get("bytes") or b"" if text is None else text
        is_one_byte_each = isinstance(frame, bytes) or frame.isascii()
        size = len(frame) if is_one_byte_each else len(str(frame).encode())
        self.charge(1 + size // BYTES_PER_TOKEN)
        if self._is_closing:
            return
        if size > self._limit:
            self.close_soon(CloseCode.TOO_BIG, f"a message may have {self._limit} bytes")
        else:
            await handle(frame)

    async def _pause(self) -> None:
        """Let others have the event loop; if this connection is in debt, until that is paid."""
        now = self._loop.time()
        wait = self._bucket.wait(now)
        if wait and not self._is_throttled and not self._is_closing:
            self._is_throttled = True
            self._on_throttled(self.number)
        elif self._is_throttled and self._bucket.is_half_full(now):
            self._is_throttled = False
        await asyncio.sleep(wait)

    def _interrupt(self, at: float) -> None:
        """End the present :meth:`_read` at a time of the loop."""
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(at)

    def _finish_within(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        self._interrupt(self._deadline)

    # ---- writing -------------------------------------------------------------------------------

    def _start_writing(self) -> None:
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name=f"write {self.number}")

    async def _write(self) -> None:
        try:
            while self._queue:
                payload = self._queue.popleft()
                try:
                    await self._send({"type": "websocket.send", "text": payload.decode()})
                finally:
                    self._count(-len(payload))
            if self._close is not None:
                await self._send(self._close)
                self._finish_within(self._close_timeout)
        except (OSError, RuntimeError) as error:
            # ASGI has OSError for it; some servers raise RuntimeError if they have closed it.
            logger.debug("connection %s takes nothing more: %s", self.number, error)
            self._lose()
        except Exception as error:
            self._error = error
            self._lose()
        finally:
            self._writer = None

    def _lose(self) -> None:
        """Stop writing: the client is gone. The ASGI server is about to say so."""
        self._is_closing = True
        self._drop_queue()
        self._deadline = self._loop.time() + self._close_timeout
        self._interrupt(self._loop.time())

    def _drop_queue(self) -> None:
        self._count(-sum(map(len, self._queue)))
        self._queue.clear()

    def _count(self, size: int) -> None:
        self._waiting += size
        self._budget.waiting += size

    async def _end(self) -> None:
        tasks = [task for task in (self._writer, self._ahead) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for task in tasks:
            with suppress(asyncio.CancelledError):
                task.exception()  # read: it does not matter any more
        self._drop_queue()


async def _drop(frame: str | bytes) -> None:
    """Do nothing with a message."""

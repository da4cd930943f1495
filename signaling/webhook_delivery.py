"""Delivery of webhooks: a bounded queue and a task for each URL, in which events are posted."""

import asyncio
import random
import secrets
import ssl
import time
from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum
from logging import Logger

from icefloe._util.threads import in_thread
from icefloe.logs import get_logger

from .room_events import RoomEvent
from .webhooks import (
    LONGEST_STATUS_LINE,
    LONGEST_WEBHOOK_AGE,
    MAX_WEBHOOK_ANSWER,
    MAX_WEBHOOK_QUEUE,
    WEBHOOK_TIMEOUT,
    Webhooks,
    WebhookUrl,
    body_of,
    parse_webhook_url,
    pause_after,
    request_of,
    sign,
    start_body,
    status_of,
)

logger: Logger = get_logger(__name__)

_FLUSH_SECONDS = 0.5
"""Seconds that the end of the server waits for events that are queued."""

_ANSWER_SECONDS = 1.0
"""Seconds for the rest of an answer after its first line."""


class WebhookOutcome(StrEnum):
    """The outcome of an event for one URL."""

    DELIVERED = "delivered"
    """The receiver has answered with a status from 200 to 299."""

    DROPPED = "dropped"
    """Too many events waited, it was tried for too long, or the server ended."""

    RETRIED = "retried"
    """An attempt has failed; counted for each."""


@dataclass(frozen=True, slots=True)
class _Event:
    id: str
    body: bytes
    at: float  # on the loop's clock


class WebhookDelivery:
    """Posts events to the webhooks of a server.

    Args:
        webhooks: The webhooks; ``None`` for none.

    Attributes:
        outcomes: The number of events, by outcome.
    """

    def __init__(self, webhooks: Webhooks | None) -> None:
        self.outcomes: Counter[str] = Counter({outcome.value: 0 for outcome in WebhookOutcome})
        self._server = secrets.token_hex(8)
        self._receivers: list[_Receiver] = []
        self._tasks: list[asyncio.Task[None]] = []
        if webhooks is not None:
            urls = map(parse_webhook_url, webhooks.urls)
            self._receivers = [_Receiver(url, webhooks, self.outcomes) for url in urls]

    @property
    def is_used(self) -> bool:
        """True if there are webhooks."""
        return bool(self._receivers)

    @property
    def waiting(self) -> int:
        """The number of events that wait, for all URLs."""
        return sum(len(receiver.queue) for receiver in self._receivers)

    def start(self) -> None:
        """Start to post, first that the server has started."""
        self._post(start_body(self._server, time.time()))
        self._tasks = [
            asyncio.create_task(receiver.run(), name=f"webhook {receiver.url.origin}")
            for receiver in self._receivers
        ]

    def report(self, event: RoomEvent) -> None:
        """Queue an event; never waits."""
        self._post(body_of(event, self._server, time.time()))

    async def close(self) -> None:
        """Post what is queued, for half a second at most. A second call has no effect.

        Cancellation: safe; what is queued is dropped.
        """
        tasks, self._tasks = self._tasks, []
        for receiver in self._receivers:
            receiver.end()
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=_FLUSH_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            for receiver in self._receivers:
                receiver.drop_all()

    def _post(self, body: bytes) -> None:
        now = asyncio.get_running_loop().time()
        # One id for all receivers, and for all attempts.
        event = _Event(f"msg_{secrets.token_urlsafe(12)}", body, now)
        for receiver in self._receivers:
            receiver.put(event)


class _Receiver:
    """The queue for one URL, and the loop that empties it, one event at a time and in order."""

    def __init__(self, url: WebhookUrl, webhooks: Webhooks, outcomes: Counter[str]) -> None:
        self.url = url
        self.queue: deque[_Event] = deque()
        self._secrets = webhooks.secrets
        self._ssl = webhooks.ssl
        self._outcomes = outcomes
        self._changed = asyncio.Event()
        self._has_ended = False
        self._has_warned = False

    def put(self, event: _Event) -> None:
        """Append an event, or drop it if too many wait."""
        if len(self.queue) >= MAX_WEBHOOK_QUEUE or self._has_ended:
            self._drop("too many wait")
            return
        self.queue.append(event)
        self._changed.set()

    def end(self) -> None:
        """Accept no more events."""
        self._has_ended = True
        self._changed.set()

    def drop_all(self) -> None:
        """Drop what is queued."""
        while self.queue:
            self.queue.popleft()
            self._drop("the server has ended")

    async def run(self) -> None:
        """Post events until the queue has ended and is empty. Cancellation: safe."""
        failures = 0
        while self.queue or not self._has_ended:
            if not self.queue:
                self._changed.clear()
                await self._changed.wait()
                continue
            event = self.queue[0]
            if asyncio.get_running_loop().time() - event.at > LONGEST_WEBHOOK_AGE:
                self.queue.popleft()
                self._drop("it was tried for too long")
                continue
            reason = await self._attempt(event)
            if reason is None:
                failures = 0
                self.queue.popleft()
                self._outcomes[WebhookOutcome.DELIVERED] += 1
                self._has_warned = False
                continue
            failures += 1
            self._outcomes[WebhookOutcome.RETRIED] += 1
            self._warn(reason)
            await asyncio.sleep(pause_after(failures, random.random()))

    async def _attempt(self, event: _Event) -> str | None:
        """Post an event; return why it failed, or ``None``."""
        try:
            async with asyncio.timeout(WEBHOOK_TIMEOUT):
                status = await self._post(event)
        except TimeoutError:
            return f"no answer within {WEBHOOK_TIMEOUT:g} s"
        except Exception as error:
            # Whatever is wrong with another server must not end the deliveries: what is no host
            # name raises UnicodeError, what is no HTTP LimitOverrunError. Not its text, which may
            # quote what the receiver wrote.
            return type(error).__name__
        if status is None:
            return "the answer is not HTTP"
        return None if 200 <= status < 300 else f"status {status}"

    async def _post(self, event: _Event) -> int | None:
        timestamp = int(time.time())
        headers = {
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._secrets, event.id, timestamp, event.body),
        }
        if self.url.is_secure and self._ssl is None:
            # It reads all authorities of the system, some ten milliseconds.
            self._ssl = await in_thread(ssl.create_default_context, "webhook authorities")
        reader, writer = await asyncio.open_connection(
            self.url.host,
            self.url.port,
            ssl=self._ssl if self.url.is_secure else None,
            limit=LONGEST_STATUS_LINE,
        )
        try:
            writer.write(request_of(self.url, headers, event.body))
            await writer.drain()
            status = status_of(await reader.readuntil(b"\n"))
            await _read_rest(reader)
        finally:
            writer.transport.abort()
        return status

    def _drop(self, reason: str) -> None:
        self._outcomes[WebhookOutcome.DROPPED] += 1
        self._warn(f"an event was dropped: {reason}")

    def _warn(self, reason: str) -> None:
        """Log a failure, once until one is delivered."""
        if self._has_warned:
            logger.debug("webhook %s: %s", self.url.origin, reason)
            return
        self._has_warned = True
        logger.warning(
            "webhook %s: %s; it is tried again for %g s. Further failures are counted and not "
            "logged until one is delivered.",
            self.url.origin,
            reason,
            LONGEST_WEBHOOK_AGE,
        )


async def _read_rest(reader: asyncio.StreamReader) -> None:
    """Read the rest of an answer, so that the receiver sees no reset; not for long."""
    left = MAX_WEBHOOK_ANSWER
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            while left > 0 and (data := await reader.read(left)):
                left -= len(data)
    except (TimeoutError, OSError):
        return  # its status is known

"""Traffic on the data channels of a lab peer: a pulse that is missed at once, and bulk.

``pulse`` is unreliable, and each end sends the time on it every 50 ms. The clock is the machine's
and so the same for all peers: a pulse that left after an event proves that the path works after it.
``bulk`` is reliable and carries random bytes one way and what their receiver made of them back.
"""

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Callable
from typing import Any

from icefloe.peer import ChannelClosed, DataChannel

PULSE, BULK = "pulse", "bulk"
PERIOD = 0.05
"""Seconds between two pulses."""

MESSAGE = 16 * 1024
"""Bytes of a message of bulk."""

GAP = 0.5
"""Seconds of silence that are worth reporting."""

_WAITING = 1024
"""Bytes that may wait in a channel before pulses are left out."""

Emit = Callable[..., None]
"""Reports an event: its name, and what belongs to it."""


class Traffic:
    """The channels of one peer.

    Args:
        emit: Reports ``open``, ``flowing``, ``gap``, ``transferred`` and ``received``.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._wanted: list[float] = []
        self._last: float | None = None

    def tell_when_flowing(self, after: float) -> None:
        """Report ``flowing`` at the first pulse that left after this time."""
        self._wanted.append(after)

    async def serve(self, channel: DataChannel) -> None:
        """Run a channel that the other side opened, or a pulse opened here, until it is closed."""
        if channel.label == BULK:
            await self._take_bulk(channel)
            return
        async with asyncio.TaskGroup() as group:
            beating = group.create_task(self._beat(channel), name="pulse")
            await self._listen(channel)
            beating.cancel()

    async def _beat(self, channel: DataChannel) -> None:
        try:
            await channel.opened()
            self._emit("open")
            while True:
                if channel.channel.bufferedAmount < _WAITING:
                    await channel.send(json.dumps(time.monotonic()))
                await asyncio.sleep(PERIOD)
        except ChannelClosed:
            return

    async def _listen(self, channel: DataChannel) -> None:
        async for message in channel:
            now = time.monotonic()
            sent = float(json.loads(message))
            if self._last is not None and now - self._last > GAP:
                self._emit("gap", seconds=now - self._last)
            self._last = now
            for after in [wanted for wanted in self._wanted if sent >= wanted]:
                self._wanted.remove(after)
                self._emit("flowing", after=after, sent=sent)

    async def _take_bulk(self, channel: DataChannel) -> None:
        digest, size = hashlib.sha256(), 0
        async for message in channel:
            if isinstance(message, str):
                self._emit("received", bytes=size, intact=json.loads(message) == digest.hexdigest())
                await channel.send(json.dumps({"bytes": size, "sha256": digest.hexdigest()}))
                digest, size = hashlib.sha256(), 0
            else:
                digest.update(message)
                size += len(message)

    async def send_bulk(self, channel: DataChannel, size: int) -> None:
        """Send random bytes, and report ``transferred`` once the other side has told of them.

        Args:
            channel: A channel called ``bulk`` for them alone.
            size: Bytes.
        """
        await channel.opened()
        begun = time.monotonic()
        chances, digest, left = random.Random(size), hashlib.sha256(), size
        while left:
            message = chances.randbytes(min(left, MESSAGE))
            digest.update(message)
            left -= len(message)
            await channel.send(message)
        await channel.send(json.dumps(digest.hexdigest()))
        answer: dict[str, Any] = json.loads(await channel.receive())
        intact = answer == {"bytes": size, "sha256": digest.hexdigest()}
        self._emit("transferred", bytes=size, seconds=time.monotonic() - begun, intact=intact)
        channel.close()

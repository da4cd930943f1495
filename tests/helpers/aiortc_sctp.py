"""aiortc's own SCTP that sends to icefloe's association, in virtual time, over a link that is bad.

Nothing here waits; the same seed gives the same run.
"""

import asyncio
import heapq
import random
import secrets
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCDtlsTransport, RTCSctpTransport
from aiortc.rtcsctptransport import RTCSctpCapabilities

from icefloe.peer.sctp.association import Association
from icefloe.peer.sctp.inbound import Arrival
from icefloe.peer.sctp.states import Settings

T = TypeVar("T")

OVERHEAD = 100
"""Bytes that a message that is not read takes beside its data."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock leaps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        loop = cast(Any, self)
        while loop._scheduled and loop._scheduled[0]._cancelled:
            heapq.heappop(loop._scheduled)._scheduled = False
            loop._timer_cancelled_count -= 1
        if not loop._ready and loop._scheduled:
            self.now = max(self.now, loop._scheduled[0]._when)
        super()._run_once()  # type: ignore[misc]


def in_virtual_time(
    run: Callable[[VirtualLoop], Coroutine[Any, Any, T]], monkeypatch: pytest.MonkeyPatch
) -> T:
    """Run a coroutine in a loop of its own, with the clock that aiortc looks at."""
    loop = VirtualLoop()
    clock = SimpleNamespace(time=lambda: loop.now)
    monkeypatch.setattr("aiortc.rtcsctptransport.time", clock)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(run(loop))


@dataclass(slots=True)
class Link:
    """Both directions of a link.

    Attributes:
        delay: Seconds from one end to the other.
        jitter: Seconds by which it varies; packets overtake each other.
        loss: The part of packets that is lost, 0 to 1.
        duplication: The part that comes twice.
        queue: Packets under way; more are lost.
        cut_until: Before this nothing arrives.
    """

    delay: float
    jitter: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    queue: int = 1_000_000
    cut_until: float = 0.0


class _Dtls:
    """The part of a DTLS transport that aiortc's SCTP needs; it hands packets to the link."""

    state = "connected"
    _role = "client"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send

    def _register_data_receiver(self, _: object) -> None:
        pass

    _unregister_data_receiver = _register_data_receiver

    async def _send_data(self, data: bytes) -> None:
        self._send(bytes(data))


class Pair:
    """aiortc, which sends, and icefloe, whose application reads or does not.

    Args:
        link: What is between them.
        chances: Where chance comes from.
        loop: The loop, whose clock both have.
        window: Bytes that icefloe takes before they are read.
    """

    def __init__(
        self, link: Link, chances: random.Random, loop: VirtualLoop, *, window: int
    ) -> None:
        self.link = link
        self.sender = RTCSctpTransport(cast(RTCDtlsTransport, _Dtls(self._to_receiver)))
        self.receiver = Association(
            Settings(
                tag=chances.getrandbits(32) or 1,
                tsn=chances.getrandbits(32),
                secret=secrets.token_bytes(16),
                window=window,
            )
        )
        self.messages: list[bytes] = []
        self._chances = chances
        self._loop = loop
        self._under_way = 0
        self._unread = 0
        self._reads = True
        self._to_sender: deque[bytes] = deque()
        self._has_come = asyncio.Event()
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._is_scheduled = False

    async def open(self, *, ordered: bool) -> RTCDataChannel:
        """Establish the association, and open a channel."""
        await self.sender.start(RTCSctpCapabilities(maxMessageSize=0), 5000)
        self.receiver.connect(self._loop.now)
        self._schedule()
        parameters = RTCDataChannelParameters(label="bulk", id=1, negotiated=True, ordered=ordered)
        channel = RTCDataChannel(self.sender, parameters)
        while channel.readyState != "open":
            await asyncio.sleep(0.1)
        return channel

    async def pump(self) -> None:
        """Hand aiortc what comes for it, as its DTLS does."""
        while True:
            while self._to_sender:
                await self.sender._handle_data(self._to_sender.popleft())
            self._has_come.clear()
            await self._has_come.wait()

    def read(self, reads: bool) -> None:
        """Have the application read everything from now on, or nothing."""
        self._reads = reads
        if reads:
            self.receiver.hold(-self._unread)
            self._unread = 0
            self._schedule()

    async def until(self, count: int) -> None:
        """Wait until so many messages have arrived."""
        while len(self.messages) < count:
            self._changed.clear()
            await self._changed.wait()

    # --- the link

    def _carry(self, data: bytes, arrive: Callable[[bytes], None]) -> None:
        link, chances = self.link, self._chances
        is_lost = self._loop.now < link.cut_until or self._under_way >= link.queue
        if is_lost or chances.random() < link.loss:
            return

        def arrives() -> None:
            self._under_way -= 1
            arrive(data)

        for _ in range(2 if chances.random() < link.duplication else 1):
            self._under_way += 1
            self._loop.call_later(link.delay + chances.random() * link.jitter, arrives)

    def _to_receiver(self, data: bytes) -> None:
        self._carry(data, self._receive)

    def _arrived_at_sender(self, data: bytes) -> None:
        self._to_sender.append(data)
        self._has_come.set()

    # --- what drives the association

    def _receive(self, data: bytes) -> None:
        self.receiver.receive(data, self._loop.now)
        self._hand_out()
        self._schedule()

    def _hand_out(self) -> None:
        while (event := self.receiver.poll_event()) is not None:
            if not isinstance(event, Arrival):
                continue
            data = event.data
            self.messages.append(data)
            self._changed.set()
            if not self._reads:
                self._unread += len(data) + OVERHEAD
                self.receiver.hold(len(data) + OVERHEAD)

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        receiver = self.receiver
        packets = receiver.take_datagrams(self._loop.now)
        self._hand_out()
        if (probe := receiver.take_probe()) is not None:
            packets.append(probe)
        for packet in packets:
            self._carry(packet, self._arrived_at_sender)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if receiver.deadline < float("inf"):
            due = max(receiver.deadline, self._loop.now + 0.001)
            self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.receiver.handle_timeout(self._loop.now)
        self._flush()

    def close(self) -> None:
        """End both."""
        if self._timer is not None:
            self._timer.cancel()
        self.sender._set_state(self.sender.State.CLOSED)

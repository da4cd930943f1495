"""SCTP associations in virtual time, over links that delay, lose, reorder and duplicate.

Nothing here waits; the same seed gives the same run.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from icefloe.peer.sctp.association import Association
from icefloe.peer.sctp.inbound import Arrival
from icefloe.peer.sctp.outbound import Message
from icefloe.peer.sctp.states import Event, Settings, State

START = 1000.0
"""The time at the beginning, in seconds."""

SPIN = 20_000
"""Steps that may be taken without the clock moving; an engine that wants more goes in circles."""

OVERHEAD = 65
"""Bytes that DTLS, UDP and IP add to a packet."""


@dataclass(slots=True)
class Link:
    """One direction of a link; may be changed while packets travel.

    Attributes:
        delay: Seconds from one end to the other.
        jitter: Seconds by which it varies; packets overtake each other.
        loss: The part of packets that is lost, 0 to 1.
        duplication: The part that comes twice.
        rate: Bits a second; 0 is without limit.
        queue: Seconds of packets that wait for the rate; more are lost.
        mtu: Bytes that a packet may have, headers included.
        fragments: Larger ones are fragmented below, and lost if a fragment is, instead.
        is_cut: Nothing arrives.
    """

    delay: float = 0.025
    jitter: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    rate: float = 0.0
    queue: float = 0.05
    mtu: int = 1500
    fragments: bool = False
    is_cut: bool = False
    free_at: float = 0.0
    dropped: int = 0
    most_queued: float = 0.0


class Side:
    """One end: an association, and what came out of it."""

    def __init__(self, name: str, association: Association) -> None:
        self.name = name
        self.association = association
        self.messages: list[Arrival] = []
        self.bytes_arrived = 0
        self.keep = True
        self.events: list[Event] = []
        self.freed: dict[int, int] = {}
        self.abandoned = 0
        self.packets_sent = 0
        self.on_packet: Callable[[bytes], None] | None = None
        self.on_message: Callable[[Arrival], None] | None = None

    @property
    def is_established(self) -> bool:
        """True if it can send."""
        return self.association.state is State.ESTABLISHED


class World:
    """Links and the associations at their ends.

    Attributes:
        now: The time, in seconds.
    """

    def __init__(self, seed: int = 0) -> None:
        self.now = START
        self.random = random.Random(seed)
        self._order = itertools.count()
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._sides: list[Side] = []
        self.ways: dict[str, tuple[Link, Side]] = {}
        self._stale: set[str] = set()

    def pair(
        self, there: Link, back: Link | None = None, *, name: str = "", **settings: object
    ) -> tuple[Side, Side]:
        """Make two ends, joined by a link each way; ``back`` is like ``there`` if not given."""
        sides = []
        for end in "ab":
            made = Settings(
                tag=self.random.getrandbits(32) or 1,
                tsn=self.random.getrandbits(32),
                secret=self.random.randbytes(16),
                max_message=16 * 1024 * 1024,
            )
            own = settings.get(end, {})
            made = replace(made, **own)  # type: ignore[arg-type]
            sides.append(Side(name + end, Association(made)))
        a, b = sides
        self._sides += sides
        self.ways[a.name] = there, b
        self.ways[b.name] = back if back is not None else replace(there), a
        return a, b

    def connect(self, *sides: Side) -> None:
        """Begin, and run until all are established."""
        for side in sides:
            side.association.connect(self.now)
            self._stale.add(side.name)
        assert self.run(60, lambda: all(side.is_established for side in sides))

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something so many seconds from now."""
        heapq.heappush(self._coming, (self.now + seconds, next(self._order), action))

    def send(
        self,
        side: Side,
        data: bytes,
        *,
        stream: int = 0,
        ordered: bool = True,
        max_retransmits: int | None = None,
        lifetime: float | None = None,
    ) -> Message:
        """Queue a message."""
        message = Message(
            stream,
            53,
            data,
            ordered=ordered,
            max_retransmits=max_retransmits,
            expires=self.now + lifetime if lifetime is not None else None,
        )
        side.association.send(message)
        self._stale.add(side.name)
        return message

    def touch(self, side: Side) -> None:
        """Have a side flushed, because something was done to it."""
        self._stale.add(side.name)

    def flush(self, side: Side) -> None:
        """Carry out what a side wants."""
        association = side.association
        link, other = self.ways[side.name]
        for packet in association.take_datagrams(self.now):
            if side.on_packet is not None:
                side.on_packet(packet)
            self._carry(packet, link, other)
            side.packets_sent += 1
        if (probe := association.take_probe()) is not None:
            self._carry(probe, link, other)
            side.packets_sent += 1
        while (event := association.poll_event()) is not None:
            if not isinstance(event, Arrival):
                side.events.append(event)
                continue
            side.bytes_arrived += len(event.data)
            if side.keep:
                side.messages.append(event)
            if side.on_message is not None:
                side.on_message(event)
        if (changes := association.poll_changes()) is not None:
            side.abandoned += len(changes.abandoned)
            for stream, size in changes.freed.items():
                side.freed[stream] = side.freed.get(stream, 0) + size

    def _carry(self, packet: bytes, link: Link, other: Side) -> None:
        size = len(packet) + OVERHEAD
        pieces = -(-size // link.mtu)
        if link.is_cut or (pieces > 1 and not link.fragments):
            return
        if self.random.random() < 1 - (1 - link.loss) ** pieces:
            return
        leaves = self.now
        if link.rate:
            waits = max(link.free_at - self.now, 0.0)
            if waits > link.queue:
                link.dropped += 1
                return
            link.most_queued = max(link.most_queued, waits)
            leaves = link.free_at = self.now + waits + size * 8 / link.rate
        for _ in range(1 + (self.random.random() < link.duplication)):
            delay = link.delay + self.random.uniform(0, link.jitter)
            heapq.heappush(
                self._coming,
                (leaves + delay, next(self._order), lambda: self._arrive(packet, other)),
            )

    def _arrive(self, packet: bytes, side: Side) -> None:
        side.association.receive(packet, self.now)
        self._stale.add(side.name)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time go by, until something holds; return whether it does."""
        end = self.now + seconds
        spinning = 0
        pending: deque[Side] = deque()
        while True:
            pending.extend(side for side in self._sides if side.name in self._stale)
            self._stale.clear()
            while pending:
                self.flush(pending.popleft())
            if self._stale:
                continue
            if until():
                return True
            coming = self._coming[0][0] if self._coming else float("inf")
            first = min(self._sides, key=lambda side: side.association.deadline)
            next_time = min(coming, first.association.deadline)
            if next_time > end:
                self.now = end
                return False
            spinning = spinning + 1 if next_time <= self.now else 0
            assert spinning < SPIN, f"time stands still at {self.now}"
            self.now = max(self.now, next_time)
            if coming <= next_time:
                while self._coming and self._coming[0][0] <= self.now:
                    heapq.heappop(self._coming)[2]()
            else:
                first.association.handle_timeout(self.now)
                self._stale.add(first.name)


def bulk(world: World, side: Side, size: int = 65536, backlog: int = 1 << 20) -> None:
    """Have a side always have something to send."""
    chunk = bytes(size)

    def refill() -> None:
        while side.association.queue.size < backlog:
            world.send(side, chunk)
        world.at(0.002, refill)

    refill()

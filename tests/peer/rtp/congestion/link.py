"""Links, media flows with a bandwidth estimator, and TCP flows, in virtual time."""

import heapq
import itertools
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from icefloe.peer.rtp.congestion.estimator import (
    BandwidthEstimator,
    PacketResult,
    ProbeCluster,
    SentPacket,
)
from icefloe.peer.sctp.congestion import Ack
from icefloe.peer.sctp.congestion.cubic import Cubic

PAYLOAD = 1_150
OVERHEAD = 60
PADDING = 255
FEEDBACK_SIZE = 120
FRAME_TIME = 1 / 30


class World:
    """Events in the order of their times."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(time, self.now), next(self._numbers), event))

    def run(self, until: float) -> None:
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, event = heapq.heappop(events)
            event()
        self.now = until


class Link:
    """A drop-tail queue in front of a transmitter, and a propagation delay.

    Args:
        rate: Bits per second, or pairs of a time and the bits per second from then on.
        queue: Seconds that a packet waits at most; it is dropped if it would wait longer.
        delay: Seconds of propagation.
        loss: Part of the packets that is lost at random, after the queue.
        jitter: Seconds of random delay at most, without reordering.
    """

    def __init__(
        self,
        rate: float | list[tuple[float, float]],
        *,
        queue: float = 0.3,
        delay: float = 0.05,
        loss: float = 0.0,
        jitter: float = 0.0,
        seed: int = 1,
    ) -> None:
        schedule = rate if isinstance(rate, list) else [(0.0, rate)]
        self._times = [time for time, _ in schedule]
        self._rates = [bits for _, bits in schedule]
        self.queue, self.delay, self.loss, self.jitter = queue, delay, loss, jitter
        self._random = random.Random(seed)
        self._free_at = 0.0
        self._last_arrival = 0.0
        self.waits: list[tuple[float, float]] = []
        self.drops = 0

    def rate_at(self, time: float) -> float:
        return self._rates[bisect_right(self._times, time) - 1]

    def backlog(self, now: float) -> float:
        """Return the seconds that a packet waits which comes now."""
        return max(self._free_at - now, 0.0)

    def send(self, now: float, size: int, *, extra: float = 0.0) -> float | None:
        """Return the arrival of a packet; ``None`` if it is lost."""
        start = max(self._free_at, now)
        if start - now > self.queue:
            self.drops += 1
            return None
        self.waits.append((now, start - now))
        self._free_at = self._transmit(start, size * 8)
        if self.loss and self._random.random() < self.loss:
            return None
        arrival = self._free_at + self.delay + extra
        if self.jitter:
            arrival += self._random.uniform(0, self.jitter)
            arrival = self._last_arrival = max(arrival, self._last_arrival)
        return arrival

    def _transmit(self, start: float, bits: float) -> float:
        index = bisect_right(self._times, start) - 1
        while index + 1 < len(self._times):
            room = (self._times[index + 1] - start) * self._rates[index]
            if bits <= room:
                break
            bits -= room
            start = self._times[index + 1]
            index += 1
        return start + bits / self._rates[index]

    def delays(self, start: float, end: float) -> list[float]:
        """Return the sorted waits of packets that came within a time."""
        first = bisect_right(self.waits, (start, -1.0))
        last = bisect_right(self.waits, (end, -1.0))
        return sorted(wait for _, wait in self.waits[first:last])

    def percentile(self, part: float, start: float, end: float) -> float:
        waits = self.delays(start, end)
        return waits[min(int(len(waits) * part), len(waits) - 1)] if waits else 0.0


class Video:
    """Sizes of frames: uneven, now and then a key frame, and on average what the target says."""

    def __init__(self, seed: int, *, key_interval: float = 10.0) -> None:
        self._random = random.Random(seed)
        self._debt = 0.0
        self._next_key = 0.0
        self._key_interval = key_interval

    def frame(self, now: float, target: float) -> int:
        nominal = target * FRAME_TIME / 8
        if now >= self._next_key:
            self._next_key = now + self._key_interval
            size = 5 * nominal
        else:
            paid = min(max(self._debt * 0.1, -0.3 * nominal), 0.4 * nominal)
            size = nominal * self._random.uniform(0.7, 1.3) - paid
        self._debt = min(max(self._debt + size - nominal, -3 * nominal), 6 * nominal)
        return max(int(size), 50)


@dataclass
class Flow:
    """A sender of video with a pacer and an estimator, and the receiver with its feedback."""

    world: World
    link: Link
    back: Link
    start: float = 0.0
    end: float = float("inf")
    demand: float = 20e6
    extra_delay: float = 0.0
    feedback_interval: float = 0.05
    seed: int = 1
    clock: float = 1000.0
    pauses: list[tuple[float, float]] = field(default_factory=list)
    audio: float = 0.0
    estimator: BandwidthEstimator = field(init=False)

    def __post_init__(self) -> None:
        self._video = Video(self.seed)
        self._queue: deque[int] = deque()
        self._queued = 0
        self._next_send = 0.0
        self._is_armed = False
        self._due: deque[tuple[ProbeCluster, int, int]] = deque()
        self._arrivals: deque[tuple[SentPacket, float | None]] = deque()
        self._unreported: list[tuple[SentPacket, float | None]] = []
        self.received: list[tuple[float, int]] = []
        self.targets: list[tuple[float, float]] = []
        self.world.at(self.start, self._begin)

    def _begin(self) -> None:
        now = self.world.now
        self.estimator = BandwidthEstimator(now)
        self.estimator.set_demand(self.demand, now)
        self._frame()
        self.world.at(now + self.feedback_interval, self._feedback)
        if self.audio:
            self._sound()

    def set_demand(self, demand: float) -> None:
        self.demand = demand
        self.estimator.set_demand(demand, self.world.now)

    def _is_paused(self) -> bool:
        now = self.world.now
        return any(start <= now < end for start, end in self.pauses)

    def _frame(self) -> None:
        now = self.world.now
        if now >= self.end:
            return
        self._maintain()
        target = min(self.estimator.target_bitrate, self.demand)
        self.targets.append((now, self.estimator.target_bitrate))
        target -= self.audio
        if not self._is_paused() and target > 0 and not self._is_backed_up():
            size = self._video.frame(now, target * PAYLOAD / (PAYLOAD + OVERHEAD))
            packets = -(-size // PAYLOAD)
            for _ in range(packets):
                self._put(size // packets + OVERHEAD)
            self._pace()
        self.world.at(now + FRAME_TIME, self._frame)

    def _is_backed_up(self) -> bool:
        return self._queued * 8 > 0.25 * self.estimator.target_bitrate

    def _sound(self) -> None:
        if self.world.now >= self.end:
            return
        self._put(int(self.audio * 0.02 / 8))
        self._pace()
        self.world.at(self.world.now + 0.02, self._sound)

    def _put(self, size: int) -> None:
        self._queue.append(size)
        self._queued += size

    def _maintain(self) -> None:
        now, estimator = self.world.now, self.estimator
        if estimator.deadline <= now:
            estimator.handle_timeout(now)
        if self._is_paused():
            return
        for cluster in estimator.take_probes(now):
            self._due.append((cluster, 0, 0))
        if self._due:
            self._pace()

    def _pace(self) -> None:
        if not self._is_armed:
            self._is_armed = True
            self.world.at(self._next_send, self._send)

    def _send(self) -> None:
        self._is_armed = False
        now, estimator = self.world.now, self.estimator
        if self._due:
            cluster, packets, size = self._due[0]
            sent = self._next_size()
            self._emit(sent, cluster.id)
            packets, size = packets + 1, size + sent
            if packets >= cluster.min_packets and size >= cluster.min_bytes:
                self._due.popleft()
            else:
                self._due[0] = cluster, packets, size
            rate = cluster.bitrate
        elif self._queue:
            if estimator.bytes_in_flight > estimator.congestion_window:
                self._next_send = now + 0.01
                self._pace()
                return
            sent = self._next_size()
            self._emit(sent, None)
            rate = estimator.pacing_rate
        else:
            return
        self._next_send = now + sent * 8 / rate
        if self._queue or self._due:
            self._pace()

    def _next_size(self) -> int:
        if not self._queue:
            return PADDING + OVERHEAD
        size = self._queue.popleft()
        self._queued -= size
        return size

    def _emit(self, size: int, probe: int | None) -> None:
        now = self.world.now
        packet = self.estimator.on_sent(size, now, probe)
        self._arrivals.append((packet, self.link.send(now, size, extra=self.extra_delay)))

    def _feedback(self) -> None:
        """Send what arrived since the last feedback, with the gaps before it."""
        now = self.world.now
        self.world.at(now + self.feedback_interval, self._feedback)
        arrivals, known = self._arrivals, 0
        for index, (_, arrival) in enumerate(arrivals):
            if arrival is not None:
                if arrival > now:
                    break
                known = index + 1
        if not known:
            return
        results = []
        for _ in range(known):
            packet, arrival = arrivals.popleft()
            if arrival is not None:
                self.received.append((arrival, packet.size))
                arrival += self.clock
            results.append(PacketResult(packet.number, arrival))
        back = self.back.send(now, FEEDBACK_SIZE, extra=self.extra_delay)
        if back is not None:
            self.world.at(back, partial(self._reported, results))

    def _reported(self, results: list[PacketResult]) -> None:
        self.estimator.on_feedback(results, self.world.now)
        self._maintain()

    def rate(self, start: float, end: float) -> float:
        """Return the bits per second that arrived within a time."""
        first = bisect_right(self.received, (start, 0))
        last = bisect_right(self.received, (end, 0))
        return sum(size for _, size in self.received[first:last]) * 8 / (end - start)

    def first_at(self, target: float, start: float = 0.0) -> float:
        """Return when the target first was as high, from a time on; infinity if it never was."""
        return next((t for t, bits in self.targets if t >= start and bits >= target), float("inf"))

    def first_below(self, target: float, start: float) -> float:
        return next((t for t, bits in self.targets if t >= start and bits <= target), float("inf"))

    def most(self, start: float, end: float) -> float:
        return max((bits for t, bits in self.targets if start <= t < end), default=0.0)


class Tcp:
    """A TCP flow with CUBIC: a window of segments, acknowledged one by one."""

    SEGMENT = 1_240

    def __init__(
        self,
        world: World,
        link: Link,
        back: Link,
        *,
        start: float = 0.0,
        size: float = float("inf"),
        extra_delay: float = 0.0,
    ) -> None:
        self.world, self.link, self.back = world, link, back
        self._cubic = Cubic(self.SEGMENT)
        self._left = size
        self._extra = extra_delay
        self._flight = 0
        self._recover_at = float("-inf")
        self.received: list[tuple[float, int]] = []
        world.at(start, self._send)

    def _send(self) -> None:
        now = self.world.now
        while self._left > 0 and self._flight + self.SEGMENT <= self._cubic.window:
            self._left -= self.SEGMENT
            self._flight += self.SEGMENT
            arrival = self.link.send(now, self.SEGMENT, extra=self._extra)
            if arrival is None:
                # What is sent next shows the gap.
                due = now + self.link.backlog(now) + self.link.delay + self.back.delay
                self.world.at(due + 2 * self._extra + 0.01, partial(self._lost, now))
            else:
                self.received.append((arrival, self.SEGMENT))
                due = arrival + self.back.delay + self._extra
                self.world.at(due, partial(self._acknowledged, now))

    def _acknowledged(self, sent: float) -> None:
        now = self.world.now
        ack = Ack(now, self._flight)
        self._flight -= self.SEGMENT
        ack.acked, ack.flight, ack.rtt = self.SEGMENT, self._flight, now - sent
        ack.in_recovery = sent < self._recover_at
        self._cubic.acknowledged(ack)
        self._send()

    def _lost(self, sent: float) -> None:
        now = self.world.now
        ack = Ack(now, self._flight)
        self._flight -= self.SEGMENT
        self._left += self.SEGMENT
        ack.lost, ack.flight = self.SEGMENT, self._flight
        ack.in_recovery = sent < self._recover_at
        if not ack.in_recovery:
            self._recover_at = now
        self._cubic.acknowledged(ack)
        self._send()

    def rate(self, start: float, end: float) -> float:
        """Return the bits per second that arrived within a time."""
        return sum(size for at, size in self.received if start <= at < end) * 8 / (end - start)

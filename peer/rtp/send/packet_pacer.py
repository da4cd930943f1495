"""Pacer of one transport: one queue for the packets of all its outgoing streams. Does no I/O.

Audio is sent at once and counts towards the rate. Retransmissions come before new video, and video
before padding. Streams of video take turns by bytes, so that a large key frame of one does not hold
up the others. A frame that fits into the burst of :data:`BURST` seconds leaves at once.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from ..congestion.packets import ProbeCluster
from .send_stamp import SendStamp

BURST = 0.02
"""Seconds of the pacing rate that may be sent at once, which is also how late the event loop may be
without a loss of rate."""

MIN_BURST_BYTES = 1500
"""Bytes of the smallest burst: one packet, at any rate."""

MAX_BURST_BYTES = 32 * 1024
"""Bytes of the largest burst: 27 packets, which overflow no buffer of the path or the system."""

QUANTUM = 0.004
"""Seconds between bursts: four packets at 10 Mbit/s."""

PROBE_QUANTUM = 0.002
"""Seconds between the bursts of a probe, whose receiver measures the rate over some 15 ms."""

MAX_QUEUED_BYTES = 8 << 20
"""Maximum bytes in the queue; the oldest packets beyond it are sent at once. A 4K key frame with
film grain is smaller."""

MAX_OVERDUE_BYTES = 128 * 1024
"""Maximum bytes of overdue packets sent at once. Socket buffers of most systems hold 200 kB."""

PROBE_TIMEOUT = 1.0
"""Seconds after which a probe that found too little to send ends."""


class Priority(IntEnum):
    """Order in which queued packets leave; the lowest first."""

    RETRANSMISSION = 0
    MEDIA = 1
    PADDING = 2


@dataclass(frozen=True, slots=True)
class PacedPacket:
    """A packet in the queue.

    Attributes:
        packet: The RTP packet.
        stamp: Offsets of the extensions to write when it leaves.
        stream: The stream that it belongs to.
        since: When it was queued, in seconds.
        priority: Its priority.
        probe: Id of the probe cluster that it is part of, or ``None``.
    """

    packet: bytes
    stamp: SendStamp
    stream: int
    since: float
    priority: Priority
    probe: int | None = None


@dataclass(slots=True)
class _Probe:
    cluster: ProbeCluster
    expires_at: float
    started_at: float | None = None
    bytes: int = 0
    packets: int = 0

    @property
    def is_complete(self) -> bool:
        enough_bytes = self.bytes >= self.cluster.min_bytes
        return enough_bytes and self.packets >= self.cluster.min_packets


class _Streams:
    """Queues of one priority by stream; the stream that has sent least is served next."""

    def __init__(self) -> None:
        self.bytes = 0
        self._queues: dict[int, deque[PacedPacket]] = {}
        self._served: dict[int, int] = {}

    def put(self, packet: PacedPacket) -> None:
        queue = self._queues.get(packet.stream)
        if queue is None:
            queue = self._queues[packet.stream] = deque()
            self._served[packet.stream] = min(self._served.values(), default=0)
        queue.append(packet)
        self.bytes += len(packet.packet)

    def get(self) -> PacedPacket:
        stream = min(self._served, key=self._served.__getitem__)
        queue = self._queues[stream]
        packet = queue.popleft()
        size = len(packet.packet)
        self.bytes -= size
        self._served[stream] += size
        if not queue:
            del self._queues[stream], self._served[stream]
        return packet

    def oldest(self) -> float | None:
        return min((queue[0].since for queue in self._queues.values()), default=None)

    def of(self, stream: int) -> int:
        return sum(len(packet.packet) for packet in self._queues.get(stream, ()))

    def drop(self, stream: int) -> int:
        """Drop the packets of a stream and return how many they were."""
        dropped = self._queues.pop(stream, ())
        self._served.pop(stream, None)
        self.bytes -= sum(len(packet.packet) for packet in dropped)
        return len(dropped)


class PacketPacer:
    """Queue of the outgoing packets of a transport, drained at the pacing rate.

    Args:
        max_delay: Seconds that a packet waits at most; the rate is raised to keep it.

    Attributes:
        rate: Pacing rate in bytes per second.
        max_delay: See above. It may be changed at any time.
    """

    def __init__(self, max_delay: float) -> None:
        self.rate = 0.0
        self.max_delay = max_delay
        self._queues = {priority: _Streams() for priority in Priority}
        self._credit = float("inf")  # a burst, whatever its size
        self._at: float | None = None
        self._probe: _Probe | None = None
        self._drain_rate = 0.0
        """Bytes per second that empty the queue in time."""

    @property
    def queued_bytes(self) -> int:
        """Bytes in the queue."""
        return sum(queue.bytes for queue in self._queues.values())

    def queued_bytes_of(self, stream: int) -> int:
        """Return the bytes of new media of a stream in the queue."""
        return self._queues[Priority.MEDIA].of(stream)

    def put(
        self,
        now: float,
        stream: int,
        packets: Sequence[bytes],
        *,
        stamp: SendStamp,
        priority: Priority = Priority.MEDIA,
    ) -> None:
        """Queue packets of a stream, in order.

        Args:
            now: Seconds on a monotonic clock, like all other times here.
            stream: The stream, by any number.
            packets: The packets.
            stamp: Offsets of their extensions.
            priority: Their priority.
        """
        self._refill(now)  # the time until now counts at the rate until now
        queue = self._queues[priority]
        for packet in packets:
            queue.put(PacedPacket(packet, stamp, stream, now, priority))
        self._drain_rate = max(self._drain_rate, self.queued_bytes / self.max_delay)

    def spend(self, size: int, now: float) -> None:
        """Count bytes that were sent outside of the queue, such as audio."""
        self._refill(now)
        self._credit = max(self._credit - size, -self._burst())

    def start_probe(self, cluster: ProbeCluster, now: float) -> None:
        """Send what comes next at the rate of a probe; a probe that still runs is replaced."""
        self._refill(now)
        self._probe = _Probe(cluster, now + PROBE_TIMEOUT)

    def padding_needed(self, now: float) -> int:
        """Return how many bytes of padding the running probe lacks now; 0 if none."""
        probe = self._probe
        if probe is None or self.queued_bytes or probe.started_at is None:
            return 0
        if self._credit_at(now) <= 0:
            return 0
        return max(1, probe.cluster.min_bytes - probe.bytes)

    def take(self, now: float) -> list[PacedPacket]:
        """Remove and return the packets to send now."""
        self._refill(now)
        leaving: list[PacedPacket] = []
        overdue = 0
        while self.queued_bytes:
            # An event loop that is late, and sends one burst each time it runs, would fall further
            # and further behind without what is overdue.
            may_leave = self._is_overdue(now) and overdue < MAX_OVERDUE_BYTES
            if self._credit <= 0 and not may_leave:
                break
            queue = next(queue for queue in self._queues.values() if queue.bytes)
            packet = queue.get()
            size = len(packet.packet)
            if self._credit > 0:
                self._credit -= size
            else:
                overdue += size
            leaving.append(self._probed(packet, now))
        if self._probe is not None and now >= self._probe.expires_at:
            self._probe = None
        if not self.queued_bytes:
            self._drain_rate = 0.0
        return leaving

    def ready_at(self, now: float) -> float | None:
        """Return when the next packets, or padding, may be sent; ``None`` if nothing waits."""
        probe = self._probe
        is_probing = probe is not None and probe.started_at is not None
        if not self.queued_bytes and not is_probing:
            return None
        rate = self._rate()
        if rate <= 0:
            return None
        quantum = PROBE_QUANTUM if is_probing else QUANTUM
        wanted = min(max(quantum * rate, 1.0), self._burst())
        return now + max(wanted - self._credit_at(now), 0.0) / rate

    def drop(self, stream: int) -> int:
        """Drop the queued packets of a stream and return how many they were."""
        return sum(queue.drop(stream) for queue in self._queues.values())

    def _probed(self, packet: PacedPacket, now: float) -> PacedPacket:
        probe = self._probe
        if probe is None:
            return packet
        if probe.started_at is None:
            # The probe begins with media: what was sent before it does not count as its burst.
            probe.started_at = now
            self._credit = -float(len(packet.packet))
        probe.bytes += len(packet.packet)
        probe.packets += 1
        id = probe.cluster.id
        if probe.is_complete:
            self._probe = None
        return PacedPacket(
            packet.packet, packet.stamp, packet.stream, packet.since, packet.priority, id
        )

    def _is_overdue(self, now: float) -> bool:
        """Return whether a packet is to be sent regardless of the credit."""
        if self.queued_bytes > MAX_QUEUED_BYTES:
            return True
        oldest = self._queues[Priority.MEDIA].oldest()
        return oldest is not None and now - oldest >= 2 * self.max_delay

    def _rate(self) -> float:
        if self._probe is not None and self._probe.started_at is not None:
            return self._probe.cluster.bitrate / 8
        return max(self.rate, self._drain_rate)

    def _burst(self) -> float:
        is_probing = self._probe is not None and self._probe.started_at is not None
        seconds = PROBE_QUANTUM if is_probing else BURST
        return min(max(MIN_BURST_BYTES, seconds * self._rate()), MAX_BURST_BYTES)

    def _credit_at(self, now: float) -> float:
        passed = 0.0 if self._at is None else max(0.0, now - self._at)
        return min(self._credit + passed * self._rate(), self._burst())

    def _refill(self, now: float) -> None:
        self._credit = self._credit_at(now)
        self._at = now if self._at is None else max(self._at, now)

"""Bit rates that probe clusters found."""

from typing import NamedTuple

from .packets import ProbeCluster, SentPacket

_ENOUGH = 0.8
"""Part of the packets and bytes of a cluster that have to arrive."""

_SATURATED = 0.9
"""Part of the sent rate below which the arriving one shows the capacity of the link."""

_USED = 0.95
"""Part of the capacity that a saturated link is given, so that its queue drains."""

_COMPRESSED = 2.0
"""Multiple of the sent rate from which arrivals were bunched on the path, and show nothing."""

_SHORTEST = 0.001
"""Seconds that a cluster takes at least."""

MAX_CLUSTERS = 16
"""Clusters without a result; beyond it the oldest is forgotten."""


class ProbeResult(NamedTuple):
    """Result of a cluster.

    Attributes:
        id: Number of the cluster.
        bitrate: Bits per second that the path carries.
        is_saturated: Whether it carries no more.
    """

    id: int
    bitrate: float
    is_saturated: bool


class _Cluster:
    """Counts of a cluster that is being sent or reported."""

    def __init__(self, cluster: ProbeCluster) -> None:
        self.cluster = cluster
        self.sent = self.reported = self.packets = self.bytes = self.sent_bytes = 0
        self.first: tuple[float, int] | None = None  # sent at, size
        self.last_sent = 0.0
        self.last_size = 0
        self.first_arrived = self.last_arrived = 0.0
        self.first_arrived_size = 0

    def add(self, packet: SentPacket, received_at: float) -> None:
        if self.first is None:
            self.first = packet.sent_at, packet.size
            self.first_arrived = self.last_arrived = received_at
            self.first_arrived_size = packet.size
            self.last_sent, self.last_size = packet.sent_at, packet.size
        if received_at < self.first_arrived:
            self.first_arrived, self.first_arrived_size = received_at, packet.size
        if packet.sent_at >= self.last_sent:
            self.last_sent, self.last_size = packet.sent_at, packet.size
        self.last_arrived = max(self.last_arrived, received_at)
        self.packets += 1
        self.bytes += packet.size

    def is_complete(self) -> bool:
        wanted = self.cluster
        return (
            self.sent >= wanted.min_packets
            and self.sent_bytes >= wanted.min_bytes
            and self.reported >= self.sent
        )

    def result(self) -> ProbeResult | None:
        """Return the result; ``None`` if too little arrived, or too unevenly."""
        wanted = self.cluster
        if self.first is None or self.packets < max(_ENOUGH * wanted.min_packets, 2):
            return None
        if self.bytes < _ENOUGH * wanted.min_bytes:
            return None
        sending = self.last_sent - self.first[0]
        arriving = self.last_arrived - self.first_arrived
        if sending < _SHORTEST or arriving < _SHORTEST:
            return None
        sent = (self.bytes - self.last_size) * 8 / sending
        arrived = (self.bytes - self.first_arrived_size) * 8 / arriving
        if arrived > _COMPRESSED * sent:
            return None
        if arrived < _SATURATED * sent:
            return ProbeResult(wanted.id, _USED * arrived, is_saturated=True)
        return ProbeResult(wanted.id, min(sent, arrived), is_saturated=False)


class ProbeResults:
    """Results of the clusters that were sent."""

    def __init__(self) -> None:
        self._clusters: dict[int, _Cluster] = {}

    def begin(self, cluster: ProbeCluster) -> None:
        """Note that a cluster is going to be sent."""
        self._clusters[cluster.id] = _Cluster(cluster)
        if len(self._clusters) > MAX_CLUSTERS:
            del self._clusters[next(iter(self._clusters))]

    def sent(self, packet: SentPacket) -> None:
        """Note a packet that was sent for a cluster."""
        if packet.probe is not None and (found := self._clusters.get(packet.probe)) is not None:
            found.sent += 1
            found.sent_bytes += packet.size

    def add(self, packet: SentPacket, received_at: float | None) -> None:
        """Note the result of a packet; ``None`` is a lost one."""
        if packet.probe is None or (found := self._clusters.get(packet.probe)) is None:
            return
        found.reported += 1
        if received_at is not None:
            found.add(packet, received_at)

    def take(self) -> list[tuple[int, ProbeResult | None]]:
        """Return the results of clusters that are complete: number and result, if any."""
        complete = [id_ for id_, found in self._clusters.items() if found.is_complete()]
        return [(id_, self._clusters.pop(id_).result()) for id_ in complete]

    def give_up(self, id_: int) -> ProbeResult | None:
        """Forget a cluster; return the result of what arrived of it, if any."""
        found = self._clusters.pop(id_, None)
        return None if found is None else found.result()

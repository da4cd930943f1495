"""Packets, their results and probes: what the estimator exchanges with the sender."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class SentPacket(NamedTuple):
    """A packet that was sent under a transport-wide sequence number.

    Attributes:
        number: Transport-wide sequence number, unwrapped and ascending.
        sent_at: Seconds on a monotonic clock.
        size: Bytes with all overhead (IP, UDP, SRTP).
        probe: The :attr:`ProbeCluster.id` that it was sent for, or ``None``.
    """

    number: int
    sent_at: float
    size: int
    probe: int | None


@dataclass(frozen=True, slots=True)
class PacketResult:
    """Result of one packet in a feedback.

    Attributes:
        number: The :attr:`SentPacket.number` of the packet.
        received_at: Seconds on the receiver's clock, which has any offset; ``None`` if it is lost.
    """

    number: int
    received_at: float | None


@dataclass(frozen=True, slots=True)
class ProbeCluster:
    """A burst that shows whether the path carries a higher rate.

    Attributes:
        id: Number of the cluster, for :attr:`SentPacket.probe`.
        bitrate: Bits per second at which it is sent.
        min_packets: Packets that it needs at least.
        min_bytes: Bytes that it needs at least, with all overhead.
        duration: Seconds that this takes at the bit rate.
    """

    id: int
    bitrate: float
    min_packets: int
    min_bytes: int
    duration: float


class NetworkState(StrEnum):
    """State of the path as the sender sees it."""

    NORMAL = "normal"
    OVERUSING = "overusing"
    """More is sent than the path carries."""
    UNDERUSING = "underusing"
    """A queue on the path becomes shorter."""
    COMPETING = "competing"
    """Somebody else keeps a queue filled."""
    SILENT = "silent"
    """Feedback fails to come."""

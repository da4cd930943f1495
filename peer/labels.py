"""Channels that both sides open under one label, and which of them belong together."""

from collections import deque
from dataclasses import dataclass
from typing import Self

from aiortc import RTCDataChannel

from .channels import DataChannel


@dataclass(frozen=True, slots=True)
class Kind:
    """The properties by which both sides know a channel for the same one.

    Attributes:
        label: Its label.
        protocol: Its subprotocol.
        ordered: Whether messages arrive in order.
        max_retransmits: Retransmissions before a message is given up.
        max_packet_life_time: Milliseconds before a message is given up.
    """

    label: str
    protocol: str
    ordered: bool
    max_retransmits: int | None
    max_packet_life_time: int | None

    @classmethod
    def of(cls, channel: RTCDataChannel) -> Self:
        """Return the kind of a channel."""
        return cls(
            channel.label,
            channel.protocol,
            channel.ordered,
            channel.maxRetransmits,
            channel.maxPacketLifeTime,
        )

    def is_named_as(self, other: Self) -> bool:
        """Tell whether nothing but the reliability is another one."""
        return self != other and (self.label, self.protocol) == (other.label, other.protocol)


class Labels:
    """The channels of one connection that wait for their other half.

    The first channel that one side opens of a kind belongs to the first that the other side opens
    of it, the second to the second, and so on. What is closed takes no part.
    """

    def __init__(self) -> None:
        self._own: dict[Kind, deque[DataChannel]] = {}
        self._theirs: dict[Kind, deque[DataChannel]] = {}

    def opened(self, channel: DataChannel) -> None:
        """Note a channel that this side has opened."""
        self._own.setdefault(Kind.of(channel.channel), deque()).append(channel)

    def arrived(self, channel: DataChannel) -> None:
        """Note a channel that the other side has opened."""
        self._theirs.setdefault(Kind.of(channel.channel), deque()).append(channel)

    def take_own(self, kind: Kind) -> DataChannel | None:
        """Return the first channel of this side that waits for one of the other's, once."""
        return _take(self._own, kind)

    def take_theirs(self, kind: Kind) -> DataChannel | None:
        """Return the first channel of the other side that waits for one of this side's, once."""
        return _take(self._theirs, kind)

    def unlike(self, kind: Kind) -> Kind | None:
        """Return what waits under the same label and protocol with another reliability."""
        waiting = (*self._own, *self._theirs)
        return next((other for other in waiting if other.is_named_as(kind)), None)

    def forget(self, channel: DataChannel) -> None:
        """Drop a channel that is closed."""
        kind = Kind.of(channel.channel)
        for waiting in (self._own, self._theirs):
            if channel in waiting.get(kind, ()):
                waiting[kind].remove(channel)
                if not waiting[kind]:
                    del waiting[kind]


def _take(waiting: dict[Kind, deque[DataChannel]], kind: Kind) -> DataChannel | None:
    channels = waiting.pop(kind, deque())
    while channels and channels[0].closed_by is not None:
        channels.popleft()
    taken = channels.popleft() if channels else None
    if channels:
        waiting[kind] = channels
    return taken

"""Shared data channels: both peers open one label and get one channel."""

from dataclasses import dataclass
from typing import Self

from aiortc import RTCDataChannel

from ..connection.data_channel import DataChannel


@dataclass(frozen=True, slots=True)
class Kind:
    """The properties that identify a shared channel.

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
        """Return whether only the reliability differs."""
        return self != other and (self.label, self.protocol) == (other.label, other.protocol)


class Labels:
    """The shared channels of one connection, one of each kind."""

    def __init__(self) -> None:
        self._channels: dict[Kind, DataChannel] = {}
        self._alone: set[DataChannel] = set()

    def find(self, kind: Kind) -> DataChannel | None:
        """Return the channel of this kind, if there is one that is not being closed."""
        channel = self._channels.get(kind)
        return channel if channel is not None and _is_usable(channel) else None

    def opened(self, kind: Kind, channel: DataChannel) -> None:
        """Record a channel that was opened here because there was none."""
        self._channels[kind] = channel
        self._alone.add(channel)

    def arrived(self, kind: Kind, channel: DataChannel) -> None:
        """Record a channel that the remote peer has opened."""
        if self.find(kind) is None:
            self._channels[kind] = channel

    def take_half(self, kind: Kind) -> DataChannel | None:
        """Return the local channel that the remote peer has opened, too, with one that crossed it.

        It does so once for each channel: what comes after that is another one.
        """
        channel = self.find(kind)
        if channel not in self._alone:
            return None
        self._alone.remove(channel)
        return channel

    def unlike(self, kind: Kind) -> Kind | None:
        """Return the kind with the same label and protocol but another reliability, if any."""
        return next((other for other in self._channels if other.is_named_as(kind)), None)

    def forget(self, channel: DataChannel) -> None:
        """Drop a channel that is closed."""
        self._alone.discard(channel)
        kind = Kind.of(channel.channel)
        if self._channels.get(kind) is channel:
            del self._channels[kind]


def _is_usable(channel: DataChannel) -> bool:
    return channel.closed_by is None and channel.channel.readyState in ("connecting", "open")

"""Assignment of streams to data channels."""

from collections.abc import Iterable

from .admission import Admission
from .interfaces import Channel


class Streams:
    """The channels of an association by stream identifier.

    Args:
        admission: Notified when a stream becomes free.

    Attributes:
        reset_incoming: Used streams whose incoming direction was reset by the remote peer.
        reset_outgoing: Used streams whose outgoing direction was reset.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._channels: dict[int, Channel] = {}
        self.reset_incoming: set[int] = set()
        self.reset_outgoing: set[int] = set()

    def __contains__(self, id: int) -> bool:
        return id in self._channels

    def get(self, id: int) -> Channel | None:
        """Return the channel of a stream."""
        return self._channels.get(id)

    def all(self) -> list[Channel]:
        """Return all channels with a stream."""
        return list(self._channels.values())

    def register(self, channel: Channel) -> None:
        """Add a channel with its own identifier, which must be free."""
        if channel.id is not None:
            self._channels[channel.id] = channel

    def assign(self, channel: Channel, among: Iterable[int]) -> int | None:
        """Assign the first free identifier of ``among`` to a channel; ``None`` if all are used."""
        id = next((id for id in among if id not in self._channels), None)
        if id is not None:
            self._channels[id] = channel
            channel.assign(id)
        return id

    def put(self, id: int, channel: Channel) -> None:
        """Add a channel that the remote peer has opened."""
        self._channels[id] = channel

    def release(self, id: int) -> None:
        """Remove the channel of a stream."""
        self._channels.pop(id, None)
        self._admission.release(id)

    def free_if_reset(self, id: int) -> Channel | None:
        """Free a stream if both directions are reset (RFC 8831 section 6.7).

        Returns:
            The channel that used it; ``None`` if the stream is not free.
        """
        if id not in self.reset_incoming or id not in self.reset_outgoing:
            return None
        self.reset_incoming.discard(id)
        self.reset_outgoing.discard(id)
        self._admission.release(id)
        return self._channels.pop(id, None)

"""Which data channel has which stream, and when a stream is free again."""

from collections.abc import Iterable

from .admission import Admission
from .interfaces import Channel


class Streams:
    """The channels of an association by their stream identifiers.

    Args:
        admission: Is told of streams that are free again.

    Attributes:
        reset_here: Streams in use whose incoming direction the other side has reset.
        reset_there: Likewise, whose outgoing direction this side has.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._channels: dict[int, Channel] = {}
        self.reset_here: set[int] = set()
        self.reset_there: set[int] = set()

    def __contains__(self, id: int) -> bool:
        return id in self._channels

    def get(self, id: int) -> Channel | None:
        """Return the channel of a stream."""
        return self._channels.get(id)

    def all(self) -> list[Channel]:
        """Return all channels that have a stream."""
        return list(self._channels.values())

    def register(self, channel: Channel) -> None:
        """Add a channel under the identifier that it has, and that no other has."""
        if channel.id is not None:
            self._channels[channel.id] = channel

    def assign(self, channel: Channel, among: Iterable[int]) -> int | None:
        """Give a channel the first of these identifiers that is free; ``None`` if none is."""
        id = next((id for id in among if id not in self._channels), None)
        if id is not None:
            self._channels[id] = channel
            channel.assign(id)
        return id

    def put(self, id: int, channel: Channel) -> None:
        """Add a channel that the other side has opened."""
        self._channels[id] = channel

    def release(self, id: int) -> None:
        """Take the channel of a stream away."""
        self._channels.pop(id, None)
        self._admission.left(id)

    def free_if_reset(self, id: int) -> Channel | None:
        """Free a stream if both directions are reset (RFC 8831 section 6.7).

        Returns:
            The channel that had it until now.
        """
        if id not in self.reset_here or id not in self.reset_there:
            return None
        self.reset_here.discard(id)
        self.reset_there.discard(id)
        self._admission.left(id)
        return self._channels.pop(id, None)

"""Admission control for data channels that the remote peer opens. Does no I/O."""

from .options import MAX_ID

MOST_CHANNELS = 1024
"""Default maximum number of channels that the remote peer may have open."""

MAX_CHANNEL_TEXT = 1024 * 1024
"""Maximum bytes of their labels and protocols together; each may have 65,535 (RFC 8832)."""


class Admission:
    """Admits or refuses channels of the remote peer.

    Args:
        most: Maximum number of open channels.

    Attributes:
        refused: Number of refused channels.
    """

    def __init__(self, most: int = MOST_CHANNELS) -> None:
        self.refused: int = 0
        self._most = most
        self._sizes: dict[int, int] = {}
        self._text = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def refusal(
        self, id: int, size: int, *, own_are_odd: bool, streams: int = MAX_ID + 1
    ) -> str | None:
        """Return the reason why a channel is refused, and count it; ``None`` if it is admitted.

        Args:
            id: Its stream identifier.
            size: Bytes of its label and protocol.
            own_are_odd: Whether our identifiers are odd because we are the DTLS server; the remote
                peer's must be of the other parity (RFC 8832 section 6).
            streams: Number of streams in each direction.
        """
        reason = self._reason(id, size, own_are_odd=own_are_odd, streams=streams)
        if reason is None:
            self._sizes[id] = size
            self._text += size
        else:
            self.refused += 1
        return reason

    def _reason(self, id: int, size: int, *, own_are_odd: bool, streams: int) -> str | None:
        if id > MAX_ID or id >= streams:
            return f"the stream {id} does not exist"
        if id % 2 == own_are_odd:
            return f"the stream {id} is reserved for channels that the local peer opens"
        if len(self._sizes) >= self._most:
            return f"the remote peer has {self._most} channels open"
        if self._text + size > MAX_CHANNEL_TEXT:
            return f"labels and protocols exceed {MAX_CHANNEL_TEXT} bytes together"
        return None

    def release(self, id: int) -> None:
        """Note that the channel of a stream is closed, whichever peer opened it."""
        self._text -= self._sizes.pop(id, 0)

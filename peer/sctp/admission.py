"""Which data channels the other side may open, and how many. No I/O."""

from .options import MAX_ID

MOST_CHANNELS = 1024
"""Channels that the other side has open at a time, unless a program wants others."""

MOST_TEXT = 1024 * 1024
"""Bytes of their labels and protocols together; one of each may have 65,535 (RFC 8832)."""


class Admission:
    """Decides about channels that the other side opens, and counts.

    Args:
        most: How many it may have at a time.

    Attributes:
        refused: How many were refused.
    """

    def __init__(self, most: int = MOST_CHANNELS) -> None:
        self.refused = 0
        self._most = most
        self._sizes: dict[int, int] = {}
        self._text = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def refusal(
        self, id: int, size: int, *, own_are_odd: bool, streams: int = MAX_ID + 1
    ) -> str | None:
        """Return why a channel is not admitted, which is counted; ``None`` if it is.

        Args:
            id: Its stream.
            size: Bytes of its label and its protocol.
            own_are_odd: Whether this side's identifiers are odd, because it is the DTLS server;
                the other side's are the others (RFC 8832 section 6).
            streams: How many both sides have.
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
            return f"there is no stream {id} for data channels"
        if id % 2 == own_are_odd:
            return f"the stream {id} is this side's to give"
        if len(self._sizes) >= self._most:
            return f"the other side has {self._most} already"
        if self._text + size > MOST_TEXT:
            return f"labels and protocols have more than {MOST_TEXT} bytes together"
        return None

    def left(self, id: int) -> None:
        """Note that the channel of a stream is closed, whoever opened it."""
        self._text -= self._sizes.pop(id, 0)

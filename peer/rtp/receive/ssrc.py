"""Bounded tables of SSRCs, and selection of the SSRC of a track. Does no I/O."""

from collections import OrderedDict
from collections.abc import Iterable

MAX_SOURCES = 1024
"""Maximum SSRCs of one transport; a call has a few per track."""

SOURCE_TIMEOUT = 1.0
"""Seconds without a packet of the current SSRC after which a previous one may be selected again."""

_MAX_PREVIOUS = 16
"""Maximum previous SSRCs that are remembered."""


class SsrcTable:
    """SSRCs received on one transport, the most recent last.

    SRTP keeps state for each, and the remote peer can create them without end.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def note(self, ssrc: int) -> int | None:
        """Note a packet of an SSRC.

        Returns:
            The SSRC to forget because there are too many; ``None`` if there is none.
        """
        if ssrc in self._known:
            self._known.move_to_end(ssrc)
            return None
        self._known[ssrc] = None
        return self._known.popitem(last=False)[0] if len(self._known) > MAX_SOURCES else None


class SsrcSelector:
    """Selects the SSRC that is played, among those received for one track.

    A sender uses a new SSRC after a restart, or when an SFU switches streams: the new one is
    selected at once. Late packets of the previous SSRC are ignored. A previous SSRC is selected
    again once the current one was silent for :data:`SOURCE_TIMEOUT`.

    Attributes:
        current: The selected SSRC; ``None`` before the first packet.
    """

    def __init__(self) -> None:
        self.current: int | None = None
        self._arrived = float("-inf")
        self._previous: OrderedDict[int, None] = OrderedDict()

    def accepts(self, now: float, ssrc: int) -> bool:
        """Note a media packet; return whether its SSRC is the selected one.

        Args:
            now: Seconds on a monotonic clock.
            ssrc: The SSRC of the packet.
        """
        if ssrc != self.current:
            if ssrc in self._previous and now - self._arrived < SOURCE_TIMEOUT:
                return False
            if self.current is not None:
                self._previous[self.current] = None
                self._previous.move_to_end(self.current)
            self._previous.pop(ssrc, None)
            while len(self._previous) > _MAX_PREVIOUS:
                self._previous.popitem(last=False)
            self.current = ssrc
        self._arrived = now
        return True

    def on_bye(self, sources: Iterable[int]) -> bool:
        """Process a BYE (RFC 3550 section 6.6); return whether the selected SSRC has left."""
        if self.current is None or self.current not in sources:
            return False
        self._arrived = float("-inf")  # select any other SSRC at once
        return True

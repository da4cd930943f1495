"""The synchronization sources (SSRCs) of a transport and of a track, bounded. No I/O."""

from collections import OrderedDict
from collections.abc import Iterable

MOST = 1024
"""Sources of one transport that are known at once; a call has a few for each track."""

SILENT = 1.0
"""Seconds without a packet after which a source that was left may come back."""

_LEFT = 16


class Sources:
    """Those that were heard of on one transport, the latest last.

    SRTP keeps a state for each, and the other side can make them up without end.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def note(self, ssrc: int) -> int | None:
        """Note a packet of a source.

        Returns:
            The source to forget, because there are too many; ``None`` if there is none.
        """
        if ssrc in self._known:
            self._known.move_to_end(ssrc)
            return None
        self._known[ssrc] = None
        return self._known.popitem(last=False)[0] if len(self._known) > MOST else None


class SourceChoice:
    """The source that is played of those that come for one track.

    A sender begins another one when it starts anew, or when the other stream of a switch is
    passed on: it is followed at once. What comes late of the one before is left out; that one is
    taken again where the current one was silent for :data:`SILENT`.

    Attributes:
        current: The source that is played; ``None`` before the first packet.
    """

    def __init__(self) -> None:
        self.current: int | None = None
        self._arrived = float("-inf")
        self._left: OrderedDict[int, None] = OrderedDict()

    def takes(self, now: float, ssrc: int) -> bool:
        """Note a packet of media; return whether it is of the source that is played.

        Args:
            now: Seconds on a monotonic clock.
            ssrc: Its source.
        """
        if ssrc != self.current:
            if ssrc in self._left and now - self._arrived < SILENT:
                return False
            if self.current is not None:
                self._left[self.current] = None
                self._left.move_to_end(self.current)
            self._left.pop(ssrc, None)
            while len(self._left) > _LEFT:
                self._left.popitem(last=False)
            self.current = ssrc
        self._arrived = now
        return True

    def said_bye(self, sources: Iterable[int]) -> bool:
        """Take a BYE (RFC 3550 section 6.6); return whether the source that is played is gone."""
        if self.current is None or self.current not in sources:
            return False
        self._arrived = float("-inf")  # any other one takes over
        return True

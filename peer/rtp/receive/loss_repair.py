"""What a receiver of video does about packets that do not come. No I/O: the time is given.

aiortc asks for a lost packet once, when the next one shows the gap (RFC 4585 section 6.2.1). If
that request or its answer is lost as well, as both are while a path is being replaced, the picture
stands still until 512 further packets have come, which is most of a minute at a low rate.
"""

from enum import Enum

AGAIN = 0.15
"""Seconds after which a packet that is missing is asked for again: more than most round trips."""

PATIENCE = 0.6
"""Seconds for which a picture waits for what is missing, before it goes on without."""

INSIST = 0.3
"""Seconds after which the key frame that must follow is asked for again: the first request may be
lost too, and a second one costs one key frame more."""


class Step(Enum):
    """What is to be done."""

    NOTHING = "nothing"
    ASK_AGAIN = "ask again"
    """Send another NACK for everything that is missing."""

    SKIP = "skip"
    """Go on with what came after the gap, and ask for a key frame."""

    ASK_FOR_KEY_FRAME = "ask for a key frame"


class Repair:
    """Follows one stream of video."""

    def __init__(self) -> None:
        self._gap: int | None = None
        self._since = self._asked_at = 0.0
        self._insist_at = float("inf")

    def look(self, now: float, gap: int, *, has_gap: bool) -> Step:
        """Decide what to do after a packet was taken.

        Args:
            now: Seconds on a monotonic clock.
            gap: The sequence number of the first packet that did not come: patience begins anew
                with each, for of a large key frame some are missing for as long as it arrives.
            has_gap: Whether packets are missing between it and the newest one.
        """
        if not has_gap or gap != self._gap:
            self._gap = gap if has_gap else None
            self._since = self._asked_at = now
        elif now - self._since >= PATIENCE:
            self._insist_at = now + INSIST
            return Step.SKIP
        elif now - self._asked_at >= AGAIN:
            self._asked_at = now
            return Step.ASK_AGAIN
        if now >= self._insist_at:
            self._insist_at = float("inf")
            return Step.ASK_FOR_KEY_FRAME
        return Step.NOTHING

"""Share of a transport's capacity that its data channels get beside media. Does no I/O.

Both send over one path. What the estimate of media says is for both, since their packets wait in
the same queue: data channels are told how much of it they may send, and media gets what they leave.
While media lacks nothing, or is silent, the data channels are left to their own congestion control.
"""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

DATA_OVERHEAD = 1.08
"""Bits on the wire divided by bits of user data, in packets of about 1,200 bytes: chunk header 16
to 20, SCTP 12, DTLS 37, UDP and IPv4 28."""

LEAST_DATA_BITRATE = 30_000
"""Bits per second that data channels may always send, which is what a control channel needs."""

_USUAL, _SHORT = 0.5, 0.15
"""Seconds of the usual measurement, and of the one that shows that somebody begins to send."""

_STEP = 0.02
"""Seconds between two samples at least."""

_ENOUGH = 0.1
"""Seconds of samples at least before a bit rate is known."""

_STALE = 2.0
"""Seconds without a sample after which those before say nothing."""

_HEADROOM, _GROWTH_HEADROOM = 1.25, 1.5
"""Multiple of what is sent that is kept free for it: usually, and while more waits."""

_SPARE = 100_000
"""Bits per second that are kept free in addition, for what begins to send."""

_LITTLE = 0.05
"""Part of the estimate below which data channels are not worth mention."""


@dataclass(frozen=True, slots=True)
class DataProgress:
    """Totals of what the data channels of a transport have sent since they began.

    Attributes:
        sent: Bytes of user data that are in flight or acknowledged.
        delivered: Bytes of user data that are acknowledged.
        waits: Whether more could be sent at once.
    """

    sent: int
    delivered: int
    waits: bool


class _Sample(NamedTuple):
    at: float
    media: int
    sent: int
    delivered: int


class DataShare:
    """Bit rates of data and of the media beside it, and the limit for data.

    All bit rates are bits per second on the wire.

    Attributes:
        limit: What data channels may send; infinite if they are left to themselves.
        waits: Whether data waits to be sent.
    """

    def __init__(self) -> None:
        self.limit = float("inf")
        self.waits = False
        self._samples: deque[_Sample] = deque()

    def update(self, media: int, progress: DataProgress, now: float) -> bool:
        """Take what was sent until now; return whether it is a new sample.

        Args:
            media: Bytes of media on the wire in total.
            progress: That of the data channels.
            now: Seconds on a monotonic clock.
        """
        self.waits = progress.waits
        samples = self._samples
        if samples and now - samples[-1].at > _STALE:
            samples.clear()
        if samples and now - samples[-1].at < _STEP:
            return False
        samples.append(_Sample(now, media, progress.sent, progress.delivered))
        while len(samples) > 2 and now - samples[1].at >= _USUAL:
            samples.popleft()
        return True

    def _since(self, seconds: float) -> tuple[_Sample, _Sample, float] | None:
        """Return the sample from so many seconds ago, the latest, and the time between them."""
        samples = self._samples
        if not samples:
            return None
        latest = samples[-1]
        first = next(
            (each for each in reversed(samples) if latest.at - each.at >= seconds), samples[0]
        )
        lasted = latest.at - first.at
        return (first, latest, lasted) if lasted >= _ENOUGH else None

    @property
    def is_known(self) -> bool:
        """Return whether enough was measured."""
        return self._since(_USUAL) is not None

    def sent(self) -> float:
        """Return what data sends."""
        found = self._since(_USUAL)
        return 0.0 if found is None else _data_rate(found[1].sent - found[0].sent, found[2])

    def delivered(self, *, recent: bool = False) -> float:
        """Return what arrives of data, in a usual or a short time."""
        found = self._since(_SHORT if recent else _USUAL)
        if found is None:
            return 0.0
        return _data_rate(found[1].delivered - found[0].delivered, found[2])

    def demand(self) -> float:
        """Return what is to be kept free for data: more than it sends, so that it can grow."""
        rates = [
            _data_rate(found[1].sent - found[0].sent, found[2])
            for seconds in (_USUAL, _SHORT)
            if (found := self._since(seconds)) is not None
        ]
        most = max(rates, default=0.0)
        return most * _GROWTH_HEADROOM + _SPARE if self.waits else most * _HEADROOM

    def media(self) -> float:
        """Return what is to be kept free for media: more than it sends."""
        rates = [
            max(found[1].media - found[0].media, 0) * 8 / found[2]
            for seconds in (_USUAL, _SHORT)
            if (found := self._since(seconds)) is not None
        ]
        most = max(rates, default=0.0)
        return most * _HEADROOM + _SPARE if most else 0.0

    def is_notable(self, estimate: float) -> bool:
        """Return whether data takes a part of an estimate that is worth mention."""
        return self.sent() > _LITTLE * estimate

    def divide(self, estimate: float, entitled: float, *, lacks: bool) -> None:
        """Set the limit.

        Args:
            estimate: What the path carries, of media and data together.
            entitled: What of it data gets if it can use any bit rate.
            lacks: Whether media gets less than it can use, or the path was full lately.
        """
        media = self.media()
        if not self.is_known or not media or not lacks:
            self.limit = float("inf")
        else:
            # What media does not send, because a picture stands still, is not left unused.
            self.limit = max(entitled, estimate - media, LEAST_DATA_BITRATE)

    @property
    def bytes_per_second(self) -> float:
        """Return the limit as bytes of user data per second."""
        return self.limit / 8 / DATA_OVERHEAD


def _data_rate(size: int, lasted: float) -> float:
    # What was in flight when the path changed counts no more, so a total may become less.
    return max(size, 0) * 8 * DATA_OVERHEAD / lasted

"""Receiver's side of transport-wide feedback: records arrivals, and says when to report them.

Does no I/O. The interval follows the rate, so that feedback takes little of it; a peer that sends
hostile numbers costs no more memory, and gets no more feedback, than its packets account for.
"""

from .transport_feedback import FeedbackWriter

MIN_INTERVAL, MAX_INTERVAL = 0.05, 0.25
"""Seconds from one report to the next."""

GATHERING = 0.02
"""Seconds from the first packet after a pause to the report, which then covers a burst."""

SHARE = 0.05
"""Fraction of the received rate that feedback may take, down to the longest interval."""

PACKET_OVERHEAD = 28 + 14
"""Bytes of IPv4, UDP and SRTCP that an RTCP packet costs in addition."""

MAX_UNREPORTED = 512
"""Packets that are reported at once, without waiting for the interval."""

MAX_KEPT = 4096
"""Arrivals that are kept, at most. The oldest ones are dropped if nobody asks for reports."""

MAX_LATE = 512
"""Numbers by which a packet may be behind the newest one; those further behind are a jump."""

MAX_GAP = 8191
"""Missing numbers that are reported as such, at most. After a longer gap a report begins anew."""

MAX_RANGES = 8
"""Ranges of numbers in the reports of one time, with such gaps between them; of older ones nothing
is said."""


class FeedbackRecorder:
    """Recorder of the packets that arrive over one transport.

    Args:
        sender_ssrc: The SSRC that this side has in its RTCP packets.

    Attributes:
        sender_ssrc: Likewise; it may be set until the first report.
    """

    def __init__(self, sender_ssrc: int = 0) -> None:
        self._writer = FeedbackWriter(sender_ssrc)
        self._arrivals: dict[int, float] = {}
        self._newest: int | None = None
        self._begin: int | None = None
        """The first number that the next report covers; ``None`` before there is a packet."""
        self._unreported = 0
        self._received_bytes = 0
        self._due: float | None = None
        self._reported_at = float("-inf")
        self._counted_since: float | None = None
        self._interval = 0.1
        self._rate = 0.0

    @property
    def sender_ssrc(self) -> int:
        return self._writer.sender_ssrc

    @sender_ssrc.setter
    def sender_ssrc(self, ssrc: int) -> None:
        self._writer.sender_ssrc = ssrc

    @property
    def interval(self) -> float:
        """Seconds from one report to the next, as the rate has it now."""
        return self._interval

    def on_packet(self, number: int, now: float, size: int = 0, media_ssrc: int = 0) -> None:
        """Record the arrival of a packet.

        Args:
            number: Its transport-wide sequence number, 16 bits.
            now: Seconds on a monotonic clock.
            size: Bytes of the packet.
            media_ssrc: Its SSRC, by which its sender recognizes the feedback.
        """
        if self._counted_since is None:
            self._counted_since = now
        self._received_bytes += size
        unwrapped = self._unwrap(number)
        if unwrapped in self._arrivals:
            return  # the first arrival counts
        self._writer.media_ssrc = media_ssrc
        self._arrivals[unwrapped] = now
        self._begin = unwrapped if self._begin is None else min(self._begin, unwrapped)
        self._unreported += 1
        if self._unreported >= MAX_UNREPORTED:
            self._due = now
        elif self._due is None:
            self._due = max(self._reported_at + self._interval, now + GATHERING)
        if len(self._arrivals) > MAX_KEPT:
            del self._arrivals[next(iter(self._arrivals))]

    @property
    def deadline(self) -> float:
        """Time of :meth:`handle_timeout`; infinite while there is nothing to report."""
        return float("inf") if self._due is None else self._due

    def handle_timeout(self, now: float) -> list[bytes]:
        """Return RTCP packets that report what has arrived; none before it is due.

        Args:
            now: Seconds on the clock of :meth:`on_packet`.

        Returns:
            The packets, header included.
        """
        if self._due is None or now < self._due or self._newest is None or self._begin is None:
            return []
        begin = self._begin
        numbers = sorted(number for number in self._arrivals if number >= begin)
        packets = []
        for first, some in _ranges(begin, numbers)[-MAX_RANGES:]:
            packets += self._writer.write(first, [(n, self._arrivals[n]) for n in some])
        self._begin = self._newest + 1
        oldest = self._newest - MAX_LATE
        self._arrivals = {n: at for n, at in self._arrivals.items() if n >= oldest}
        self._unreported, self._due = 0, None
        self._adapt(now, sum(len(packet) + PACKET_OVERHEAD for packet in packets))
        return packets

    def _adapt(self, now: float, size: int) -> None:
        """Choose the interval at which reports of that size take their share of the rate."""
        since = now if self._counted_since is None else self._counted_since
        elapsed = max(now - since, GATHERING)
        rate = self._received_bytes / elapsed
        self._rate = rate if self._rate == 0 else (self._rate + rate) / 2
        self._reported_at = self._counted_since = now
        self._received_bytes = 0
        wanted = size / (SHARE * self._rate) if self._rate else MAX_INTERVAL
        self._interval = min(max(wanted, MIN_INTERVAL), MAX_INTERVAL)

    def _unwrap(self, number: int) -> int:
        """Return the number without wrap-around."""
        newest = self._newest
        if newest is None:
            self._newest = number
            return number
        behind = (newest - number) & 0xFFFF
        if behind <= MAX_LATE:
            return newest - behind
        # A jump backwards is one forwards, past the wrap: on the wire they are the same.
        self._newest = newest + 0x10000 - behind
        return self._newest


def _ranges(begin: int, numbers: list[int]) -> list[tuple[int, list[int]]]:
    """Split numbers where many are missing; return each part, and the number it begins with."""
    parts: list[tuple[int, list[int]]] = []
    last = begin - 1
    for number in numbers:
        if not parts or number - last > MAX_GAP:
            first = number if number - last > MAX_GAP else begin
            parts.append((first, []))
        parts[-1][1].append(number)
        last = number
    return parts

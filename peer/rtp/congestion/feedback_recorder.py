"""Receiver's side of transport-wide feedback: records arrivals, and says when to report them.

Does no I/O. The interval follows the rate, so that feedback takes little of it; a peer that sends
hostile numbers costs no more memory, and gets no more feedback, than its packets account for.
"""

from .report_schedule import ReportSchedule
from .transport_feedback import FeedbackWriter

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
        self._schedule = ReportSchedule()

    @property
    def sender_ssrc(self) -> int:
        return self._writer.sender_ssrc

    @sender_ssrc.setter
    def sender_ssrc(self, ssrc: int) -> None:
        self._writer.sender_ssrc = ssrc

    @property
    def interval(self) -> float:
        """Seconds from one report to the next, as the rate has it now."""
        return self._schedule.interval

    def on_packet(self, number: int, now: float, size: int = 0, media_ssrc: int = 0) -> None:
        """Record the arrival of a packet.

        Args:
            number: Its transport-wide sequence number, 16 bits.
            now: Seconds on a monotonic clock.
            size: Bytes of the packet.
            media_ssrc: Its SSRC, by which its sender recognizes the feedback.
        """
        self._schedule.count(size, now)
        unwrapped = self._unwrap(number)
        if unwrapped in self._arrivals:
            return  # the first arrival counts
        self._writer.media_ssrc = media_ssrc
        self._arrivals[unwrapped] = now
        self._begin = unwrapped if self._begin is None else min(self._begin, unwrapped)
        self._schedule.add(now)
        if len(self._arrivals) > MAX_KEPT:
            del self._arrivals[next(iter(self._arrivals))]

    @property
    def deadline(self) -> float:
        """Time of :meth:`handle_timeout`; infinite while there is nothing to report."""
        return self._schedule.deadline

    def handle_timeout(self, now: float) -> list[bytes]:
        """Return RTCP packets that report what has arrived; none before it is due.

        Args:
            now: Seconds on the clock of :meth:`on_packet`.

        Returns:
            The packets, header included.
        """
        if now < self.deadline or self._newest is None or self._begin is None:
            return []
        begin = self._begin
        numbers = sorted(number for number in self._arrivals if number >= begin)
        packets = []
        for first, some in _ranges(begin, numbers)[-MAX_RANGES:]:
            packets += self._writer.write(first, [(n, self._arrivals[n]) for n in some])
        self._begin = self._newest + 1
        oldest = self._newest - MAX_LATE
        self._arrivals = {n: at for n, at in self._arrivals.items() if n >= oldest}
        self._schedule.reported(packets, now)
        return packets

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

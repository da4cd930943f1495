"""Receiver's side of RFC 8888: records arrivals by SSRC, and says when to report them.

Packets have no number of the transport then, only that of their stream. Does no I/O. A peer that
sends hostile numbers or sources costs no more memory, and gets no more feedback, than the limits
here say.
"""

from .ccfb import Arrival, CongestionFeedback, StreamReport
from .report_schedule import ReportSchedule

MAX_STREAMS = 32
"""Streams that are recorded; beyond it the one that was silent longest is forgotten."""

MAX_LATE = 512
"""Numbers by which a packet may be behind the newest one; those further behind are a jump."""

MAX_GAP = 256
"""Missing numbers that are reported as such, at most. After a longer gap a report begins anew."""

MAX_REPORTED = 2048
"""Packets in all reports of one time, missing ones included; each costs two bytes."""


class _Stream:
    """Arrivals of one SSRC, by the number without wrap-around."""

    def __init__(self, number: int) -> None:
        self.newest = number
        self.begin = number
        self.arrivals: dict[int, float] = {}

    def add(self, number: int, now: float) -> bool:
        """Record an arrival; return whether it is to be reported."""
        behind = (self.newest - number) & 0xFFFF
        if behind <= MAX_LATE:
            unwrapped = self.newest - behind
        else:
            # A jump backwards is one forwards, past the wrap: on the wire they are the same.
            unwrapped = self.newest + 0x10000 - behind
            if unwrapped - self.newest > MAX_GAP:
                self.arrivals.clear()
                self.begin = unwrapped
            self.newest = unwrapped
        if unwrapped in self.arrivals:
            return False  # the first arrival counts
        self.arrivals[unwrapped] = now
        if len(self.arrivals) > MAX_REPORTED:
            del self.arrivals[next(iter(self.arrivals))]
        self.begin = min(self.begin, unwrapped)
        return True

    def report(self, ssrc: int, room: int, now: float) -> StreamReport | None:
        """Return what arrived since the last report, in so many packets; ``None`` if nothing."""
        begin = max(self.begin, self.newest + 1 - room)
        self.begin = self.newest + 1
        arrivals = tuple(
            None if at is None else Arrival(max(now - at, 0.0))
            for at in map(self.arrivals.get, range(begin, self.newest + 1))
        )
        oldest = self.newest - MAX_LATE
        self.arrivals = {n: at for n, at in self.arrivals.items() if n >= oldest}
        return StreamReport(ssrc, begin & 0xFFFF, arrivals) if arrivals else None


class StreamRecorder:
    """Recorder of the packets that arrive over one transport, for :mod:`.ccfb`.

    Args:
        sender_ssrc: The SSRC that this side has in its RTCP packets.
    """

    def __init__(self, sender_ssrc: int = 0) -> None:
        self._sender_ssrc = sender_ssrc
        self._streams: dict[int, _Stream] = {}
        self._schedule = ReportSchedule()

    def on_packet(self, ssrc: int, number: int, now: float, size: int = 0) -> None:
        """Record the arrival of a packet.

        Args:
            ssrc: Its SSRC.
            number: Its RTP sequence number.
            now: Seconds on a monotonic clock.
            size: Bytes of the packet.
        """
        self._schedule.count(size, now)
        stream = self._streams.pop(ssrc, None)
        if stream is None:
            stream = _Stream(number)
            if len(self._streams) == MAX_STREAMS:
                del self._streams[next(iter(self._streams))]
        self._streams[ssrc] = stream  # the last one is the one heard last
        if stream.add(number, now):
            self._schedule.add(now)

    @property
    def deadline(self) -> float:
        """Time of :meth:`handle_timeout`; infinite while there is nothing to report."""
        return self._schedule.deadline

    def handle_timeout(self, now: float, ntp: int) -> list[bytes]:
        """Return RTCP packets that report what has arrived; none before it is due.

        Args:
            now: Seconds on the clock of :meth:`on_packet`.
            ntp: The same as a 64-bit NTP timestamp. Its clock is not set while this lives.

        Returns:
            The packets, header included.
        """
        if now < self.deadline:
            return []
        reports, room = [], MAX_REPORTED
        for ssrc, stream in reversed(self._streams.items()):
            report = stream.report(ssrc, room, now) if room else None
            if report is not None:
                reports.append(report)
                room -= len(report.arrivals)
        timestamp = ntp >> 16 & 0xFFFFFFFF
        feedback = CongestionFeedback(self._sender_ssrc, timestamp, tuple(reports))
        packets = feedback.serialize() if reports else []
        self._schedule.reported(packets, now)
        return packets

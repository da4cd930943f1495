"""What was sent and is not acknowledged: loss by time, tail probes, time-outs, giving up.

RFC 9260 sections 6.2.1 and 6.3 for acknowledgements and T3, RFC 8985 for RACK-TLP, RFC 3758 for
what is given up. RACK-TLP is TCP's; here its segments are chunks, its SACK is SCTP's, and a
duplicate TSN stands for a D-SACK.
"""

import heapq
from dataclasses import dataclass

from .congestion import Ack
from .outbound import Fragment, Message
from .packet import LAST, Cause, Fatal

RTO_INITIAL = 1.0
"""Seconds (RFC 9260 section 16)."""

RTO_MIN = 0.4
"""Seconds. RFC 9260 says one; a SACK is delayed by 0.2 at most, so that less than one will do."""

RTO_MAX = 10.0
"""Seconds. RFC 9260 says 60: here ICE tells whether there is a path, so that looking oftener is
cheap, and the path that comes back is noticed."""

REORDERING = 3
"""Chunks that must have overtaken one for it to be lost, while no reordering was ever seen."""

REORDERING_ROUNDS = 16
"""Recoveries after which the reordering window is small again (RFC 8985 section 6.2)."""

MAX_SPAN = 32_000
"""TSNs that may be unacknowledged: gap blocks count in 16 bits, and so do SSNs."""

RENEGED = 1000
"""TSNs that the other side may take back after it acknowledged them, beside two for each chunk that
was sent: RFC 9260 section 6.2.1 allows it, and SACKs that overtake each other look like it."""


@dataclass(slots=True)
class RoundTrip:
    """Round-trip times, in seconds, and what follows from them (RFC 9260 section 6.3.1)."""

    smoothed: float | None = None
    variation: float = 0.0
    least: float = float("inf")
    rto: float = RTO_INITIAL

    def measured(self, rtt: float) -> None:
        """Take a measurement."""
        self.least = min(self.least, rtt)
        if self.smoothed is None:
            self.smoothed, self.variation = rtt, rtt / 2
        else:
            self.variation += (abs(self.smoothed - rtt) - self.variation) / 4
            self.smoothed += (rtt - self.smoothed) / 8
        self.rto = min(max(self.smoothed + 4 * self.variation, RTO_MIN), RTO_MAX)


class Recovery:
    """Knows every chunk that is not acknowledged up to its TSN.

    Args:
        tsn: The first TSN.
        gives_up: Whether messages may be given up: the other side understands that (RFC 3758).

    Attributes:
        next_tsn: The next one, counted on.
        cumulative: The last up to which all are acknowledged.
        flight: Bytes on their way.
        round_trip: The round trip.
        retransmitted: Chunks that were sent again.
        timeouts: Time-outs in a row.
    """

    def __init__(self, tsn: int, *, gives_up: bool = True) -> None:
        self._gives_up = gives_up
        self.next_tsn = tsn
        self.cumulative = tsn - 1
        self.flight = 0
        self.round_trip = RoundTrip()
        self.retransmitted = 0
        self.timeouts = 0
        self.app_limited_until = 0
        self.gave_up: list[Message] = []
        """Messages that were given up after something of them was sent, since last taken."""
        self._sent: dict[int, Fragment] = {}  # all after `cumulative`, by TSN
        self._flying: dict[int, Fragment] = {}  # those on their way, in the order they were sent
        self._lost: list[int] = []  # a heap of TSNs to be sent again, some no longer
        self._blocks: list[tuple[int, int]] = []  # gap blocks of the last SACK, counted on
        self._transmissions = 0
        self._reneged = 0
        self._recovery_end = -1  # in recovery until this TSN is acknowledged
        # Delivery rate (draft-cheng-iccrg-delivery-rate-estimation).
        self._delivered = 0
        self._delivered_at = 0.0
        self._first_sent_at = 0.0
        # RACK.
        self._rack_transmission = -1
        self._rack_sent_at = 0.0
        self._rack_rtt = 0.0
        self._reordered = False
        self._reordering_factor = 1
        self._reordering_left = 0
        self._reorder_at = float("inf")
        # Timers.
        self._t3_from = 0.0
        self._probe_at = float("inf")
        self._probed_tsn = -1
        # What was given up (RFC 3758): how far the other side should skip, and in which streams.
        self.advanced = self.cumulative
        self._skipped: dict[tuple[int, bool], tuple[int, int]] = {}

    # --- sending

    @property
    def has_unacknowledged(self) -> bool:
        """Whether anything that was sent is not acknowledged."""
        return bool(self._sent)

    @property
    def is_full(self) -> bool:
        """Whether no further TSN may be used."""
        return self.next_tsn - self.cumulative > MAX_SPAN

    def next_lost(self) -> Fragment | None:
        """Return the chunk that is to be sent again first."""
        lost = self._lost
        while lost:
            fragment = self._sent.get(lost[0])
            if fragment is not None and fragment.lost:
                return fragment
            heapq.heappop(lost)
        return None

    def sent(self, fragment: Fragment, now: float) -> None:
        """Note that a chunk is sent; the first time it is given its TSN."""
        if fragment.sends:
            self.retransmitted += 1
            fragment.lost = False
            self._flying.pop(fragment.tsn, None)
        else:
            fragment.tsn = self.next_tsn
            self.next_tsn += 1
            self._sent[fragment.tsn] = fragment
            if not fragment.message.is_reliable:
                fragment.message.tsns.append(fragment.tsn)
        if not self._flying:
            self._first_sent_at = self._delivered_at = self._t3_from = now
        self._flying[fragment.tsn] = fragment
        self.flight += fragment.size
        fragment.sends += 1
        fragment.sent_at = now
        fragment.transmission = self._transmissions
        self._transmissions += 1
        fragment.first_sent_at = self._first_sent_at
        fragment.delivered = self._delivered
        fragment.delivered_at = self._delivered_at
        fragment.app_limited = self.app_limited_until > self._delivered

    def limited_by_application(self) -> None:
        """Note that there is nothing more to send, so that rates say little about the path."""
        self.app_limited_until = self._delivered + self.flight + 1

    # --- acknowledgements

    def acknowledge(
        self, cumulative: int, gaps: list[tuple[int, int]], duplicates: int, now: float
    ) -> Ack | None:
        """Take a SACK.

        Args:
            cumulative: Its cumulative TSN, counted on.
            gaps: Its gap blocks, relative to that.
            duplicates: How many TSNs it says came twice.
            now: When it came.

        Returns:
            What it says; ``None`` if it is older than one before, or speaks of what was not sent.

        Raises:
            Fatal: The other side takes back again and again what it acknowledged.
        """
        highest = cumulative + gaps[-1][1] if gaps else cumulative
        if cumulative < self.cumulative or highest >= self.next_tsn:
            return None
        ack = Ack(now, self.flight)
        newest: Fragment | None = None
        sent, flying = self._sent, self._flying
        for tsn in range(self.cumulative + 1, cumulative + 1):
            fragment = sent.pop(tsn, None)
            if fragment is None or fragment.acked or fragment.message.abandoned:
                continue  # what was given up may be skipped, which says nothing of the path
            if flying.pop(tsn, None) is not None:
                self.flight -= fragment.size
            ack.acked += fragment.size
            if newest is None or fragment.transmission > newest.transmission:
                newest = fragment
            if not fragment.lost and fragment.sends == 1:
                self._overtaken(fragment)
            fragment.acked = True
        if cumulative > self.cumulative:
            self.cumulative = cumulative
            self.timeouts = 0
        if gaps or self._blocks:
            newest = self._acknowledge_gaps(cumulative, gaps, ack, newest)
        self._note_duplicates(duplicates)
        if newest is not None:
            self._progress(newest, ack)
        ack.lost = self._detect(now)
        ack.in_recovery = self._recovery_end > self.cumulative
        if ack.lost and not ack.in_recovery:
            self._recovery_end = self.next_tsn - 1
            self._reordering_rounds()
        ack.flight = self.flight
        if self.advanced < self.cumulative:
            self.advanced = self.cumulative
        if self._skipped:
            self._skipped = {k: v for k, v in self._skipped.items() if v[1] > cumulative}
        self._advance()
        return ack

    def _acknowledge_gaps(
        self, base: int, gaps: list[tuple[int, int]], ack: Ack, newest: Fragment | None
    ) -> Fragment | None:
        blocks = [(base + first, base + last) for first, last in gaps]
        sent, flying = self._sent, self._flying
        for first, last in _difference(blocks, self._blocks):
            for tsn in range(first, last + 1):
                fragment = sent.get(tsn)
                if fragment is None or fragment.acked or fragment.message.abandoned:
                    continue
                fragment.acked = True
                if flying.pop(tsn, None) is not None:
                    self.flight -= fragment.size
                ack.acked += fragment.size
                if newest is None or fragment.transmission > newest.transmission:
                    newest = fragment
                if not fragment.lost and fragment.sends == 1:
                    self._overtaken(fragment)
                fragment.lost = False
        for first, last in _difference(self._blocks, blocks):
            # RFC 9260 section 6.2.1 (ii), (iii): the other side may drop what it had.
            self._reneged += max(last - max(first, base + 1) + 1, 0)
            if self._reneged > 2 * self._transmissions + RENEGED:
                reason = "the other side takes back what it acknowledged"
                raise Fatal(Cause.PROTOCOL_VIOLATION, reason)
            for tsn in range(max(first, base + 1), last + 1):
                fragment = sent.get(tsn)
                if fragment is not None and fragment.acked and not fragment.message.abandoned:
                    fragment.acked = False
                    self._lose(fragment, ack.now)
        self._blocks = blocks
        return newest

    def _overtaken(self, fragment: Fragment) -> None:
        if fragment.transmission < self._rack_transmission:
            self._reordered = True

    def _progress(self, newest: Fragment, ack: Ack) -> None:
        now = ack.now
        rtt = now - newest.sent_at
        is_first = newest.sends == 1
        if is_first:
            ack.rtt = rtt
            self.round_trip.measured(rtt)
        # RFC 8985 section 6.2 step 2: what was sent again and is acknowledged too soon, was not
        # acknowledged for being sent again.
        if is_first or rtt >= self.round_trip.least:
            if newest.transmission > self._rack_transmission:
                self._rack_transmission = newest.transmission
                self._rack_sent_at = newest.sent_at
            self._rack_rtt = rtt
        self.timeouts = 0
        self._t3_from = now
        self._probed_tsn = -1
        self._delivered += ack.acked
        self._delivered_at = now
        ack.delivered = self._delivered
        ack.prior_delivered = newest.delivered
        ack.app_limited = newest.app_limited
        self._first_sent_at = newest.sent_at
        interval = max(newest.sent_at - newest.first_sent_at, now - newest.delivered_at)
        if interval > 0 and interval >= min(self.round_trip.least, rtt):
            ack.rate = (self._delivered - newest.delivered) / interval

    def _note_duplicates(self, duplicates: int) -> None:
        if duplicates and self._recovery_end > self.cumulative:
            self._reordering_factor = min(self._reordering_factor + 1, 8)
            self._reordering_left = REORDERING_ROUNDS

    def _reordering_rounds(self) -> None:
        if self._reordering_left:
            self._reordering_left -= 1
            if not self._reordering_left:
                self._reordering_factor = 1

    # --- losses

    def _reordering_window(self) -> float:
        """Seconds by which a chunk may be late (RFC 8985 section 6.2 step 4)."""
        if not self._reordered:
            held = sum(last - first + 1 for first, last in self._blocks)
            if held >= REORDERING or self._recovery_end > self.cumulative:
                return 0.0
        smoothed = self.round_trip.smoothed or 0.0
        return min(self._reordering_factor * min(self.round_trip.least, smoothed) / 4, smoothed)

    def _detect(self, now: float) -> int:
        """Find what is lost; return how many bytes (RFC 8985 section 6.2 step 5)."""
        self._reorder_at = float("inf")
        rack = self._rack_transmission
        lost = 0
        found: list[Fragment] = []
        window: float | None = None
        for fragment in self._flying.values():
            if fragment.transmission >= rack:
                break
            if window is None:
                window = self._rack_rtt + self._reordering_window()
            due = fragment.sent_at + window
            if due <= now:
                found.append(fragment)
            else:
                self._reorder_at = due
                break
        for fragment in found:
            lost += fragment.size
            self._lose(fragment, now)
        return lost

    def _lose(self, fragment: Fragment, now: float) -> None:
        if self._flying.pop(fragment.tsn, None) is not None:
            self.flight -= fragment.size
        message = fragment.message
        if message.abandoned:
            return
        limit = message.max_retransmits
        expired = message.expires is not None and message.expires <= now
        if self._gives_up and (expired or (limit is not None and fragment.sends > limit)):
            self.abandon(message)
        else:
            fragment.lost = True
            heapq.heappush(self._lost, fragment.tsn)

    def abandon(self, message: Message) -> None:
        """Give up a message of which something was sent (RFC 3758 section 3.5, A3)."""
        message.abandoned = True
        self.gave_up.append(message)
        for tsn in message.tsns:
            fragment = self._sent.get(tsn)
            if fragment is None:
                continue
            fragment.lost = False
            if self._flying.pop(tsn, None) is not None:
                self.flight -= fragment.size
        message.tsns.clear()
        if message.position < len(message.data):
            # Its end is never sent. Skipping one TSN more tells the other side that, which else
            # might wait for it with what it has.
            self._sent[self.next_tsn] = Fragment(message, LAST, message.fragments, b"")
            self.next_tsn += 1
        self._advance()

    def _advance(self) -> None:
        """Move the point up to which the other side should skip (RFC 3758 section 3.5, C2)."""
        while (fragment := self._sent.get(self.advanced + 1)) is not None:
            message = fragment.message
            if not message.abandoned:
                break
            self.advanced += 1
            self._skipped[message.stream, not message.ordered] = (message.number, self.advanced)

    def skipped(self) -> dict[tuple[int, bool], int]:
        """Return the last message skipped, by stream and whether it is unordered."""
        return {key: number for key, (number, _) in self._skipped.items()}

    # --- time

    @property
    def deadline(self) -> float:
        """When :meth:`tick` has something to do."""
        if not self._flying:
            return self._t3_at() if self.advanced > self.cumulative else float("inf")
        return min(self._t3_at(), self._reorder_at, self._probe_at)

    def _t3_at(self) -> float:
        return self._t3_from + min(self.round_trip.rto * 2.0**self.timeouts, RTO_MAX)

    def arm_probe(self, now: float) -> None:
        """Set the tail probe's time, after something was sent or acknowledged (RFC 8985 7.2)."""
        if self._probed_tsn >= 0 or not self._flying or self.round_trip.smoothed is None:
            self._probe_at = float("inf")
            return
        wait = 2 * self.round_trip.smoothed + 0.002
        self._probe_at = min(now + wait, self._t3_at())

    def probe(self, now: float) -> Fragment | None:
        """Return the chunk to be sent again as a tail probe, if it is time for one."""
        if now < self._probe_at or not self._flying:
            return None
        self._probe_at = float("inf")
        fragment = max(self._flying.values(), key=lambda f: f.tsn)
        limit = fragment.message.max_retransmits
        if limit is not None and fragment.sends > limit:
            return None
        self._probed_tsn = fragment.tsn
        self._t3_from = now
        self.flight -= fragment.size
        del self._flying[fragment.tsn]
        return fragment

    def tick(self, now: float) -> tuple[int, bool]:
        """Do what is due; return the bytes lost by reordering, and whether there was a time-out."""
        lost = 0
        if now >= self._reorder_at:
            lost = self._detect(now)
            if lost and self._recovery_end <= self.cumulative:
                self._recovery_end = self.next_tsn - 1
        waits = self._flying or self.advanced > self.cumulative
        if not waits or now < self._t3_at():
            return lost, False
        timed_out = bool(self._flying)
        self.timeouts = min(self.timeouts + 1, 16)
        self._t3_from = now
        self.lose_all(now)
        return lost, timed_out

    def told_to_skip(self, now: float) -> None:
        """Note that the other side is told to skip, and will be again if it does not answer."""
        if not self._flying:
            self._t3_from = now

    def lose_all(self, now: float) -> None:
        """Take all that is on its way as lost (RFC 9260 section 6.3.3)."""
        for fragment in list(self._flying.values()):
            if fragment.tsn in self._flying:
                self._lose(fragment, now)
        self._recovery_end = self.next_tsn - 1
        self._probed_tsn = -1
        self._probe_at = self._reorder_at = float("inf")


def _difference(
    these: list[tuple[int, int]], those: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the ranges of numbers that are in the first of two sorted lists only."""
    if not those:
        return these
    found = []
    index = 0
    for first, last in these:
        start = first
        while index < len(those) and those[index][1] < start:
            index += 1
        at = index
        while at < len(those) and those[at][0] <= last:
            if those[at][0] > start:
                found.append((start, those[at][0] - 1))
            start = max(start, those[at][1] + 1)
            if those[at][1] > last:
                break
            at += 1
        if start <= last:
            found.append((start, last))
    return found

"""Loss recovery: acknowledgements, loss detection, tail loss probes, T3 and abandoned messages.

RFC 9260 sections 6.2.1 and 6.3 for SACKs and T3, RFC 8985 for RACK-TLP, RFC 3758 for abandoned
messages. Does no I/O.
"""

import heapq

from .congestion import Ack
from .outbound import Fragment, Message
from .packet import LAST, Cause, Fatal
from .rack import Rack
from .ranges import difference
from .round_trip import RTO_MAX, RoundTrip

MAX_IN_FLIGHT = 32_000
"""Maximum number of unacknowledged TSNs: gap blocks and SSNs have 16 bits."""

MAX_RENEGED = 1000
"""Acknowledged TSNs that the remote peer may renege on, plus eight per transmitted chunk. RFC 9260
section 6.2.1 allows reneging, and reordered SACKs look like it: on a path with much jitter and a
hole that persists, several TSNs per chunk."""


class Recovery:
    """All chunks after the cumulative TSN that the remote peer has acknowledged.

    Args:
        tsn: The initial TSN.
        gives_up: Whether messages may be abandoned, because the remote peer supports RFC 3758.

    Attributes:
        next_tsn: The next TSN, unwrapped.
        cumulative: The acknowledged cumulative TSN, unwrapped.
        flight: Bytes in flight.
        round_trip: The round-trip time estimate.
        retransmitted: Number of retransmitted chunks.
        timeouts: Consecutive time-outs.
    """

    def __init__(self, tsn: int, *, gives_up: bool = True) -> None:
        self._gives_up = gives_up
        self.next_tsn: int = tsn
        self.cumulative: int = tsn - 1
        self.flight: int = 0
        self.round_trip: RoundTrip = RoundTrip()
        self.retransmitted: int = 0
        self.timeouts: int = 0
        self.app_limited_until: int = 0
        self.newly_abandoned: list[Message] = []
        """Messages abandoned after a part of them was sent; the caller clears it."""
        self._sent: dict[int, Fragment] = {}  # all after `cumulative`, by TSN
        self._flying: dict[int, Fragment] = {}  # chunks in flight, in order of transmission
        self._lost: list[int] = []  # heap of TSNs to retransmit; some may be acknowledged
        self._blocks: list[tuple[int, int]] = []  # gap blocks of the last SACK, unwrapped
        self._transmissions = 0
        self._reneged = 0
        self._recovery_end = -1  # in recovery until this TSN is acknowledged
        # Delivery rate (draft-cheng-iccrg-delivery-rate-estimation).
        self._delivered = 0
        self._delivered_at = 0.0
        self._first_sent_at = 0.0
        self._rack = Rack()
        self._reorder_at = float("inf")
        # Timers.
        self._t3_from = 0.0
        self._probe_at = float("inf")
        self._probed_tsn = -1
        # Abandoned messages (RFC 3758): the Advanced.Peer.Ack.Point, and the last number skipped
        # and its TSN, by stream and unordered flag.
        self.advanced: int = self.cumulative
        self._skipped: dict[tuple[int, bool], tuple[int, int]] = {}

    # --- sending

    @property
    def has_unacknowledged(self) -> bool:
        """True if anything that was sent is not acknowledged."""
        return bool(self._sent)

    @property
    def is_full(self) -> bool:
        """True if no further TSN may be used."""
        return self.next_tsn - self.cumulative > MAX_IN_FLIGHT

    def next_lost(self) -> Fragment | None:
        """Return the first chunk to retransmit."""
        lost = self._lost
        while lost:
            fragment = self._sent.get(lost[0])
            if fragment is not None and fragment.lost:
                return fragment
            heapq.heappop(lost)
        return None

    @property
    def delivered(self) -> int:
        """Bytes acknowledged since the association began."""
        return self._delivered

    def sent(self, fragment: Fragment, now: float) -> None:
        """Note that a chunk is transmitted; assign its TSN the first time."""
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
        """Note that nothing is left to send, so delivery rates do not reflect the path."""
        self.app_limited_until = self._delivered + self.flight + 1

    # --- acknowledgements

    def acknowledge(
        self, cumulative: int, gaps: list[tuple[int, int]], duplicates: int, now: float
    ) -> Ack | None:
        """Process a SACK.

        Args:
            cumulative: Its cumulative TSN, unwrapped.
            gaps: Its gap blocks, relative to the cumulative TSN.
            duplicates: Number of its duplicate TSNs.
            now: The time.

        Returns:
            Its effect; ``None`` if it is older than a previous one, or acknowledges unsent TSNs.

        Raises:
            Fatal: The remote peer reneges too often.
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
                continue  # may have been skipped, not received
            if flying.pop(tsn, None) is not None:
                self.flight -= fragment.size
            ack.acked += fragment.size
            if newest is None or fragment.transmission > newest.transmission:
                newest = fragment
            if not fragment.lost and fragment.sends == 1:
                self._rack.on_first_ack(fragment)
            fragment.acked = True
        if cumulative > self.cumulative:
            self.cumulative = cumulative
            self.timeouts = 0
        if gaps or self._blocks:
            newest = self._acknowledge_gaps(cumulative, gaps, ack, newest)
        if duplicates and self._recovery_end > self.cumulative:
            self._rack.on_duplicates()
        if newest is not None:
            self._progress(newest, ack)
        ack.lost = self._detect(now)
        ack.in_recovery = self._recovery_end > self.cumulative
        if ack.lost and not ack.in_recovery:
            self._recovery_end = self.next_tsn - 1
            self._rack.on_recovery()
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
        for first, last in difference(blocks, self._blocks):
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
                    self._rack.on_first_ack(fragment)
                fragment.lost = False
        for first, last in difference(self._blocks, blocks):
            # RFC 9260 section 6.2.1 (ii), (iii): the remote peer may drop data it has acknowledged.
            self._reneged += max(last - max(first, base + 1) + 1, 0)
            if self._reneged > 8 * self._transmissions + MAX_RENEGED:
                reason = "the remote peer reneges on what it has acknowledged"
                raise Fatal(Cause.PROTOCOL_VIOLATION, reason)
            for tsn in range(max(first, base + 1), last + 1):
                fragment = sent.get(tsn)
                if fragment is not None and fragment.acked and not fragment.message.abandoned:
                    fragment.acked = False
                    self._lose(fragment, ack.now)
        self._blocks = blocks
        return newest

    def _progress(self, newest: Fragment, ack: Ack) -> None:
        now = ack.now
        rtt = now - newest.sent_at
        is_first = newest.sends == 1
        if is_first:
            ack.rtt = rtt
            self.round_trip.measured(rtt)
        # RFC 8985 section 6.2 step 2: an acknowledgement that comes too soon after a retransmission
        # belongs to the original transmission.
        if is_first or rtt >= self.round_trip.least:
            self._rack.update(newest.transmission, rtt)
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

    # --- losses

    def _detect(self, now: float) -> int:
        """Mark lost chunks; return their bytes (RFC 8985 section 6.2 step 5)."""
        self._reorder_at = float("inf")
        lost = 0
        found: list[Fragment] = []
        window: float | None = None
        for fragment in self._flying.values():
            if fragment.transmission >= self._rack.transmission:
                break
            if window is None:
                overtaking = sum(last - first + 1 for first, last in self._blocks)
                in_recovery = self._recovery_end > self.cumulative
                window = self._rack.loss_delay(
                    self.round_trip, overtaking=overtaking, in_recovery=in_recovery
                )
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
        """Abandon a message of which a part was sent (RFC 3758 section 3.5, A3)."""
        message.abandoned = True
        self.newly_abandoned.append(message)
        for tsn in message.tsns:
            fragment = self._sent.get(tsn)
            if fragment is None:
                continue
            fragment.lost = False
            if self._flying.pop(tsn, None) is not None:
                self.flight -= fragment.size
        message.tsns.clear()
        if message.position < len(message.data):
            # Its end is never sent. Skipping one more TSN tells the remote peer, which would
            # otherwise wait for the end.
            self._sent[self.next_tsn] = Fragment(message, LAST, message.fragments, b"")
            self.next_tsn += 1
        self._advance()

    def _advance(self) -> None:
        """Move the Advanced.Peer.Ack.Point (RFC 3758 section 3.5, C2)."""
        while (fragment := self._sent.get(self.advanced + 1)) is not None:
            message = fragment.message
            if not message.abandoned:
                break
            self.advanced += 1
            self._skipped[message.stream, not message.ordered] = (message.number, self.advanced)

    def skipped(self) -> dict[tuple[int, bool], int]:
        """Return the number of the last skipped message, by stream and unordered flag."""
        return {key: number for key, (number, _) in self._skipped.items()}

    # --- time

    @property
    def deadline(self) -> float:
        """Time of the next :meth:`handle_timeout`."""
        if not self._flying:
            return self._t3_at() if self.advanced > self.cumulative else float("inf")
        return min(self._t3_at(), self._reorder_at, self._probe_at)

    def _t3_at(self) -> float:
        return self._t3_from + min(self.round_trip.rto * 2.0**self.timeouts, RTO_MAX)

    def arm_probe(self, now: float) -> None:
        """Set the time of the tail loss probe (RFC 8985 section 7.2).

        Call it after a transmission or a SACK.
        """
        if self._probed_tsn >= 0 or not self._flying or self.round_trip.smoothed is None:
            self._probe_at = float("inf")
            return
        wait = 2 * self.round_trip.smoothed + 0.002
        self._probe_at = min(now + wait, self._t3_at())

    def probe(self, now: float) -> Fragment | None:
        """Return the chunk to retransmit as a tail loss probe, if one is due."""
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

    def handle_timeout(self, now: float) -> tuple[int, bool]:
        """Process due timers; return the bytes lost by RACK, and whether T3 expired."""
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

    def forward_tsn_sent(self, now: float) -> None:
        """Note that a FORWARD TSN is sent; it is repeated if it is not acknowledged."""
        if not self._flying:
            self._t3_from = now

    def lose_all(self, now: float) -> None:
        """Mark all chunks in flight as lost (RFC 9260 section 6.3.3)."""
        for fragment in list(self._flying.values()):
            if fragment.tsn in self._flying:
                self._lose(fragment, now)
        self._recovery_end = self.next_tsn - 1
        self._probed_tsn = -1
        self._probe_at = self._reorder_at = float("inf")

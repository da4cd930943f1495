"""Congestion control by a model of the path: how fast it is, and how long.

BBR's idea (Cardwell et al.; draft-ietf-ccwg-bbr): the highest rate at which data arrived lately and
the shortest round trip seen are what the path has to offer, so that so much goes out at that rate.
Loss alone says nothing, as on a radio link or a long one: one packet in twenty may be lost at
random. Loss while the round trips have grown says that a queue is full; then the model yields as
NewReno does, by less, so that both get their share.

It probes for more once a cycle and lets the queue drain after that, and looks at the bare round
trip every ten seconds. Alone it keeps the queue short, and with others of its kind under 50 ms.
Where a longer queue stands though it holds back itself, somebody else fills it, and who keeps to
the model would get next to nothing: there it is CUBIC, as that somebody is, until it finds the
queue gone (the idea is Copa's; Arun and Balakrishnan, NSDI 2018).
"""

from enum import StrEnum

from . import Ack
from .cubic import Cubic

STARTUP_GAIN = 2.77
"""Doubles what is on its way every round trip (draft-ietf-ccwg-bbr section 2.4)."""

STARTUP_WINDOW = 1.6
"""Pipes on their way in startup at most: so long as the queue is not seen, it has 0.6 of one."""

CRUISE_GAIN = 0.98
"""A little less than the rate, as the highest of many measurements is a little too high."""
DRAIN_GAIN = 0.5
PROBE_GAIN = 1.25
RELAX_GAIN = 0.85
WINDOW_GAIN = 2.0
MOST_QUEUE = 0.035
"""Seconds of queue that it makes at most, beyond what one pipe holds."""

MOST_QUEUE_PART = 0.7
"""The same as a part of the bare round trip, if that is more."""

STANDING_QUEUE = 0.045
"""Seconds of queue that those of its kind hardly make."""
STANDING_TIME = 0.5
"""Seconds for which such a queue stands before it looks whose it is."""
FOREIGN_QUEUE = 0.025
"""Seconds of queue that is somebody else's, if it stands though there is little on its way."""
SAME_ROUND_TRIP = 0.004
"""Seconds by which two looks at the round trip may differ and still see the same."""
SAME_LOOKS = 2
"""Looks that see the same as the one before, and with it a longer path and no rival."""
LOOK_AGAIN = 5.0
"""Seconds after which it looks again, if the queue was its own."""

FULL_GROWTH = 1.25
"""The growth of the rate in a round without which startup is near its end."""
FULL_ROUNDS = 3
"""Rounds without it that end startup."""

INITIAL_PACKETS = 10
"""Packets that may be on their way at first (RFC 6928)."""
LEAST_PACKETS = 4
"""Packets that always may."""

PROBE_GROWTH = 1.15
"""The growth of the rate by a probe that, without a queue, begins startup again."""

CRUISE_ROUNDS = 6
"""Rounds from one probe to the next, at least."""
CRUISE_TIME = 0.2
"""Seconds from one probe to the next, at least."""

ROUND_TRIP_MEMORY = 10.0
"""Seconds for which the shortest round trip holds."""
PROBE_ROUND_TRIP_TIME = 0.2
"""Seconds for which little is on its way, to see the shortest round trip again."""

HOST_DELAY = 0.003
"""Seconds that both ends' event loops add to a round trip: not a queue of the path."""
HOST_STALL = 0.02
"""Seconds for which they may do something else, without the path running empty."""

QUEUE_DELAY = 0.005
"""Seconds by which round trips must have grown for a loss to mean a full queue, at least."""
STARTUP_QUEUE = 0.02
"""Seconds of queue in a whole round that end startup."""
EARLY_QUEUE = (0.006, 0.016)
"""Seconds of queue that end startup within a round: an eighth of the round trip, but at least and
at most so many (HyStart++, RFC 9406 section 4.2)."""
EARLY_TIME = 0.005
"""Seconds, or an eighth of a round trip if that is longer, in which the shortest round trip is
looked for: a stall of either end is over in that time, a queue is not."""

YIELD = 0.8
"""What is left of the data on its way after a loss in a full queue."""
RECOVER = 0.025
"""Seconds, or a round trip if that is longer, in which the bound then rises by a packet."""

BURSTS_LOST = 0.1
"""The part of a round's data whose loss ends startup: a buffer runs over."""
MOST_LOST = 0.3
"""The part whose loss in a full queue says that the path has become slower."""

UNKNOWN_RTT = 0.1
"""Seconds taken as the round trip before it is known."""


class Phase(StrEnum):
    """What the model is doing."""

    STARTUP = "startup"
    DRAIN = "drain"
    CRUISE = "cruise"
    PROBE = "probe"
    RELAX = "relax"
    ROUND_TRIP = "round trip"
    COMPETE = "compete"


_GAINS = {
    Phase.STARTUP: STARTUP_GAIN,
    Phase.DRAIN: DRAIN_GAIN,
    Phase.CRUISE: CRUISE_GAIN,
    Phase.PROBE: PROBE_GAIN,
    Phase.RELAX: RELAX_GAIN,
    Phase.ROUND_TRIP: 1.0,
    Phase.COMPETE: 1.0,
}


class Model:
    """Keeps as much on its way as the path holds.

    Args:
        segment: The user data that fits a packet, in bytes.

    Attributes:
        phase: What it is doing.
        window: Bytes that may be on their way.
        pacing_rate: Bytes a second at which they go out.
        rate: The path's rate, in bytes a second, as far as it is known.
    """

    def __init__(self, segment: int) -> None:
        self._segment = segment
        self.phase = Phase.STARTUP
        self.window = INITIAL_PACKETS * segment
        self.pacing_rate = STARTUP_GAIN * self.window / UNKNOWN_RTT
        self._least_rtt = float("inf")
        self._least_rtt_at = 0.0
        # The highest rates of this cycle and of the one before, and the higher of both.
        self._new_rate = self._old_rate = 0.0
        self.rate = 0.0
        self._round_end = 0  # the round ends when what was delivered after this was sent
        self._round_at = 0.0
        self._round_rtt = float("inf")
        self._last_round_rtt = float("inf")
        self._round_lost = self._round_acked = 0
        self._round_rate = 0.0
        self._full_rate = 0.0
        self._full_rounds = 0
        self._phase_at = 0.0
        self._phase_rounds = 0
        self._bound = float("inf")  # bytes on their way, after losses in a full queue
        self._yielded = False  # in this round
        self._extra = 0.0  # bytes that come acknowledged at once, beyond the rate
        self._extra_from = 0.0
        self._extra_acked = 0
        self._moments = [float("inf"), float("inf")]  # the shortest round trips of late
        self._moment_at = 0.0
        self._standing_from = float("inf")  # since when a long queue stands
        self._look_from = 0.0
        self._probed_from = 0.0  # the rate before the last probe
        self._most_standing = 0.0  # seconds of queue since it competes
        self._cubic: Cubic | None = None
        self._bare_rtt = 0.0  # the round trip when it looked last, with little on its way
        self._same_looks = 0  # how often in a row it was that

    def set_segment(self, size: int) -> None:
        """See :class:`Controller`."""
        self._segment = size
        if self._cubic is not None:
            self._cubic.set_segment(size)

    def _begin_cycle(self, known: float) -> None:
        """Forget the rates of the cycle before the one that is over, of which this is known."""
        self._new_rate, self._old_rate = 0.0, known
        self.rate = known

    def _pipe(self) -> float:
        """Return the bytes that the path holds."""
        if self._least_rtt == float("inf"):
            return INITIAL_PACKETS * self._segment
        return self.rate * (self._least_rtt + HOST_DELAY)

    def acknowledged(self, ack: Ack) -> None:
        """See :class:`Controller`."""
        now = ack.now
        self._round_lost += ack.lost
        self._round_acked += ack.acked
        if ack.rtt is not None:
            self._take_round_trip(ack.rtt, now)
        new_round = ack.acked > 0 and ack.prior_delivered >= self._round_end
        if ack.rate is not None and (not ack.app_limited or ack.rate >= self.rate):
            self._new_rate = max(self._new_rate, ack.rate)
            self.rate = max(self._new_rate, self._old_rate)
            self._round_rate = max(self._round_rate, ack.rate)
        self._take_aggregation(ack)
        if self.phase is Phase.COMPETE and self._cubic is not None:
            self._cubic.acknowledged(ack)
        elif ack.lost:
            self._maybe_yield(ack)
        if new_round:
            self._end_round(ack)
        self._step(ack)
        self._decide()

    def _take_round_trip(self, rtt: float, now: float) -> None:
        self._round_rtt = min(self._round_rtt, rtt)
        if rtt <= self._least_rtt:
            self._least_rtt, self._least_rtt_at = rtt, now
        if now - self._moment_at >= max(EARLY_TIME, self._least_rtt / 8):
            self._moments = [rtt, self._moments[0]]
            self._moment_at = now
        else:
            self._moments[0] = min(self._moments[0], rtt)

    def _is_filling(self) -> bool:
        """Whether a queue grows, by what is seen of this round."""
        least, most = EARLY_QUEUE
        wanted = min(max(self._least_rtt / 8, least), most)
        return wanted < min(self._moments) - self._least_rtt

    def _take_aggregation(self, ack: Ack) -> None:
        """Measure how much more than the rate gives comes acknowledged at once."""
        expected = self.rate * (ack.now - self._extra_from)
        if self._extra_acked <= expected:
            self._extra_from, self._extra_acked, expected = ack.now, 0, 0.0
        self._extra_acked += ack.acked
        extra = min(self._extra_acked - expected, self._pipe())
        self._extra = max(extra, self._extra * 0.98)

    def _queue(self) -> float:
        """Return the seconds of queue that the last round trips show."""
        shortest = min(self._round_rtt, self._last_round_rtt)
        return shortest - self._least_rtt if shortest < float("inf") else 0.0

    def _maybe_yield(self, ack: Ack) -> None:
        if self._yielded or ack.in_recovery:
            return
        if self._queue() < max(QUEUE_DELAY, self._least_rtt / 8):
            return
        self._yielded = True
        self._bound = max(YIELD * ack.prior_flight, LEAST_PACKETS * self._segment)
        if self.phase is Phase.PROBE:
            self._enter(Phase.RELAX, ack.now)

    def _end_round(self, ack: Ack) -> None:
        self._round_end = ack.delivered
        self._phase_rounds += 1
        self._last_round_rtt, self._round_rtt = self._round_rtt, float("inf")
        self._yielded = False
        if self._bound < float("inf"):
            lasted = ack.now - self._round_at
            self._bound += min(lasted / RECOVER, 1.0) * self._segment
        self._round_at = ack.now
        if self.phase is Phase.STARTUP and not ack.app_limited:
            self._watch_startup()
        elif self.phase is Phase.COMPETE:
            if self._phase_rounds % CRUISE_ROUNDS == 0:
                self._begin_cycle(self._new_rate)
            self._watch_competition(ack)
        elif self._last_round_rtt - self._least_rtt > STANDING_QUEUE and not ack.app_limited:
            self._standing_from = min(self._standing_from, ack.now)
        else:
            self._standing_from = float("inf")
        if self._lost_part() > MOST_LOST and self._queue() > QUEUE_DELAY:
            self._begin_cycle(self._round_rate or self.rate)
        self._round_lost = self._round_acked = 0
        self._round_rate = 0.0

    def _lost_part(self) -> float:
        return self._round_lost / ((self._round_lost + self._round_acked) or 1)

    def _watch_startup(self) -> None:
        if self.rate >= self._full_rate * FULL_GROWTH:
            self._full_rate, self._full_rounds = self.rate, 0
        else:
            self._full_rounds += 1
        queue = self._last_round_rtt - self._least_rtt
        queued = queue > max(STARTUP_QUEUE, self._least_rtt / 4)
        if (
            self._full_rounds >= FULL_ROUNDS
            or self._lost_part() > BURSTS_LOST
            or (queued and self._full_rounds)
        ):
            self._full_rounds = FULL_ROUNDS

    def _watch_competition(self, ack: Ack) -> None:
        """Look along with another of its kind: that one has suddenly less on its way."""
        queue = self._last_round_rtt - self._least_rtt
        if queue < self._most_standing / 2 and ack.now - self._phase_at >= LOOK_AGAIN / 2:
            self._look_at_round_trip(ack)
        self._most_standing = max(self._most_standing, queue)

    def _step(self, ack: Ack) -> None:
        now, phase = ack.now, self.phase
        lasted = now - self._phase_at
        if phase is Phase.STARTUP:
            if self._full_rounds >= FULL_ROUNDS or (self._full_rounds and self._is_filling()):
                self._enter(Phase.DRAIN, now)
        elif phase is Phase.DRAIN:
            if ack.flight <= self._pipe() or self._phase_rounds >= 3:
                self._enter(Phase.CRUISE, now)
        elif phase is Phase.CRUISE:
            if self._phase_rounds >= CRUISE_ROUNDS and lasted >= CRUISE_TIME:
                self._probed_from = self.rate
                self._enter(Phase.PROBE, now)
        elif phase is Phase.PROBE:
            enough = min(PROBE_GAIN * self._pipe(), self.window - 2 * self._segment)
            filled = ack.flight >= enough or ack.app_limited
            if self._phase_rounds >= 1 and (filled or self._phase_rounds >= 8):
                if not ack.app_limited and self.rate >= PROBE_GROWTH * self._probed_from:
                    self._begin_again(now)  # the path has become faster, or startup ended early
                else:
                    self._enter(Phase.RELAX, now)
        elif phase is Phase.RELAX:
            if ack.flight <= self._pipe() or self._phase_rounds >= 2:
                # A cycle is over: what was seen two cycles ago is forgotten.
                self._begin_cycle(self._new_rate)
                self._enter(Phase.CRUISE, now)
        elif phase is Phase.COMPETE:
            if lasted >= ROUND_TRIP_MEMORY:
                self._look_at_round_trip(ack)
            return
        elif self._phase_rounds >= 2 and lasted >= PROBE_ROUND_TRIP_TIME:
            self._take_bare_round_trip(now)
            return
        if self._least_rtt == float("inf"):
            return
        stands = now - self._standing_from >= STANDING_TIME and now >= self._look_from
        if stands and phase is not Phase.ROUND_TRIP:
            self._look_at_round_trip(ack)
        elif now - self._least_rtt_at > ROUND_TRIP_MEMORY and phase is not Phase.ROUND_TRIP:
            if ack.app_limited and self._round_rtt < float("inf"):
                self._least_rtt, self._least_rtt_at = self._round_rtt, now
            else:
                self._look_at_round_trip(ack)

    def _begin_again(self, now: float) -> None:
        if self._queue() < EARLY_QUEUE[0] and not self._is_filling():
            self._full_rate, self._full_rounds = self.rate, 0
            self._bound = float("inf")
            self._enter(Phase.STARTUP, now)
        else:
            self._enter(Phase.RELAX, now)

    def _look_at_round_trip(self, ack: Ack) -> None:
        if self.phase is not Phase.COMPETE:
            # As much as if what there was is shared with one other.
            rate = max(self.rate, self._full_rate)
            half = min(rate * (self._least_rtt + self._queue()) / 2, 2.0 * ack.prior_flight)
            self._cubic = Cubic(self._segment, int(max(half, ack.prior_flight, self._segment)))
        self._round_rtt = self._last_round_rtt = float("inf")
        self._enter(Phase.ROUND_TRIP, ack.now)

    def _take_bare_round_trip(self, now: float) -> None:
        bare = min(self._last_round_rtt, self._round_rtt)
        cubic, self._standing_from = self._cubic, float("inf")
        self._look_from = now + LOOK_AGAIN
        is_foreign = FOREIGN_QUEUE < bare - self._least_rtt < float("inf")
        # The queue of others is never the same for long; it is the path that is longer.
        is_same = abs(bare - self._bare_rtt) < SAME_ROUND_TRIP
        self._bare_rtt, self._same_looks = bare, self._same_looks + 1 if is_same else 0
        if cubic is not None and is_foreign and self._same_looks < SAME_LOOKS:
            cubic.idle(now, 0)
            self._most_standing = 0.0
            self._enter(Phase.COMPETE, now)
            return
        self._cubic, self._same_looks = None, 0
        if bare < float("inf"):
            self._least_rtt, self._least_rtt_at = bare, now
        self._enter(Phase.CRUISE, now)

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self._phase_at = now
        self._phase_rounds = 0

    def _decide(self) -> None:
        if not self.rate:
            return
        self.pacing_rate = _GAINS[self.phase] * self.rate
        pipe = self._pipe()
        if self.phase is Phase.ROUND_TRIP:
            wanted = pipe / 2
        elif self.phase is Phase.COMPETE and self._cubic is not None:
            # Loss at random shrinks CUBIC's window alone. One pipe leaves others their room.
            wanted = max(self._cubic.window, pipe)
            self.pacing_rate = max(self._cubic.pacing_rate, self.rate)
        elif self.phase is Phase.STARTUP:
            wanted = max(STARTUP_WINDOW * pipe + self._extra, INITIAL_PACKETS * self._segment)
        else:
            spare = self.rate * HOST_STALL + self._extra
            queue = max(MOST_QUEUE, MOST_QUEUE_PART * self._least_rtt)
            most = pipe + max(self.rate * queue, self._extra)
            wanted = min(WINDOW_GAIN * pipe + spare, most, self._bound)
        self.window = int(max(wanted, LEAST_PACKETS * self._segment))

    def timed_out(self, now: float) -> None:
        """See :class:`Controller`."""
        # Nothing came back for a while: the path may be another one. One packet asks; the model
        # stands as soon as it is answered.
        self.window = self._segment
        if self.phase is Phase.COMPETE and self._cubic is not None:
            self._cubic.timed_out(now)

    def idle(self, now: float, flight: int) -> None:
        """See :class:`Controller`."""
        self._extra_from, self._extra_acked = now, 0
        if self._cubic is not None:
            self._cubic.idle(now, flight)
        if self.phase is Phase.ROUND_TRIP:
            self._least_rtt_at = now
            self._enter(Phase.CRUISE, now)

"""Model-based congestion control: bottleneck bandwidth and minimum round-trip time, as in BBR.

BBR's idea (Cardwell et al.; draft-ietf-ccwg-bbr): the maximum recent delivery rate and the minimum
round-trip time describe the path, and data is sent at that rate. Loss alone is no signal, because
radio links and long links lose packets at random, up to one in twenty. Loss with increased
round-trip times shows a full queue. The controller then reduces its window like NewReno, but by
less, so that both get their share.

Once per cycle it probes for more bandwidth and then drains the queue. Every ten seconds it probes
the minimum round-trip time. Alone it keeps the queue short, and with other flows of its kind below
50 ms. If a longer queue persists although it holds back, a flow of another kind fills it, and would
starve this one. The controller then behaves like CUBIC until the queue is gone. That idea is Copa's
(Arun and Balakrishnan, NSDI 2018).
"""

from . import Ack
from .cubic import Cubic
from .phases import GAINS, PROBE_GAIN, STARTUP_GAIN, Phase

STARTUP_WINDOW = 1.6
"""Window in startup, in bandwidth-delay products: an undetected queue holds at most 0.6."""

WINDOW_GAIN = 2.0
"""Maximum window, in bandwidth-delay products."""

MAX_QUEUE = 0.035
"""Maximum seconds of queue beyond one bandwidth-delay product."""

MAX_QUEUE_FRACTION = 0.7
"""The same as a fraction of the minimum round-trip time, if that is more."""

STANDING_QUEUE = 0.045
"""Seconds of queue that several flows of this kind hardly exceed."""
STANDING_TIME = 0.5
"""Seconds for which such a queue must persist before the minimum round-trip time is probed."""
FOREIGN_QUEUE = 0.025
"""Seconds of queue that persist with little data in flight, and so belong to another flow."""
EQUAL_RTT = 0.004
"""Maximum difference in seconds of two probed round-trip times that count as equal."""
EQUAL_PROBES = 2
"""Consecutive equal probes that show a longer path instead of a competing flow."""
REPROBE_INTERVAL = 5.0
"""Minimum seconds between probes, if the queue was our own."""

FULL_GROWTH = 1.25
"""Growth of the rate per round below which startup has nearly filled the path."""
FULL_ROUNDS = 3
"""Number of such rounds that end startup."""

INITIAL_PACKETS = 10
"""Initial window in packets (RFC 6928)."""
MIN_PACKETS = 4
"""Minimum window in packets."""

PROBE_GROWTH = 1.15
"""Growth of the rate by a bandwidth probe that restarts startup, if there is no queue."""

CRUISE_ROUNDS = 6
"""Minimum round trips between two bandwidth probes."""
CRUISE_TIME = 0.2
"""Minimum seconds between two bandwidth probes."""

MIN_RTT_LIFETIME = 10.0
"""Seconds for which the minimum round-trip time is valid."""
PROBE_RTT_TIME = 0.2
"""Duration of a probe of the minimum round-trip time, in seconds."""

HOST_DELAY = 0.003
"""Seconds that the event loops of both peers add to a round trip; not a queue of the path."""
HOST_STALL = 0.02
"""Seconds for which an event loop may be busy without emptying the path."""

QUEUE_DELAY = 0.005
"""Minimum increase of the round-trip time in seconds for a loss to indicate a full queue."""
STARTUP_QUEUE = 0.02
"""Seconds of queue during a whole round that end startup."""
EARLY_QUEUE = (0.006, 0.016)
"""Bounds of the seconds of queue that end startup within a round: an eighth of the round-trip time
(HyStart++, RFC 9406 section 4.2)."""
EARLY_TIME = 0.005
"""Seconds, or an eighth of a round trip if that is longer, for which the minimum round-trip time is
taken. Stalls of a peer are shorter, a queue is not."""

LOSS_FACTOR = 0.8
"""Factor applied to the data in flight after a loss in a full queue."""
LOSS_RECOVERY_TIME = 0.025
"""Seconds, or a round trip if that is longer, per packet of growth of the reduced window."""

STARTUP_LOSS = 0.1
"""Loss fraction of a round that ends startup: a buffer overflows."""
SLOWDOWN_LOSS = 0.3
"""Loss fraction in a full queue that shows that the path has become slower."""

UNKNOWN_RTT = 0.1
"""Round-trip time in seconds assumed before it is known."""


class PathModel:
    """Keeps about one bandwidth-delay product in flight.

    Args:
        segment: Bytes of user data per packet.

    Attributes:
        phase: The current phase.
        window: Maximum bytes in flight.
        pacing_rate: Bytes per second.
        rate: Estimated bandwidth of the path in bytes per second; 0 if unknown.
    """

    def __init__(self, segment: int) -> None:
        self._segment = segment
        self.phase: Phase = Phase.STARTUP
        self.window: int = INITIAL_PACKETS * segment
        self.pacing_rate: float = STARTUP_GAIN * self.window / UNKNOWN_RTT
        self._min_rtt = float("inf")
        self._min_rtt_at = 0.0
        # Maximum rates of the current and the previous cycle, and the maximum of both.
        self._new_rate = self._old_rate = 0.0
        self.rate: float = 0.0
        self._round_end = 0  # the round ends when data sent after this point is acknowledged
        self._round_at = 0.0
        self._round_rtt = float("inf")
        self._last_round_rtt = float("inf")
        self._round_lost = self._round_acked = 0
        self._round_rate = 0.0
        self._full_rate = 0.0
        self._full_rounds = 0
        self._phase_at = 0.0
        self._phase_rounds = 0
        self._loss_window = float("inf")  # window after losses in a full queue
        self._has_reduced = False  # in this round
        self._extra = 0.0  # bytes acknowledged at once beyond the rate
        self._extra_from = 0.0
        self._extra_acked = 0
        self._recent_rtts = [float("inf"), float("inf")]  # recent minimum round-trip times
        self._recent_rtt_at = 0.0
        self._standing_from = float("inf")  # start of a persistent long queue
        self._next_probe_at = 0.0
        self._probed_from = 0.0  # rate before the last bandwidth probe
        self._max_queue = 0.0  # maximum seconds of queue in this COMPETE phase
        self._cubic: Cubic | None = None
        self._probed_rtt = 0.0  # round-trip time of the last probe
        self._equal_probes = 0  # consecutive equal probes

    def set_segment(self, size: int) -> None:
        """Implement :class:`Controller`."""
        self._segment = size
        if self._cubic is not None:
            self._cubic.set_segment(size)

    def _begin_cycle(self, known: float) -> None:
        """Forget the rates of the previous cycle; ``known`` is that of the one that ends."""
        self._new_rate, self._old_rate = 0.0, known
        self.rate = known

    def _pipe(self) -> float:
        """Return the bandwidth-delay product in bytes."""
        if self._min_rtt == float("inf"):
            return INITIAL_PACKETS * self._segment
        return self.rate * (self._min_rtt + HOST_DELAY)

    def acknowledged(self, ack: Ack) -> None:
        """Implement :class:`Controller`."""
        now = ack.now
        self._round_lost += ack.lost
        self._round_acked += ack.acked
        if ack.rtt is not None:
            self._add_rtt(ack.rtt, now)
        new_round = ack.acked > 0 and ack.prior_delivered >= self._round_end
        if ack.rate is not None and (not ack.app_limited or ack.rate >= self.rate):
            self._new_rate = max(self._new_rate, ack.rate)
            self.rate = max(self._new_rate, self._old_rate)
            self._round_rate = max(self._round_rate, ack.rate)
        self._measure_aggregation(ack)
        if self.phase is Phase.COMPETE and self._cubic is not None:
            self._cubic.acknowledged(ack)
        elif ack.lost:
            self._maybe_reduce(ack)
        if new_round:
            self._end_round(ack)
        self._step(ack)
        self._decide()

    def _add_rtt(self, rtt: float, now: float) -> None:
        self._round_rtt = min(self._round_rtt, rtt)
        if rtt <= self._min_rtt:
            self._min_rtt, self._min_rtt_at = rtt, now
        if now - self._recent_rtt_at >= max(EARLY_TIME, self._min_rtt / 8):
            self._recent_rtts = [rtt, self._recent_rtts[0]]
            self._recent_rtt_at = now
        else:
            self._recent_rtts[0] = min(self._recent_rtts[0], rtt)

    def _is_filling(self) -> bool:
        """Return whether a queue grows, by the round-trip times of this round."""
        least, most = EARLY_QUEUE
        wanted = min(max(self._min_rtt / 8, least), most)
        return wanted < min(self._recent_rtts) - self._min_rtt

    def _measure_aggregation(self, ack: Ack) -> None:
        """Measure ACK aggregation: bytes acknowledged at once beyond the rate."""
        expected = self.rate * (ack.now - self._extra_from)
        if self._extra_acked <= expected:
            self._extra_from, self._extra_acked, expected = ack.now, 0, 0.0
        self._extra_acked += ack.acked
        extra = min(self._extra_acked - expected, self._pipe())
        self._extra = max(extra, self._extra * 0.98)

    def _queue(self) -> float:
        """Return the seconds of queue in the last round trips."""
        shortest = min(self._round_rtt, self._last_round_rtt)
        return shortest - self._min_rtt if shortest < float("inf") else 0.0

    def _maybe_reduce(self, ack: Ack) -> None:
        if self._has_reduced or ack.in_recovery:
            return
        if self._queue() < max(QUEUE_DELAY, self._min_rtt / 8):
            return
        self._has_reduced = True
        self._loss_window = max(LOSS_FACTOR * ack.prior_flight, MIN_PACKETS * self._segment)
        if self.phase is Phase.PROBE:
            self._enter(Phase.RELAX, ack.now)

    def _end_round(self, ack: Ack) -> None:
        self._round_end = ack.delivered
        self._phase_rounds += 1
        self._last_round_rtt, self._round_rtt = self._round_rtt, float("inf")
        self._has_reduced = False
        if self._loss_window < float("inf"):
            lasted = ack.now - self._round_at
            self._loss_window += min(lasted / LOSS_RECOVERY_TIME, 1.0) * self._segment
        self._round_at = ack.now
        if self.phase is Phase.STARTUP and not ack.app_limited:
            self._watch_startup()
        elif self.phase is Phase.COMPETE:
            if self._phase_rounds % CRUISE_ROUNDS == 0:
                self._begin_cycle(self._new_rate)
            self._watch_competition(ack)
        elif self._last_round_rtt - self._min_rtt > STANDING_QUEUE and not ack.app_limited:
            self._standing_from = min(self._standing_from, ack.now)
        else:
            self._standing_from = float("inf")
        if self._lost_part() > SLOWDOWN_LOSS and self._queue() > QUEUE_DELAY:
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
        queue = self._last_round_rtt - self._min_rtt
        queued = queue > max(STARTUP_QUEUE, self._min_rtt / 4)
        if (
            self._full_rounds >= FULL_ROUNDS
            or self._lost_part() > STARTUP_LOSS
            or (queued and self._full_rounds)
        ):
            self._full_rounds = FULL_ROUNDS

    def _watch_competition(self, ack: Ack) -> None:
        """Probe together with others of this kind: the queue shrinks when one of them probes."""
        queue = self._last_round_rtt - self._min_rtt
        if queue < self._max_queue / 2 and ack.now - self._phase_at >= REPROBE_INTERVAL / 2:
            self._begin_rtt_probe(ack)
        self._max_queue = max(self._max_queue, queue)

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
                    self._restart_startup(now)  # the path became faster, or startup ended early
                else:
                    self._enter(Phase.RELAX, now)
        elif phase is Phase.RELAX:
            if ack.flight <= self._pipe() or self._phase_rounds >= 2:
                # A cycle ends: forget the rates of the one before.
                self._begin_cycle(self._new_rate)
                self._enter(Phase.CRUISE, now)
        elif phase is Phase.COMPETE:
            if lasted >= MIN_RTT_LIFETIME:
                self._begin_rtt_probe(ack)
            return
        elif self._phase_rounds >= 2 and lasted >= PROBE_RTT_TIME:
            self._end_rtt_probe(now)
            return
        if self._min_rtt == float("inf"):
            return
        stands = now - self._standing_from >= STANDING_TIME and now >= self._next_probe_at
        if stands and phase is not Phase.PROBE_RTT:
            self._begin_rtt_probe(ack)
        elif now - self._min_rtt_at > MIN_RTT_LIFETIME and phase is not Phase.PROBE_RTT:
            if ack.app_limited and self._round_rtt < float("inf"):
                self._min_rtt, self._min_rtt_at = self._round_rtt, now
            else:
                self._begin_rtt_probe(ack)

    def _restart_startup(self, now: float) -> None:
        if self._queue() < EARLY_QUEUE[0] and not self._is_filling():
            self._full_rate, self._full_rounds = self.rate, 0
            self._loss_window = float("inf")
            self._enter(Phase.STARTUP, now)
        else:
            self._enter(Phase.RELAX, now)

    def _begin_rtt_probe(self, ack: Ack) -> None:
        if self.phase is not Phase.COMPETE:
            # Half of the window, as if it is shared with one other flow.
            rate = max(self.rate, self._full_rate)
            half = min(rate * (self._min_rtt + self._queue()) / 2, 2.0 * ack.prior_flight)
            self._cubic = Cubic(self._segment, int(max(half, ack.prior_flight, self._segment)))
        self._round_rtt = self._last_round_rtt = float("inf")
        self._enter(Phase.PROBE_RTT, ack.now)

    def _end_rtt_probe(self, now: float) -> None:
        bare = min(self._last_round_rtt, self._round_rtt)
        cubic, self._standing_from = self._cubic, float("inf")
        self._next_probe_at = now + REPROBE_INTERVAL
        is_foreign = FOREIGN_QUEUE < bare - self._min_rtt < float("inf")
        # A competitor's queue varies; a constant one is a longer path.
        is_same = abs(bare - self._probed_rtt) < EQUAL_RTT
        self._probed_rtt, self._equal_probes = bare, self._equal_probes + 1 if is_same else 0
        if cubic is not None and is_foreign and self._equal_probes < EQUAL_PROBES:
            cubic.idle(now, 0)
            self._max_queue = 0.0
            self._enter(Phase.COMPETE, now)
            return
        self._cubic, self._equal_probes = None, 0
        if bare < float("inf"):
            self._min_rtt, self._min_rtt_at = bare, now
        self._enter(Phase.CRUISE, now)

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self._phase_at = now
        self._phase_rounds = 0

    def _decide(self) -> None:
        if not self.rate:
            return
        self.pacing_rate = GAINS[self.phase] * self.rate
        pipe = self._pipe()
        if self.phase is Phase.PROBE_RTT:
            wanted = pipe / 2
        elif self.phase is Phase.COMPETE and self._cubic is not None:
            # Random loss reduces CUBIC's window only. One bandwidth-delay product leaves room for
            # others.
            wanted = max(self._cubic.window, pipe)
            self.pacing_rate = max(self._cubic.pacing_rate, self.rate)
        elif self.phase is Phase.STARTUP:
            wanted = max(STARTUP_WINDOW * pipe + self._extra, INITIAL_PACKETS * self._segment)
        else:
            spare = self.rate * HOST_STALL + self._extra
            queue = max(MAX_QUEUE, MAX_QUEUE_FRACTION * self._min_rtt)
            most = pipe + max(self.rate * queue, self._extra)
            wanted = min(WINDOW_GAIN * pipe + spare, most, self._loss_window)
        self.window = int(max(wanted, MIN_PACKETS * self._segment))

    def timed_out(self, now: float) -> None:
        """Implement :class:`Controller`."""
        # The path may have changed. Probe with one packet; the model is still valid once it is
        # acknowledged.
        self.window = self._segment
        if self.phase is Phase.COMPETE and self._cubic is not None:
            self._cubic.timed_out(now)

    def idle(self, now: float, flight: int) -> None:
        """Implement :class:`Controller`."""
        self._extra_from, self._extra_acked = now, 0
        if self._cubic is not None:
            self._cubic.idle(now, flight)
        if self.phase is Phase.PROBE_RTT:
            self._min_rtt_at = now
            self._enter(Phase.CRUISE, now)

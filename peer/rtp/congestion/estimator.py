"""Send-side bandwidth estimator of a transport. Does no I/O.

It joins Google Congestion Control (draft-ietf-rmcat-gcc-02) with a model of the path: the one-way
delay above the least one is the queue, and what arrives while there is a queue is the capacity.
When a queue grows, the rate falls below the capacity at once, and a little more until it is gone.
A queue that persists nevertheless belongs to another flow; then only its trend and loss count.

Traffic of the same sender without such feedback, the data channels, may be told as a bit rate. The
estimate is then for both together.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import replace

from .arrivals import Arrivals
from .congestion_window import CongestionWindow
from .packets import NetworkState, PacketResult, ProbeCluster, SentPacket
from .path_control import PathControl
from .probe_results import ProbeResult, ProbeResults
from .probes import ProbeController
from .sent_bitrate import SentBitrate
from .sent_history import SentHistory

__all__ = ["BandwidthEstimator", "NetworkState", "PacketResult", "ProbeCluster", "SentPacket"]

MAX_RESULTS = 65_536
"""Results of one feedback that are read."""

_OBEYED = 1.1
"""Multiple of the rate, or of what arrives, up to which senders are thought to follow the rate."""

REMB_LIFETIME = 30.0
"""Seconds after which a REMB that is not renewed expires."""

PACING_FACTOR = 2.5
"""Pacing rate divided by the target bit rate: the pacing factor of libwebrtc."""

_LEAST_PROBE = 0.3
"""Part of a cluster's bit rate that is sent at least beside other traffic."""

_SILENCE = 0.5
"""Seconds without feedback, beyond a round trip, after which the rate is reduced."""
_SILENCE_FACTOR = 0.7


class BandwidthEstimator:
    """Estimates what a transport can send.

    Args:
        now: Seconds on a monotonic clock, like all other times here.
        start_bitrate: First estimate.
        min_bitrate: Lowest estimate.
        max_bitrate: Highest estimate; all in bits per second.

    Attributes:
        history: The packets that were sent.
    """

    def __init__(
        self,
        now: float,
        *,
        start_bitrate: float = 300_000,
        min_bitrate: float = 30_000,
        max_bitrate: float = 20_000_000,
    ) -> None:
        self._min, self._max = min_bitrate, max_bitrate
        self.history = SentHistory()
        self._sent = SentBitrate(now)
        self._window = CongestionWindow()
        self._arrivals = Arrivals()
        self._path = PathControl(
            start_bitrate, min_bitrate, max_bitrate, self._arrivals, self._window
        )
        self._rates = self._path.rates
        self._queue = self._arrivals.queue
        self._loss = self._path.loss
        self._probes = ProbeController(now, start_bitrate, max_bitrate)
        self._results = ProbeResults()
        self._remb: tuple[float, float] | None = None
        self._now = now
        self._feedback_at: float | None = None
        self._silent_from: float | None = None
        self._beside_sent = self._beside_arriving = 0.0

    # What is sent.

    def on_sent(self, size: int, now: float, probe: int | None = None) -> SentPacket:
        """Note and number a packet that is sent now; see :meth:`SentHistory.add`."""
        self._now = now
        packet = self.history.add(size, now, probe)
        self._sent.add(size, now)
        if probe is not None:
            self._results.sent(packet)
        return packet

    def set_demand(self, bitrate: float, now: float) -> None:
        """Set what all senders together could use at most; probes go up to it.

        Args:
            bitrate: Bits per second.
            now: The current time.
        """
        self._now = now
        self._probes.set_demand(bitrate, self._rates.rate, now)

    def set_beside(self, sent: float, arriving: float, recent: float, now: float) -> None:
        """Set what is sent over the same path without such feedback; the estimate includes it.

        Args:
            sent: Bits per second that are sent.
            arriving: Bits per second that arrive.
            recent: The same in the last moment.
            now: The current time.
        """
        self._now = now
        self._beside_sent, self._beside_arriving = sent, arriving
        self._arrivals.acknowledged.beside = arriving, recent
        self._rates.beside = arriving
        if arriving:
            # Before there is feedback, at least this is known of the path.
            both = self._arrivals.acknowledged.bitrate
            # What is known of the arrivals is old if nothing is sent any more.
            own = 0.0 if both is None else min(both - arriving, self._sent.bitrate(now))
            self._path.carried(arriving + own, now)

    def take_probes(self, now: float) -> list[ProbeCluster]:
        """Return the clusters to be sent now, each once: of media, or of padding where it lacks.

        While a cluster is sent the pacer uses its rate instead of :attr:`pacing_rate`.
        """
        self._now = now
        is_clear = (
            self._queue.is_empty
            and not self._queue.is_foreign
            and self.network_state is not NetworkState.OVERUSING
            and self._silent_from is None
        )
        self._probes.update(
            self._rates.rate,
            now,
            self._rates.decreased_at,
            is_clear=is_clear,
            is_known=self._rates.capacity.bitrate is not None,
            is_shared=self._path.is_contested(now),
            noise=self._queue.noise,
        )
        clusters = [self._beside_others(cluster) for cluster in self._probes.take()]
        for cluster in clusters:
            self._results.begin(cluster)
        return clusters

    def _beside_others(self, cluster: ProbeCluster) -> ProbeCluster:
        """Return a cluster that makes its bit rate together with what is sent beside it."""
        if not self._beside_sent:
            return cluster
        bitrate = max(cluster.bitrate - self._beside_sent, _LEAST_PROBE * cluster.bitrate)
        return replace(cluster, bitrate=bitrate)

    # What the receiver tells.

    def on_feedback(self, results: Sequence[PacketResult], now: float) -> bool:
        """Process feedback about packets.

        Results of unknown packets, and all but the first one of a packet, are ignored; so are times
        that are no numbers.

        Args:
            results: A result for each packet that the feedback tells about.
            now: The current time.

        Returns:
            Whether it told anything new.
        """
        self._now = now
        self.history.forget_old(now)
        arrivals: list[tuple[float, SentPacket]] = []
        lost = late = 0
        skipped = self._skip(results)
        for result in results[:MAX_RESULTS]:
            number, received_at = result.number, result.received_at
            if received_at is None:
                if (packet := self.history.lost(number)) is not None:
                    lost += 1
                    self._results.add(packet, None)
            elif math.isfinite(received_at):
                packet, was_lost = self.history.received(number)
                if packet is not None:
                    late += was_lost
                    arrivals.append((received_at, packet))
        if not arrivals and not lost:
            return False
        self._silent_from = None
        if arrivals:
            self._add_arrivals(arrivals, skipped, now)
        self._feedback_at = now
        excess = self._loss.add(len(arrivals), lost, late, now, has_queue=self._queue.excess > 0)
        before = self._path.decide(excess, self._sent.bitrate(now) + self._beside_sent, now)
        if before is not None:
            self._probes.fell(before, now)
        for id_, found in self._results.take():
            self._finish_probe(id_, found, now)
        return True

    def _skip(self, results: Sequence[PacketResult]) -> int:
        """Take out the packets whose feedback was lost; return how many bytes probably arrived."""
        numbers = (result.number for result in results[:MAX_RESULTS])
        first = min((number for number in numbers if number in self.history), default=None)
        skipped = [] if first is None else self.history.skip(first)
        for packet in skipped:
            self._results.add(packet, None)
        return int(sum(packet.size for packet in skipped) * (1 - self._loss.fraction))

    def _add_arrivals(
        self, arrivals: list[tuple[float, SentPacket]], skipped: int, now: float
    ) -> None:
        arrivals.sort(key=_by_arrival)
        arriving = self._arrivals.acknowledged.bitrate or 0.0
        sent = self._sent.bitrate(now) + self._beside_sent
        self._queue.is_obeyed = sent <= _OBEYED * max(self._rates.rate, arriving)
        self._arrivals.add(arrivals, skipped, self._rates.rate, now)
        for received_at, packet in arrivals:
            if packet.probe is not None:
                self._results.add(packet, received_at)
        trip = now - max(packet.sent_at for _, packet in arrivals)
        if trip >= 0:
            self._window.add(trip, max(self._queue.latest, 0.0), now)

    def _finish_probe(self, id_: int, found: ProbeResult | None, now: float) -> None:
        if found is not None and self._beside_arriving:
            both = found.bitrate + self._beside_arriving
            found = ProbeResult(id_, both, is_saturated=found.is_saturated)
        is_confirmed = found is not None and self._path.probed(found, now)
        confirmed = found.bitrate if found is not None and is_confirmed else None
        self._probes.finished(id_, confirmed, self._rates.rate, now)

    def on_remb(self, bitrate: float, now: float) -> None:
        """Process a REMB, in bits per second: an upper bound for :data:`REMB_LIFETIME` seconds."""
        self._now = now
        if math.isfinite(bitrate) and bitrate >= 0:
            self._remb = bitrate, now

    # Time.

    def handle_timeout(self, now: float) -> None:
        """Do what is due: see :attr:`deadline`."""
        self._now = now
        open_ = self._probes.timed_out(now)
        if open_ is not None:
            self._finish_probe(open_, self._results.give_up(open_), now)
        due = self._silence_deadline()
        if due is not None and now >= due:
            if self._silent_from is None:
                self._silent_from = now
                self._probes.fell(self._rates.rate, now)
            self._rates.accept(self._rates.rate * _SILENCE_FACTOR, now)
            # Otherwise nothing more is sent that feedback could tell about.
            self.history.clear()

    def _silence_deadline(self) -> float | None:
        oldest = self.history.oldest
        if self._feedback_at is None or oldest is None:
            return None
        trip = self._window.round_trip or 0.2
        return max(oldest.sent_at, self._feedback_at) + _SILENCE + trip

    @property
    def deadline(self) -> float:
        """Time for :meth:`handle_timeout` and :meth:`take_probes`; infinite for never."""
        times = self._silence_deadline(), self._probes.deadline(self._rates.rate)
        return min((time for time in times if time is not None), default=float("inf"))

    # What the sender is told.

    @property
    def target_bitrate(self) -> float:
        """Return the bits per second that may be sent, with all overhead."""
        rate = self._path.drained_rate
        if self._feedback_at is not None:
            rate *= self._window.factor(self.congestion_window, self.history.bytes_in_flight)
        if self._remb is not None and self._now - self._remb[1] < REMB_LIFETIME:
            rate = min(rate, self._remb[0])
        return min(max(rate, self._min), self._max + self._rates.beside)

    def is_contested(self, now: float) -> bool:
        """Return whether the path was full lately."""
        return self._path.is_contested(now)

    @property
    def pacing_rate(self) -> float:
        """Return the bits per second at which the pacer sends media."""
        own = max(self.target_bitrate - self._beside_sent, self._min)
        # Nothing is known yet of a link whose queue the first key frame could overflow.
        return own if self._feedback_at is None else PACING_FACTOR * own

    @property
    def congestion_window(self) -> int:
        """Return the bytes that may be in flight; there is no limit before the first feedback."""
        if self._feedback_at is None:
            return sys.maxsize
        foreign = self._queue.queue if self._queue.is_foreign else 0.0
        return self._window.size(max(self._rates.rate - self._beside_sent, self._min), foreign)

    @property
    def bytes_in_flight(self) -> int:
        """Return the bytes of packets without a result."""
        return self.history.bytes_in_flight

    @property
    def round_trip_time(self) -> float | None:
        """Return the seconds of a round trip; ``None`` if unknown."""
        return self._window.round_trip

    @property
    def network_state(self) -> NetworkState:
        """Return the state of the path."""
        return NetworkState.SILENT if self._silent_from is not None else self._path.state

    @property
    def loss(self) -> float:
        """Return the part of the packets that was lost lately, 0 to 1."""
        return self._loss.fraction

    @property
    def acknowledged_bitrate(self) -> float | None:
        """Return the bits per second that arrive; ``None`` if unknown."""
        return self._arrivals.acknowledged.bitrate

    @property
    def queue_delay(self) -> float:
        """Return the seconds that packets wait in a queue of the path."""
        return max(self._queue.queue, 0.0)

    @property
    def is_application_limited(self) -> bool:
        """Return whether much less is sent than the target allows."""
        return self._sent.is_limited(self._rates.rate, self._now)


def _by_arrival(arrival: tuple[float, SentPacket]) -> tuple[float, int]:
    return arrival[0], arrival[1].number

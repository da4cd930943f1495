"""Decides how the rate changes by the signs of the path.

What arrives while there is a queue is the capacity, as far as it is ours. When a queue grows, the
rate falls below that. When a link becomes much slower at once, it falls without a wait. While a
queue stands, no more than half of the rate is given up: a queue that stays belongs to another flow,
and then only loss and a still longer queue count.
"""

from .aimd_rate_control import AimdRateControl
from .arrivals import Arrivals
from .congestion_window import CongestionWindow
from .loss import LossControl
from .packets import NetworkState
from .probe_results import ProbeResult

_DECREASE = 0.89
"""Part of what arrives that is sent after an overuse."""
_DECREASE_LOSS = 0.95
"""The same after loss without a queue."""
_DECREASE_FOREIGN = 0.8
"""The same after loss in somebody else's queue."""

_GROWING = 0.01
"""Seconds of queue at least for an overuse by trend."""
_HIGH = 0.006
"""Seconds of queue beyond the normal one that are an overuse without a trend."""
_SURGE, _SURGE_PART = 0.04, 0.7
"""Seconds of queue beyond the normal one, and part of the sent rate that arrives, by which a link
became much slower."""
_SURGE_TIME = 0.5
"""Seconds in which the rate follows such a change."""
_FLOOR = 0.5
"""Part of the rate that is left while a queue stands."""
_DEEPER = 0.03
"""Seconds by which somebody else's queue becomes longer than before because of us."""

_DRAIN_TIME, _DRAIN = 0.3, 0.5
"""Seconds in which a queue drains, and the least part of the rate that is left meanwhile."""

_SHARP = 0.7
"""Part of the rate that is left after a sharp decrease."""
_CONTESTED = 8.0
"""Seconds after an overuse for which a probe may have displaced other flows."""
_SHARE = 0.5
"""Part of what such a probe found that is taken."""

_FULL = 0.85
"""Part of the rate below which a sender, such as an encoder of uneven frames, does not use it."""

_LOWEST_ARRIVING = 0.7
"""Part of the rate that an application-limited flow is thought to get at least."""

_CARRIED_TIME = 1.0
"""Seconds after a decrease for which more may arrive than the path carries on."""

_UNKNOWN_TRIP, _UNKNOWN_INTERVAL = 0.2, 0.1
"""Seconds of a round trip and between feedbacks before they are known."""


class PathControl:
    """The rate of a path.

    Args:
        start: First rate.
        minimum: Lowest rate.
        maximum: Highest rate; all in bits per second.
        arrivals: Signs of the path.
        window: Round trip and interval of feedback.

    Attributes:
        rates: The rate.
        loss: The loss.
        state: State of the path.
    """

    def __init__(
        self,
        start: float,
        minimum: float,
        maximum: float,
        arrivals: Arrivals,
        window: CongestionWindow,
    ) -> None:
        self.rates = AimdRateControl(start, minimum, maximum)
        self.loss = LossControl()
        self.state = NetworkState.NORMAL
        self._arrivals = arrivals
        self._window = window
        self._overused_at = float("-inf")
        self._is_starting = True
        self._before_queue: float | None = None  # rate when the present queue began
        self._is_fall_known = False
        self._surge_from: float | None = None
        self._surges = 0
        self._deepest = 0.0  # queue of another flow, in seconds

    def decide(self, excess_loss: float, sent: float, now: float) -> float | None:
        """Change the rate by what a feedback showed.

        Args:
            excess_loss: Part of the packets that was lost by congestion.
            sent: Bits per second that were sent lately.
            now: Seconds on a monotonic clock.

        Returns:
            The rate before a sharp decrease that ended or happened now, otherwise ``None``.
        """
        queue, rates, rate = self._arrivals.queue, self.rates, self.rates.rate
        arriving = self._arrivals.acknowledged.bitrate
        fell_from = self._follow_queue()
        is_over = self._is_over()
        self._tell_state(now, is_over=is_over)
        settled = now - rates.decreased_at >= self._settle_time()
        if self._is_surge(sent, now):
            self._decrease(self._arrivals.acknowledged.recent, _DECREASE, sent, now)
            self._before_queue = rates.rate
        elif is_over and settled:
            least = _FLOOR * (self._before_queue or 0.0)
            recent = self._arrivals.acknowledged.recent
            if arriving is not None and recent is not None and sent < _FULL * rate:
                # The link was idle for a part of the half second, and full since there is a queue.
                arriving = max(arriving, recent)
            self._decrease(arriving, _DECREASE, sent, now, least)
            self._deepest = max(self._deepest, queue.queue)
        elif excess_loss > 0 and settled and (queue.is_foreign or queue.excess == 0):
            factor = _DECREASE_FOREIGN if queue.is_foreign else _DECREASE_LOSS
            self._decrease(arriving, factor, sent, now)
        elif queue.is_foreign:
            rates.increase(arriving, now, is_competing=True)
        elif self._arrivals.trend.state is NetworkState.NORMAL and queue.excess == 0:
            rates.increase(arriving, now)
        else:
            rates.hold(now)
        if rates.rate < _SHARP * rate:
            self._is_fall_known = True
            return rate
        return fell_from

    def _tell_state(self, now: float, *, is_over: bool) -> None:
        if is_over:
            self._overused_at = now
            self.state = NetworkState.OVERUSING
        elif self._arrivals.queue.is_foreign:
            self.state = NetworkState.COMPETING
        else:
            self.state = self._arrivals.trend.state

    def _follow_queue(self) -> float | None:
        """Remember the rate from before a queue, and the length of one that belongs to others.

        Returns:
            The rate from before a queue that is gone and took a good part of it.
        """
        queue, before = self._arrivals.queue, self._before_queue
        if not queue.is_foreign:
            self._deepest = queue.queue
        if queue.excess > 0:
            if before is None:
                self._before_queue = self.rates.rate
            return None
        self._before_queue = self._surge_from = None
        is_known, self._is_fall_known = self._is_fall_known, False
        if before is None or is_known or self.rates.rate >= _SHARP * before:
            return None
        return before

    def _is_over(self) -> bool:
        """Return whether more is sent than the path carries."""
        queue = self._arrivals.queue
        is_growing = self._arrivals.trend.state is NetworkState.OVERUSING
        if queue.is_foreign:
            return is_growing and queue.queue > self._deepest + _DEEPER
        return (is_growing and queue.queue > _GROWING) or queue.excess > _HIGH

    def _settle_time(self) -> float:
        """Return the seconds until a decrease shows in the feedback."""
        trip = self._window.round_trip or _UNKNOWN_TRIP
        interval = self._window.interval or _UNKNOWN_INTERVAL
        return trip + interval + min(self._arrivals.queue.latest, 0.3) + 0.1

    def _is_surge(self, sent: float, now: float) -> bool:
        """Return whether the link just became much slower: two feedbacks in turn have to show it.

        A longer route makes one gap in what arrives.
        """
        recent, queue = self._arrivals.acknowledged.recent, self._arrivals.queue
        shows = (
            recent is not None
            and not queue.is_foreign
            and min(queue.queue, queue.latest) >= queue.reference + _SURGE
            and recent < _SURGE_PART * min(self.rates.rate, sent)
            and (self._surge_from is None or now - self._surge_from <= _SURGE_TIME)
        )
        self._surges = self._surges + 1 if shows else 0
        if self._surges < 2:
            return False
        if self._surge_from is None:
            self._surge_from = now
        return True

    def _decrease(
        self, arriving: float | None, factor: float, sent: float, now: float, least: float = 0.0
    ) -> None:
        before = self.rates.rate
        if sent < before / 2:
            least = max(least, factor * _LOWEST_ARRIVING * before)
        self.rates.decrease(before if arriving is None else arriving, factor, now, least=least)
        self._is_starting = False
        self.loss.reduced(now, self._window.round_trip or _UNKNOWN_TRIP)

    def probed(self, found: ProbeResult, now: float) -> bool:
        """Take the result of a probe; return whether the path carries what was probed."""
        rates, bitrate = self.rates, found.bitrate
        if found.is_saturated:
            if self.is_contested(now):
                bitrate = rates.rate + _SHARE * (bitrate - rates.rate)
            if bitrate > rates.rate or self._is_starting:
                rates.accept(bitrate, now)
            self._is_starting = False
        elif bitrate > rates.rate:
            rates.accept(bitrate, now)
        return not found.is_saturated

    def carried(self, arriving: float, now: float) -> None:
        """Take what arrives of several kinds of traffic together, if it is more than the rate.

        Nothing is said by it shortly after a decrease, when what arrives was sent before.

        Args:
            arriving: Bits per second that arrive.
            now: Seconds on a monotonic clock.
        """
        if now - self.rates.decreased_at < _CARRIED_TIME:
            return
        carried = arriving if self._arrivals.queue.excess == 0 else _DECREASE * arriving
        if carried > self.rates.rate:
            self.rates.accept(carried, now)

    def is_contested(self, now: float) -> bool:
        """Return whether the link was full lately, maybe by other flows."""
        return now - self._overused_at < _CONTESTED

    @property
    def drained_rate(self) -> float:
        """Return the rate, less what lets a queue of our own drain."""
        queue = self._arrivals.queue
        if queue.is_foreign or queue.excess == 0:
            return self.rates.rate
        return self.rates.rate * max(1 - queue.excess / _DRAIN_TIME, _DRAIN)

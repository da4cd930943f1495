"""Observer of the checks of one generation: turns changes into events of the timeline. No I/O."""

from .checks.connectivity import Checks
from .checks.pair import Pair, PairState
from .events import PairChanged, PairNominated, PairSelected, Record, RoundTripsMeasured
from .plain_facts import pair_facts

PERIOD = 60.0
"""Seconds of round trips that become one event."""

_TOLD = frozenset({PairState.IN_PROGRESS, PairState.SUCCEEDED, PairState.FAILED})
"""States of pairs that are told: how pairs wait for their turn is of no use to anybody."""


class ChecksObserver:
    """Compares the check list with what it was, after each event.

    Args:
        checks: The checks.
        record: Takes the events.
    """

    def __init__(self, checks: Checks, record: Record) -> None:
        self._checks = checks
        self._record = record
        self._states: dict[Pair, PairState] = {}
        self._nominated: Pair | None = None
        self._selected: Pair | None = None
        self._was_settled = False
        self._since = 0.0
        self._counts = (0, 0, 0.0)

    def observe(self, now: float) -> None:
        """Record what has changed since the last call.

        Args:
            now: The time, in seconds.
        """
        checks = self._checks
        is_settled = checks.is_settled
        if not (is_settled and self._was_settled):
            self._compare_states()
        self._was_settled = is_settled
        if checks.nominated is not self._nominated:
            self._nominated = checks.nominated
            if checks.nominated is not None:
                self._record(PairNominated(pair_facts(checks.nominated)))
        selected = checks.selected
        if selected is not self._selected:
            self._selected = selected
            self._record(PairSelected(pair_facts(selected) if selected is not None else None))
            self._begin_period(selected, now)
        elif selected is not None and now - self._since >= PERIOD:
            self._end_period(selected, now)

    def _compare_states(self) -> None:
        states = {pair: pair.state for pair in self._checks.list}
        for pair, state in states.items():
            if state is not self._states.get(pair) and state in _TOLD:
                self._record(PairChanged(pair_facts(pair)))
        self._states = states

    def _begin_period(self, pair: Pair | None, now: float) -> None:
        self._since = now
        if pair is not None:
            sent = pair.requests_sent + pair.consent_requests_sent
            self._counts = (sent, pair.responses_received, pair.total_round_trip_time)

    def _end_period(self, pair: Pair, now: float) -> None:
        (sent, answered, total), seconds = self._counts, now - self._since
        self._begin_period(pair, now)
        answered = self._counts[1] - answered
        mean = (self._counts[2] - total) / answered if answered else None
        self._record(RoundTripsMeasured(seconds, self._counts[0] - sent, answered, mean))

"""The figures of a run, step by step, out of its recording. No I/O."""

import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.capacity.bottleneck import Fate, Passage
from tests.bench.capacity.cases import Case
from tests.bench.capacity.recording import Recording

SETTLING = 5.0
"""Seconds of a step after which a sender has found what the link has."""
WINDOW = 1.0
"""Seconds over which a rate is the rate at a time."""
OBEYED_WINDOW = 0.5
"""The same after a cut, where what was sent before it is not to count for long."""
FULL = 0.9
"""The part of the capacity that counts as all of it, since no video encoder fills it exactly."""
LOW = 0.6e6
"""Bits per second that a sender has to be below after a cut to no more than that."""
DRAINED = 0.02
"""Seconds of waiting at which a queue counts as empty."""
LONG_GAP = 0.1
"""Seconds without sound that are heard as a gap."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The results of one call in one step; all times are in seconds, and ``None`` is never.

    Attributes:
        settled: The part of the capacity that it used after :data:`SETTLING`, 0 to 1.
        whole: That in all of the step.
        tcp: That of TCP after :data:`SETTLING`.
        made: Pictures that its program handed over.
        sent: Pictures of which something was sent.
        arrived: Pictures of those made that arrived, however late.
        size: Width and height of the last picture that arrived until the end of the step.
        freeze: The longest time without a picture.
        delays: The median and the 95th percentile of the pictures' delay.
        wait: The 95th percentile of the queueing delay of all packets after :data:`SETTLING`.
        dropped: The part of its packets that found the queue full.
        gaps: Seconds of each gap in the sound.
        filled: Until it used the link; ``None`` also where there was nothing to find.
        obeyed: Until it sent less than the link has after a cut; likewise.
        drained: Until the queue was empty after a cut; likewise.
    """

    settled: float
    whole: float
    tcp: float
    made: int
    sent: int
    arrived: int
    size: tuple[int, int] | None
    freeze: float
    delays: tuple[float, float] | None
    wait: float | None
    dropped: float
    gaps: list[float]
    filled: float | None
    obeyed: float | None
    drained: float | None


def figures(case: Case, recording: Recording, step: int, call: int = 0) -> Figures | None:
    """Return what a call did in a step; ``None`` if it had not begun.

    Args:
        case: The case as it was run, with its times scaled.
        recording: What was seen.
        step: The number of the step.
        call: The number of the call.
    """
    begin, end = case.begins[step], case.begins[step + 1]
    if case.starts[call] >= end or call >= len(recording.calls):
        return None
    capacity = case.steps[step].capacity
    settled = begin + min(SETTLING, (end - begin) / 2)
    ours = recording.of_call(call)
    mine = _between(ours, begin, end)
    ends = recording.calls[call]
    numbers = ends.made_in(begin, end)
    delays = ends.delays(begin, end)
    waits = [p.wait for p in _between(recording.passages, settled, end) if p.fate is Fate.SENT]
    is_cut = case.is_cut(step)
    first = max(begin, ours[0].at) if ours else begin
    return Figures(
        settled=_use(ours, settled, end, capacity),
        whole=_use(ours, begin, end, capacity),
        tcp=_use(recording.of_tcp(), settled, end, capacity),
        made=len(numbers),
        sent=_pictures(mine, ends.audio_types),
        arrived=len(delays),
        size=ends.size_at(end),
        freeze=ends.freeze(first, end, case.seconds),
        delays=(statistics.median(delays), percentile(delays, 0.95)) if delays else None,
        wait=percentile(sorted(waits), 0.95) if waits else None,
        dropped=sum(p.fate is Fate.QUEUE_FULL for p in mine) / len(mine) if mine else 0.0,
        gaps=ends.gaps_in(begin, end, LONG_GAP),
        filled=_filled(ours, first, end, FULL * capacity) if case.is_rise(step) else None,
        obeyed=_obeyed(ours, begin, end) if is_cut and capacity <= LOW else None,
        drained=_drained(recording.passages, begin, end) if is_cut else None,
    )


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the value below which a part of sorted values are."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _between(passages: Sequence[Passage], begin: float, end: float) -> Sequence[Passage]:
    """Return those that came in a span of time."""
    first = bisect_left(passages, begin, key=lambda p: p.at)
    return passages[first : bisect_left(passages, end, key=lambda p: p.at)]


def _use(passages: Sequence[Passage], begin: float, end: float, capacity: float) -> float:
    """Return the part of the capacity with which these left the queue in a span of time."""
    early = begin - 10.0  # what waits longest came that long before
    size = sum(
        p.size
        for p in _between(passages, early, end)
        if p.fate is Fate.SENT and begin <= p.at + p.wait < end
    )
    return size * 8 / (capacity * (end - begin))


def _pictures(passages: Sequence[Passage], audio_types: frozenset[int]) -> int:
    return len(
        {
            p.kind.timestamp
            for p in passages
            if p.kind.payload_type >= 0 and p.kind.payload_type not in audio_types
        }
    )


def _filled(passages: Sequence[Passage], begin: float, end: float, rate: float) -> float | None:
    """Return how long after ``begin`` packets left the queue at this rate."""
    for at, seen in rates(passages, begin, end, came=False):
        if seen >= rate and at >= begin + WINDOW:
            return at - begin
    return None


def _obeyed(passages: Sequence[Passage], begin: float, end: float) -> float | None:
    """Return how long after ``begin`` the sender had a rate below :data:`LOW`."""
    for at, seen in rates(passages, begin, end, OBEYED_WINDOW):
        if seen < LOW and at >= begin + OBEYED_WINDOW:
            return at - begin
    return None


def _drained(passages: Sequence[Passage], begin: float, end: float) -> float | None:
    """Return how long after ``begin`` a packet found no queue, after the longest wait of all."""
    came = [p for p in _between(passages, begin, end) if p.fate is not Fate.LOST]
    full = [p.at for p in came if p.fate is Fate.QUEUE_FULL or p.wait > DRAINED]
    if not full:
        return 0.0
    # The queue that the cut has made: the first time after its peak, in the time it takes to react.
    soon = [p for p in came if p.at < begin + SETTLING and p.at >= full[0]]
    peak = max(soon, key=lambda p: p.wait, default=None)
    since = peak.at if peak is not None else full[0]
    empty = [p.at for p in came if p.at > since and p.fate is Fate.SENT and p.wait <= DRAINED]
    return empty[0] - begin if empty else None


def rates(
    passages: Sequence[Passage],
    begin: float,
    end: float,
    window: float = WINDOW,
    every: float = 0.1,
    *,
    came: bool = True,
) -> list[tuple[float, float]]:
    """Return the bits per second over the window that ends at each of these times.

    Args:
        passages: The packets.
        begin: The first time.
        end: The last one.
        window: Seconds over which the rate is taken.
        every: Seconds between the times.
        came: Whether all count when they came, or those that were sent when they were.
    """
    if came:
        sizes = [(p.at, p.size) for p in passages]
    else:
        sizes = sorted((p.at + p.wait, p.size) for p in passages if p.fate is Fate.SENT)
    times, total = [at for at, _ in sizes], [0]
    for _, size in sizes:
        total.append(total[-1] + size)
    found = []
    for number in range(int((end - begin) / every + 1e-9) + 1):
        at = begin + number * every
        bits = 8 * (total[bisect_left(times, at)] - total[bisect_left(times, at - window)])
        found.append((at, bits / window))
    return found

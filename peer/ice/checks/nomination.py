"""Which pair to nominate, and when: regular nomination with patience. No I/O.

RFC 8445 section 8.1.1 leaves it to the controlling side when it has seen enough. A direct path may
need some more checks than a relay, which always works at once, so the better a pair is, the sooner
it is taken. Data need not wait for it: it flows over the best valid pair (section 12.1).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from .pair import PENDING, Pair

PATIENCE = {"host": 0.0, "srflx": 0.5, "prflx": 1.0, "relay": 2.0}
"""Seconds after the checks began before a pair with a candidate of this type is settled for."""


def patience(pair: Pair) -> float:
    """Return how long to wait for something better than this pair, in seconds."""
    return max(PATIENCE[pair.valid_local.type], PATIENCE.get(pair.remote.candidate.type, 0.0))


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the controlling side knows when it decides.

    Attributes:
        elapsed: Seconds since the checks began.
        more_candidates: Whether either side may still come up with candidates.
        controlling: Whether this side is the controlling one.
    """

    elapsed: float
    more_candidates: bool
    controlling: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about nomination.

    Attributes:
        nominate: The pair to nominate now, if any.
        look_again_in: Seconds after which to decide again; infinite if only events matter.
    """

    nominate: Pair | None = None
    look_again_in: float = float("inf")


def best_of(pairs: Iterable[Pair], *, controlling: bool) -> Pair | None:
    """Return the pair with the highest priority, if there is any."""
    return max(pairs, key=lambda pair: pair.priority(controlling=controlling), default=None)


def decide(pairs: Iterable[Pair], nominated: Pair | None, outlook: Outlook) -> Decision:
    """Decide what the controlling side nominates.

    Args:
        pairs: All pairs; valid ones that do not work any more are left out.
        nominated: The pair nominated so far, if it still works.
        outlook: What else is known.
    """
    everything = list(pairs)
    valid = [pair for pair in everything if pair.is_valid]
    best = best_of(valid, controlling=outlook.controlling)
    if best is None or best is nominated:
        return Decision()
    if nominated is not None:
        # A path that works is left only for one that needs no relay.
        return Decision(best if nominated.is_relayed and not best.is_relayed else None)
    left = patience(best) - outlook.elapsed
    if left <= 0 or not (outlook.more_candidates or _is_outdone(best, everything, outlook)):
        return Decision(best)
    return Decision(look_again_in=left)


def _is_outdone(best: Pair, pairs: Iterable[Pair], outlook: Outlook) -> bool:
    """Whether a pair that may still work would be preferred."""
    mark = best.priority(controlling=outlook.controlling)
    return any(
        pair.state in PENDING and pair.priority(controlling=outlook.controlling) > mark
        for pair in pairs
    )

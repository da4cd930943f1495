"""Nomination of a candidate pair by the controlling agent (RFC 8445 section 8.1.1). No I/O.

The RFC leaves the stopping criterion to the controlling agent. A relayed pair usually succeeds
first, and a direct pair may need more checks. Each candidate type therefore has a minimum waiting
time before it is accepted: the more direct the path, the shorter. Data does not wait for
nomination; it is sent over the best valid pair (RFC 8445 section 12.1).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from .pair import PENDING, Pair

ACCEPTANCE_MIN_WAIT = {"host": 0.0, "srflx": 0.5, "prflx": 1.0, "relay": 2.0}
"""Minimum time since the start of the checks before a pair with a candidate of this type is
nominated while better pairs may still succeed, in seconds."""


TCP_MIN_WAIT = 1.0
"""The same of a pair over TCP, in seconds: one over UDP may take a retransmission."""


def acceptance_min_wait(pair: Pair) -> float:
    """Return the minimum time to wait for a better pair than this one, in seconds."""
    return max(
        TCP_MIN_WAIT if pair.is_tcp else 0.0,
        ACCEPTANCE_MIN_WAIT[pair.valid_local.type],
        ACCEPTANCE_MIN_WAIT.get(pair.remote.candidate.type, 0.0),
    )


_ROUNDING = 1e-6
"""Seconds by which a difference of times may be too small."""


@dataclass(frozen=True, slots=True)
class CheckProgress:
    """The progress of the checks, as input for a nomination decision.

    Attributes:
        elapsed: Seconds since the start of the checks.
        more_candidates: True if further local or remote candidates may arrive.
        controlling: True if the local agent is controlling.
    """

    elapsed: float
    more_candidates: bool
    controlling: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """A nomination decision.

    Attributes:
        nominate: The pair to nominate now; ``None`` for none.
        reconsider_after: Seconds until the next decision; infinite if only an event can change it.
    """

    nominate: Pair | None = None
    reconsider_after: float = float("inf")


def best_of(pairs: Iterable[Pair], *, controlling: bool) -> Pair | None:
    """Return the pair with the highest priority; ``None`` if there is no pair."""
    return max(pairs, key=lambda pair: pair.priority(controlling=controlling), default=None)


def decide(pairs: Iterable[Pair], nominated: Pair | None, progress: CheckProgress) -> Decision:
    """Decide which pair the controlling agent nominates.

    Args:
        pairs: All pairs except valid ones that have stopped working.
        nominated: The nominated pair, if it still works.
        progress: The progress of the checks.
    """
    everything = list(pairs)
    valid = [pair for pair in everything if pair.is_valid]
    best = best_of(valid, controlling=progress.controlling)
    if best is None or best is nominated:
        return Decision()
    if nominated is not None:
        # A working nomination is replaced only to get rid of a relay or of TCP.
        return Decision(best if best.detour < nominated.detour else None)
    remaining = acceptance_min_wait(best) - progress.elapsed
    if remaining < _ROUNDING or not (
        progress.more_candidates or _has_pending_better_pair(best, everything, progress)
    ):
        return Decision(best)
    return Decision(reconsider_after=remaining)


def _has_pending_better_pair(best: Pair, pairs: Iterable[Pair], progress: CheckProgress) -> bool:
    """Return whether a pair with a higher priority than ``best`` may still succeed."""
    threshold = best.priority(controlling=progress.controlling)
    return any(
        pair.state in PENDING and pair.priority(controlling=progress.controlling) > threshold
        for pair in pairs
    )

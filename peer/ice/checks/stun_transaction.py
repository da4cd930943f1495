"""STUN transactions over UDP: when to send again, and when to give up. No I/O.

RFC 8489 section 6.2.1: a request is sent again after RTO, 2 RTO, 4 RTO …, and given up 39.5 s after
it was first sent, with the default RTO of 0.5 s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from .pair import Pair

RTO = 0.5
"""Seconds before a request is sent again for the first time (RFC 8445 section 14.3)."""

DURATION = 39.5
"""Seconds after which an unanswered check has failed."""

PROBE_DURATION = 5.0
"""Seconds for which the answer to a probe is still recognised."""


class Purpose(Enum):
    """Why a check is made."""

    CHECK = auto()
    """To find out whether the pair works."""

    NOMINATION = auto()
    """To nominate the pair (RFC 8445 section 8.1.1)."""

    PROBE = auto()
    """To find out whether it still works; sent once (RFC 7675 section 5.1)."""


@dataclass(slots=True, eq=False)
class Transaction:
    """One request that may still be answered.

    Attributes:
        id: The transaction id.
        pair: The pair that it is sent over.
        purpose: Why.
        request: The encoded request.
        controlling: The role that it was made in.
        started: When it was first sent.
        again_at: When it is to be sent again; infinite if it is not.
        until: When it is given up.
        rto: Seconds until the next time.
        longest: The longest that :attr:`rto` may grow.
        sends: How often it was sent.
        superseded: Whether another check of the pair has taken its place: it is not sent again, and
            its failure means nothing (RFC 8445 section 7.3.1.4).
    """

    id: bytes
    pair: Pair
    purpose: Purpose
    request: bytes
    controlling: bool
    started: float
    again_at: float
    until: float
    rto: float
    longest: float
    sends: int = 1
    superseded: bool = False

    def sent_again(self, now: float) -> None:
        """Note that the request was sent again; what a stalled process missed is not made up."""
        self.sends += 1
        self.rto = min(self.rto * 2, self.longest)
        self.again_at = now + self.rto

    def supersede(self) -> None:
        """Stop sending; an answer still counts."""
        self.superseded = True
        self.again_at = float("inf")

    def round_trip_time(self, now: float) -> float | None:
        """Return what the answer took, in seconds; ``None`` if it could be to any of several."""
        return now - self.started if self.sends == 1 else None


class Transactions:
    """The requests that are under way."""

    def __init__(self) -> None:
        self._by_id: dict[bytes, Transaction] = {}

    def add(self, transaction: Transaction) -> None:
        """Note a request that is sent now."""
        self._by_id[transaction.id] = transaction

    def get(self, transaction_id: bytes) -> Transaction | None:
        """Return the request with this id, if its answer is still waited for."""
        return self._by_id.get(transaction_id)

    def remove(self, transaction: Transaction) -> None:
        """Wait for it no longer."""
        self._by_id.pop(transaction.id, None)

    def of(self, pair: Pair) -> Iterator[Transaction]:
        """Give the requests of a pair."""
        return (t for t in list(self._by_id.values()) if t.pair is pair)

    def nominating(self) -> list[Transaction]:
        """Return the requests that nominate."""
        return [t for t in self._by_id.values() if t.purpose is Purpose.NOMINATION]

    def forget(self, pair: Pair) -> None:
        """Wait for no answer over this pair."""
        for transaction in self.of(pair):
            self.remove(transaction)

    def expired(self, now: float) -> list[Transaction]:
        """Take out the requests that are given up by now."""
        over = [t for t in self._by_id.values() if t.until <= now]
        for transaction in over:
            self.remove(transaction)
        return over

    def due(self, now: float) -> list[Transaction]:
        """Return the requests that are to be sent again by now."""
        return [t for t in self._by_id.values() if t.again_at <= now]

    def next_time(self) -> float:
        """Return when there is something to do; infinite if there never is."""
        return min(
            (min(t.again_at, t.until) for t in self._by_id.values()),
            default=float("inf"),
        )

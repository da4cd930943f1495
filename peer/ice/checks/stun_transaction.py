"""STUN transactions of connectivity checks: retransmission and timeout over UDP. No I/O.

RFC 8489 section 6.2.1: a request is retransmitted after RTO, 2 RTO, 4 RTO …. With the default RTO
of 0.5 s, the transaction times out 39.5 s after the first transmission.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from .pair import Pair

RTO = 0.5
"""Initial retransmission timeout, in seconds (RFC 8445 section 14.3)."""

TRANSACTION_DURATION = 39.5
"""Timeout of an unanswered check, in seconds."""

PROBE_DURATION = 5.0
"""Timeout of a probe, in seconds; a later response is ignored."""


class Purpose(Enum):
    """The purpose of a check."""

    CHECK = auto()
    """Validates the pair."""

    NOMINATION = auto()
    """Nominates the pair with USE-CANDIDATE (RFC 8445 section 8.1.1)."""

    PROBE = auto()
    """Verifies consent and liveness of a valid pair; sent once (RFC 7675 section 5.1)."""


@dataclass(slots=True, eq=False)
class Transaction:
    """A pending request.

    Times are in seconds of the event loop's clock.

    Attributes:
        id: The transaction ID.
        pair: The candidate pair that the request is sent over.
        purpose: The purpose of the check.
        request: The encoded request.
        controlling: True if the request was made in the controlling role.
        first_sent_at: Time of the first transmission.
        retransmit_at: Time of the next retransmission; infinite if there is none.
        expires_at: Time of the timeout.
        rto: Current retransmission timeout, in seconds.
        rto_cap: Upper bound of :attr:`rto`, in seconds.
        transmissions: Number of transmissions.
        superseded: True if another check of the pair has replaced this one. The request is not
            retransmitted, and its timeout does not fail the pair (RFC 8445 section 7.3.1.4).
    """

    id: bytes
    pair: Pair
    purpose: Purpose
    request: bytes
    controlling: bool
    first_sent_at: float
    retransmit_at: float
    expires_at: float
    rto: float
    rto_cap: float
    transmissions: int = 1
    superseded: bool = False

    def note_retransmission(self, now: float) -> None:
        """Record a retransmission at ``now`` and schedule the next one.

        Retransmissions missed while the process was stalled are skipped.
        """
        self.transmissions += 1
        self.rto = min(self.rto * 2, self.rto_cap)
        self.retransmit_at = now + self.rto

    def supersede(self) -> None:
        """Stop retransmitting; a response is still accepted."""
        self.superseded = True
        self.retransmit_at = float("inf")

    def round_trip_time(self, now: float) -> float | None:
        """Return the round-trip time in seconds, for a response that arrives at ``now``.

        After a retransmission the result is ``None``: the response cannot be attributed to one of
        the transmissions (Karn's algorithm).
        """
        return now - self.first_sent_at if self.transmissions == 1 else None


class Transactions:
    """The pending requests of a check list."""

    def __init__(self) -> None:
        self._by_id: dict[bytes, Transaction] = {}

    def add(self, transaction: Transaction) -> None:
        """Add a request that has just been sent."""
        self._by_id[transaction.id] = transaction

    def get(self, transaction_id: bytes) -> Transaction | None:
        """Return the pending request with this transaction ID; ``None`` if there is none."""
        return self._by_id.get(transaction_id)

    def remove(self, transaction: Transaction) -> None:
        """Remove a request; later responses to it are ignored."""
        self._by_id.pop(transaction.id, None)

    def for_pair(self, pair: Pair) -> Iterator[Transaction]:
        """Return the pending requests of a pair."""
        return (t for t in list(self._by_id.values()) if t.pair is pair)

    def nominating(self) -> list[Transaction]:
        """Return the pending nomination requests."""
        return [t for t in self._by_id.values() if t.purpose is Purpose.NOMINATION]

    @property
    def has_other_than_probes(self) -> bool:
        """True if a request is pending that is not a probe."""
        return any(t.purpose is not Purpose.PROBE for t in self._by_id.values())

    def remove_pair(self, pair: Pair) -> None:
        """Remove all requests of a pair; later responses to them are ignored."""
        for transaction in self.for_pair(pair):
            self.remove(transaction)

    def expired(self, now: float) -> list[Transaction]:
        """Remove and return the requests that have timed out."""
        timed_out = [t for t in self._by_id.values() if t.expires_at <= now]
        for transaction in timed_out:
            self.remove(transaction)
        return timed_out

    def due(self, now: float) -> list[Transaction]:
        """Return the requests that are due for retransmission."""
        return [t for t in self._by_id.values() if t.retransmit_at <= now]

    @property
    def deadline(self) -> float:
        """Time of the next retransmission or timeout; infinite if there is none."""
        return min(
            (min(t.retransmit_at, t.expires_at) for t in self._by_id.values()),
            default=float("inf"),
        )

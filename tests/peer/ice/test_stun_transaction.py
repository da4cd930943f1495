"""STUN transactions: when a request is sent again, and when it is given up."""

from itertools import pairwise

import pytest

from icefloe.peer.ice.checks.pair import Pair, Remote
from icefloe.peer.ice.checks.stun_transaction import (
    RTO,
    TRANSACTION_DURATION,
    Purpose,
    Transaction,
    Transactions,
)
from tests.helpers.puppet import local_candidate, remote_candidate

START = 1000.0


def make_pair() -> Pair:
    address = ("198.51.100.2", 2000)
    return Pair(local_candidate(), Remote(remote_candidate(address), address))


def make(
    identity: bytes = b"1",
    *,
    pair: Pair | None = None,
    purpose: Purpose = Purpose.CHECK,
    rto_cap: float = 16.0,
) -> Transaction:
    once = purpose is Purpose.PROBE
    return Transaction(
        id=identity,
        pair=pair or make_pair(),
        purpose=purpose,
        request=b"",
        controlling=True,
        first_sent_at=START,
        retransmit_at=float("inf") if once else START + RTO,
        expires_at=START + TRANSACTION_DURATION,
        rto=RTO,
        rto_cap=rto_cap,
    )


def sent_at(transaction: Transaction) -> list[float]:
    """Return when a transaction that nobody answers sends, in seconds after its start."""
    transactions = Transactions()
    transactions.add(transaction)
    times = [0.0]
    while (now := transactions.deadline) < float("inf"):
        if transactions.expired(now):
            times.append(now - START)
        for due in transactions.due(now):
            due.note_retransmission(now)
            times.append(now - START)
    return times


def test_a_request_is_sent_after_intervals_that_double_and_given_up() -> None:
    # RFC 8489 section 6.2.1, with its default of RTO = 500 ms: sent seven times, over after 39.5 s.
    assert sent_at(make()) == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 39.5]


def test_intervals_grow_no_longer_than_wanted() -> None:
    times = sent_at(make(rto_cap=5.0))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 2.0]
    assert times[-1] == TRANSACTION_DURATION


def test_a_probe_is_sent_once() -> None:
    assert sent_at(make(purpose=Purpose.PROBE)) == [0.0, TRANSACTION_DURATION]


def test_what_was_superseded_is_not_sent_again_and_still_waited_for() -> None:
    transaction = make()
    transactions = Transactions()
    transactions.add(transaction)
    transaction.supersede()
    assert transactions.due(START + 30.0) == []
    assert transactions.get(b"1") is transaction
    assert transactions.expired(START + TRANSACTION_DURATION) == [transaction]


def test_after_a_stall_a_request_is_sent_once_and_not_once_for_each_time_missed() -> None:
    transaction = make(rto_cap=1.0)
    transactions = Transactions()
    transactions.add(transaction)
    now = START + 20.0
    assert transactions.due(now) == [transaction]
    transaction.note_retransmission(now)
    assert transactions.due(now) == []
    assert transactions.deadline == now + 1.0


def test_the_round_trip_of_a_request_sent_twice_is_unknown() -> None:
    # It may be the answer to either (Karn's algorithm).
    transaction = make()
    assert transaction.round_trip_time(START + 0.3) == pytest.approx(0.3)
    transaction.note_retransmission(START + 0.5)
    assert transaction.round_trip_time(START + 0.6) is None


def test_requests_are_found_by_id_pair_and_purpose() -> None:
    pair, other = make_pair(), make_pair()
    check = make(b"1", pair=pair)
    nomination = make(b"2", pair=pair, purpose=Purpose.NOMINATION)
    elsewhere = make(b"3", pair=other)
    transactions = Transactions()
    for transaction in (check, nomination, elsewhere):
        transactions.add(transaction)
    assert transactions.get(b"2") is nomination
    assert transactions.get(b"4") is None
    assert set(map(id, transactions.for_pair(pair))) == {id(check), id(nomination)}
    assert transactions.nominating() == [nomination]
    transactions.remove_pair(pair)
    assert transactions.get(b"1") is transactions.get(b"2") is None
    assert transactions.get(b"3") is elsewhere
    transactions.remove(elsewhere)
    transactions.remove(elsewhere)
    assert transactions.deadline == float("inf")

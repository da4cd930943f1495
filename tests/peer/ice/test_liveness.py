"""Liveness of a path: silence, one-way paths, stalls, probes, consent."""

import pytest
from hypothesis import given, strategies as st

from icefloe.peer.ice.checks.liveness import (
    ACTIVE_PROBE_INTERVAL,
    BACKUP_PROBE_INTERVAL,
    CONSENT_TIMEOUT,
    FAILED_PROBE_INTERVAL,
    ONE_WAY_PERIOD,
    ONE_WAY_PROBES,
    SILENT_PROBE_INTERVAL,
    Health,
    Liveness,
    SilenceLimits,
    has_consent,
    is_doubtful,
    is_one_way,
    next_probe,
)
from icefloe.peer.ice.checks.pair import NEVER, NOTHING_AWAITED, Pair, Remote
from icefloe.peer.ice.configuration import CONSENT_INTERVAL as CONSENT
from tests.helpers.puppet import local_candidate, remote_candidate

NOW = 1000.0
LIMITS = SilenceLimits(disconnected=1.5, failed=25.0)
STEP = 0.1


def make(
    heard: float = NOW,
    answered: float = NOW,
    probed: float = NOW,
    missed: int = 0,
    awaiting: float = NOW,
    sent: float = NEVER,
) -> Pair:
    """Make a pair that was heard, answered and probed at these times; something is awaited."""
    address = ("198.51.100.2", 2000)
    pair = Pair(local_candidate(), Remote(remote_candidate(address), address))
    pair.heard_at, pair.answered_at, pair.probed_at = heard, answered, probed
    pair.unanswered = missed
    pair.awaiting_since, pair.last_packet_sent_at = awaiting, sent
    return pair


def look_until(liveness: Liveness, pair: Pair | None, start: float, end: float) -> list[Health]:
    """Look every tenth of a second; return what was seen, without repetitions."""
    seen: list[Health] = []
    for count in range(round((end - start) / STEP) + 1):
        health = liveness.update(pair, start + count * STEP)
        if not seen or seen[-1] is not health:
            seen.append(health)
    return seen


def test_a_path_goes_from_connected_over_disconnected_to_failed() -> None:
    liveness, pair = Liveness(LIMITS, NOW), make()
    assert look_until(liveness, pair, NOW, NOW + 1.4) == [Health.CONNECTED]
    assert look_until(liveness, pair, NOW + 1.5, NOW + 26.4) == [Health.DISCONNECTED]
    assert look_until(liveness, pair, NOW + 26.5, NOW + 600.0) == [Health.FAILED]


@pytest.mark.parametrize("lost_for", [5.0, 100.0], ids=["disconnected", "failed"])
def test_only_an_answer_brings_a_path_back(lost_for: float) -> None:
    liveness, pair = Liveness(LIMITS, NOW), make()
    lost = look_until(liveness, pair, NOW, NOW + lost_for)[-1]
    now = NOW + lost_for + STEP
    pair.heard_at = now
    assert liveness.update(pair, now) is lost
    pair.answered_at = now
    assert liveness.update(pair, now) is Health.CONNECTED
    assert liveness.since == now


def test_without_a_pair_a_path_is_disconnected_at_once() -> None:
    liveness = Liveness(LIMITS, NOW)
    assert liveness.next_update(None, NOW) == NOW
    assert liveness.update(None, NOW) is Health.DISCONNECTED
    assert look_until(liveness, None, NOW, NOW + 26.0)[-1] is Health.FAILED


def test_another_pair_that_works_takes_the_place_of_one_that_does_not() -> None:
    liveness, gone = Liveness(LIMITS, NOW), make()
    look_until(liveness, gone, NOW, NOW + 2.0)
    backup = make(heard=NOW + 2.1, answered=NOW + 2.1)
    assert liveness.update(backup, NOW + 2.1) is Health.CONNECTED


def test_who_was_stalled_blames_himself() -> None:
    liveness, pair = Liveness(LIMITS, NOW), make()
    woken = NOW + 20.0
    assert liveness.update(pair, woken) is Health.CONNECTED
    assert look_until(liveness, pair, woken, woken + 1.4) == [Health.CONNECTED]
    assert liveness.next_update(pair, woken + 1.4) == pytest.approx(woken + 1.5)
    assert liveness.update(pair, woken + 1.5) is Health.DISCONNECTED


def test_the_next_look_is_when_something_may_change() -> None:
    liveness, pair = Liveness(LIMITS, NOW), make()
    assert liveness.next_update(pair, NOW) == NOW + SILENT_PROBE_INTERVAL
    assert liveness.next_update(pair, NOW + 1.2) == NOW + 1.5
    look_until(liveness, pair, NOW, NOW + 2.0)
    assert liveness.next_update(pair, NOW + 2.0) == NOW + 2.0 + SILENT_PROBE_INTERVAL
    failed_at = liveness.since + LIMITS.failed
    assert liveness.next_update(pair, failed_at - 0.1) == pytest.approx(failed_at)
    look_until(liveness, pair, NOW + 2.0, NOW + 30.0)
    assert liveness.next_update(pair, NOW + 30.0) == NOW + 30.0 + FAILED_PROBE_INTERVAL


@pytest.mark.parametrize(
    ("missed", "unanswered_for", "expected"),
    [
        (ONE_WAY_PROBES, ONE_WAY_PERIOD, True),
        (ONE_WAY_PROBES - 1, 60.0, False),
        (60, ONE_WAY_PERIOD - 0.1, False),
        (0, 60.0, False),
    ],
)
def test_a_one_way_path(missed: int, unanswered_for: float, expected: bool) -> None:
    pair = make(heard=NOW, answered=NOW - unanswered_for, missed=missed)
    assert is_one_way(pair, NOW) is expected
    health = Health.DISCONNECTED if expected else Health.CONNECTED
    assert Liveness(LIMITS, NOW).update(pair, NOW) is health


@pytest.mark.parametrize(
    ("missed", "silent_for", "expected"),
    [(1, 1.0, True), (1, 0.9, False), (0, 60.0, False), (9, 0.0, False)],
)
def test_a_doubtful_path(missed: int, silent_for: float, expected: bool) -> None:
    since = NOW - silent_for
    assert is_doubtful(make(heard=since, awaiting=since, missed=missed), NOW) is expected
    assert not is_doubtful(make(heard=since, awaiting=NOTHING_AWAITED, missed=missed), NOW)


def test_a_reserve_that_takes_the_place_of_a_silent_path_has_no_time_of_its_own() -> None:
    """Otherwise a call with several paths would be disconnected one time-out after another."""
    liveness, path = Liveness(LIMITS, NOW), make()
    assert look_until(liveness, path, NOW, NOW + 1.4) == [Health.CONNECTED]
    silent = make(heard=NOW - 10, answered=NOW - 10, probed=NOW + 1, awaiting=NOW + 1)
    assert liveness.update(silent, NOW + 1.5) is Health.DISCONNECTED


def test_a_reserve_that_answers_keeps_the_connection() -> None:
    liveness, path = Liveness(LIMITS, NOW), make()
    assert look_until(liveness, path, NOW, NOW + 1.4) == [Health.CONNECTED]
    answers = make(heard=NOW + 1.2, answered=NOW + 1.2, probed=NOW + 1, awaiting=NOTHING_AWAITED)
    assert look_until(liveness, answers, NOW + 1.5, NOW + 5) == [Health.CONNECTED]


def test_a_better_path_inherits_no_silence_of_one_that_works() -> None:
    liveness, path = Liveness(LIMITS, NOW), make(awaiting=NOW + 0.2)
    assert liveness.update(path, NOW + 0.3) is Health.CONNECTED
    better = make(heard=NOW, awaiting=NOTHING_AWAITED)
    assert look_until(liveness, better, NOW + 0.4, NOW + 5) == [Health.CONNECTED]


def test_silence_counts_from_when_something_was_sent() -> None:
    quiet = make(heard=NOW - 60.0, awaiting=NOTHING_AWAITED)
    assert LIMITS.silent_at(quiet) == float("inf")
    liveness = Liveness(LIMITS, NOW - 60.0)
    assert liveness.update(quiet, NOW) is Health.CONNECTED
    assert liveness.next_update(quiet, NOW) == float("inf")
    quiet.awaiting_since = NOW
    assert LIMITS.silent_at(quiet) == NOW + 1.5
    assert liveness.next_update(quiet, NOW) == NOW + SILENT_PROBE_INTERVAL
    assert look_until(liveness, quiet, NOW, NOW + 1.4) == [Health.CONNECTED]
    assert liveness.update(quiet, NOW + 1.5) is Health.DISCONNECTED


def test_an_answer_that_cannot_have_come_yet_is_not_missed() -> None:
    far = make(heard=NOW - 5.0, answered=NOW - 5.0, missed=ONE_WAY_PROBES)
    far.current_round_trip_time, far.unanswered_since = 3.0, NOW
    assert LIMITS.silent_at(far) == NOW + 6.0
    assert not is_one_way(far, NOW + 5.9)
    assert is_one_way(far, NOW + 6.0)
    assert not is_doubtful(far, NOW + 5.9)
    assert is_doubtful(far, NOW + 6.0)


@given(st.binary(min_size=12, max_size=12))
def test_the_time_of_the_next_check_is_spread_by_a_fifth(transaction_id: bytes) -> None:
    # RFC 7675 section 5.1
    pair = make(awaiting=NOTHING_AWAITED)
    pair.record_check(transaction_id, NOW)
    pair.record_response(NOW, None)
    after = next_probe(pair, Health.CONNECTED, CONSENT, in_use=True) - NOW
    assert 0.8 * CONSENT <= after <= 1.2 * CONSENT


@pytest.mark.parametrize(
    ("answered_ago", "expected"),
    [(0.0, True), (CONSENT_TIMEOUT - 0.1, True), (CONSENT_TIMEOUT, False)],
)
def test_consent_lasts_thirty_seconds(answered_ago: float, expected: bool) -> None:
    # RFC 7675 section 5.1; what was heard meanwhile does not count.
    assert CONSENT_TIMEOUT == 30.0
    assert has_consent(make(heard=NOW, answered=NOW - answered_ago), NOW) is expected


def test_without_any_answer_there_is_no_consent() -> None:
    assert not has_consent(make(answered=float("-inf")), NOW)


# health, in use, heard, probed, unanswered, sent, awaiting since -> next probe; relative to NOW
PROBES = [
    (Health.CONNECTED, True, 0.0, 0.0, 0, NEVER, NOTHING_AWAITED, CONSENT),
    (Health.CONNECTED, True, 0.0, 0.0, 0, 1.0, NOTHING_AWAITED, ACTIVE_PROBE_INTERVAL),
    (Health.CONNECTED, True, 0.0, 0.0, 0, -1.0, NOTHING_AWAITED, CONSENT),
    (Health.CONNECTED, True, 0.0, 0.0, 0, 1.0, 1.0, 1.0 + SILENT_PROBE_INTERVAL),
    (Health.CONNECTED, True, 0.3, 0.0, 0, 0.3, 0.4, 0.4 + SILENT_PROBE_INTERVAL),
    (Health.CONNECTED, True, 9.0, 0.0, 1, NEVER, NOTHING_AWAITED, SILENT_PROBE_INTERVAL),
    (Health.CONNECTED, True, -9.0, 0.0, 1, NEVER, 0.0, SILENT_PROBE_INTERVAL),
    (Health.CONNECTED, False, 0.0, 0.0, 0, NEVER, NOTHING_AWAITED, BACKUP_PROBE_INTERVAL),
    (Health.CONNECTED, False, 9.0, 0.0, 5, NEVER, 0.0, BACKUP_PROBE_INTERVAL),
    (Health.DISCONNECTED, True, 0.0, 0.0, 9, NEVER, 0.0, SILENT_PROBE_INTERVAL),
    (Health.DISCONNECTED, False, 0.0, 0.0, 9, NEVER, 0.0, SILENT_PROBE_INTERVAL),
    (Health.FAILED, True, 0.0, 0.0, 9, NEVER, 0.0, FAILED_PROBE_INTERVAL),
    (Health.FAILED, False, 0.0, 0.0, 9, NEVER, 0.0, FAILED_PROBE_INTERVAL),
]


@pytest.mark.parametrize(
    ("health", "in_use", "heard", "probed", "missed", "sent", "awaiting", "after"), PROBES
)
def test_the_next_probe(
    health: Health,
    in_use: bool,
    heard: float,
    probed: float,
    missed: int,
    sent: float,
    awaiting: float,
    after: float,
) -> None:
    pair = make(
        heard=NOW + heard,
        probed=NOW + probed,
        missed=missed,
        awaiting=NOW + awaiting,
        sent=NOW + sent,
    )
    assert next_probe(pair, health, CONSENT, in_use=in_use) == pytest.approx(NOW + after)


def test_backups_are_probed_at_once_while_the_selected_pair_is_doubtful() -> None:
    pair = make(heard=NOW, probed=NOW - 2.0, awaiting=NOW + NOTHING_AWAITED)
    due = next_probe(pair, Health.CONNECTED, CONSENT, in_use=False, doubtful=True)
    assert due <= NOW
    selected = next_probe(pair, Health.CONNECTED, CONSENT, in_use=True, doubtful=True)
    assert selected == next_probe(pair, Health.CONNECTED, CONSENT, in_use=True)


def test_backups_are_probed_before_any_nat_forgets_them() -> None:
    # RFC 4787 REQ-5 has NATs that forget after 30 s at the earliest.
    assert BACKUP_PROBE_INTERVAL <= 15.0

"""The checks against a puppet: what each message does, and what it must not do."""

import pytest
from aioice import stun

from icefloe.peer.ice.checks import binding
from icefloe.peer.ice.checks.connectivity import RENOMINATION_DELAY
from icefloe.peer.ice.checks.pair import PairState
from icefloe.peer.ice.checks.state import IceState
from tests.helpers.puppet import BASE, HERE, Puppet, remote_candidate

DIRECT = ("198.51.100.2", 2000)
OTHER = ("198.51.100.3", 3000)
RELAY = ("203.0.113.2", 4000)


# --- following the controlling side


def test_a_nomination_is_followed() -> None:
    puppet = Puppet(controlling=False)
    pair = puppet.offer(DIRECT, answers=True)
    assert puppet.checks.nominated is None
    puppet.check(DIRECT, nominate=True)
    assert puppet.checks.nominated is pair


def test_a_nomination_of_a_pair_that_is_not_valid_counts_once_it_is() -> None:
    # RFC 8445 section 7.3.1.5
    puppet = Puppet(controlling=False)
    pair = puppet.offer(DIRECT)
    puppet.check(DIRECT, nominate=True)
    assert puppet.checks.nominated is None
    puppet.answer(*puppet.requests[-1])
    assert puppet.checks.nominated is pair


def test_the_controlling_side_follows_nobody() -> None:
    puppet = Puppet(controlling=True)
    puppet.checks.remote_is_lite = True
    best, other = puppet.offer(DIRECT, answers=True), puppet.offer(RELAY, "relay", answers=True)
    puppet.wait(5.0)
    puppet.check(RELAY, nominate=True)
    assert puppet.checks.nominated is best
    assert other.is_valid


def test_of_several_nominations_at_a_time_the_best_pair_counts() -> None:
    # As one that nominates aggressively makes them (RFC 5245 section 8.1.1.2).
    puppet = Puppet(controlling=False)
    best, other = puppet.offer(DIRECT, answers=True), puppet.offer(RELAY, "relay", answers=True)
    puppet.wait(1.0)
    for address, expected in ((RELAY, other), (DIRECT, best), (RELAY, best)):
        puppet.check(address, nominate=True)
        assert puppet.checks.nominated is expected
        puppet.wait(0.1)


def test_a_later_nomination_is_a_change_of_mind() -> None:
    puppet = Puppet(controlling=False)
    best, other = puppet.offer(DIRECT, answers=True), puppet.offer(RELAY, "relay", answers=True)
    puppet.wait(1.0)
    puppet.check(DIRECT, nominate=True)
    assert puppet.checks.nominated is best
    puppet.wait(RENOMINATION_DELAY + 0.1)
    puppet.check(RELAY, nominate=True)
    assert puppet.checks.nominated is other


def test_a_nomination_replaces_that_of_a_pair_that_is_dead_at_once() -> None:
    puppet = Puppet(controlling=False)
    puppet.offer(DIRECT, answers=True)
    other = puppet.offer(RELAY, "relay", answers=True)
    puppet.wait(1.0)
    puppet.check(DIRECT, nominate=True)
    puppet.answers.remove(DIRECT)
    puppet.checks.note_sent(puppet.pair(DIRECT), 1, 100, puppet.now)
    puppet.wait(2.0)
    puppet.check(RELAY, nominate=True)
    assert puppet.checks.nominated is other


def test_a_nomination_that_another_has_replaced_does_not_come_back() -> None:
    puppet = Puppet(controlling=False)
    best, other = puppet.offer(DIRECT), puppet.offer(RELAY, "relay")
    puppet.wait(1.0)
    puppet.check(RELAY, nominate=True)  # the checks in return stay unanswered
    puppet.wait(1.0)
    puppet.answers.add(DIRECT)
    puppet.check(DIRECT, nominate=True)
    assert puppet.checks.nominated is best
    puppet.wait(RENOMINATION_DELAY + 1.0)
    puppet.answers.add(RELAY)
    puppet.check(RELAY)
    puppet.wait(5.0)
    assert other.is_valid
    assert puppet.checks.nominated is best


# --- answers


def test_an_answer_from_elsewhere_fails_the_check() -> None:
    # RFC 8445 section 7.2.5.2.1
    puppet = Puppet(controlling=True)
    pair = puppet.offer(DIRECT)
    request, _ = puppet.requests[-1]
    puppet.answer(request, OTHER)
    assert puppet.state_of(pair) is PairState.FAILED
    assert puppet.checks.list.find_pair(BASE, OTHER) is None


def test_an_answer_with_another_password_is_none() -> None:
    puppet = Puppet(controlling=True)
    pair = puppet.offer(DIRECT)
    request, address = puppet.requests[-1]
    puppet.credentials.local_password = "a guess"
    puppet.answer(request, address)
    assert puppet.state_of(pair) is PairState.IN_PROGRESS
    puppet.credentials.local_password = "there-password"
    puppet.answer(request, address)
    assert puppet.state_of(pair) is PairState.SUCCEEDED


def test_a_refusal_counts_only_if_it_is_authentic() -> None:
    puppet = Puppet(controlling=True)
    pair = puppet.offer(DIRECT)
    request, address = puppet.requests[-1]
    for code in (binding.BAD_REQUEST, binding.UNAUTHENTICATED):  # these are not signed
        refusal = binding.error(request, code, puppet.credentials)
        puppet.receive(stun.parse_message(refusal), address)
    assert puppet.state_of(pair) is PairState.IN_PROGRESS
    refusal = binding.error(request, (500, "Server Error"), puppet.credentials)
    puppet.receive(stun.parse_message(refusal), address)
    assert puppet.state_of(pair) is PairState.FAILED


def test_an_answer_counts_once() -> None:
    puppet = Puppet(controlling=True)
    pair = puppet.offer(DIRECT)
    request, address = puppet.requests[-1]
    for _ in range(3):
        puppet.answer(request, address)
    assert pair.responses_received == 1


def test_an_answer_to_a_check_that_another_has_replaced_still_counts() -> None:
    # RFC 8445 section 7.3.1.4: the transaction is cancelled only as far as sending goes.
    puppet = Puppet(controlling=True)
    pair = puppet.offer(DIRECT)
    first, _ = puppet.requests[-1]
    puppet.wait(0.1)
    puppet.check(DIRECT)
    second, _ = puppet.requests[-1]
    assert first.transaction_id != second.transaction_id
    puppet.answer(first, DIRECT)
    assert puppet.state_of(pair) is PairState.SUCCEEDED
    sent = len([r for r, _ in puppet.requests if r.transaction_id == second.transaction_id])
    puppet.wait(0.3)
    assert sent == 1


def test_a_retransmitted_check_triggers_no_other() -> None:
    puppet = Puppet(controlling=True)
    puppet.offer(DIRECT)
    request = puppet.request()
    for _ in range(5):
        puppet.receive(request, DIRECT)
        puppet.wait(0.02)
    assert len({r.transaction_id for r, _ in puppet.requests}) == 2
    assert len(puppet.replies) == 5


def test_a_check_revives_a_pair_that_failed() -> None:
    puppet = Puppet(controlling=True)
    pair = puppet.offer(DIRECT)
    puppet.wait(50.0)
    assert puppet.state_of(pair) is PairState.FAILED
    puppet.answers.add(DIRECT)
    puppet.check(DIRECT)
    assert puppet.state_of(pair) is PairState.SUCCEEDED
    assert puppet.state() is IceState.COMPLETED


# --- candidates


@pytest.mark.parametrize("spelling", ["2001:DB8::2", "2001:0db8:0:0:0:0:0:2"])
def test_an_ipv6_address_may_be_spelled_in_any_way(spelling: str) -> None:
    # RFC 5952 section 4 is how it should be written; RFC 8839 takes every spelling.
    puppet = Puppet(controlling=True)
    seen = ("2001:db8::2", 2000)
    host = remote_candidate((spelling, 2000))
    local = puppet.checks.list.locals[0]
    local.host = "2001:db8::1"
    puppet.checks.add_remote(host, (spelling, 2000), puppet.now)
    assert list(puppet.checks.list.remotes) == [seen]
    puppet.wait(0.1)
    puppet.answer(puppet.requests[-1][0], seen)
    assert puppet.state() is IceState.COMPLETED


def test_a_check_from_an_unknown_address_makes_a_peer_reflexive_candidate() -> None:
    # RFC 8445 section 7.3.1.3
    puppet = Puppet(controlling=True)
    request = puppet.request()
    puppet.receive(request, OTHER)
    remote = puppet.checks.list.remotes[OTHER]
    assert (remote.candidate.type, remote.candidate.priority) == (
        "prflx",
        request.attributes["PRIORITY"],
    )
    assert puppet.requests[-1][1] == OTHER
    assert puppet.replies[-1].attributes["XOR-MAPPED-ADDRESS"] == OTHER
    puppet.checks.add_remote(remote_candidate(OTHER, "srflx"), OTHER, puppet.now)
    assert puppet.pair(OTHER).remote.candidate.type == "srflx"
    assert len(puppet.checks.list) == 1


def test_the_address_that_the_other_side_sees_is_a_candidate() -> None:
    # RFC 8445 section 7.2.5.3.1
    puppet = Puppet(controlling=True)
    pair = puppet.offer(DIRECT)
    request, address = puppet.requests[-1]
    answer = binding.success(request, ("203.0.113.7", 7777), puppet.credentials)
    puppet.receive(stun.parse_message(answer), address)
    assert pair.valid_local.type == "prflx"
    assert pair.valid_local.address == ("203.0.113.7", 7777)
    assert (pair.valid_local.related_address, pair.valid_local.related_port) == HERE


def test_a_socket_that_is_gone_takes_its_pairs_along() -> None:
    puppet = Puppet(controlling=True)
    puppet.offer(DIRECT, answers=True)
    puppet.wait(1.0)
    assert puppet.state() is IceState.COMPLETED
    puppet.checks.remove_base(BASE, puppet.now)
    assert puppet.checks.selected is puppet.checks.nominated is None
    assert puppet.checks.path(puppet.now) is None
    assert puppet.state() is IceState.DISCONNECTED
    assert len(puppet.checks.list) == 0
    puppet.wait(60.0)
    assert puppet.state() is IceState.FAILED


def test_what_another_generation_has_replaced_answers_and_nominates_nothing() -> None:
    puppet = Puppet(controlling=True)
    puppet.offer(RELAY, "relay", answers=True)
    puppet.wait(0.5)
    assert puppet.checks.nominated is None
    puppet.checks.retire()
    sent, answered = len(puppet.requests), len(puppet.replies)
    for address in (RELAY, OTHER):
        puppet.check(address)
        puppet.wait(10.0)
    assert len(puppet.requests) == sent
    assert len(puppet.replies) == answered + 2
    assert puppet.checks.receive_data(BASE, RELAY, 100, puppet.now)

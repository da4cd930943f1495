"""The events of a check list, and the counts that a diagnosis goes by, in virtual time."""

import pytest
from aioice import stun

from icefloe.peer.ice.agent_facts import with_lifetime
from icefloe.peer.ice.checks import binding
from icefloe.peer.ice.events import (
    IceEvent,
    PairChanged,
    PairNominated,
    PairSelected,
    RoundTripsMeasured,
)
from icefloe.peer.ice.facts import ServerFacts
from icefloe.peer.ice.observer import PERIOD, ChecksObserver
from icefloe.peer.ice.plain_facts import LONGEST_ADDRESS, pair_facts, remote_facts
from icefloe.peer.ice.server_urls import parse_url
from tests.helpers.puppet import Puppet, remote_candidate

DIRECT = ("198.51.100.2", 2000)
OTHER = ("198.51.100.3", 3000)


class Watched:
    """A puppet whose check list is observed after each step."""

    def __init__(self, *, controlling: bool = True) -> None:
        self.puppet = Puppet(controlling=controlling)
        self.events: list[IceEvent] = []
        self._observer = ChecksObserver(self.puppet.checks, self.events.append)

    def look(self) -> list[IceEvent]:
        """Return the events since the last look."""
        self.events.clear()
        self._observer.observe(self.puppet.now)
        return list(self.events)


def test_a_pair_is_told_when_it_is_checked_works_and_is_chosen() -> None:
    watched = Watched()
    watched.puppet.offer(DIRECT)
    (sent,) = watched.look()
    assert isinstance(sent, PairChanged) and sent.pair.state == "in-progress"
    assert sent.pair.checks_sent == 1
    assert watched.look() == []
    watched.puppet.answer(*watched.puppet.requests[-1])
    changed, selected = watched.look()
    assert isinstance(changed, PairChanged) and changed.pair.state == "succeeded"
    assert isinstance(selected, PairSelected) and selected.pair == changed.pair
    watched.puppet.answers.add(DIRECT)
    watched.puppet.wait(5.0)
    (nominated,) = watched.look()
    assert isinstance(nominated, PairNominated)
    assert nominated.pair.remote.address == DIRECT[0]


def test_a_pair_that_fails_and_one_that_is_removed_are_told() -> None:
    watched = Watched()
    pair = watched.puppet.offer(DIRECT)
    watched.look()
    watched.puppet.answer(watched.puppet.requests[-1][0], OTHER)
    (failed,) = watched.look()
    assert isinstance(failed, PairChanged) and failed.pair.state == "failed"
    watched.puppet.offer(OTHER, answers=True)
    watched.puppet.wait(1.0)
    assert any(isinstance(event, PairSelected) for event in watched.look())
    watched.puppet.checks.remove_base(pair.local.base, watched.puppet.now)
    assert watched.look()[-1] == PairSelected(None)


def test_round_trips_are_one_event_in_a_period() -> None:
    watched = Watched()
    watched.puppet.offer(DIRECT, answers=True)
    watched.puppet.wait(5.0)
    watched.look()
    told: list[RoundTripsMeasured] = []
    for _ in range(4 * 60):
        watched.puppet.wait(1.0)
        told += [event for event in watched.look() if isinstance(event, RoundTripsMeasured)]
    assert len(told) == 4
    for event in told:
        assert PERIOD <= event.seconds < PERIOD + 2
        assert 8 <= event.answered <= event.checks <= 20  # one in 4 to 6 s
        assert event.mean == 0.0


def test_checks_with_other_credentials_are_counted_in_both_directions() -> None:
    watched = Watched()
    checks, puppet = watched.puppet.checks, watched.puppet
    puppet.offer(DIRECT)
    puppet.credentials.remote_password = "an older one"
    puppet.check(DIRECT)
    assert (checks.refused_checks, checks.refused_by_remote) == (1, 0)
    request, address = puppet.requests[-1]
    for code, counts in ((401, 1), (400, 2), (500, 2)):
        refusal = stun.Message(request.message_method, stun.Class.ERROR, request.transaction_id)
        refusal.attributes["ERROR-CODE"] = (code, "no")
        puppet.receive(stun.parse_message(bytes(refusal)), address)
        assert checks.refused_by_remote == counts
    # Anybody could have sent these: the check goes on.
    puppet.answer(request, address)
    assert puppet.pair(DIRECT).is_valid
    unknown = stun.Message(request.message_method, stun.Class.ERROR, b"x" * 12)
    unknown.attributes["ERROR-CODE"] = (401, "no")
    puppet.receive(stun.parse_message(bytes(unknown)), address)
    assert checks.refused_by_remote == 2
    malformed = binding.error(request, binding.BAD_REQUEST, puppet.credentials)
    puppet.receive(stun.parse_message(malformed), address)
    assert checks.refused_by_remote == 2  # it was answered already


def test_a_request_without_credentials_is_not_counted_as_one_with_others() -> None:
    puppet = Puppet(controlling=True)
    puppet.offer(DIRECT)
    puppet.receive(stun.Message(stun.Method.BINDING, stun.Class.REQUEST), DIRECT)
    assert puppet.checks.refused_checks == 0


def test_what_a_remote_candidate_says_is_cut_and_printable() -> None:
    candidate = remote_candidate(("\x1b[2J" + "x" * 5000 + ".local", 2000))
    candidate.relatedAddress, candidate.relatedPort = "\n" * 5000, 1
    facts = remote_facts(candidate)
    for text in (facts.address, str(facts), (facts.related or ("", 0))[0]):
        assert text.isprintable() and len(text) < 5 * LONGEST_ADDRESS
    puppet = Puppet(controlling=True)
    assert pair_facts(puppet.offer(DIRECT)).remote.address == DIRECT[0]


@pytest.mark.parametrize(
    ("user", "expires_in", "lapsed"),
    [
        ("1700000000:alice", -100.0, False),
        ("1699999000:alice", -1100.0, True),
        ("1700000500", 400.0, False),
        ("alice", None, False),
        ("170:alice", None, False),
        ("17000000000000:alice", None, False),
        ("1700000000alice", None, False),
        (None, None, False),
    ],
)
def test_the_lifetime_of_credentials_is_read_from_the_user_name(
    user: str | None, expires_in: float | None, lapsed: bool
) -> None:
    server = parse_url("turn:relay.example", user, "secret")
    facts = with_lifetime(ServerFacts("turn:relay.example", True), server, 1700000100.0, 1699999900)
    assert (facts.expires_in, facts.lapsed_when_set) == (expires_in, lapsed)

"""The check list and its pairs: which there are, in which state, and in which order."""

import pytest
from aioice.candidate import candidate_priority
from aiortc import RTCIceCandidate

from icefloe.peer.ice.checks.binding import Role
from icefloe.peer.ice.checks.checklist import MAX_PAIRS, MAX_REFLEXIVE, CheckList
from icefloe.peer.ice.checks.pair import Address, Pair, PairState, Remote, can_pair
from icefloe.peer.ice.configuration import MAX_REMOTES
from tests.helpers.puppet import BASE, local_candidate, remote_candidate

FIRST: Address = ("198.51.100.2", 2000)
SAME_HOST: Address = ("198.51.100.2", 2001)
OTHER: Address = ("198.51.100.3", 3000)
RELAY: Address = ("203.0.113.2", 4000)


def make(*remotes: Address, controlling: bool = True) -> CheckList:
    """Make a check list with one socket."""
    checklist = CheckList(Role(controlling, 1))
    checklist.add_local(local_candidate())
    for address in remotes:
        checklist.add_remote(remote_candidate(address), address)
    return checklist


def at(checklist: CheckList, address: Address, base: object = BASE) -> Pair:
    """Return a pair that is there."""
    pair = checklist.find_pair(base, address)
    assert pair is not None
    return pair


# --- pairing


def pairs_with(
    remote: RTCIceCandidate, host: str, *, local: str = "host", named: bool = False
) -> bool:
    there = Remote(remote, (host, remote.port), named)
    return can_pair(local_candidate(local), there)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"protocol": "UDP"}, True),
        ({"protocol": "tcp"}, False),
        ({"component": 2}, False),
    ],
)
def test_what_pairs_has_the_same_component_and_transport(
    change: dict[str, object], expected: bool
) -> None:
    # RFC 8445 section 6.1.2.2
    remote = remote_candidate(FIRST)
    for name, value in change.items():
        setattr(remote, name, value)
    assert pairs_with(remote, FIRST[0]) is expected


def test_what_pairs_has_the_same_ip_version() -> None:
    assert not pairs_with(remote_candidate(("2001:db8::1", 1)), "2001:db8::1")


@pytest.mark.parametrize(("local", "expected"), [("host", True), ("relay", False)])
def test_no_relay_is_shown_the_address_behind_a_name(local: str, expected: bool) -> None:
    remote = remote_candidate(("name.local", 1))
    assert pairs_with(remote, FIRST[0], local=local, named=True) is expected


def test_an_address_is_paired_once_with_each_socket() -> None:
    checklist = make(FIRST, FIRST)
    checklist.add_local(local_candidate("relay", RELAY, base="relay"))
    checklist.add_remote(remote_candidate(FIRST, "srflx"), FIRST)
    assert len(checklist) == 2
    assert at(checklist, FIRST).remote.candidate.type == "host"


def test_reflexive_candidates_send_by_their_base() -> None:
    # RFC 8445 section 6.1.2.4
    checklist = make(FIRST)
    checklist.add_local(local_candidate("srflx", ("203.0.113.9", 9)))
    assert len(checklist) == 1
    assert checklist.find_local(BASE, ("203.0.113.9", 9)) is checklist.reflexive[0]
    assert checklist.find_local("another", ("203.0.113.9", 9)) is None


@pytest.mark.parametrize("host", ["no address", "name.local", "", "300.1.1.1"])
def test_what_has_no_ip_address_is_refused(host: str) -> None:
    checklist = make()
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        checklist.add_remote(remote_candidate((host, 1)), (host, 1))
    assert checklist.remotes == {}


# --- states


def test_of_one_foundation_one_pair_waits_and_the_others_are_frozen() -> None:
    # RFC 8838 section 12
    checklist = make(FIRST, SAME_HOST, OTHER)
    states = [at(checklist, a).state for a in (FIRST, SAME_HOST, OTHER)]
    assert states == [PairState.WAITING, PairState.FROZEN, PairState.WAITING]
    checklist.unfreeze(at(checklist, FIRST).foundation)
    assert at(checklist, SAME_HOST).state is PairState.WAITING


def test_a_pair_of_a_foundation_that_works_is_not_frozen() -> None:
    checklist = make(FIRST)
    at(checklist, FIRST).state = PairState.SUCCEEDED
    checklist.add_remote(remote_candidate(SAME_HOST), SAME_HOST)
    assert at(checklist, SAME_HOST).state is PairState.WAITING


# --- order


def test_the_pair_with_the_highest_priority_is_next_and_frozen_ones_are_last() -> None:
    checklist = make(SAME_HOST)
    checklist.add_remote(remote_candidate(RELAY, "relay"), RELAY)
    checklist.add_remote(remote_candidate(OTHER), OTHER)
    frozen = ("198.51.100.2", 2002)
    checklist.add_remote(remote_candidate(frozen), frozen)
    order = []
    while (pair := checklist.take_next()) is not None:
        order.append(pair.remote.address)
        pair.state = PairState.IN_PROGRESS
    assert set(order[:2]) == {SAME_HOST, OTHER}
    assert order[2:] == [RELAY, frozen]
    assert not checklist.has_next
    assert not checklist.is_exhausted


def test_triggered_pairs_come_first_in_the_order_in_which_they_were_triggered() -> None:
    # RFC 8445 section 6.1.4.2
    checklist = make(FIRST, OTHER)
    checklist.add_remote(remote_candidate(RELAY, "relay"), RELAY)
    for address in (RELAY, OTHER, RELAY):
        checklist.trigger(at(checklist, address))
    assert checklist.has_triggered
    order = []
    while (pair := checklist.take_next()) is not None:
        order.append(pair.remote.address)
        pair.state = PairState.IN_PROGRESS
    assert order == [RELAY, OTHER, FIRST]
    assert not checklist.has_triggered


def test_a_triggered_pair_that_works_meanwhile_is_not_checked() -> None:
    checklist = make(FIRST)
    pair = at(checklist, FIRST)
    checklist.trigger(pair)
    pair.state = PairState.SUCCEEDED
    assert not checklist.has_triggered
    assert checklist.take_next() is None


PRIORITIES = [  # own, the other side's, when controlling, when controlled
    (1, 1, (1 << 32) + 2, (1 << 32) + 2),
    (2, 1, (1 << 32) + 4 + 1, (1 << 32) + 4),
    (1, 2, (1 << 32) + 4, (1 << 32) + 4 + 1),
    (0, 2**31 - 1, 2 * (2**31 - 1), 2 * (2**31 - 1) + 1),
]


@pytest.mark.parametrize(("own", "others", "controlling", "controlled"), PRIORITIES)
def test_priority_of_a_pair(own: int, others: int, controlling: int, controlled: int) -> None:
    # RFC 8445 section 6.1.2.3: 2^32 min(G, D) + 2 max(G, D) + (G > D ? 1 : 0)
    local, remote = local_candidate(), remote_candidate(FIRST)
    local.priority, remote.priority = own, others
    pair = Pair(local, Remote(remote, FIRST))
    assert pair.priority(controlling=True) == controlling
    assert pair.priority(controlling=False) == controlled


def test_a_pair_has_the_priority_of_what_the_other_side_sees() -> None:
    pair = Pair(local_candidate(), Remote(remote_candidate(FIRST), FIRST))
    before = pair.priority(controlling=True)
    pair.mapped = local_candidate("prflx", ("203.0.113.9", 9))
    assert pair.priority(controlling=True) < before
    assert pair.mapped.priority == candidate_priority(1, "prflx")


# --- limits


def addresses(count: int) -> list[Address]:
    return [(f"192.0.2.{number % 250}", 1000 + number) for number in range(count)]


def test_pairs_are_limited_and_the_better_one_stays() -> None:
    checklist = make()
    for address in addresses(MAX_PAIRS):
        checklist.add_remote(remote_candidate(address, "relay"), address)
    checklist.add_remote(remote_candidate(RELAY, "relay"), RELAY)
    assert checklist.find_pair(BASE, RELAY) is None
    checklist.add_remote(remote_candidate(FIRST), FIRST)
    assert checklist.find_pair(BASE, FIRST) is not None
    assert len(checklist) == MAX_PAIRS


def test_pairs_that_work_or_are_being_checked_are_never_dropped_for_others() -> None:
    checklist = make()
    for number, address in enumerate(addresses(MAX_PAIRS)):
        checklist.add_remote(remote_candidate(address, "relay"), address)
        at(checklist, address).state = PairState.SUCCEEDED if number % 2 else PairState.IN_PROGRESS
    checklist.add_remote(remote_candidate(FIRST), FIRST)
    assert checklist.find_pair(BASE, FIRST) is None


def test_the_pair_that_failed_first_makes_room() -> None:
    checklist = make()
    there = addresses(MAX_PAIRS)
    for address in there:
        checklist.add_remote(remote_candidate(address), address)
        at(checklist, address).state = PairState.SUCCEEDED
    for failed_at, address in ((2.0, there[1]), (1.0, there[2])):
        pair = at(checklist, address)
        pair.state, pair.failed_at = PairState.FAILED, failed_at
    checklist.add_remote(remote_candidate(RELAY, "relay"), RELAY)
    assert checklist.find_pair(BASE, there[2]) is None
    assert checklist.find_pair(BASE, there[1]) is not None
    assert there[2] in checklist.remotes  # it was signalled


def test_a_peer_reflexive_candidate_goes_with_its_last_pair() -> None:
    checklist = make()
    checklist.add_local(local_candidate(base="another"))
    assert checklist.learn_remote(BASE, OTHER, priority=1) is not None
    for base in (BASE, "another"):
        assert checklist.find_or_form_pair(base, OTHER) is not None
    checklist.remove_base(BASE)
    assert OTHER in checklist.remotes
    checklist.remove_base("another")
    assert OTHER not in checklist.remotes
    assert checklist.find_or_form_pair(BASE, OTHER) is None


def test_remote_candidates_are_limited() -> None:
    checklist = make(*addresses(MAX_REMOTES + 10))
    assert len(checklist.remotes) == MAX_REMOTES
    assert checklist.learn_remote(BASE, RELAY, priority=1) is None


def test_of_reflexive_candidates_the_latest_are_kept() -> None:
    checklist = make(FIRST)
    for port in range(1000, 1000 + MAX_REFLEXIVE + 10):
        checklist.add_local(local_candidate("prflx", ("203.0.113.9", port)))
    ports = [candidate.port for candidate in checklist.reflexive]
    assert ports == list(range(1010, 1010 + MAX_REFLEXIVE))


def test_a_socket_takes_its_pairs_and_candidates_along() -> None:
    checklist = make(FIRST)
    checklist.add_local(local_candidate("srflx", ("203.0.113.9", 9)))
    checklist.add_local(local_candidate("relay", RELAY, base="relay"))
    pair = at(checklist, FIRST)
    checklist.trigger(pair)
    assert checklist.remove_base(BASE) == [pair]
    assert [c.type for c in checklist.locals] == ["relay"]
    assert checklist.reflexive == []
    assert not checklist.has_triggered
    assert list(checklist) == [at(checklist, FIRST, base="relay")]

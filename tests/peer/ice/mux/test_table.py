"""The table of a shared port: who a datagram is for, and who may have an address."""

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from icefloe.peer.ice.errors import FragmentInUse
from icefloe.peer.ice.mux.table import (
    MAX_ADDRESSES_PER_MEMBER,
    MAX_TRANSACTIONS_PER_MEMBER,
    TAKEOVER_DELAY,
    Claim,
    MuxTable,
)

HERE = ("192.0.2.1", 1000)
THERE = ("2001:db8::1", 1000)
NOW = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A member of the table, equal to itself alone."""

    name: str


def make(*names: str) -> tuple[MuxTable[Member], list[Member]]:
    """Make a table with members, each with an owner of its own."""
    table: MuxTable[Member] = MuxTable()
    members = [Member(name) for name in names]
    for member in members:
        table.register(member.name, member, object())
    return table, members


def test_a_check_is_for_the_member_with_its_fragment() -> None:
    table, (one, two) = make("one", "two")
    assert table.find_fragment(b"one") is one
    assert table.find_fragment(b"two") is two
    assert table.find_fragment(b"three") is None
    assert table.members == [one, two]


def test_two_members_never_have_one_fragment() -> None:
    table, (one,) = make("same")
    with pytest.raises(FragmentInUse) as refused:
        table.register("same", Member("other"), object())
    assert refused.value.fragment == "same"
    assert table.find_fragment(b"same") is one
    table.unregister(one)
    table.register("same", one, object())


def test_an_address_is_nobodys_before_a_claim() -> None:
    table, (one,) = make("one")
    assert table.find_address(HERE) is None
    assert table.claim(HERE, one, NOW) is Claim.GRANTED
    assert table.find_address(HERE) is one
    assert table.find_address(THERE) is None
    assert table.confirmed_at(HERE, one) == NOW


def test_a_response_is_for_who_sent_the_request_and_for_nobody_a_second_time() -> None:
    table, (one, two) = make("one", "two")
    table.expect(b"a" * 12, one)
    table.expect(b"a" * 12, two)
    assert table.take_transaction(b"b" * 12) is None
    assert table.take_transaction(b"a" * 12) is one
    assert table.take_transaction(b"a" * 12) is None
    assert table.transactions == 0


def test_a_peer_that_is_alive_keeps_its_address() -> None:
    table, (one, two) = make("one", "two")
    table.claim(HERE, one, NOW)
    assert table.claim(HERE, two, NOW + 1) is Claim.CONTESTED
    assert table.confirmed_at(HERE, one) == float("-inf")  # so that the next message counts
    assert table.is_taken(HERE, two)
    assert not table.is_taken(HERE, one)
    assert table.claim(HERE, two, NOW + 2) is Claim.REFUSED
    assert table.claim(HERE, one, NOW + 2.5) is Claim.GRANTED  # the probe was answered
    assert table.claim(HERE, two, NOW + 1 + TAKEOVER_DELAY) is Claim.CONTESTED
    assert table.find_address(HERE) is one


def test_an_address_goes_to_another_peer_once_the_first_is_gone() -> None:
    table, (one, two) = make("one", "two")
    table.claim(HERE, one, NOW)
    assert table.claim(HERE, two, NOW + 1000) is Claim.CONTESTED  # silence alone is no proof
    assert table.claim(HERE, two, NOW + 1000 + TAKEOVER_DELAY) is Claim.GRANTED
    assert table.find_address(HERE) is two
    assert table.confirmed_at(HERE, one) == float("-inf")
    table.unregister(one)
    assert table.find_address(HERE) is two


def test_an_address_is_free_when_its_call_has_ended() -> None:
    table, (one, two) = make("one", "two")
    table.claim(HERE, one, NOW)
    table.unregister(one)
    table.unregister(one)
    assert table.find_address(HERE) is None
    assert table.claim(HERE, two, NOW) is Claim.GRANTED


def test_a_restart_takes_the_address_and_the_old_generation_does_not_take_it_back() -> None:
    table, agent = MuxTable[Member](), object()
    old, new = Member("old"), Member("new")
    table.register("old", old, agent)
    table.claim(HERE, old, NOW)
    table.register("new", new, agent)
    assert not table.is_taken(HERE, new)
    assert table.find_address(HERE) is old
    assert table.claim(HERE, new, NOW + 1) is Claim.GRANTED
    assert table.find_address(HERE) is new
    assert table.claim(HERE, old, NOW + 2) is Claim.GRANTED
    assert table.find_address(HERE) is new
    assert table.confirmed_at(HERE, new) == NOW + 2
    table.unregister(old)
    assert table.find_address(HERE) is new
    table.unregister(new)
    assert (len(table), table.addresses, table.transactions) == (0, 0, 0)


def test_an_address_goes_back_to_the_generation_before_if_the_newer_one_is_discarded() -> None:
    table, agent = MuxTable[Member](), object()
    first, second, third = Member("first"), Member("second"), Member("third")
    for member in (first, second, third):
        table.register(member.name, member, agent)
        table.claim(HERE, member, NOW)
    table.claim(THERE, third, NOW)
    assert table.find_address(HERE) is third
    table.unregister(second)
    assert table.find_address(HERE) is third
    table.unregister(third)
    assert table.find_address(HERE) is first
    assert table.find_address(THERE) is None
    table.unregister(first)
    assert (len(table), table.addresses) == (0, 0)


def test_a_member_that_has_left_gets_nothing() -> None:
    table, (one,) = make("one")
    table.unregister(one)
    table.expect(b"a" * 12, one)
    assert table.claim(HERE, one, NOW) is Claim.REFUSED
    assert table.transactions == table.addresses == 0


def test_the_address_unused_for_longest_makes_room() -> None:
    table, (one, two) = make("one", "two")
    table.claim(THERE, two, NOW)
    table.claim(HERE, one, NOW)
    for port in range(2000, 2000 + MAX_ADDRESSES_PER_MEMBER + 50):
        table.claim(("192.0.2.1", port), one, NOW)
        table.claim(HERE, one, NOW)  # in use all the time
    assert table.find_address(HERE) is one
    assert table.find_address(THERE) is two
    assert table.find_address(("192.0.2.1", 2000)) is None
    assert table.addresses == MAX_ADDRESSES_PER_MEMBER + 1


def test_the_oldest_request_makes_room() -> None:
    table, (one,) = make("one")
    for number in range(MAX_TRANSACTIONS_PER_MEMBER + 1):
        table.expect(number.to_bytes(12, "big"), one)
    assert table.transactions == MAX_TRANSACTIONS_PER_MEMBER
    assert table.take_transaction((0).to_bytes(12, "big")) is None
    assert table.take_transaction((1).to_bytes(12, "big")) is one


ADDRESSES = st.integers(1, 6).map(lambda port: ("192.0.2.1", port))
TRANSACTIONS = st.integers(0, 9).map(lambda number: number.to_bytes(12, "big"))


class Sharing(RuleBasedStateMachine):
    """The table beside a model of it: who authenticated from where, last and before."""

    members = Bundle("members")

    @initialize()
    def begin(self) -> None:
        self.table: MuxTable[Member] = MuxTable()
        self.owners: dict[Member, int] = {}
        self.known: dict[Member, set[tuple[str, int]]] = {}
        self.holders: dict[tuple[str, int], Member] = {}
        self.heard: dict[tuple[str, int], float] = {}
        self.now = 0.0
        self.count = 0

    @rule(target=members, owner=st.integers(0, 3))
    def joins(self, owner: int) -> Member:
        self.count += 1
        member = Member(f"member{self.count}")
        self.table.register(member.name, member, OWNERS[owner])
        self.owners[member] = owner
        self.known[member] = set()
        return member

    @rule(member=consumes(members))
    def leaves(self, member: Member) -> None:
        self.table.unregister(member)
        owner = self.owners.pop(member)
        for address, holder in list(self.holders.items()):
            if holder is member:
                heirs = [
                    other
                    for other, its_owner in self.owners.items()
                    if its_owner == owner and address in self.known[other]
                ]
                if heirs:
                    self.holders[address] = heirs[-1]
                else:
                    del self.holders[address]

    @rule(target=members, member=consumes(members))
    def restarts(self, member: Member) -> object:
        return multiple(member, self.joins(self.owners[member]))

    @rule(seconds=st.floats(0, 2 * TAKEOVER_DELAY))
    def passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(member=members, address=ADDRESSES)
    def authenticates(self, member: Member, address: tuple[str, int]) -> None:
        holder = self.holders.get(address)
        result = self.table.claim(address, member, self.now)
        if holder is None:
            assert result is Claim.GRANTED
            self.holders[address] = member
        elif self.owners[holder] == self.owners[member]:
            assert result is Claim.GRANTED
            order = list(self.owners)
            self.holders[address] = max(holder, member, key=order.index)
        elif result is Claim.GRANTED:
            # Nobody loses an address who was heard from it within the delay.
            assert self.now - self.heard[address] >= TAKEOVER_DELAY
            self.holders[address] = member
        if result is Claim.GRANTED:
            self.heard[address] = self.now
            self.known[member].add(address)

    @rule(member=members, transaction=TRANSACTIONS)
    def asks(self, member: Member, transaction: bytes) -> None:
        self.table.expect(transaction, member)

    @rule(transaction=TRANSACTIONS)
    def is_answered(self, transaction: bytes) -> None:
        member = self.table.take_transaction(transaction)
        assert member is None or member in self.owners
        assert self.table.take_transaction(transaction) is None

    @invariant()
    def agrees(self) -> None:
        for port in range(1, 7):
            address = ("192.0.2.1", port)
            assert self.table.find_address(address) is self.holders.get(address)
        for member in self.owners:
            assert self.table.find_fragment(member.name.encode()) is member
        assert len(self.table) == len(self.owners)
        assert self.table.addresses == len(self.holders)
        if not self.owners:
            assert self.table.transactions == 0


OWNERS = [object() for _ in range(4)]
TestSharing = Sharing.TestCase

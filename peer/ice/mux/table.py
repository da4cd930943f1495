"""Demultiplexing table of a port that many ICE agents share. No I/O.

A check names the agent that it is for by the username fragment of the receiver (RFC 8445 section
7.2.2: USERNAME is ``receiver:sender``), a response by its transaction ID, and everything else by
the address that it comes from. An address belongs to an agent only by a message of that agent's
peer whose MESSAGE-INTEGRITY is valid: a datagram alone, whose source anybody can forge, changes
nothing here.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from ..errors import FragmentInUse

Address = tuple[str, int]
"""An IP address and a port."""

M = TypeVar("M", bound=Hashable)

MAX_ADDRESSES_PER_MEMBER = 128
"""Maximum number of remote addresses of one member; the one that is unused for longest goes. A
check list has at most 100 pairs."""

MAX_TRANSACTIONS_PER_MEMBER = 256
"""Maximum number of requests of one member whose responses are expected; the oldest goes."""

TAKEOVER_DELAY = 3.0
"""Seconds that the holder of an address has to show that its peer is still there, once the peer of
another agent has authenticated from the same address. A path in use is probed at once then, and
twice a second while it is silent."""


class Claim(StrEnum):
    """The result of :meth:`MuxTable.claim`."""

    GRANTED = "granted"
    CONTESTED = "contested"
    """Another agent holds the address and is to probe its path: its peer may be gone."""
    REFUSED = "refused"
    """Another agent holds the address, and has been asked already."""


@dataclass(slots=True)
class _Binding(Generic[M]):
    """The agent that an address belongs to.

    Attributes:
        member: The member that receives what comes from the address.
        confirmed_at: Time of the last authentic message from the address.
        contested_at: Time of the first unanswered claim of another agent; ``None`` for none.
    """

    member: M
    confirmed_at: float
    contested_at: float | None = None


@dataclass(slots=True)
class _Entry:
    """The entry of a member."""

    fragment: bytes
    owner: object
    rank: int
    addresses: dict[Address, None] = field(default_factory=dict)
    """The addresses from which the member has heard authentic messages, the one unused for longest
    first. They are the member's unless a later generation, or another agent, has them."""
    transactions: dict[bytes, None] = field(default_factory=dict)
    """The requests that wait for a response, the oldest first."""


class MuxTable(Generic[M]):
    """The members that share a port, by username fragment, transaction and remote address.

    A member is the local socket of one generation of an agent. Generations of one agent have the
    same *owner*: they may use an address together, and what comes from it goes to the newest of
    them that has heard an authentic message from there.

    All times are in seconds on one monotonic clock.
    """

    def __init__(self) -> None:
        self._members: dict[M, _Entry] = {}
        self._fragments: dict[bytes, M] = {}
        self._bindings: dict[Address, _Binding[M]] = {}
        self._transactions: dict[bytes, M] = {}
        self._owned: dict[int, list[M]] = {}
        """The members of each owner, by its identity."""
        self._ranks = 0

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self._members)

    @property
    def addresses(self) -> int:
        """Number of remote addresses that belong to a member."""
        return len(self._bindings)

    @property
    def transactions(self) -> int:
        """Number of requests that wait for a response."""
        return len(self._transactions)

    @property
    def members(self) -> list[M]:
        """The members, in the order of their registration."""
        return list(self._members)

    # --- members

    def register(self, fragment: str, member: M, owner: object) -> None:
        """Add a member.

        Args:
            fragment: The local username fragment.
            member: The receiver.
            owner: The agent; members of one agent may share remote addresses.

        Raises:
            FragmentInUse: Another member has the same username fragment.
        """
        key = fragment.encode()
        if key in self._fragments:
            raise FragmentInUse(fragment)
        self._ranks += 1
        self._members[member] = _Entry(key, owner, self._ranks)
        self._fragments[key] = member
        self._owned.setdefault(id(owner), []).append(member)

    def unregister(self, member: M) -> None:
        """Forget a member, its addresses and its transactions; an unknown one is ignored.

        An address that an earlier generation of the agent has used, too, goes back to that.
        """
        entry = self._members.pop(member, None)
        if entry is None:
            return
        del self._fragments[entry.fragment]
        owned = self._owned[id(entry.owner)]
        owned.remove(member)
        for address in entry.addresses:
            self._give_back(address, member, owned)
        if not owned:
            del self._owned[id(entry.owner)]
        for transaction in entry.transactions:
            del self._transactions[transaction]

    # --- finding the receiver of a datagram

    def find_fragment(self, fragment: bytes) -> M | None:
        """Return the member with a local username fragment; ``None`` if there is none."""
        return self._fragments.get(fragment)

    def find_address(self, address: Address) -> M | None:
        """Return the member that an address belongs to; ``None`` if there is none."""
        binding = self._bindings.get(address)
        return None if binding is None else binding.member

    def take_transaction(self, transaction: bytes) -> M | None:
        """Return the member that waits for a response, and forget the transaction."""
        member = self._transactions.pop(transaction, None)
        if member is not None:
            del self._members[member].transactions[transaction]
        return member

    # --- what members do

    def expect(self, transaction: bytes, member: M) -> None:
        """Record that a member has sent a request.

        A transaction ID of another member is not taken over; a member that has left is ignored.
        """
        entry = self._members.get(member)
        if entry is None or transaction in self._transactions:
            return
        if len(entry.transactions) >= MAX_TRANSACTIONS_PER_MEMBER:
            del self._transactions[_forget_oldest(entry.transactions)]
        entry.transactions[transaction] = None
        self._transactions[transaction] = member

    def is_taken(self, address: Address, member: M) -> bool:
        """Return whether an address belongs to another agent than a member's."""
        binding = self._bindings.get(address)
        return binding is not None and not self._are_one(binding.member, member)

    def confirmed_at(self, address: Address, member: M) -> float:
        """Return when an address was last confirmed to be a member's.

        Returns:
            ``-inf`` if the address is not the member's, or if another agent has claimed it since.
        """
        binding = self._bindings.get(address)
        if binding is None or binding.member is not member or binding.contested_at is not None:
            return float("-inf")
        return binding.confirmed_at

    def claim(self, address: Address, member: M, now: float) -> Claim:
        """Give an address to a member, whose peer has sent an authentic message from there.

        The address of another agent changes hands only if the peer of that agent does not show
        within :data:`TAKEOVER_DELAY` seconds that it is still there.

        Args:
            address: The source of the message.
            member: The member that it has authenticated itself to.
            now: The time.
        """
        entry = self._members.get(member)
        if entry is None:
            return Claim.REFUSED
        binding = self._bindings.get(address)
        if binding is not None and not self._are_one(binding.member, member):
            result = _contest(binding, now)
            if result is not Claim.GRANTED:
                return result
            binding = None
        self._remember(address, member, entry)
        if binding is None:
            self._bindings[address] = _Binding(member, now)
            return Claim.GRANTED
        binding.confirmed_at, binding.contested_at = now, None
        if entry.rank > self._members[binding.member].rank:
            binding.member = member
        return Claim.GRANTED

    def _remember(self, address: Address, member: M, entry: _Entry) -> None:
        if address in entry.addresses:
            del entry.addresses[address]
        elif len(entry.addresses) >= MAX_ADDRESSES_PER_MEMBER:
            oldest = _forget_oldest(entry.addresses)
            self._give_back(oldest, member, self._owned[id(entry.owner)])
        entry.addresses[address] = None

    def _give_back(self, address: Address, member: M, owned: list[M]) -> None:
        """Give an address that a member has to the latest other one of the agent that knows it."""
        binding = self._bindings.get(address)
        if binding is None or binding.member is not member:
            return
        for other in reversed(owned):
            if address in self._members[other].addresses:
                binding.member = other
                return
        del self._bindings[address]

    def _are_one(self, one: M, other: M) -> bool:
        entry = self._members.get(other)
        return entry is not None and self._members[one].owner is entry.owner


def _contest(binding: _Binding[M], now: float) -> Claim:
    """Return whether an address may change hands because its holder has been silent."""
    if binding.contested_at is None:
        binding.contested_at = now
        return Claim.CONTESTED
    if now - binding.contested_at < TAKEOVER_DELAY:
        return Claim.REFUSED
    return Claim.GRANTED


K = TypeVar("K")


def _forget_oldest(entries: dict[K, None]) -> K:
    oldest = next(iter(entries))
    del entries[oldest]
    return oldest

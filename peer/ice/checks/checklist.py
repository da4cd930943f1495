"""The check list: which pairs there are, and which is next (RFC 8445 section 6.1). No I/O."""

import ipaddress
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from aioice.candidate import Candidate, candidate_foundation

from ..configuration import MAX_REMOTES
from ..gather.local_candidate import LocalCandidate
from .address_scope import Scope, scope_of
from .binding import Role
from .pair import PENDING, Address, Pair, PairState, Remote, can_pair

MAX_PAIRS = 100
"""Pairs in a check list (RFC 8445 section 6.1.2.5)."""

MAX_REFLEXIVE = 64
"""Reflexive candidates kept; a NAT that maps anew all the time makes the oldest go."""


class CheckList:
    """The pairs of one data stream with one component, as all of WebRTC is bundled.

    Attributes:
        locals: Local candidates that send: host and relayed ones.
        reflexive: Local candidates that others see: server- and peer-reflexive ones.
        remotes: Candidates of the other side, by their address.
        role: Who nominates; the order of the pairs depends on it.

    Args:
        max_remotes: Remote candidates that are kept; more are ignored.
    """

    def __init__(self, role: Role, *, max_remotes: int = MAX_REMOTES) -> None:
        self._max_remotes = max_remotes
        self.locals: list[LocalCandidate] = []
        self.reflexive: list[LocalCandidate] = []
        self.remotes: dict[Address, Remote] = {}
        self.role = role
        self._pairs: dict[tuple[Any, Address], Pair] = {}
        self._triggered: deque[Pair] = deque()

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs.values())

    def __len__(self) -> int:
        return len(self._pairs)

    def at(self, base: object, address: Address) -> Pair | None:
        """Return the pair between a socket and a remote address."""
        return self._pairs.get((base, address))

    @property
    def valid(self) -> list[Pair]:
        """The valid list (RFC 8445 section 7.2.5.3.2)."""
        return [pair for pair in self if pair.is_valid]

    @property
    def is_exhausted(self) -> bool:
        """Whether no pair is left that could still come to work."""
        return not any(pair.state in PENDING for pair in self)

    # --- candidates

    def add_local(self, candidate: LocalCandidate) -> None:
        """Take a local candidate and pair it; a reflexive one is paired by its base."""
        if candidate.type in ("srflx", "prflx"):
            self._take_reflexive(candidate)
            return
        self.locals.append(candidate)
        for remote in list(self.remotes.values()):
            self._pair(candidate, remote)

    def _take_reflexive(self, candidate: LocalCandidate) -> None:
        for known in self.reflexive:
            if known.base is candidate.base and known.is_seen_as(candidate.address):
                # It was learned from a check before the STUN server told of it.
                self.reflexive.remove(known)
                for pair in self:
                    if pair.mapped is known:
                        pair.mapped = candidate
                break
        self.reflexive = [*self.reflexive, candidate][-MAX_REFLEXIVE:]

    def remove_base(self, base: object) -> list[Pair]:
        """Drop everything that was sent by a socket; return its pairs."""
        self.locals = [c for c in self.locals if c.base is not base]
        self.reflexive = [c for c in self.reflexive if c.base is not base]
        gone = [pair for pair in self if pair.local.base is base]
        for pair in gone:
            self._remove(pair)
        return gone

    def add_remote(self, candidate: Candidate, address: Address, *, named: bool = False) -> None:
        """Take a candidate of the other side and pair it.

        One that was learned from a check becomes what signaling says it is (RFC 8445 section
        7.3.1.3); one that is known is ignored, and so is one whose address is that of no single
        host. However the address is spelled, it is kept as
        sockets tell it.

        Raises:
            ValueError: It has no IP address.
        """
        address = (str(ipaddress.ip_address(address[0])), address[1])
        known = self.remotes.get(address)
        if known is None and scope_of(address[0]) is Scope.NONE:
            return
        if known is not None:
            if known.candidate.type == "prflx":
                known.candidate, known.is_named = candidate, named
            return
        if len(self.remotes) < self._max_remotes:
            remote = Remote(candidate, address, named)
            self.remotes[address] = remote
            for local in self.locals:
                self._pair(local, remote)

    def learn(self, base: object, address: Address, *, priority: int) -> Pair | None:
        """Learn a candidate of the other side from a check (RFC 8445 section 7.3.1.3).

        Args:
            base: The socket that the check came to.
            address: Where it came from.
            priority: What the check says of its candidate's priority.

        Returns:
            The pair of the two; ``None`` if there is no room for it.
        """
        if address not in self.remotes:
            if len(self.remotes) >= self._max_remotes:
                return None
            candidate = Candidate(
                foundation=candidate_foundation("prflx", "udp", address[0]),
                component=1,
                transport="udp",
                priority=priority,
                host=address[0],
                port=address[1],
                type="prflx",
            )
            self.remotes[address] = Remote(candidate, address)
        self.remotes[address].has_checked = True
        pair = self.ensure(base, address)
        if pair is None:
            self.forget_unpaired(address)
        return pair

    def mapped(self, pair: Pair, address: Address) -> LocalCandidate:
        """Return the local candidate that the other side sees at an address.

        One that nobody has told of yet is a peer-reflexive one (RFC 8445 section 7.2.5.3.1).
        """
        local = pair.local
        known = self.seen_as(local.base, address)
        if known is not None:
            return known
        found = LocalCandidate(
            base=local.base,
            foundation=candidate_foundation("prflx", "udp", local.host),
            type="prflx",
            address=address,
            local_preference=local.local_preference,
            related=(local.host, local.port),
            network_type=local.network_type,
        )
        self.add_local(found)
        return found

    def forget_unpaired(self, address: Address) -> None:
        """Drop a peer-reflexive candidate that no pair has: its address may never be seen again."""
        remote = self.remotes.get(address)
        if (
            remote is not None
            and remote.candidate.type == "prflx"
            and not any(pair.remote is remote for pair in self)
        ):
            del self.remotes[address]

    def ensure(self, base: object, address: Address) -> Pair | None:
        """Return the pair between a socket and a known remote address; form it if need be."""
        pair = self.at(base, address)
        local = next((c for c in self.locals if c.base is base), None)
        remote = self.remotes.get(address)
        if pair is None and local is not None and remote is not None:
            pair = self._pair(local, remote)
        return pair

    def seen_as(self, base: object, address: Address) -> LocalCandidate | None:
        """Return the local candidate that has this address and this base."""
        return next(
            (
                c
                for c in (*self.locals, *self.reflexive)
                if c.base is base and c.is_seen_as(address)
            ),
            None,
        )

    def _pair(self, local: LocalCandidate, remote: Remote) -> Pair | None:
        if not can_pair(local, remote) or (local.base, remote.address) in self._pairs:
            return None
        pair = Pair(local, remote)
        if len(self._pairs) >= MAX_PAIRS and not self._make_room_for(pair):
            return None
        siblings = [known for known in self if known.foundation == pair.foundation]
        # RFC 8838 section 12: a new pair waits for another of its foundation, if there is one
        # that may still tell whether it is worth while.
        held_back = siblings and not any(s.is_valid for s in siblings)
        pair.state = PairState.FROZEN if held_back else PairState.WAITING
        self._pairs[local.base, remote.address] = pair
        return pair

    def _make_room_for(self, pair: Pair) -> bool:
        failed = [p for p in self if p.state is PairState.FAILED]
        if failed:
            self._remove(min(failed, key=lambda p: p.failed_at))
            return True
        unchecked = [p for p in self if p.state in (PairState.FROZEN, PairState.WAITING)]
        lowest = min(unchecked, key=self._priority, default=None)
        if lowest is None or self._priority(lowest) >= self._priority(pair):
            return False
        self._remove(lowest)
        return True

    def _remove(self, pair: Pair) -> None:
        del self._pairs[pair.local.base, pair.remote.address]
        if pair in self._triggered:
            self._triggered.remove(pair)
        self.forget_unpaired(pair.remote.address)

    # --- order

    def trigger(self, pair: Pair) -> None:
        """Have a pair checked before all that are not triggered (RFC 8445 section 7.3.1.4)."""
        pair.state = PairState.WAITING
        if pair not in self._triggered:
            self._triggered.append(pair)

    def take_next(self) -> Pair | None:
        """Return the pair to check next (RFC 8445 section 6.1.4.2), and take it off the queue."""
        while self._triggered:
            pair = self._triggered.popleft()
            if pair.state is PairState.WAITING:
                return pair
        for state in (PairState.WAITING, PairState.FROZEN):
            ready = [pair for pair in self if pair.state is state]
            if ready:
                return max(ready, key=self._priority)
        return None

    @property
    def has_triggered(self) -> bool:
        """Whether the other side's checks have triggered one that is not made yet."""
        return any(pair.state is PairState.WAITING for pair in self._triggered)

    @property
    def has_next(self) -> bool:
        """Whether there is a pair to check."""
        return any(p.state in (PairState.WAITING, PairState.FROZEN) for p in self)

    def unfreeze(self, foundation: tuple[str, str]) -> None:
        """Let pairs be checked whose foundation has proved good (RFC 8445 section 7.2.5.3.3)."""
        for pair in self:
            if pair.state is PairState.FROZEN and pair.foundation == foundation:
                pair.state = PairState.WAITING

    def outdo(self, pair: Pair) -> Iterable[Pair]:
        """Return the pairs that would be preferred to this one."""
        mark = self._priority(pair)
        return (other for other in self if self._priority(other) > mark)

    def _priority(self, pair: Pair) -> int:
        return pair.priority(controlling=self.role.controlling)

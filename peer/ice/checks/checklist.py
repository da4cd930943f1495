"""The check list: forms, prunes and orders candidate pairs (RFC 8445 section 6.1). No I/O."""

from collections.abc import Iterable, Iterator
from typing import Any

from aioice.candidate import candidate_foundation
from aiortc import RTCIceCandidate

from ..configuration import MAX_REMOTES
from ..gather.local_candidate import LocalCandidate
from .address_scope import Scope, canonical, scope_of
from .binding import Role
from .pair import PENDING, Address, Pair, PairState, Remote, can_pair, remote_key

MAX_PAIRS = 100
"""Maximum number of pairs in a check list (RFC 8445 section 6.1.2.5)."""

MAX_REFLEXIVE = 64
"""Maximum number of local reflexive candidates. A NAT that keeps creating mappings displaces the
oldest ones."""


class CheckList:
    """The candidate pairs of one data stream with one component (WebRTC with BUNDLE).

    Attributes:
        locals: Local candidates that are bases: host and relayed candidates.
        reflexive: Server-reflexive and peer-reflexive local candidates.
        remotes: Remote candidates by address; those over TCP by address and ``tcp``.
        role: The local agent's role, on which pair priorities depend.

    Args:
        role: As above.
        max_remotes: Maximum number of remote candidates; further ones are ignored.
    """

    def __init__(self, role: Role, *, max_remotes: int = MAX_REMOTES) -> None:
        self._max_remotes = max_remotes
        self.locals: list[LocalCandidate] = []
        self.reflexive: list[LocalCandidate] = []
        self.remotes: dict[tuple[str | int, ...], Remote] = {}
        self.role = role
        self._pairs: dict[tuple[Any, Address], Pair] = {}
        self._triggered: list[Pair] = []

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs.values())

    def __len__(self) -> int:
        return len(self._pairs)

    def find_pair(self, base: object, address: Address) -> Pair | None:
        """Return the pair of a socket and a remote address; ``None`` if there is none."""
        return self._pairs.get((base, address))

    @property
    def valid(self) -> list[Pair]:
        """The valid list (RFC 8445 section 7.2.5.3.2)."""
        return [pair for pair in self if pair.is_valid]

    @property
    def is_exhausted(self) -> bool:
        """True if no pair's check is pending."""
        return not any(pair.state in PENDING for pair in self)

    # --- candidates

    def add_local(self, candidate: LocalCandidate) -> None:
        """Add a local candidate and form its pairs.

        A reflexive candidate forms no pairs of its own: its base represents it (RFC 8445 section
        6.1.2.4).
        """
        if candidate.type in ("srflx", "prflx"):
            self._take_reflexive(candidate)
            return
        self.locals.append(candidate)
        for remote in list(self.remotes.values()):
            self._pair(candidate, remote)

    def _take_reflexive(self, candidate: LocalCandidate) -> None:
        for known in self.reflexive:
            if known.base is candidate.base and known.has_address(candidate.address):
                # A check revealed this mapping before the STUN server's response arrived.
                self.reflexive.remove(known)
                for pair in self:
                    if pair.mapped is known:
                        pair.mapped = candidate
                break
        self.reflexive = [*self.reflexive, candidate][-MAX_REFLEXIVE:]

    def remove_base(self, base: object) -> list[Pair]:
        """Remove the candidates and pairs of a closed socket; return the removed pairs."""
        self.locals = [c for c in self.locals if c.base is not base]
        self.reflexive = [c for c in self.reflexive if c.base is not base]
        removed = [pair for pair in self if pair.local.base is base]
        for pair in removed:
            self._remove(pair)
        return removed

    def add_remote(
        self, candidate: RTCIceCandidate, address: Address, *, named: bool = False
    ) -> None:
        """Add a signalled remote candidate and form its pairs.

        A peer-reflexive candidate with the same address takes the signalled type, foundation and
        priority (RFC 8445 section 7.3.1.3). Other duplicates are ignored, and so are addresses that
        are not unicast.

        Args:
            candidate: The candidate as signalled.
            address: Its resolved IP address and port; stored in canonical form, as sockets report
                it.
            named: True if the signalled address is an mDNS name.

        Raises:
            ValueError: ``address`` has no valid IP address.
        """
        address = (canonical(address[0]), address[1])
        key = remote_key(candidate.protocol.lower(), address)
        known = self.remotes.get(key)
        if known is None and scope_of(address[0]) is Scope.NONE:
            return
        if known is not None:
            if known.candidate.type == "prflx":
                known.candidate, known.is_named = candidate, named
            return
        if len(self.remotes) < self._max_remotes:
            remote = Remote(candidate, address, named)
            self.remotes[key] = remote
            for local in self.locals:
                self._pair(local, remote)

    def learn_remote(self, base: object, address: Address, *, priority: int) -> Pair | None:
        """Learn a peer-reflexive remote candidate from a check (RFC 8445 section 7.3.1.3).

        Args:
            base: The socket that received the check.
            address: Source address of the check.
            priority: PRIORITY attribute of the check.

        Returns:
            The pair of the socket and the candidate; ``None`` if a limit was reached.
        """
        transport = self._transport_of(base)
        key = remote_key(transport, address)
        if key not in self.remotes:
            if len(self.remotes) >= self._max_remotes:
                return None
            candidate = RTCIceCandidate(
                foundation=candidate_foundation("prflx", transport, address[0]),
                component=1,
                protocol=transport,
                priority=priority,
                ip=address[0],
                port=address[1],
                type="prflx",
                tcpType="active" if transport == "tcp" else None,
            )
            self.remotes[key] = Remote(candidate, address)
        self.remotes[key].has_checked = True
        pair = self.find_or_form_pair(base, address)
        if pair is None:
            self.forget_unpaired(transport, address)
        return pair

    def _transport_of(self, base: object) -> str:
        return next((c.transport for c in self.locals if c.base is base), "udp")

    def mapped_candidate(self, pair: Pair, address: Address) -> LocalCandidate:
        """Return the local candidate for the XOR-MAPPED-ADDRESS of a check's response.

        An unknown address is added as a peer-reflexive candidate (RFC 8445 section 7.2.5.3.1).
        """
        local = pair.local
        known = self.find_local(local.base, address)
        if known is not None:
            return known
        if local.tcptype == "active" and address[0] == local.host:
            return local  # its connections have ports of their own
        found = LocalCandidate(
            base=local.base,
            foundation=candidate_foundation("prflx", local.transport, local.host),
            type="prflx",
            address=address,
            local_preference=local.local_preference,
            related=(local.host, local.port),
            network_type=local.network_type,
            tcptype=local.tcptype,
        )
        self.add_local(found)
        return found

    def forget_unpaired(self, transport: str, address: Address) -> None:
        """Remove a peer-reflexive remote candidate that is in no pair.

        Its address may never be used again; keeping it would use up the limit of candidates.
        """
        key = remote_key(transport, address)
        remote = self.remotes.get(key)
        if (
            remote is not None
            and remote.candidate.type == "prflx"
            and not any(pair.remote is remote for pair in self)
        ):
            del self.remotes[key]

    def find_or_form_pair(self, base: object, address: Address) -> Pair | None:
        """Return the pair of a socket and a known remote address; form it if there is none."""
        pair = self.find_pair(base, address)
        local = next((c for c in self.locals if c.base is base), None)
        remote = self.remotes.get(remote_key(self._transport_of(base), address))
        if pair is None and local is not None and remote is not None:
            pair = self._pair(local, remote)
        return pair

    def find_local(self, base: object, address: Address) -> LocalCandidate | None:
        """Return the local candidate with this base and this address; ``None`` if unknown."""
        return next(
            (
                c
                for c in (*self.locals, *self.reflexive)
                if c.base is base and c.has_address(address)
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
        # RFC 8838 section 12: a new pair stays frozen until a pair of the same foundation succeeds.
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
        self.forget_unpaired(pair.local.transport, pair.remote.address)

    def remove_pair(self, pair: Pair) -> None:
        """Remove a pair whose path is gone for ever."""
        self._remove(pair)

    # --- order

    def trigger(self, pair: Pair) -> None:
        """Append a pair to the triggered-check queue (RFC 8445 section 7.3.1.4)."""
        pair.state = PairState.WAITING
        if pair not in self._triggered:
            self._triggered.append(pair)

    def take_next(self) -> Pair | None:
        """Return the next pair to check and dequeue it (RFC 8445 section 6.1.4.2)."""
        while self._triggered:
            pair = self._triggered.pop(0)
            if pair.state is PairState.WAITING:
                return pair
        for state in (PairState.WAITING, PairState.FROZEN):
            ready = [pair for pair in self if pair.state is state]
            if ready:
                return max(ready, key=self._priority)
        return None

    @property
    def has_triggered(self) -> bool:
        """True if a triggered check is waiting to be sent."""
        return any(pair.state is PairState.WAITING for pair in self._triggered)

    @property
    def has_next(self) -> bool:
        """True if a pair is waiting to be checked."""
        return any(p.state in (PairState.WAITING, PairState.FROZEN) for p in self)

    def unfreeze(self, foundation: tuple[str, str]) -> None:
        """Unfreeze the pairs of a foundation after a success (RFC 8445 section 7.2.5.3.3)."""
        for pair in self:
            if pair.state is PairState.FROZEN and pair.foundation == foundation:
                pair.state = PairState.WAITING

    def preferred_over(self, pair: Pair) -> Iterable[Pair]:
        """Return the pairs with a higher priority than this one."""
        threshold = self._priority(pair)
        return (other for other in self if self._priority(other) > threshold)

    def _priority(self, pair: Pair) -> int:
        return pair.priority(controlling=self.role.controlling)

"""The channels of a TURN allocation: which number stands for which peer, and for how long.

Only state: the time is given, nothing is sent. A ChannelBind installs a permission as well
(RFC 8656 section 12), and it is the permission that ends first; so a channel in use is bound again
in time for both, and one that nobody uses is let go.
"""

from collections import deque
from dataclasses import dataclass

Peer = tuple[str, int]
"""IP address in canonical form, and port."""

FIRST, LAST = 0x4000, 0x4FFF
"""The channel numbers there are (RFC 8656 section 12)."""

PERMISSION_LIFETIME = 300.0
"""Seconds (RFC 8656 section 9)."""

CHANNEL_LIFETIME = 600.0
"""Seconds (RFC 8656 section 12)."""

QUARANTINE = 300.0
"""Seconds after its end before a number may stand for another peer (RFC 8656 section 12)."""

REBIND_AFTER = 180.0
"""Seconds after which a channel in use is bound again: a network that is away for a minute or two
just then costs nothing."""

HOLD_OFF = 1.0
"""Seconds after a refused binding before it is asked for again."""


class NoChannelLeft(OSError):
    """All channel numbers of the allocation are in use."""


@dataclass(slots=True)
class _Binding:
    number: int
    bound_at: float
    """When the latest ChannelBind was asked for; the server's own clock starts no earlier."""
    under_way: bool = True
    held_until: float = 0.0


class Bindings:
    """The channel bindings of one allocation."""

    def __init__(self) -> None:
        self.ready: dict[Peer, int] = {}
        """Peers that can be sent to at once, and the number to send with."""
        self._known: dict[Peer, _Binding] = {}
        self._peers: dict[int, Peer] = {}
        self._used: set[Peer] = set()
        self._hosts: dict[str, int] = {}
        self._next = FIRST
        self._free: deque[int] = deque()

    def peer_of(self, number: int) -> Peer | None:
        """Return the peer behind a number from which data came; it counts as use."""
        peer = self._peers.get(number)
        if peer is not None:
            self._used.add(peer)
        return peer

    def mark_used(self, peer: Peer) -> None:
        """Note that something was sent to a peer."""
        self._used.add(peer)

    def has_permission(self, host: str) -> bool:
        """Whether a permission for this IP address was asked for (RFC 8656 section 9)."""
        return host in self._hosts

    def is_under_way(self, peer: Peer) -> bool:
        """Whether a ChannelBind for the peer is to be answered."""
        known = self._known.get(peer)
        return known is not None and known.under_way

    def may_begin(self, peer: Peer, now: float) -> bool:
        """Whether the peer may be bound; not while that is under way, nor right after a refusal."""
        known = self._known.get(peer)
        return known is None or not (known.under_way or now < known.held_until)

    def begin(self, peer: Peer, now: float) -> int:
        """Note that a ChannelBind is sent.

        Returns:
            The number to bind: that of the peer if it had one (RFC 8656 section 12), or a new one.

        Raises:
            NoChannelLeft: There is none.
        """
        known = self._known.get(peer)
        if known is None:
            known = self._known[peer] = _Binding(self._take_number(now), now)
            self._peers[known.number] = peer
            self._hosts[peer[0]] = self._hosts.get(peer[0], 0) + 1
        known.under_way = True
        known.bound_at = now
        return known.number

    def succeed(self, peer: Peer) -> None:
        """Note that the ChannelBind was answered."""
        known = self._known[peer]
        known.under_way = False
        self.ready[peer] = known.number

    def fail(self, peer: Peer, now: float) -> None:
        """Note that it was refused, or not answered."""
        known = self._known[peer]
        known.under_way = False
        known.held_until = now + HOLD_OFF
        self.ready.pop(peer, None)

    def due(self, now: float) -> list[Peer]:
        """Return the channels to bind again; those that nobody used are let go."""
        again = []
        for peer in list(self.ready):
            known = self._known[peer]
            if known.under_way or now < known.bound_at + REBIND_AFTER:
                continue
            if peer in self._used:
                again.append(peer)
                self._used.discard(peer)
            else:
                del self.ready[peer]
        self._forget(now)
        return again

    def next_time(self) -> float | None:
        """Return when :meth:`due` has something to say; ``None`` if no channel is bound."""
        times = [self._known[peer].bound_at + REBIND_AFTER for peer in self.ready]
        return min(times, default=None)

    def _take_number(self, now: float) -> int:
        if self._next > LAST and not self._free:
            self._forget(now)
        if self._free:
            return self._free.popleft()
        if self._next > LAST:
            raise NoChannelLeft(f"all {LAST - FIRST + 1} channels of the allocation are in use")
        self._next += 1
        return self._next - 1

    def _forget(self, now: float) -> None:
        for peer, known in list(self._known.items()):
            over = now >= known.bound_at + CHANNEL_LIFETIME + QUARANTINE
            if over and peer not in self.ready and not known.under_way:
                del self._known[peer], self._peers[known.number]
                self._used.discard(peer)
                self._free.append(known.number)
                self._hosts[peer[0]] -= 1
                if not self._hosts[peer[0]]:
                    del self._hosts[peer[0]]

"""Channel bindings of a TURN allocation (RFC 8656 section 12). No I/O.

A ChannelBind also installs a permission, whose lifetime is shorter than the channel's. A channel in
use is rebound before its permission expires; an unused channel is left to expire.
"""

from collections import deque
from dataclasses import dataclass

from ..._util.errors import PeerError

Peer = tuple[str, int]
"""IP address in canonical form and port."""

FIRST_CHANNEL, LAST_CHANNEL = 0x4000, 0x4FFF
"""The range of channel numbers (RFC 8656 section 12)."""

PERMISSION_LIFETIME = 300.0
"""Lifetime of a permission in seconds (RFC 8656 section 9)."""

CHANNEL_LIFETIME = 600.0
"""Lifetime of a channel binding in seconds (RFC 8656 section 12)."""

QUARANTINE = 300.0
"""Seconds after the expiry of a channel before its number may be bound to another peer (RFC 8656
section 12)."""

REBIND_AFTER = 180.0
"""Seconds after which a channel in use is rebound: early enough to survive a network outage of two
minutes."""

HOLD_OFF = 1.0
"""Seconds to wait after a failed ChannelBind before the next one."""


class NoChannelLeft(OSError):
    """All channel numbers of the allocation are in use."""


class ChannelRefused(PeerError, ConnectionError):
    """A channel could not be bound, so nothing can be sent to a peer.

    Attributes:
        address: The IP address of the peer.
        code: STUN error code; 0 if the server did not answer.
    """

    def __init__(self, peer: Peer, code: int, reason: str) -> None:
        self.address, self.code = peer[0], code
        super().__init__(f"ChannelBind for {peer[0]}:{peer[1]} failed: {reason}")


@dataclass(slots=True)
class _Binding:
    number: int
    bound_at: float
    """Time of the latest ChannelBind request; the server's lifetime starts no earlier."""
    is_pending: bool = True
    held_until: float = 0.0


class Bindings:
    """The channel bindings of one allocation."""

    def __init__(self) -> None:
        self.ready: dict[Peer, int] = {}
        """Channel numbers of the peers with an established binding."""
        self._known: dict[Peer, _Binding] = {}
        self._peers: dict[int, Peer] = {}
        self._used: set[Peer] = set()
        """Peers with traffic in either direction since their channel was last bound."""
        self._hosts: dict[str, int] = {}
        """Number of channels by IP address: permissions apply to addresses, not to ports."""
        self._next = FIRST_CHANNEL
        self._free: deque[int] = deque()

    def peer_of(self, number: int) -> Peer | None:
        """Return the peer of a channel that data arrived on, and mark it as used."""
        peer = self._peers.get(number)
        if peer is not None:
            self._used.add(peer)
        return peer

    def mark_used(self, peer: Peer) -> None:
        """Mark the channel of a peer as used."""
        self._used.add(peer)

    def has_permission(self, host: str) -> bool:
        """Return whether a permission for this IP address was requested (RFC 8656 section 9)."""
        return host in self._hosts

    def is_pending(self, peer: Peer) -> bool:
        """Return whether a ChannelBind request for the peer is pending."""
        known = self._known.get(peer)
        return known is not None and known.is_pending

    def may_begin(self, peer: Peer, now: float) -> bool:
        """Return whether a ChannelBind for the peer may be sent.

        Not while one is pending, nor within :data:`HOLD_OFF` of a failure.
        """
        known = self._known.get(peer)
        return known is None or not (known.is_pending or now < known.held_until)

    def begin(self, peer: Peer, now: float) -> int:
        """Record that a ChannelBind request is sent.

        Returns:
            The channel number: the peer's previous one (RFC 8656 section 12), or else a free one.

        Raises:
            NoChannelLeft: No number is free.
        """
        known = self._known.get(peer)
        if known is None:
            known = self._known[peer] = _Binding(self._take_number(now), now)
            self._peers[known.number] = peer
            self._hosts[peer[0]] = self._hosts.get(peer[0], 0) + 1
        known.is_pending = True
        known.bound_at = now
        return known.number

    def succeed(self, peer: Peer) -> None:
        """Record the success of a ChannelBind."""
        known = self._known[peer]
        known.is_pending = False
        self.ready[peer] = known.number

    def fail(self, peer: Peer, now: float) -> None:
        """Record the failure or timeout of a ChannelBind."""
        known = self._known[peer]
        known.is_pending = False
        known.held_until = now + HOLD_OFF
        self.ready.pop(peer, None)

    def due(self, now: float) -> list[Peer]:
        """Return the peers whose channels must be rebound now; drop the unused channels."""
        to_rebind = []
        for peer in list(self.ready):
            known = self._known[peer]
            if known.is_pending or now < known.bound_at + REBIND_AFTER:
                continue
            if peer in self._used:
                to_rebind.append(peer)
                self._used.discard(peer)
            else:
                del self.ready[peer]
        self._forget(now)
        return to_rebind

    @property
    def deadline(self) -> float:
        """Time to call :meth:`due` next; infinite if no channel is bound."""
        times = [self._known[peer].bound_at + REBIND_AFTER for peer in self.ready]
        return min(times, default=float("inf"))

    def _take_number(self, now: float) -> int:
        if self._next > LAST_CHANNEL and not self._free:
            self._forget(now)
        if self._free:
            return self._free.popleft()
        if self._next > LAST_CHANNEL:
            raise NoChannelLeft(
                f"all {LAST_CHANNEL - FIRST_CHANNEL + 1} channels of the allocation are in use"
            )
        self._next += 1
        return self._next - 1

    def _forget(self, now: float) -> None:
        for peer, known in list(self._known.items()):
            is_reusable = now >= known.bound_at + CHANNEL_LIFETIME + QUARANTINE
            if is_reusable and peer not in self.ready and not known.is_pending:
                del self._known[peer], self._peers[known.number]
                self._used.discard(peer)
                self._free.append(known.number)
                self._hosts[peer[0]] -= 1
                if not self._hosts[peer[0]]:
                    del self._hosts[peer[0]]

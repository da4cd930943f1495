"""Path MTU discovery by probing (RFC 8899). Does no I/O.

It starts with a size that every path carries (BASE), probes larger ones, and falls back if only
large packets are lost. A probe is a separate packet, so no data is lost with it; see
:mod:`~.path_mtu_probes`. Only probes must not be fragmented by IP: if the path MTU shrinks, data
packets still arrive.
"""

BASE = 1188
"""SCTP packet size in bytes for the minimum IPv6 MTU of 1280, with UDP, DTLS and TURN."""

SIZES = (1432, 1412, 1372, 1280)
"""Probed packet sizes in bytes, the largest first: Ethernet with IPv4 and IPv6, PPPoE, a tunnel.

DTLS adds 37 bytes to each, UDP and IP 28 or 48."""

MAX_TRIES = 3
"""Maximum probes of one size (RFC 8899 section 5.1.2)."""

RAISE_AFTER = 600.0
"""Seconds after which the current size and larger ones are probed again (RFC 8899 section
5.1.1)."""

FIRST_AFTER = 0.02
"""Seconds from the start of the association to the first probe."""


class PathMtu:
    """Search for the largest packet size.

    Attributes:
        size: Maximum size of an SCTP packet now, in bytes.
        probe: The size to probe now, or ``None``; cleared by :meth:`tried`.
        deadline: Time of the next :meth:`handle_timeout`.
    """

    def __init__(self, sizes: tuple[int, ...] = SIZES) -> None:
        self._sizes = sizes
        self._index = 0
        self._tries = 0
        self._awaited = 0
        self.size: int = BASE
        self.probe: int | None = None
        self.deadline: float = float("inf")

    def begin(self, now: float) -> None:
        """Start the search with the largest size."""
        self._index = self._tries = self._awaited = 0
        self.probe = None
        self.deadline = now + FIRST_AFTER

    def moved(self, now: float) -> bool:
        """Restart the search on a new path; return whether packets must be smaller until then."""
        shrinks = self.size > BASE
        self.size = BASE
        self.begin(now)
        return shrinks

    def handle_timeout(self, now: float) -> bool:
        """Process the timer; return whether packets must be smaller.

        Probe the current size again, or the next one. If even probes of the confirmed size are
        lost, fall back to the base size.
        """
        if now < self.deadline:
            return False
        if self._tries >= MAX_TRIES:
            if self._sizes[self._index] <= self.size:
                return self.moved(now)
            self._index += 1
            self._tries = 0
        if self._index >= len(self._sizes) or self._sizes[self._index] < self.size:
            self.begin(now)
            self.deadline = now + RAISE_AFTER
            return False
        self.probe = self._awaited = self._sizes[self._index]
        self.deadline = float("inf")
        return False

    def refused(self, now: float) -> None:
        """Note that the probe exceeds the MTU of the local interface (EMSGSIZE)."""
        self._tries = MAX_TRIES
        self.deadline = now

    def tried(self, now: float, timeout: float) -> None:
        """Note that the probe was sent; wait ``timeout`` seconds for the answer."""
        self.probe = None
        self._tries += 1
        self.deadline = now + timeout

    def confirmed(self, size: int, now: float) -> bool:
        """Process the answer to a probe; return whether packets may be larger."""
        if size != self._awaited:
            return False
        grows = size > self.size
        self._awaited = 0
        self.size = size
        self._index = self._tries = 0
        self.deadline = now + RAISE_AFTER
        return grows

    def lost(self, now: float) -> bool:
        """Note that all packets of the current size seem to be lost; return whether it shrinks."""
        if self.size == BASE:
            return False
        self.size = BASE
        self.begin(now)
        self.deadline = now + RAISE_AFTER
        return True

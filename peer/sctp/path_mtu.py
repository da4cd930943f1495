"""The largest packet that the path carries, found by trying (RFC 8899).

It begins with the size that every path carries (BASE), tries larger ones, and goes back if only
large packets are lost. A try is a packet of its own, so that no data is lost with it; see
:mod:`~.path_mtu_probes`. It is the only packet that must not be fragmented on its way: should the
path become narrower, data that was cut for it before still gets through.
"""

BASE = 1188
"""Bytes of an SCTP packet that fit the smallest IPv6 MTU of 1280 with UDP, DTLS and TURN."""

SIZES = (1432, 1412, 1372, 1280)
"""Sizes that are tried, the largest first: an Ethernet's with IPv4 and IPv6, PPPoE's, a tunnel's.

DTLS adds 37 bytes to each, UDP and IP 28 or 48.
"""

MAX_TRIES = 3
"""Times a size is tried (RFC 8899 section 5.1.2)."""

RAISE_AFTER = 600.0
"""Seconds after which the size in use and larger ones are tried again (RFC 8899 section 5.1.1)."""

FIRST_AFTER = 0.02
"""Seconds after the association's beginning at which the first size is tried."""


class PathMtu:
    """Searches for the largest packet size.

    Attributes:
        size: Bytes that an SCTP packet may have now.
        probe: The size that is to be tried now, if there is one; set back by :meth:`tried`.
        deadline: When :meth:`tick` has something to do.
    """

    def __init__(self, sizes: tuple[int, ...] = SIZES) -> None:
        self._sizes = sizes
        self._index = 0
        self._tries = 0
        self._awaited = 0
        self.size = BASE
        self.probe: int | None = None
        self.deadline = float("inf")

    def begin(self, now: float) -> None:
        """Search from the largest size on."""
        self._index = self._tries = self._awaited = 0
        self.probe = None
        self.deadline = now + FIRST_AFTER

    def moved(self, now: float) -> bool:
        """Search anew, on another path; return whether packets have to be smaller until then."""
        shrinks = self.size > BASE
        self.size = BASE
        self.begin(now)
        return shrinks

    def tick(self, now: float) -> bool:
        """Try a size, or the next one if it seems too large; return whether packets must be
        smaller, as those of the present size do not get through any more."""
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
        """Note that the probe can't even leave this machine (EMSGSIZE)."""
        self._tries = MAX_TRIES
        self.deadline = now

    def tried(self, now: float, timeout: float) -> None:
        """Note that the probe is sent; wait so many seconds for an answer."""
        self.probe = None
        self._tries += 1
        self.deadline = now + timeout

    def confirmed(self, size: int, now: float) -> bool:
        """Take the answer to a probe; return whether packets may be larger now."""
        if size != self._awaited:
            return False
        grows = size > self.size
        self._awaited = 0
        self.size = size
        self._index = self._tries = 0
        self.deadline = now + RAISE_AFTER
        return grows

    def lost(self, now: float) -> bool:
        """Note that packets of this size seem to be lost one and all; return whether it shrinks."""
        if self.size == BASE:
            return False
        self.size = BASE
        self.begin(now)
        self.deadline = now + RAISE_AFTER
        return True

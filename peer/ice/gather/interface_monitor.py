"""Watching the machine's addresses: a Wi-Fi that comes, a cable that goes, a VPN that starts.

Linux tells of changes through a netlink socket; elsewhere, and where a sandbox refuses that, the
addresses are looked at every few seconds. One monitor serves all connections of an event loop.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

from icefloe.logs import get_logger

from .interfaces import Address, Selection, choose, read_interfaces

logger = get_logger(__name__)

QUIET = 0.05
"""Seconds without a further notice before the addresses are looked at: changes come in bursts."""

LONGEST = 0.5
"""Seconds after which they are looked at although the notices go on."""

POLL_INTERVAL = 3.0
"""Seconds between two looks where the system tells nothing."""

_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
"""linux/rtnetlink.h."""

_RECEIVE = 65536
"""Bytes read at once; what a notice says does not matter, only that it came."""

OnChange = Callable[[frozenset[Address]], None]


class Debounce:
    """When a burst of notices is over; no I/O, the time is given.

    Args:
        quiet: Seconds without a notice that end a burst.
        longest: Seconds after which a burst counts as ended at the latest.
    """

    def __init__(self, quiet: float = QUIET, longest: float = LONGEST) -> None:
        self._quiet = quiet
        self._longest = longest
        self._first: float | None = None
        self.deadline: float | None = None
        """When to look; ``None`` if nothing happened."""

    def notice(self, now: float) -> float:
        """Take a notice and return the new deadline."""
        if self._first is None:
            self._first = now
        self.deadline = min(now + self._quiet, self._first + self._longest)
        return self.deadline

    def is_due(self, now: float) -> bool:
        """Whether it is time to look; if so, the burst is over."""
        if self.deadline is None or now < self.deadline:
            return False
        self._first = self.deadline = None
        return True


@dataclass(eq=False, slots=True)
class _Watch:
    selection: Selection
    callback: OnChange
    known: frozenset[Address]


class AddressMonitor:
    """Tells when the addresses that ICE may gather on change; see :func:`watch`.

    Args:
        read: Reads the machine's addresses.
        use_netlink: Whether to ask the kernel for notices, if it has them.
    """

    def __init__(
        self,
        *,
        read: Callable[[], list[Address]] = read_interfaces,
        use_netlink: bool = True,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._read = read
        self._watches: list[_Watch] = []
        self._debounce = Debounce()
        self._timer: asyncio.TimerHandle | None = None
        self._socket = _open_netlink() if use_netlink else None
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._noticed)
        else:
            self._poll_later()

    @property
    def polls(self) -> bool:
        """Whether it looks by itself, because the system tells nothing."""
        return self._socket is None

    def add(self, selection: Selection, callback: OnChange) -> Callable[[], None]:
        """Call back with the new set whenever the chosen addresses change.

        Args:
            selection: Which addresses count.
            callback: Called from the event loop; what it raises is logged.

        Returns:
            A function that ends it; calling it again does nothing.
        """
        watch = _Watch(selection, callback, frozenset(choose(self._read(), selection)))
        self._watches.append(watch)

        def remove() -> None:
            if watch in self._watches:
                self._watches.remove(watch)

        return remove

    @property
    def is_idle(self) -> bool:
        """Whether nobody watches."""
        return not self._watches

    def close(self) -> None:
        """Free the socket; a second call does nothing. Works after the loop was closed, too."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        self._watches.clear()

    def _noticed(self) -> None:
        assert self._socket is not None
        try:
            self._socket.recv(_RECEIVE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            # ENOBUFS: notices were lost, so there was at least one.
            logger.debug("netlink: %s", error)
        now = self._loop.time()
        deadline = self._debounce.notice(now)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(deadline - now, self._look_if_due)

    def _look_if_due(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._debounce.is_due(now):
            self._look()
        elif self._debounce.deadline is not None:
            # A clock that is coarser than the timer.
            self._timer = self._loop.call_later(self._debounce.deadline - now, self._look_if_due)

    def _poll_later(self) -> None:
        self._timer = self._loop.call_later(POLL_INTERVAL, self._poll)

    def _poll(self) -> None:
        self._poll_later()
        self._look()

    def _look(self) -> None:
        try:
            found = self._read()
        except OSError as error:
            logger.warning("the network interfaces can't be read: %s", error)
            return
        for watch in list(self._watches):
            chosen = frozenset(choose(found, watch.selection))
            if chosen == watch.known or watch not in self._watches:
                continue
            logger.debug("addresses changed: %s", ", ".join(sorted(map(str, chosen))))
            watch.known = chosen
            try:
                watch.callback(chosen)
            except Exception:
                # One connection's mistake must not keep the news from the others.
                logger.exception("a callback for changed addresses raised")


_monitors: dict[asyncio.AbstractEventLoop, AddressMonitor] = {}


def watch(selection: Selection, callback: OnChange) -> Callable[[], None]:
    """Call back with the new set whenever the addresses that may be gathered on change.

    All who watch from one event loop share a socket, which is closed with the last of them.

    Args:
        selection: Which addresses count, see
            :attr:`~icefloe.peer.configuration.PeerConfiguration.selection`.
        callback: Called from the event loop, at most a few times a second; what it raises is
            logged.

    Returns:
        A function that ends it; calling it again does nothing.
    """
    for gone in [loop for loop in _monitors if loop.is_closed()]:
        _monitors.pop(gone).close()
    loop = asyncio.get_running_loop()
    monitor = _monitors.get(loop)
    if monitor is None:
        monitor = _monitors[loop] = AddressMonitor()
    remove = monitor.add(selection, callback)

    def stop() -> None:
        remove()
        if monitor.is_idle and _monitors.get(loop) is monitor:
            del _monitors[loop]
            monitor.close()

    return stop


def _open_netlink() -> socket.socket | None:
    """Return a socket that is readable when an address or a link changes; ``None`` without one."""
    if sys.platform != "linux":
        return None
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError as error:
        logger.info("no netlink here, so addresses are polled: %s", error)
        return None
    try:
        sock.setblocking(False)
        sock.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
    except OSError as error:
        sock.close()
        logger.info("netlink refused, so addresses are polled: %s", os.strerror(error.errno or 0))
        return None
    return sock

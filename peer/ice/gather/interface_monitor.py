"""Monitor for changes of the machine's IP addresses (network interface changes, roaming, VPNs).

Linux reports changes through a netlink socket. On other systems, and in sandboxes without netlink,
the addresses are polled every few seconds. One monitor serves all connections of an event loop.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from logging import Logger

from icefloe.logs import get_logger

from .interfaces import Address, Selection, broadcast_addresses, choose, read_interfaces

logger: Logger = get_logger(__name__)

DEBOUNCE_DELAY = 0.05
"""Seconds without a further notification before the addresses are read: changes come in bursts."""

DEBOUNCE_CAP = 0.5
"""Seconds after the first notification when the addresses are read even if the burst goes on."""

POLL_INTERVAL = 3.0
"""Seconds between two polls on systems without notifications."""

_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
"""Multicast groups of linux/rtnetlink.h."""

_RECEIVE_SIZE = 65536
"""Bytes to read from the netlink socket at once; the content of a notification is ignored."""

OnChange = Callable[[frozenset[Address]], None]


class Debounce:
    """Debouncing of notifications. No I/O; the caller passes in the time in seconds.

    Args:
        quiet: Seconds without a notification after which a burst has ended.
        longest: Maximum duration of a burst in seconds.
    """

    def __init__(self, quiet: float = DEBOUNCE_DELAY, longest: float = DEBOUNCE_CAP) -> None:
        self._quiet = quiet
        self._longest = longest
        self._first: float | None = None
        self.deadline: float = float("inf")
        """Time of the end of the burst; infinite if there is no burst."""

    def notice(self, now: float) -> float:
        """Record a notification and return the new deadline."""
        if self._first is None:
            self._first = now
        self.deadline = min(now + self._quiet, self._first + self._longest)
        return self.deadline

    def is_due(self, now: float) -> bool:
        """Return whether the burst has ended; if so, reset."""
        if now < self.deadline:
            return False
        self._first, self.deadline = None, float("inf")
        return True


@dataclass(eq=False, slots=True)
class _Watch:
    selection: Selection
    callback: OnChange
    known: frozenset[Address]


class AddressMonitor:
    """Reports changes of the addresses that ICE may gather on; see :func:`watch`.

    Args:
        read: Returns the machine's addresses.
        use_netlink: True to use netlink notifications where they are available.
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
        self._found: list[Address] | None = None
        self._broadcasts: frozenset[str] | None = None
        self._chosen: tuple[object, tuple[Address, ...]] | None = None
        self._debounce = Debounce()
        self._timer: asyncio.TimerHandle | None = None
        self._socket = _open_netlink() if use_netlink else None
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._on_netlink)
        else:
            self._poll_later()

    @property
    def polls(self) -> bool:
        """True if the addresses are polled, because there are no notifications."""
        return self._socket is None

    def add(self, selection: Selection, callback: OnChange) -> Callable[[], None]:
        """Call ``callback`` with the new set whenever the selected addresses change.

        Args:
            selection: The selection of interfaces and addresses.
            callback: Called from the event loop; its exceptions are logged.

        Returns:
            A function that removes the callback; a second call does nothing.
        """
        watch = _Watch(selection, callback, frozenset(self.chosen(selection)))
        self._watches.append(watch)

        def remove() -> None:
            if watch in self._watches:
                self._watches.remove(watch)

        return remove

    def current(self) -> list[Address]:
        """Return the machine's addresses; they are read again only if there was a notification.

        Raises:
            OSError: The system's interfaces cannot be read.
        """
        if self._socket is not None:
            self._on_netlink()  # one may have come since the event loop last looked
        if self._found is None or self.polls:
            self._found, self._broadcasts, self._chosen = self._read(), None, None
        return self._found

    def chosen(self, selection: Selection) -> tuple[Address, ...]:
        """Return the addresses that ICE may gather on; see :func:`~.interfaces.choose`."""
        found = self.current()
        if callable(selection.interfaces):
            return choose(found, selection)  # what it answers may change
        asked = tuple(selection.interfaces), tuple(selection.addresses), selection.loopback
        if self._chosen is None or self._chosen[0] != asked:
            self._chosen = asked, choose(found, selection)
        return self._chosen[1]

    def broadcasts(self) -> frozenset[str]:
        """Return the broadcast addresses of the machine's networks; see :meth:`current`."""
        found = self.current()
        if self._broadcasts is None:
            self._broadcasts = broadcast_addresses(found)
        return self._broadcasts

    @property
    def is_idle(self) -> bool:
        """True if there is no callback."""
        return not self._watches

    def close(self) -> None:
        """Close the netlink socket; a second call does nothing.

        Also works after the event loop has been closed.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        self._watches.clear()

    def _on_netlink(self) -> None:
        assert self._socket is not None
        try:
            self._socket.recv(_RECEIVE_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            # ENOBUFS: notifications were lost, so there was at least one.
            logger.debug("netlink: %s", error)
        self._found = None
        now = self._loop.time()
        deadline = self._debounce.notice(now)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(deadline - now, self._read_if_due)

    def _read_if_due(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._debounce.is_due(now):
            self._read_and_notify()
        elif self._debounce.deadline < float("inf"):
            # The timer fired early because the clock is coarse.
            self._timer = self._loop.call_later(self._debounce.deadline - now, self._read_if_due)

    def _poll_later(self) -> None:
        self._timer = self._loop.call_later(POLL_INTERVAL, self._poll)

    def _poll(self) -> None:
        self._poll_later()
        self._read_and_notify()

    def _read_and_notify(self) -> None:
        self._found = None
        try:
            found = self.current()
        except OSError as error:
            logger.warning("cannot read the network interfaces: %s", error)
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
                # An error of one connection must not affect the others.
                logger.exception("a callback for changed addresses raised")


_monitors: dict[asyncio.AbstractEventLoop, AddressMonitor] = {}


def watch(selection: Selection, callback: OnChange) -> Callable[[], None]:
    """Call ``callback`` with the new set whenever the addresses that ICE may gather on change.

    All callbacks of an event loop share one netlink socket, which is closed with the last of them.

    Args:
        selection: The selection of interfaces and addresses, see
            :attr:`~icefloe.peer.configuration.PeerConfiguration.selection`.
        callback: Called from the event loop, at most a few times a second; its exceptions are
            logged.

    Returns:
        A function that removes the callback; a second call does nothing.
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


def current_interfaces() -> list[Address]:
    """Return the addresses of the machine, as :func:`~.interfaces.read_interfaces` does.

    While addresses are watched in the running event loop, they are read once for all connections.

    Raises:
        OSError: The system's interfaces cannot be read.
    """
    monitor = _monitors.get(asyncio.get_running_loop())
    return monitor.current() if monitor is not None else read_interfaces()


def chosen_interfaces(selection: Selection) -> tuple[Address, ...]:
    """Return the addresses that ICE may gather on, the most preferred first.

    Args:
        selection: The selection of interfaces and addresses.

    Raises:
        OSError: The system's interfaces cannot be read.
    """
    monitor = _monitors.get(asyncio.get_running_loop())
    return monitor.chosen(selection) if monitor else choose(read_interfaces(), selection)


def current_broadcasts() -> frozenset[str]:
    """Return the broadcast addresses of the machine's networks; see :func:`current_interfaces`."""
    monitor = _monitors.get(asyncio.get_running_loop())
    return monitor.broadcasts() if monitor is not None else broadcast_addresses(read_interfaces())


def _open_netlink() -> socket.socket | None:
    """Return a netlink socket for changes of addresses and links; ``None`` if unavailable."""
    if sys.platform != "linux":
        return None
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError as error:
        logger.info("netlink unavailable, polling the addresses: %s", error)
        return None
    try:
        sock.setblocking(False)
        sock.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
    except OSError as error:
        sock.close()
        reason = os.strerror(error.errno or 0)
        logger.info("netlink subscription refused, polling the addresses: %s", reason)
        return None
    return sock

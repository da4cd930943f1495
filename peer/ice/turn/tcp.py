"""A TCP connection that outlives a network that is away for a minute, and goes on at once after it.

TCP waits twice as long after each failed transmission, so that after an outage of half a minute
media would stand still for as long again. Linux lets that wait be capped (``TCP_RTO_MAX_MS``), but
reckons with the same cap where packets can't even leave the machine, as with a cable pulled: it
gives up after ``tcp_retries2`` probes, which then are over in 15 s. So the cap is lifted while
probes are sent, and the kernel is asked every second to try instead.
"""

import asyncio
import socket
import sys

from icefloe.logs import get_logger

logger = get_logger(__name__)

OUTAGE = 90.0
"""Seconds without an acknowledgement after which a connection is given up."""

LONGEST_WAIT = 1.0
"""Seconds between two transmissions, at most; the kernel takes no less."""

LOOK_EVERY = 1.0
"""Seconds between two looks at a connection that is sent over."""

_TCP_RTO_MAX_MS = 44
"""Linux 6.15, linux/tcp.h; Python has no name for it yet."""

_NO_CAP = 120_000
"""Milliseconds; the kernel's own ``TCP_RTO_MAX``."""

_INFO_SIZE, _INFO_PROBES = 104, 3
"""Size of ``struct tcp_info`` up to what all kernels have, and the offset of ``tcpi_probes``."""


class Persistence:
    """Keeps one connection sending; does nothing where the system has no such options.

    Args:
        transport: The connection.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._socket: socket.socket | None = transport.get_extra_info("socket")
        self._timer: asyncio.TimerHandle | None = None
        self._capped = True
        self._sent = False
        self._set(socket.TCP_NODELAY, 1)
        self._useful = sys.platform == "linux" and self._cap(LONGEST_WAIT * 1000)
        if sys.platform == "linux":
            # With the cap alone the kernel would give up after 15 s.
            self._set(socket.TCP_USER_TIMEOUT, int(OUTAGE * 1000))

    def sent(self) -> None:
        """Note that something is sent: the connection is looked after for a while."""
        self._sent = True
        if self._timer is None and self._useful:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LOOK_EVERY, self._look)

    def close(self) -> None:
        """Look no more; a second call does nothing."""
        self._useful = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._transport.is_closing() or not self._useful:
            return
        probing = self._is_probing()
        if probing == self._capped:
            self._cap(_NO_CAP if probing else LONGEST_WAIT * 1000)
            self._capped = not probing
        if probing:
            self._set(socket.TCP_NODELAY, 1)  # makes the kernel try what waits to be sent
        if probing or self._sent or self._transport.get_write_buffer_size():
            self._sent = False
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)

    def _is_probing(self) -> bool:
        """Whether nothing is under way although something waits: the machine can't send."""
        if self._socket is None:
            return False
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
        except OSError:
            return False
        return len(info) > _INFO_PROBES and info[_INFO_PROBES] > 0

    def _cap(self, milliseconds: float) -> bool:
        return self._set(_TCP_RTO_MAX_MS, int(milliseconds))

    def _set(self, option: int, value: int) -> bool:
        if self._socket is None:
            return False
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, option, value)
        except OSError as error:
            logger.debug("TCP option %d not set: %s", option, error)
            return False
        return True

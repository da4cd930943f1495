"""TCP retransmission tuning: survive a network outage of a minute and resume at once after it.

TCP doubles its retransmission timeout after each failure, so after an outage of 30 s media would
stall for up to 30 s more. Linux can cap the timeout (``TCP_RTO_MAX_MS``). The cap also applies to
the probe timer, which runs while packets cannot leave the machine (for example, with the cable
pulled): the kernel gives up after ``tcp_retries2`` probes, which then takes only 15 s. Therefore
the cap is lifted while the kernel probes, and the kernel is made to transmit every second instead.
"""

import asyncio
import socket
import sys
from logging import Logger

from icefloe.logs import get_logger

logger: Logger = get_logger(__name__)

USER_TIMEOUT = 90.0
"""Seconds without an acknowledgement after which a connection is closed (TCP_USER_TIMEOUT)."""

RTO_CAP = 1.0
"""Upper bound of the retransmission timeout in seconds; the kernel accepts no less."""

POLL_INTERVAL = 1.0
"""Seconds between two polls of the kernel's state while a connection is sending."""

_TCP_RTO_MAX_MS = 44
"""Socket option of Linux 6.15 (linux/tcp.h); Python has no constant for it yet."""

_DEFAULT_RTO_CAP_MS = 120_000
"""The kernel's default ``TCP_RTO_MAX`` in milliseconds."""

_INFO_SIZE, _INFO_PROBES = 104, 3
"""Size of the part of ``struct tcp_info`` that all kernels have, and offset of ``tcpi_probes``."""


class RetransmissionTuner:
    """Tunes the retransmissions of one connection; does nothing on systems without the options.

    Args:
        transport: The connection's transport.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._socket: socket.socket | None = transport.get_extra_info("socket")
        self._timer: asyncio.TimerHandle | None = None
        self._capped = True
        self._sent = False
        self._set(socket.TCP_NODELAY, 1)
        self._is_supported = sys.platform == "linux" and self._cap(RTO_CAP * 1000)
        if sys.platform == "linux":
            # With the cap alone the kernel would give up after 15 s.
            self._set(socket.TCP_USER_TIMEOUT, int(USER_TIMEOUT * 1000))

    def sent(self) -> None:
        """Start polling the connection, because data was sent."""
        self._sent = True
        if self._timer is None and self._is_supported:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(POLL_INTERVAL, self._poll)

    def close(self) -> None:
        """Stop polling; a second call does nothing."""
        self._is_supported = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _poll(self) -> None:
        self._timer = None
        if self._transport.is_closing() or not self._is_supported:
            return
        probing = self._is_probing()
        if probing == self._capped:
            self._cap(_DEFAULT_RTO_CAP_MS if probing else RTO_CAP * 1000)
            self._capped = not probing
        if probing:
            self._set(socket.TCP_NODELAY, 1)  # makes the kernel transmit its queue
        if probing or self._sent or self._transport.get_write_buffer_size():
            self._sent = False
            self._timer = asyncio.get_running_loop().call_later(POLL_INTERVAL, self._poll)

    def _is_probing(self) -> bool:
        """Return whether the kernel probes: data is queued, but no packet can be sent."""
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
            logger.debug("cannot set TCP option %d: %s", option, error)
            return False
        return True
